import Cryptography

/// Signatures of `message` made by another implementation (OpenSSL, through pyca/cryptography) with keys made for this
/// file; the private halves were not kept.
struct SignatureVector: Sendable, CustomStringConvertible {
    static let message = Array("EXAMPLE.message".utf8)

    let algorithm: SignatureAlgorithm
    let key: [String: String]
    let signature: String

    var description: String { algorithm.rawValue }

    func publicKey() throws -> PublicKey {
        func bytes(_ name: String) -> [UInt8] { key[name].flatMap { Base64URL.decode($0) } ?? [] }
        return switch algorithm {
        case .rs256, .rs384, .rs512, .ps256: try PublicKey(rsaModulus: bytes("n"), exponent: bytes("e"))
        case .es256: try PublicKey(p256X: bytes("x"), y: bytes("y"))
        case .es384: try PublicKey(p384X: bytes("x"), y: bytes("y"))
        case .edDSA: try PublicKey(ed25519: bytes("x"))
        }
    }

    static let rsa = [
        "n": "jfEFPxcqNc9XpiJ9vb0hrzuT0hbvYCavzA_TWb9ZsTje5GxgHEowxgBccp3diiwWTTytqob_jWf9jt3nIVBNJBpZhrUn2bJ_9s"
            + "bJaJO7cBo9w6M4HLbbdZxe9YMkCnAn8CE355rojAFZDMJRnK4WJAbB-5dT7BWfYwEAq35TVM7tXTJ8vtv8x1Cl6ZxW9u55vmm2"
            + "klezPD6y1Jy4vr1WrNgtHCC0rPY2DaTb-TcqqCtGIH-z88pko1Ca-U48Fr9_nZb5i0VQ5U3NZjEqcf9-aXOvHY3H668vSEmM-l"
            + "4Gr_eLa1XdsYVgQL0yBujhOWmQc-ctRr2tYxTCatR8_v-JJw",
        "e": "AQAB",
    ]

    /// Too short to be trusted.
    static let modulus1024 =
        "sLcTsvsjl8Jtrhf5K6vildcRYXhtFLSrnJJM-H3O32MiwJBVsiW5kqDD5B2_pGYeTf9aSicMJe6he2WJsIlLyz6m9YZzHok2F_"
        + "x7pb7az7mAABMDqCnI3ZMgsPH7qRSseXx0RDk0MzuZfytlUwYCyBAgyBzhv7ejDiE_RFZ7OFs"

    static let all = [
        SignatureVector(
            algorithm: .rs256,
            key: rsa,
            signature: "CSei88oszUotSrTTGuEHJhq05lVc34x7yPJcTgyVYugeyWmYyJAZ9WUVAtCRFSJoAePrJFJDhim_1XsXIuU5U0dtWW0esw"
                + "bI6qL5g3QSi4QL7gaA-AD77Qfz8UogyZq0FUtnxpFen-HbR3OpFcshS4iHgN4iQ24mFXvnQvSwHQrsLFUJYHZ7-yGlMSrJ"
                + "0rGDg6aK1QPHkqIQAuyjM26nRC9rb_i_iXvzq-cAXcDWb-oL4e8p1GJNB5hig44tas6vE_IvbdbiKOpWmfrNov-rzacT_L"
                + "Sz--7Dt0x__fvUvGeMusG_ZTzOaV6jBYoDyESePpQv7CrxlK6HUeAdoTwFRg"),
        SignatureVector(
            algorithm: .rs384,
            key: rsa,
            signature: "TmiE2Ni0iRHYZbhJ3t8zI_41nhFWkVTMUG6JwbwfRChAwYTZNCqKKpPVu-qmX8823rkEz3pvC2BSf6vnhDzCjvaETITAMA"
                + "rTkv6FrmZwBAUNFpRPdvcqexSEAL224vvnpOM7mM5OhpIpsM5794B_0vnQAQrz7F6WryCTeCjSvcG1zmQkbwvmbDNMZFQT"
                + "5TWlsFjg-k5dlJBTL4kXlELmNXNHcHt8uGj1MDyIBee3JuPIFW5xILbMHyyTZ8rOoIEKW5Ktep0ta-R-yXCmFhIhap3Ffu"
                + "odfCsGbXswEUoM2heR29NBpjOVDg6y1MMkpBaiEDlNEjXrR8CUsMQoxObMgw"),
        SignatureVector(
            algorithm: .rs512,
            key: rsa,
            signature: "bJFodOUQhbFBsEXzs0jrSjOXh_-JS5TIFEQBMqOFYRkbjwF06a33DTt1FDaDqsNI6Au2zMCJDXwJrSwPHlfSfDgUyeZ5_F"
                + "CKpb83G3Tg1HIx-pk9x8Llc-67DBA1FslVS--bQJhgqk-WhXfX4Ce8L-HJP0ZiqoqA065m8m0UD9dCBavxrKy6P8iNozsy"
                + "Jy25CVnWTCTurBuFVakLgBnbzshMW72QHacb6LaBR3HwiJqGljKRNlfRrqmotiXCDZ5gD6IgKGuVgmMVBqyR2wSmeO9s3P"
                + "b-busAIS5IFcqP1kckfKD-XdLpsdKJE9NCosEvPTfmxmRA33mwgcujlqxOeQ"),
        SignatureVector(
            algorithm: .ps256,
            key: rsa,
            signature: "D9xjdxEz_rdF-AjrAGV5qNU67AFTswm-aNcTM5GO5y0dc8q8E3QSHQO0iUA6vwucUkAgJ7jXmsyv5pyUV8XDOM4RtJ7RUc"
                + "qRGPGgNqZ63Pnrk-HXdsp-EyOCZ7YOp0R6eW8Ch3GK38E42Nxzzb-GTMrLT_HzvY7bvntr81k5DMi0r6RzpCpcUmlyZofa"
                + "ad3NUW7IpyN2xxR2ItNhhfADE5mPJb3qL7SNkh0u9-HFWwgFe9pyneG9OJB3ts-pHKR7YgmWxN3_NWVpuWn66u_p9v8OZm"
                + "AwGF6thzcZP-CSd8MRT6PNcZXqmEni4vUUDnyr8OX_X26C4eyqeHICkBcB7A"),
        SignatureVector(
            algorithm: .es256,
            key: [
                "x": "Zbp2vyYs-F6tzxT0x2JE8ELvX7Rb7QOqRHNgsbDfCZU",
                "y": "2NKaVkTsfzMtT2Xi07gTrzsVv-oZJK1GZ9hoHpNHyRo",
            ],
            signature: "Q_6wz5VSk5V9raOy9FcJ1AZ2wVphocrQtbU7_TleQJvB65jPTlER8hf5e3BbPLw7kX0YoxsEkmVzlBplCksbDA"),
        SignatureVector(
            algorithm: .es384,
            key: [
                "x": "ATlrSd0qA-XOR-YWM95YsQGGpGserC9UG7q96geNpI19tcgOQXFsz37ym5_pSlGT",
                "y": "eJ6kcHMOUpKxucZC6tTkcM_jm4MHd2rRBKMV2v_AtZNhAmyDIJGihOQ9HNV9GkW5",
            ],
            signature: "jVmAeVxTJ8UBjb3wMztLgWt7obPgiRVZYqkD5iJlyjj9eFeog61FDkYCSkzYehQqD0YOtJgPnEzanpQUz7sMKhDCDrSPNt"
                + "sysHHadkXv9qCTgOcKXOWsqJojq-5HjZA3"),
        SignatureVector(
            algorithm: .edDSA,
            key: ["x": "k13sp6FxBybGIvtsa_8UrBtaLwq3UUGT2nRy6OJ192g"],
            signature: "eqEFjCXPJzQkJi9dEAv_fiAuZ_QaQ0TX4FcEILi0s6CAeszCA5gEn2PvhEnVBRf72TbdSqmh2fcJ2-T3YSgUCg"),
    ]
}
