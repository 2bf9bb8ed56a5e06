import Accounts
import Linking
import Store
import Testing

@Suite struct ProfilePatchTests {
    @Test func `a difference names what changed`() {
        #expect(
            ProfilePatch.text(
                from: ProfileContent(claims: #"{"name":"Ada"}"#, raw: "{}"),
                to: ProfileContent(claims: #"{"name":"Grace"}"#, raw: "{}"))
                == #"[{"op":"replace","path":"/claims/name","value":"Grace"}]"#)
    }

    @Test func `what can't be compared is replaced as a whole, and never by an empty patch`() async throws {
        let fixture = try Fixture()
        let user = try #require(UserID("42"))
        let subject = try #require(Subject("583231"))
        // SQLite takes a member twice; our parser does not.
        for (hash, raw) in [("one", #"{"user":{"id":"1","id":"2"}}"#), ("two", #"{"user":{"id":"3"}}"#)] {
            _ = try await fixture.database.accounts.link(
                NewLink(
                    userID: user, provider: alpha, subject: subject, credential: fixture.credential(),
                    profile: Profile(subject: subject, claims: #"{"sub":"583231"}"#, raw: raw, contentHash: hash),
                    nextSyncAt: fixture.time.now(), difference: ProfilePatch.text))
        }
        let account = try #require(try await fixture.database.accounts.account(provider: alpha, subject: subject))
        let newest = try #require(try await fixture.database.profiles.history(of: account.id, limit: 1).items.first)
        #expect(newest.version == 2)
        #expect(
            newest.patch
                == #"[{"op":"replace","path":"/claims","value":{"sub":"583231"}},{"op":"replace","path":"/raw","value":{"user":{"id":"3"}}}]"#
        )
    }
}
