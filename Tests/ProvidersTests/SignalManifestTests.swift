import Accounts
import Providers
import Testing

/// What a manifest says of signals and of the device grant, and what an instance has to bring.
@Suite struct SignalManifestTests {
    private static let hmac =
        "signals: {style: hmac_sha256, signature: {header: X-S}, event: {path: $.e}, revoked: [gone], subject: $.id}"

    private func problems(_ keys: String, issuer: Bool = false) throws -> [String] {
        var changes = [("limits:", keys + "\nlimits:")]
        if issuer {
            changes += [("name: Example", "name: Example\nissuer: https://example.com"), ("[profile]", "[openid]")]
        }
        return try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: exampleManifest(replacing: changes))], instances: [],
            publicURL: "https://accounts.example.com"
        ).problems.map(\.problem.message)
    }

    static let cases: [(String, String?)] = [
        (hmac, nil),
        (
            hmac.replacing("signature: {header: X-S}, ", with: ""),
            "signals.signature: expected one with the style hmac_sha256"
        ),
        (
            hmac.replacing("revoked", with: "timestamp: {header: X-T}, revoked"),
            "signals.timestamp: expected none with the style hmac_sha256"
        ),
        (hmac.replacing("hmac_sha256", with: "ed25519"), "signals.timestamp: expected one with the style ed25519"),
        (
            hmac.replacing("{path: $.e}", with: "{path: $.e, header: X-E}"),
            "signals.event: expected either header or path"
        ),
        (
            hmac.replacing("hmac_sha256", with: "md5"),
            #"signals.style: expected one of hmac_sha256, ed25519, secevent, found "md5""#
        ),
        (
            "signals: {style: secevent, issuer: https://example.com, revoked: [gone], subject: $.subject.sub}",
            "signals: a security event token is signed by an issuer, which the manifest does not have"
        ),
        (
            "device_authorization: {client_authentication: false}",
            "device_authorization: the key endpoint is missing; expected a URL, for there is no issuer to tell it"
        ),
        (
            "device_authorization: {endpoint: \"{site}/d\", member_names: {user_code: c, device_code: c}}",
            "device_authorization.member_names.device_code: c is the name of another already; expected another"
        ),
        ("device_authorization: {endpoint: \"{site}/d\", member_names: {device_code: c}}", nil),
    ]

    @Test(arguments: cases)
    func `a manifest that contradicts itself is refused with the reason`(keys: String, problem: String?) throws {
        #expect(try problems(keys).first == problem)
    }

    @Test func `an OpenID provider's endpoints and keys may come from its document`() throws {
        #expect(try problems("device_authorization: {client_authentication: false}", issuer: true).isEmpty)
        #expect(
            try problems(
                "signals: {style: secevent, issuer: https://example.com/, revoked: [gone], subject: $.subject.sub}",
                issuer: true
            ).isEmpty)
    }

    @Test func `security 73: an instance has what tells a signal from a forgery, or takes none`() throws {
        func provider(_ change: (inout InstanceConfiguration) -> Void = { _ in }) throws -> Provider {
            try exampleProvider(exampleManifest(replacing: [("limits:", Self.hmac + "\nlimits:")]), change)
        }
        #expect(try !provider().takesSignals)
        #expect(try !provider { $0.signalSecret = Secret("") }.takesSignals)
        #expect(try provider { $0.signalSecret = Secret("EXAMPLE") }.takesSignals)
        #expect(throws: ConfigurationErrors.self) { try provider { $0.signalPublicKey = "00" } }
        let ed25519 = Self.hmac.replacing("hmac_sha256", with: "ed25519").replacing(
            "event:", with: "timestamp: {header: X-T}, event:")
        for (key, isGood) in [
            ("209162313f5659266d646bf7022b360cff6f51acb88688a8c814ff6b81f3ef1d", true), ("zz", false), ("", false),
            ("2091", false),
        ] {
            let made = try? exampleProvider(
                exampleManifest(replacing: [("limits:", ed25519 + "\nlimits:")])
            ) { $0.signalPublicKey = key }
            #expect((made?.takesSignals ?? false) == isGood, "\(key)")
        }
    }
}
