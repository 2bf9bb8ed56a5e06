import Accounts
import Foundation
import Linking
import Providers
import Store
import TestSupport
import Testing
import Transfer

@testable import Sync

@Suite(.timeLimit(.minutes(10))) struct TokenUpkeepTests {
    private func upkeep(_ fixture: Fixture) -> TokenUpkeep {
        TokenUpkeep(
            database: fixture.database, catalog: fixture.catalog, tokens: fixture.engine().tokens, time: fixture.time,
            logger: fixture.logger)
    }

    /// One look at every provider, to its end.
    private func look(_ upkeep: TokenUpkeep, _ fixture: Fixture) async {
        for provider in fixture.catalog.providers { await upkeep.work(provider) }
    }

    /// Linked with a token of an hour that a caller took, and that ends in five minutes.
    private func linkDue(_ fixture: Fixture, _ subject: String = "1", at provider: String = "alpha") async throws
        -> AccountID
    {
        var credential = try fixture.credential(subject, expiresAfter: .seconds(300))
        credential.obtainedAt = fixture.time.now() - .seconds(3300)
        let id = try await fixture.link(subject, at: provider, credential: credential, dueAfter: .seconds(86_400))
        try await fixture.database.credentials.noteTaken(id, credential)
        return id
    }

    @Test func `tokens that callers take are refreshed ahead of their end, those that only syncs use are not`()
        async throws
    {
        let fixture = try Fixture()
        let upkeep = upkeep(fixture)
        for number in 1...6 {
            let credential = try fixture.credential("\(number)", expiresAfter: .seconds(3600))
            let id = try await fixture.link(
                "\(number)", at: number.isMultiple(of: 2) ? "alpha" : "beta", credential: credential,
                dueAfter: .seconds(86_400))
            if number <= 4 { try await fixture.database.credentials.noteTaken(id, credential) }
        }
        fixture.time.advance(by: .seconds(2700))
        await look(upkeep, fixture)
        #expect(fixture.tokenRequests.isEmpty)
        fixture.time.advance(by: .seconds(600))
        await look(upkeep, fixture)
        let refreshed = fixture.tokenRequests.map { String(decoding: $0.body?.bytes ?? [], as: UTF8.self) }
        #expect(refreshed.count == 4)
        for number in 1...4 { #expect(refreshed.contains { $0.contains("EXAMPLE-refresh-\(number)-1") }) }
        await look(upkeep, fixture)
        #expect(fixture.tokenRequests.count == 4)
    }

    @Test func `many are claimed in batches and all of them refreshed`() async throws {
        let fixture = try Fixture(manifests: [Fixture.alpha])
        for number in 1...120 { _ = try await linkDue(fixture, "\(number)") }
        await look(upkeep(fixture), fixture)
        #expect(fixture.tokenRequests.count == 120)
        #expect(
            try await fixture.database.credentials.countForeseen(of: .init("alpha")!, until: fixture.time.now()) == 0)
    }

    @Test func `a bulge is begun as much earlier as the provider's limit asks for`() async throws {
        // One request in ten seconds: 400 tokens take 4,000 s, and half as much again is left for others.
        let fixture = try Fixture(manifests: [
            Fixture.manifest(
                "alpha", rotation: "single_use", limits: ", requests: {per: client, count: 1, window: 10s}")
        ])
        for number in 1...400 {
            let credential = try fixture.credential("\(number)", expiresAfter: .seconds(10_000))
            let id = try await fixture.link("\(number)", credential: credential, dueAfter: .seconds(86_400))
            try await fixture.database.credentials.noteTaken(id, credential)
        }
        // To be refreshed in 1,400 to 2,400 s: 6,000 s ahead is 2,400 s more than an hour.
        fixture.time.advance(by: .seconds(6600))
        let upkeep = upkeep(fixture)
        let run = Task { await look(upkeep, fixture) }
        // The first request leaves at once, the next waits for its window.
        await fixture.time.sleepers(atLeast: 1)
        run.cancel()
        await run.value
        let claimed = try await fixture.database.credentials.countForeseen(
            of: .init("alpha")!, until: fixture.time.now() + TokenUpkeep.retryAfter)
        // The first one may be refreshed by now.
        #expect((TokenUpkeep.batchSize - 1...TokenUpkeep.batchSize).contains(claimed), "\(claimed)")
    }

    @Test func `a provider that does not answer keeps no other waiting`() async throws {
        let fixture = try Fixture()
        let answer = Barrier()
        let world = fixture.world
        fixture.nextToken { request in
            await answer.pass()
            return Fixture.token(request, world)
        }
        let upkeep = upkeep(fixture)
        let (ticks, tick) = AsyncStream<Void>.makeStream()
        let run = Task { await upkeep.run(ticks: ticks) }
        let slow = try await linkDue(fixture)
        tick.yield()
        await answer.arrivals()
        let other = try await linkDue(fixture, "2", at: "beta")
        tick.yield()
        while try await fixture.database.credentials.read(other)?.generation != 2 { await Task.yield() }
        #expect(try await fixture.database.credentials.read(slow)?.generation == 1)
        answer.open()
        while try await fixture.database.credentials.read(slow)?.generation != 2 { await Task.yield() }
        tick.finish()
        await run.value
    }

    @Test func `what can't be refreshed is told and tried again`() async throws {
        let fixture = try Fixture()
        let id = try await linkDue(fixture)
        fixture.nextToken(503)
        let upkeep = upkeep(fixture)
        await look(upkeep, fixture)
        #expect(fixture.log.lines.contains { $0.message == "A token was not refreshed ahead of time" })
        #expect(try await fixture.account(id).status == .active)
        fixture.time.advance(by: TokenUpkeep.retryAfter)
        await look(upkeep, fixture)
        #expect(try await fixture.database.credentials.read(id)?.generation == 2)
    }
}
