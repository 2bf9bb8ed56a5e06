import Accounts
import Testing

struct SecretTests {
    private static let canary = "EXAMPLE-canary-4711"
    private static let credential = Credential(
        accessToken: Secret(canary), refreshToken: Secret(canary), scopes: [], obtainedAt: .epoch)

    private func dumped(_ value: Any) -> String {
        var output = ""
        dump(value, to: &output)
        return output
    }

    private func reflected(_ value: Any, depth: Int = 0) -> String {
        let mirror = Mirror(reflecting: value)
        guard depth < 8 else { return "" }
        return "\(mirror) \(String(describing: mirror.subjectType)) "
            + mirror.children.map { "\($0.label ?? "") \($0.value) " + reflected($0.value, depth: depth + 1) }.joined()
    }

    private struct Wrapped: Error {
        let secret: Secret
        let note = "wrapped"
    }

    @Test(
        arguments: [
            Secret(canary), Optional(Secret(canary)) as any Sendable, [Secret(canary)], ["key": Secret(canary)],
            [Secret(canary): 1],
            (Secret(canary), 1), credential, StoredCredential(credential: credential, generation: 1),
            Wrapped(secret: Secret(canary)),
            Result<Secret, any Error>.failure(Wrapped(secret: Secret(canary))), Set([Secret(canary)]),
            Secret(canary) as any Sendable,
        ] as [any Sendable])
    func `is never printed, dumped or reflected`(_ value: any Sendable) {
        let outputs = [
            "\(value)", String(describing: value), String(reflecting: value), dumped(value), reflected(value),
            "\([value])",
            "\(Optional(value) as Any)", String(describing: Mirror(reflecting: value).children.map { $0 }),
        ]
        for output in outputs { #expect(!output.contains("canary")) }
        #expect(outputs[3].contains("[redacted]"))
    }

    @Test func `security 95: is redacted wherever text is made of it`() {
        let secret = Secret(Self.canary)
        #expect("\(secret)" == "[redacted]")
        #expect(secret.description == "[redacted]")
        #expect(secret.debugDescription == "[redacted]")
        #expect(Mirror(reflecting: secret).children.isEmpty)
        // Nothing encodes it by accident.
        #expect(!(secret as Any is any Encodable) && !(Self.credential as Any is any Encodable))
        var stream = ""
        print(secret, [secret], to: &stream)
        debugPrint(secret, to: &stream)
        #expect(!stream.contains("canary"))
        #expect(!"\(ObjectIdentifier(type(of: secret as Any)))\(secret.hashValue)".contains("canary"))
    }

    @Test func `is handed out by reveal alone, with the error of the one who asked`() throws {
        struct Refused: Error {}
        #expect(Secret(Self.canary).reveal { $0 } == Self.canary)
        #expect(Secret("a") == Secret("a"))
        #expect(Secret("a") != Secret("b"))
        #expect(Secret("").isEmpty)
        #expect(!Secret("a").isEmpty)
        #expect(throws: Refused.self) { try Secret("a").reveal { _ throws(Refused) in throw Refused() } }
    }
}
