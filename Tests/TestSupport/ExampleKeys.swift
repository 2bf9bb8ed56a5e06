/// EXAMPLE keys in PEM, made for the tests and used nowhere else.
package enum ExampleKeys {
    /// RSA with 2048 bits, PKCS #8.
    package static let rsa = """
        -----BEGIN PRIVATE KEY-----
        MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQC1iWL7qaCM6uZa
        0OC/KNxmDroglGjbz4bmRZr30L6iZ2rmqjl99hBssnPMUoxei/aRskcUsenCp9Ll
        9m8eUjHwLd1+wl6zqd831yr2XrtOzLGwlfAbLIbKb7DQbZawWE1CB5kxRNJ+CCX+
        hxrELjjshKYrfEv+ERMgXAnN5OBVLHNq7VzOZABhMRvOcLL9Iw/kFLrNtEyPE08/
        z/1/QEPHOLBeY9WuxATy1IQylD41Am0ePAfjj1as13Ml1uVNvLTOaMPmNg6OUl+U
        p9BfJFXWrYJ+LnuoXQsWoTGXeF+9upAnNnE1vJhB5XqPfw1gEl2dGWkD6GTPKLjn
        PTwo8AFpAgMBAAECggEALdBv4hpjkdzAaN/5MFUkFj+WOp2pvvunTFr5qpwMWFko
        MfF40/CzIXOB5OlaUowZHJj09mSWHZGUGIQyc+EDiF1S3mg4VThERMfxKD8tH0xq
        danJcFoy5Ej+wwM9OeD3EnhvcW8wfi0ZRZycJTGTHSG2/BeA6Cwv+wUvVj5yXRwP
        PGLk7CM9urkSEVJtrwBYHGkF8ePhDt1O4emrDMFUjqG7+MTz0mfY2vPfLXQBbTT0
        AR17DUflDzBlMReetKAvSCp3Znwd4+MxXflKolAtjy60kDRdS7T+qRPdYJOfJ7NJ
        0TQH5eNlTMJQkuRS7v6ptzxM8JBqD835SZc9GGcZBwKBgQDk+f6fJ/HGJFEyg/00
        YjXcbp8Ys3TVnm01mI4zHAGJTRsVTCNoMV8NKt3wlThBvDv25OoL+vTLTBUmwh3A
        5JLEE76RQpU1qeuPkVoIF41Q4mYuMbKlOH/N9iOtOhm22TkOGGGheRmTW0LkvGIO
        4Fpg34zUpUkThaKYU/X8q5YyTwKBgQDK9hqnt5vflUfpcIUEAxINeL0g+FiKONNE
        60Bh9UhhxcqSZ0wYxcxffsWAVOlHp0IBNVurtG2HZBxWGiyYs6Fyu2VtduV2rQUK
        jGoDQd+o+FRtfaK0ATzdUP2TZxEaZ2unFuPW0cCKa5sMzTW/DpZ5U0DH1h2SB1jG
        Zh7c3mc6xwKBgAWRtwmz9QN2uqrZ3vy5LsovvprhMoRHmCxni33evoLSZ0g7U9ki
        6kbttfw2BOpEY8j7hF3KOs3/CbypmAOrC47NVCNAVVS6z0nspR3xRLSk7QtOliPC
        ngkqZW+/LATwf5zCJw3AXkjhPV1G37Ow7UHR7iD17DMXWv8Ne7wriDmtAoGBAMiS
        2dixTOtx3XVG600Bs894aH+yrd07Nx4+1ot4GSX2j7CLQNqibsxYvdmLEFbtZf9H
        ueZAEpXgS1iT2Uq3CnAV3bCF9VKIvhiklwfNC7kyYE0sAaSeLIYSyeXnzzEmz256
        4oKjGwIwQTQvgFPlmLMhoT1bzjFH7WVz+kAP0jh1AoGBAI7y0zu28jKRq9IFpLKa
        /KItJP7mWnmYWm+U0zY+apxCphsCeLhhygGcR1EwHguePwW2Is+Ewlzd9Mn2bzsz
        Dwxs3Svy5PbTX3hs7yFEm1DTlZETv2nw+SZgQJCVzSUYOPWgVE2AFx7hASYZ7HHY
        oDIHJauhbRJpmg7Acp/f5ljP
        -----END PRIVATE KEY-----
        """

    /// The same as PKCS #1.
    package static let rsaPKCS1 = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEpAIBAAKCAQEAtYli+6mgjOrmWtDgvyjcZg66IJRo28+G5kWa99C+omdq5qo5
        ffYQbLJzzFKMXov2kbJHFLHpwqfS5fZvHlIx8C3dfsJes6nfN9cq9l67TsyxsJXw
        GyyGym+w0G2WsFhNQgeZMUTSfggl/ocaxC447ISmK3xL/hETIFwJzeTgVSxzau1c
        zmQAYTEbznCy/SMP5BS6zbRMjxNPP8/9f0BDxziwXmPVrsQE8tSEMpQ+NQJtHjwH
        449WrNdzJdblTby0zmjD5jYOjlJflKfQXyRV1q2Cfi57qF0LFqExl3hfvbqQJzZx
        NbyYQeV6j38NYBJdnRlpA+hkzyi45z08KPABaQIDAQABAoIBAC3Qb+IaY5HcwGjf
        +TBVJBY/ljqdqb77p0xa+aqcDFhZKDHxeNPwsyFzgeTpWlKMGRyY9PZklh2RlBiE
        MnPhA4hdUt5oOFU4RETH8Sg/LR9ManWpyXBaMuRI/sMDPTng9xJ4b3FvMH4tGUWc
        nCUxkx0htvwXgOgsL/sFL1Y+cl0cDzxi5OwjPbq5EhFSba8AWBxpBfHj4Q7dTuHp
        qwzBVI6hu/jE89Jn2Nrz3y10AW009AEdew1H5Q8wZTEXnrSgL0gqd2Z8HePjMV35
        SqJQLY8utJA0XUu0/qkT3WCTnyezSdE0B+XjZUzCUJLkUu7+qbc8TPCQag/N+UmX
        PRhnGQcCgYEA5Pn+nyfxxiRRMoP9NGI13G6fGLN01Z5tNZiOMxwBiU0bFUwjaDFf
        DSrd8JU4Qbw79uTqC/r0y0wVJsIdwOSSxBO+kUKVNanrj5FaCBeNUOJmLjGypTh/
        zfYjrToZttk5DhhhoXkZk1tC5LxiDuBaYN+M1KVJE4WimFP1/KuWMk8CgYEAyvYa
        p7eb35VH6XCFBAMSDXi9IPhYijjTROtAYfVIYcXKkmdMGMXMX37FgFTpR6dCATVb
        q7Rth2QcVhosmLOhcrtlbXbldq0FCoxqA0HfqPhUbX2itAE83VD9k2cRGmdrpxbj
        1tHAimubDM01vw6WeVNAx9YdkgdYxmYe3N5nOscCgYAFkbcJs/UDdrqq2d78uS7K
        L76a4TKER5gsZ4t93r6C0mdIO1PZIupG7bX8NgTqRGPI+4RdyjrN/wm8qZgDqwuO
        zVQjQFVUus9J7KUd8US0pO0LTpYjwp4JKmVvvywE8H+cwicNwF5I4T1dRt+zsO1B
        0e4g9ewzF1r/DXu8K4g5rQKBgQDIktnYsUzrcd11RutNAbPPeGh/sq3dOzcePtaL
        eBkl9o+wi0Daom7MWL3ZixBW7WX/R7nmQBKV4EtYk9lKtwpwFd2whfVSiL4YpJcH
        zQu5MmBNLAGkniyGEsnl588xJs9ueuKCoxsCMEE0L4BT5ZizIaE9W84xR+1lc/pA
        D9I4dQKBgQCO8tM7tvIykavSBaSymvyiLST+5lp5mFpvlNM2PmqcQqYbAni4YcoB
        nEdRMB4Lnj8FtiLPhMJc3fTJ9m87Mw8MbN0r8uT20194bO8hRJtQ05WRE79p8Pkm
        YECQlc0lGDj1oFRNgBce4QEmGexx2KAyByWroW0SaZoOwHKf3+ZYzw==
        -----END RSA PRIVATE KEY-----
        """

    /// P-256, PKCS #8.
    package static let p256 = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVCb1+mm/pWa+Q+aR
        /aU2azxJu08m6OtxWk1o/+vWQo+hRANCAAQuT8wgMt4qPXBKedlRPHAZgi/x/4Mw
        xPU9hTFBlz42CvilWDLzC2f1OJtZ2Q+RuKtXRdZ57YCNze/PkHzOFTOb
        -----END PRIVATE KEY-----
        """

    /// The same as SEC 1.
    package static let p256SEC1 = """
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEIFQm9fppv6VmvkPmkf2lNms8SbtPJujrcVpNaP/r1kKPoAoGCCqGSM49
        AwEHoUQDQgAELk/MIDLeKj1wSnnZUTxwGYIv8f+DMMT1PYUxQZc+Ngr4pVgy8wtn
        9TibWdkPkbirV0XWee2Ajc3vz5B8zhUzmw==
        -----END EC PRIVATE KEY-----
        """

    /// P-384, PKCS #8.
    package static let p384 = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDB04TbkW2RY9AAmDg7L
        7joclGK0U3OY3oD80waetgeqJLShrsSQiVar7FLHGS44AyihZANiAARQrZLMe0Mj
        lonZgt2ybmyyPw2Jm5S/fGOa5ntLU72urBRHbng6qL2QZl6YJGJ62WCmQ8jlKZEG
        vcM0r1UMXn8RuDEGsvUDh1jnWFjV3faNLMHYyGWDZAVUGIoloHxnhfA=
        -----END PRIVATE KEY-----
        """

    /// The same as SEC 1.
    package static let p384SEC1 = """
        -----BEGIN EC PRIVATE KEY-----
        MIGkAgEBBDB04TbkW2RY9AAmDg7L7joclGK0U3OY3oD80waetgeqJLShrsSQiVar
        7FLHGS44AyigBwYFK4EEACKhZANiAARQrZLMe0MjlonZgt2ybmyyPw2Jm5S/fGOa
        5ntLU72urBRHbng6qL2QZl6YJGJ62WCmQ8jlKZEGvcM0r1UMXn8RuDEGsvUDh1jn
        WFjV3faNLMHYyGWDZAVUGIoloHxnhfA=
        -----END EC PRIVATE KEY-----
        """

    /// Ed25519, PKCS #8 (RFC 8410).
    package static let ed25519 = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VwBCIEIHo2SsyshQFRcicKG5cBX2EO07wqUeyk0YLzDUX5lSBF
        -----END PRIVATE KEY-----
        """

    /// Too short to be trusted.
    package static let rsa1024 = """
        -----BEGIN PRIVATE KEY-----
        MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBALg2iwrEdAT1aBri
        izWJygZp9dXKOXBZQ3Whv5UC/hhRvJ7PxlL5dPLM6rWD396izptn9pGna66gzvfB
        O6nKs3v+GVA5Nipi2e1jtBrNWYFsgzbHz2u62llmfrpXxd40xAPBYqJIQ/fSrE0/
        i4O6YUdxVZ1K3u59esBZu/QfMdXjAgMBAAECgYEAh5GkfDUeCTQt/HMy7iDMrDG4
        +TCNWxBmZCC4pMqCA5XL0biphREPL0z9gr5duDRrBtXZEVJ8HhU8m/r6lLeXpG4L
        dG4q5fZV1PfEr7QV9xM14COmktTo2E8wznjnXPQP/S/7W2t+o7d9gU4SpeTRZnQr
        VlM3Jc0zEbZbkFgarZkCQQDgUAL9+/zvdMjWt12a1JLMQAWHCQ05NF2Po5BgVadH
        g7UL65UooGDhA53Ar8ye77fb7CqsANglk2AyfevhUvLvAkEA0jxh9dTbQMqt3uTC
        4hjvBe72Et0wqnIdZ9JkVn25QIESYBd3abFnmQn1CP5lg21MGknIvekIJ2AYr9uo
        wZ18TQJATquhMQTUxALYgX3UBX5ycdIuXhrNmXeFLOB3vWGtBobp02Fvcc01zRUg
        mbjOchuvByHAIY02QY97mJnTRbZ63wJAKrxPhXNRZmhM08RYwTEkVWZv6wG/hMZR
        p+sirlo8MBqMq6/ZfEitsHRPtRZReFfdYnKhNcmK+MYV/pl+Qm1K+QJBAIcaE1EZ
        UE7/I9ELyP8rzQD6COkw/MKJAWWdmegdBeuDtzDdiNcx1j8CQQmUA70drZa0wIwD
        nBI9hZdLCibEkYw=
        -----END PRIVATE KEY-----
        """

    /// `p256` under a passphrase.
    package static let encrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj03aj9sVkLRAICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEFfvj8PzdHwaRaneo8tG5E0EgZC7
        dVwOlhttvsAUCVYcMADreXrByU26r3KH7ZCXHPSE67gcabfURhWcB9IAj1m9RUOm
        Ob9SCQiYHrDGaSZu9P0KEGQQRv3RA36c1BzXCcemR7WAFKNyqn4RhaYxwJiSVSHX
        7+QICC6XXY5A1ySUhw/HBNIM1YcY/LwcOlqmDDcTtlLYbPHxXVmCG5XaBlqkEL8=
        -----END ENCRYPTED PRIVATE KEY-----
        """

    /// On a curve that nobody here signs with.
    package static let secp256k1 = """
        -----BEGIN PRIVATE KEY-----
        MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgn0uJJQPEtDSSyKhWWnof
        6dk89RFUFCqhwMTo12TAKf+hRANCAAS5rxvzz8qxXbNRau0ir4CTpKVL/oa/nDSs
        5u7M49N8rYmvwiReE1kesAi2pZYFBjk7tTNVKdpBmWqO7i2Y+Gx4
        -----END PRIVATE KEY-----
        """

    /// The public half of `rsa`.
    package static let rsaPublic = """
        -----BEGIN PUBLIC KEY-----
        MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAtYli+6mgjOrmWtDgvyjc
        Zg66IJRo28+G5kWa99C+omdq5qo5ffYQbLJzzFKMXov2kbJHFLHpwqfS5fZvHlIx
        8C3dfsJes6nfN9cq9l67TsyxsJXwGyyGym+w0G2WsFhNQgeZMUTSfggl/ocaxC44
        7ISmK3xL/hETIFwJzeTgVSxzau1czmQAYTEbznCy/SMP5BS6zbRMjxNPP8/9f0BD
        xziwXmPVrsQE8tSEMpQ+NQJtHjwH449WrNdzJdblTby0zmjD5jYOjlJflKfQXyRV
        1q2Cfi57qF0LFqExl3hfvbqQJzZxNbyYQeV6j38NYBJdnRlpA+hkzyi45z08KPAB
        aQIDAQAB
        -----END PUBLIC KEY-----
        """

    /// The public half of `p256`.
    package static let p256Public = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAELk/MIDLeKj1wSnnZUTxwGYIv8f+D
        MMT1PYUxQZc+Ngr4pVgy8wtn9TibWdkPkbirV0XWee2Ajc3vz5B8zhUzmw==
        -----END PUBLIC KEY-----
        """
}
