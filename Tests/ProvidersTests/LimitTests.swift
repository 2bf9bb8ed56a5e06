import Accounts
import JSON
import Providers
import Testing
import Transfer

/// What a rate limit case must come to.
private struct Wait {
    var dialect: String
    /// Seconds from the case's `now`; `nil` for the default back-off.
    var seconds: Double?
    var reach: LimitSignal.Reach = .everyone
    var isClamped = false
}

private let linear = """
    limits:
      dialect:
        statuses_when_spent: [400]
        remaining: [x-ratelimit-requests-remaining]
        waits: [{header: x-ratelimit-requests-reset, unit: epoch_milliseconds}]
    """
private let mastodon = """
    limits:
      dialect:
        remaining: [x-ratelimit-remaining]
        waits: [{header: x-ratelimit-reset, unit: rfc3339}]
    """
private let strava = """
    limits:
      dialect:
        usage: {limit: x-ratelimit-limit, used: x-ratelimit-usage, windows: [15m, 24h]}
    """
private let facebook = """
    limits:
      dialect:
        markers: [{path: "$[?@.code == 4]"}, {path: "$[?@.code == 17]", reach: token}]
        backoff: 1h
    """

private let waits: [String: Wait] = [
    "retry_after_http_date_past": Wait(dialect: "retry_after"),
    "retry_after_float": Wait(dialect: "retry_after", seconds: 2),
    "retry_after_iso": Wait(dialect: "retry_after", seconds: 3600),
    "retry_after_negative": Wait(dialect: "retry_after"),
    "retry_after_year": Wait(dialect: "retry_after", seconds: 86400, isClamped: true),
    "retry_after_garbage": Wait(dialect: "retry_after"),
    "discord_float": Wait(dialect: "discord", seconds: 65),
    "discord_global": Wait(dialect: "discord", seconds: 1),
    "github_403_reset": Wait(dialect: "github", seconds: 600, reach: .token),
    "github_403_secondary": Wait(dialect: "github", seconds: 60),
    "linear_ms": Wait(dialect: linear, seconds: 120),
    "mastodon_iso": Wait(dialect: mastodon, seconds: 240),
    // 14:42:53 → 14:45:00.
    "strava_pairs": Wait(dialect: strava, seconds: 127),
    "facebook_usage": Wait(dialect: facebook, seconds: 3600),
    "remaining_zero_on_200": Wait(dialect: "github", seconds: 30, reach: .token),
]

private func withDialect(_ dialect: String) throws -> Provider {
    let limits = dialect.hasPrefix("limits:") ? dialect : "limits:\n  dialect: \(dialect)"
    return try exampleProvider(exampleManifest(replacing: [("limits:\n  dialect: retry_after", limits)]))
}

private func signal(
    _ dialect: String, _ status: Int, _ fields: HeaderFields = [:], _ body: String = ""
) throws -> LimitSignal? {
    try withDialect(dialect).limitSignal(
        in: TransferResponse(status: status, fields: fields, body: Array(body.utf8)), now: sampleTime)
}

@Suite struct LimitTests {
    @Test func `security 70: quirk G2, G3, G5, G6, G7, G8: every rate limit case comes to its wait`() throws {
        let cases = try #require(Fixture.json("generic/rate_limit_cases.json")["cases"]?.array)
        #expect(Set(cases.compactMap { $0["name"]?.string }) == Set(waits.keys))
        for sample in cases {
            let name = try #require(sample["name"]?.string)
            let expected = try #require(waits[name])
            var fields = HeaderFields()
            for (name, value) in sample["headers"]?.object ?? [:] { fields[name] = value.string }
            let status = try #require(sample["status"]?.number?.int64)
            let now = try #require(sample["now_epoch"]?.number?.int64.map { Timestamp(secondsSinceEpoch: $0) })
            let body = sample["body"] == .null ? [] : sample["body"]?.utf8 ?? []
            let response = TransferResponse(status: Int(status), fields: fields, body: body)
            let found = try withDialect(expected.dialect).limitSignal(in: response, now: now)
            let seconds = expected.seconds ?? LimitSignal.waitDefault.secondsAsDouble
            #expect(
                found
                    == LimitSignal(
                        reach: expected.reach, until: now + .milliseconds(Int64(seconds * 1000)),
                        isClamped: expected.isClamped),
                "\(name)")
        }
    }

    @Test(arguments: ["ietf", "github", "discord", "retry_after", linear])
    func `too many requests is a limit in every dialect`(_ dialect: String) throws {
        let silent = try signal(dialect, 429)
        #expect(silent?.until == sampleTime + .seconds(60))
        let said = try signal(dialect, 429, ["Retry-After": "7"])
        #expect(said?.until == sampleTime + .seconds(7))
        #expect(said?.reach == .everyone)
    }

    @Test(arguments: ["ietf", "github", "discord", "retry_after", linear, strava, facebook])
    func `a refusal that speaks of no limit is none`(_ dialect: String) throws {
        for status in [200, 304, 400, 401, 403, 404, 500, 503] {
            #expect(try signal(dialect, status, [:], #"{"message": "Forbidden", "code": 50001}"#) == nil)
        }
    }

    @Test func `a server that is down may say until when`() throws {
        let found = try signal("retry_after", 503, ["Retry-After": "120"])
        #expect(found == LimitSignal(reach: .everyone, until: sampleTime + .seconds(120)))
        let provider = try withDialect("retry_after")
        let response = TransferResponse(status: 503, fields: ["Retry-After": "120"])
        #expect(provider.failure(of: response, now: sampleTime) == .unavailable(status: 503))
    }

    @Test(
        arguments: [
            ("Fri, 20 Nov 2026 14:43:53 GMT", 60.0), ("Friday, 20-Nov-26 14:44:53 GMT", 120),
            ("Fri Nov 20 14:45:53 2026", 180), ("2026-11-20T15:42:53+01:00", nil), ("2026-11-20T15:43:53+01:00", 60),
            ("1.25", 1.25), ("0", nil), ("", nil), ("1e9", nil), ("inf", nil), ("NaN", nil), ("0x10", nil), ("+5", nil),
            ("99999999999999999999999999", 86400), ("Fri, 32 Nov 2026 14:43:53 GMT", nil), ("٣", nil),
            ("Thu, 31 Dec 9999 23:59:59 GMT", 86400),
        ] as [(String, Double?)])
    func `quirk G1: Retry-After is read in every form and believed in none that is odd`(
        _ value: String, _ wait: Double?
    ) throws {
        let found = try signal("retry_after", 429, ["Retry-After": value])
        #expect(found?.until == sampleTime + .milliseconds(Int64((wait ?? 60) * 1000)))
        #expect(found?.isClamped == (wait == 86400))
    }

    @Test(
        arguments: [
            (["RateLimit-Remaining": "0", "RateLimit-Reset": "30"], 30.0),
            (["RateLimit": "limit=100, remaining=0, reset=45"], 45),
            (["RateLimit": #""default";r=0;t=50"#], 50),
            (["RateLimit": #""minute";r=0;t=20, "day";r=0;t=7200"#], 7200),
            (["RateLimit": #""minute";r=3;t=20, "day";r=0;t=70"#], 70),
            (["RateLimit": #""default";r=3;t=50"#], nil),
            (["RateLimit-Remaining": "5", "RateLimit-Reset": "30"], nil),
            (["RateLimit": ";;=,=;r"], nil),
        ] as [(HeaderFields, Double?)])
    func `the IETF fields tell of a window that is used up`(_ fields: HeaderFields, _ wait: Double?) throws {
        let found = try signal("ietf", 200, fields)
        #expect(found?.until == wait.map { sampleTime + .milliseconds(Int64($0 * 1000)) })
        if let wait {
            #expect(try signal("ietf", 429, fields)?.until == sampleTime + .milliseconds(Int64(wait * 1000)))
        }
    }

    @Test func `a Retry-After in the past leaves the word to the fields`() throws {
        let fields: HeaderFields = [
            "Retry-After": "Fri, 20 Nov 2026 14:41:23 GMT", "RateLimit-Remaining": "0", "RateLimit-Reset": "30",
        ]
        #expect(try signal("ietf", 429, fields)?.until == sampleTime + .seconds(30))
        #expect(try signal("retry_after", 503, fields) == nil)
    }

    @Test func `quirk G4: GitHub's primary limit is one user's and its secondary limit everyone's`() throws {
        let spent: HeaderFields = ["x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795185873"]
        #expect(try signal("github", 403, spent)?.reach == .token)
        #expect(try signal("github", 200, spent)?.reach == .token)
        let secondary = #"{"message": "You have exceeded a secondary rate limit."}"#
        #expect(try signal("github", 403, spent, secondary)?.reach == .everyone)
        #expect(try signal("github", 403, ["retry-after": "30"])?.reach == .everyone)
        // The limits of a 401 are those of the address.
        #expect(try signal("github", 401, spent) == nil)
        #expect(try signal("github", 404, spent) == nil)
    }

    @Test func `a clock that is ahead of GitHub's reset waits the default`() throws {
        let past: HeaderFields = ["x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795185000"]
        #expect(try signal("github", 403, past)?.until == sampleTime + .seconds(60))
    }

    @Test func `a success that uses up Discord's bucket makes the same token wait`() throws {
        let fields: HeaderFields = [
            "x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "0.25", "x-ratelimit-bucket": "EXAMPLE",
        ]
        #expect(
            try signal("discord", 200, fields)
                == LimitSignal(reach: .token, until: sampleTime + .milliseconds(250)))
    }

    @Test func `quirk G10: answers count against the budget of invalid requests as the manifest says`() throws {
        let discord = try provider("discord")
        for (name, counts) in [
            ("users_me_401_revoked", true), ("users_me_403_scope", true), ("users_me_429_user", true),
            ("users_me_429_shared", false), ("users_me", false), ("invalid_grant_refresh", false),
        ] {
            let response = try Fixture("discord", name).response
            #expect(discord.countsAsInvalidRequest(response, now: sampleTime) == counts, "\(name)")
        }
        let unauthorized = TransferResponse(status: 401)
        #expect(try !provider("github").countsAsInvalidRequest(unauthorized, now: sampleTime))
    }

    @Test func `quirk G5, G7: a table tells a spent limit from a refusal`() throws {
        let spent: HeaderFields = [
            "x-ratelimit-requests-remaining": "0", "x-ratelimit-requests-reset": "1795185893000",
        ]
        let left: HeaderFields = [
            "x-ratelimit-requests-remaining": "9", "x-ratelimit-requests-reset": "1795185893000",
        ]
        #expect(try signal(linear, 400, left) == nil)
        #expect(try signal(linear, 401, spent) == nil)
        #expect(try signal(linear, 200, spent)?.until == sampleTime + .seconds(120))
        #expect(try signal(linear, 429, left)?.until == sampleTime + .seconds(120))
        #expect(try signal(facebook, 400, [:], #"{"error": {"code": 17}}"#)?.reach == .token)
        #expect(try signal(facebook, 200, [:], #"{"error": {"code": 4}}"#) == nil)
    }

    @Test(
        arguments: [
            ("seconds", "90", 90.0), ("milliseconds", "1500", 1.5), ("epoch_seconds", "1795185803.5", 30.5),
            ("epoch_milliseconds", "1795185803250", 30.25), ("rfc3339", "2026-11-20T14:43:53Z", 60),
            ("duration", "34s", 34), ("duration", "250ms", 0.25), ("duration", "2m", 120), ("duration", "1h", 3600),
            ("duration", "34", nil), ("seconds", "soon", nil), ("epoch_seconds", "-1", nil), ("milliseconds", "", nil),
        ] as [(String, String, Double?)])
    func `quirk G2, G3, G9: a table reads each unit`(_ unit: String, _ value: String, _ wait: Double?) throws {
        let table = """
            limits:
              dialect:
                waits: [{header: x-wait, unit: \(unit)}]
                reach: route
            """
        let found = try signal(table, 429, ["X-Wait": value])
        #expect(found == LimitSignal(reach: .route, until: sampleTime + .milliseconds(Int64((wait ?? 60) * 1000))))
    }

    @Test func `quirk G9: a table may say that Retry-After is in milliseconds`() throws {
        let table = "limits: {dialect: {waits: [{header: Retry-After, unit: milliseconds}]}}"
        for status in [429, 503] {
            #expect(
                try signal(table, status, ["Retry-After": "1500"])?.until ?? sampleTime
                    == sampleTime + (status == 429 ? .milliseconds(1500) : .zero))
        }
        #expect(
            try signal("limits: {dialect: retry_after}", 429, ["Retry-After": "15"])?.until == sampleTime + .seconds(15)
        )
    }
}
