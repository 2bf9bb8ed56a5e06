import Accounts
import TestSupport
import Testing

struct IdentifierTests {
    @Test func `sorts by creation, as text and as a value`() {
        let random = SeededRandom()
        let instants: [Int64] = [
            0, 1, 31, 32, 1000, 1_795_185_773_000, 1_795_185_773_001, 1_795_185_774_000, (1 << 48) - 1,
        ]
        let identifiers = instants.map { AccountID(at: Timestamp(millisecondsSinceEpoch: $0), random: random) }
        #expect(identifiers == identifiers.sorted())
        #expect(identifiers.map(\.rawValue) == identifiers.map(\.rawValue).sorted())
        #expect(Set(identifiers).count == instants.count)
    }

    @Test func `lays out 48 bits of time and 80 of chance as a ULID does`() {
        struct Ones: RandomSource { func bytes(_ count: Int) -> [UInt8] { Array(repeating: 0xff, count: count) } }
        struct Zeros: RandomSource { func bytes(_ count: Int) -> [UInt8] { Array(repeating: 0, count: count) } }
        // The example of the ULID specification: 01ARZ3NDEK is 1469922850259.
        #expect(
            AccountID(at: Timestamp(millisecondsSinceEpoch: 1_469_922_850_259), random: Ones()).rawValue
                == "acc_01arz3ndekzzzzzzzzzzzzzzzz")
        #expect(AccountID(at: .epoch, random: Zeros()).rawValue == "acc_00000000000000000000000000")
        #expect(
            AccountID(at: Timestamp(millisecondsSinceEpoch: (1 << 48) - 1), random: Ones()).rawValue
                == "acc_7zzzzzzzzzzzzzzzzzzzzzzzzz")
    }

    @Test(arguments: [-1, -1_000_000, Int64.min, 1 << 48, Int64.max])
    func `clamps an instant that 48 bits do not hold`(_ milliseconds: Int64) {
        let identifier = AccountID(at: Timestamp(millisecondsSinceEpoch: milliseconds), random: SeededRandom())
        let clamped = Timestamp(millisecondsSinceEpoch: milliseconds < 0 ? 0 : (1 << 48) - 1)
        #expect(identifier.rawValue == AccountID(at: clamped, random: SeededRandom()).rawValue)
    }

    @Test func `reads back what it wrote, of its own kind alone`() throws {
        let random = SeededRandom(seed: 7)
        for number in 0..<500 {
            let now = Timestamp(millisecondsSinceEpoch: 1_795_185_773_000 + Int64(number))
            let account = AccountID(at: now, random: random)
            #expect(AccountID(account.rawValue) == account)
            #expect("\(account)" == account.rawValue)
            #expect(LinkSessionID(account.rawValue) == nil)
            let text = String(account.rawValue.dropFirst(4))
            for other in ["lks_", "key_", "chg_", "ACC_", ""] { #expect(AccountID(other + text) == nil) }
        }
        #expect(LinkSessionID(at: .epoch, random: random).rawValue.hasPrefix("lks_"))
        #expect(APIKeyID(at: .epoch, random: random).rawValue.hasPrefix("key_"))
        #expect(ChangeID(at: .epoch, random: random).rawValue.hasPrefix("chg_"))
    }

    @Test(arguments: [
        "", "acc_", "acc_0123456789abcdefghjkmnpqr", "acc_0123456789abcdefghjkmnpqrst",
        "acc_0123456789ABCDEFGHJKMNPQRS",
        "acc_0123456789abcdefghjkmnpqri", "acc_0123456789abcdefghjkmnpqrl", "acc_0123456789abcdefghjkmnpqro",
        "acc_0123456789abcdefghjkmnpqru",
        "acc_80000000000000000000000000", "acc_zzzzzzzzzzzzzzzzzzzzzzzzzz", "acc_0123456789abcdefghjkmnpq\u{e9}",
        "acc_0123456789abcdefghjkmnpqr ",
        "acc_0123456789abcdefghjkmnpqr\0", " acc_0123456789abcdefghjkmnpqr",
    ])
    func `refuses what is no identifier`(_ text: String) { #expect(AccountID(text) == nil) }

    @Test(arguments: [
        ("u1", true), ("a b/é😀", true), (String(repeating: "é", count: 255), true),
        (String(repeating: "e", count: 256), false), ("", false),
        ("a\nb", false), ("a\0", false), ("\u{7f}", false), ("a\u{85}", false), ("\u{a0}", true), ("\u{1b}[31m", false),
        ("\r\n", false),
    ])
    func `bounds the ids that others chose`(_ text: String, _ isAccepted: Bool) {
        #expect((UserID(text) != nil) == isAccepted)
        #expect((Subject(text) != nil) == isAccepted)
        #expect(UserID(text).map { "\($0)" } == (isAccepted ? text : nil))
    }

    @Test func `never takes canonically equivalent ids for one`() throws {
        let composed = "\u{e9}"
        let decomposed = "e\u{301}"
        #expect(UserID(composed) != UserID(decomposed))
        #expect(Subject(composed) != Subject(decomposed))
        #expect(Secret(composed) != Secret(decomposed))
        #expect(Set([UserID(composed), UserID(decomposed), UserID(composed)]).count == 2)
        #expect(Set([Subject(composed), Subject(decomposed), Subject(composed)]).count == 2)
        #expect(Set([Secret(composed), Secret(decomposed), Secret(composed)]).count == 2)
    }

    @Test(arguments: [
        ("github", true), ("my-oidc-2", true), ("0", true), (String(repeating: "a", count: 63), true),
        (String(repeating: "a", count: 64), false),
        ("", false), ("-a", false), ("GitHub", false), ("a_b", false), ("a.b", false), ("a/b", false), ("a b", false),
        ("é", false), ("a\n", false),
    ])
    func `bounds the names of provider instances`(_ text: String, _ isAccepted: Bool) {
        #expect((ProviderID(text) != nil) == isAccepted)
    }

    @Test(arguments: [
        ("openid", true), ("https://www.googleapis.com/auth/userinfo.email", true), ("user:email", true), ("!", true),
        ("~", true), ("", false),
        ("a b", false), ("a\"b", false), ("a\\b", false), ("é", false), ("a\t", false), ("\u{7f}", false),
    ])
    func `takes as a scope what RFC 6749 takes`(_ text: String, _ isAccepted: Bool) {
        #expect((Scope(text) != nil) == isAccepted)
    }

    @Test func `says who has to act for every problem`() {
        let actions = Dictionary(grouping: AccountProblem.Code.allCases, by: \.action).mapValues(Set.init)
        #expect(actions[.user] == [.consentRevoked, .refreshExpired, .rotationLost, .scopeLost, .userSuspended])
        #expect(
            actions[.operator] == [.credentialDamaged, .clientRefused, .unexpectedResponse, .providerNotConfigured])
        #expect(actions[AccountProblem.Action.none] == [.providerUnavailable, .rateLimited])
        #expect(AccountProblem(code: .rateLimited, since: .epoch, detail: "").action == .none)
    }
}
