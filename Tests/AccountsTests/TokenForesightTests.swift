import Accounts
import TestSupport
import Testing

@Suite struct TokenForesightTests {
    private let now = Timestamp(secondsSinceEpoch: 1_795_185_773)
    private let accounts: [AccountID]

    init() {
        let random = SeededRandom()
        accounts = (0..<2000).map { _ in AccountID(at: .epoch, random: random) }
    }

    private func credential(
        lifetime: Int64? = 3600, refresh: String? = "EXAMPLE-refresh", refreshLifetime: Int64? = nil
    ) -> Credential {
        Credential(
            accessToken: Secret("EXAMPLE-access"), expiresAt: lifetime.map { now + .seconds($0) },
            refreshToken: refresh.map { Secret($0) },
            refreshTokenExpiresAt: refreshLifetime.map { now + .seconds($0) }, scopes: [], obtainedAt: now)
    }

    @Test(
        arguments: [
            // 10 % of the lifetime, but two minutes at least, an hour at most, and a quarter of the life at most.
            (3600, 360), (600, 120), (240, 60), (86_400, 3600), (604_800, 3600),
        ] as [(Int64, Double)])
    func `a token that callers take is refreshed one to two leads ahead of its end`(
        lifetime: Int64, lead: Double
    ) throws {
        var leads: [Double] = []
        for id in accounts {
            let plan = try #require(
                TokenForesight.plan(for: credential(lifetime: lifetime), of: id, takenAt: now, now: now))
            #expect(plan.reason == .taken)
            leads.append((now + .seconds(lifetime) - plan.at) / .seconds(1))
        }
        let (least, most) = (try #require(leads.min()), try #require(leads.max()))
        #expect(least >= lead && least < lead * 1.02)
        #expect(most <= lead * 2 && most > lead * 1.98)
        #expect(abs(leads.reduce(0, +) / Double(leads.count) - lead * 1.5) < lead * 0.03)
    }

    @Test func `others are touched after 24 to 36 days, and never in the last quarter of the refresh token's life`()
        throws
    {
        let day = Duration.seconds(86_400)
        for id in accounts {
            let idle = try #require(TokenForesight.plan(for: credential(), of: id, takenAt: nil, now: now))
            #expect(idle.reason == .idle)
            #expect(idle.at >= now + day * 24 && idle.at <= now + day * 36)
            let short = try #require(
                TokenForesight.plan(
                    for: credential(lifetime: nil, refreshLifetime: 8 * 86_400), of: id, takenAt: now, now: now))
            #expect(short.reason == .idle)
            #expect(short.at >= now + day * 5.2 && short.at <= now + day * 6)
        }
    }

    @Test func `a token that nobody has taken for long is not worth a request, nor is one without a refresh token`()
        throws
    {
        let id = try #require(accounts.first)
        func reason(_ credential: Credential, takenBefore age: Int64) -> TokenForesight.Reason? {
            TokenForesight.plan(for: credential, of: id, takenAt: now - .seconds(age), now: now)?.reason
        }
        #expect(reason(credential(), takenBefore: 86_400) == .taken)
        #expect(reason(credential(), takenBefore: 86_401) == .idle)
        #expect(reason(credential(lifetime: 604_800), takenBefore: 1_209_600) == .taken)
        #expect(reason(credential(lifetime: 604_800), takenBefore: 1_209_601) == .idle)
        #expect(reason(credential(refresh: nil), takenBefore: 0) == nil)
    }

    @Test func `a grant ends with what no refresh moves`() {
        let day: Int64 = 86_400
        // Without a refresh token the access token is all there is.
        #expect(TokenForesight.grantEnd(of: credential(refresh: nil), replacing: nil) == now + .seconds(3600))
        #expect(TokenForesight.grantEnd(of: credential(lifetime: nil, refresh: nil), replacing: nil) == nil)
        // Of a first answer nobody knows whether the next one moves its end.
        #expect(TokenForesight.grantEnd(of: credential(refreshLifetime: day), replacing: nil) == nil)
        #expect(TokenForesight.grantEnd(of: credential(), replacing: nil) == nil)
        func end(_ oldEnd: Int64?, obtained: Int64) -> Timestamp? {
            TokenForesight.grantEnd(
                of: credential(refreshLifetime: 30 * day),
                replacing: .init(
                    refreshTokenExpiresAt: oldEnd.map { now + .seconds($0) }, obtainedAt: now + .seconds(obtained)))
        }
        #expect(end(30 * day, obtained: -day) == now + .seconds(30 * day))
        #expect(end(30 * day - 4, obtained: -day) == now + .seconds(30 * day))
        #expect(end(29 * day, obtained: -day) == nil)
        #expect(end(30 * day - 10, obtained: -10) == nil)
        #expect(end(nil, obtained: -day) == nil)
    }

    @Test func `the share of an account is the same each time, and shares are even`() {
        #expect(TokenForesight.share(of: "acc_00000000000000000000000000") == 0.4581281807428611)
        var tenths = [Int](repeating: 0, count: 10)
        for id in accounts { tenths[Int(TokenForesight.share(of: id.rawValue) * 10)] += 1 }
        #expect(tenths.allSatisfy { (150...250).contains($0) }, "\(tenths)")
    }
}
