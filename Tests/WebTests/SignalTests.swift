import Accounts
import Cryptography
import Foundation
import JSON
import Providers
import Store
import Synchronization
import TestSupport
import Testing
import Transfer

@testable import Web

/// POST /signals/{provider}: messages of providers, signed in three ways, and what forgeries and replays come to.
@Suite(.timeLimit(.minutes(10))) struct SignalTests {
    static let signing = SigningKey.generateP256(random: SeededRandom(seed: 5))

    /// The keys that the built-in manifests have, at providers of this test's own.
    static let hmac = """
        signals:
          style: hmac_sha256
          signature: {header: X-Hub-Signature-256, prefix: "sha256="}
          delivery: {header: X-GitHub-Delivery}
          event: {header: X-GitHub-Event}
          revoked: [github_app_authorization]
          subject: $.sender.id

        """
    static let ed25519 = """
        signals:
          style: ed25519
          signature: {header: X-Signature-Ed25519}
          timestamp: {header: X-Signature-Timestamp}
          event: {path: $.event.type}
          revoked: [APPLICATION_DEAUTHORIZED]
          subject: $.event.data.user.id

        """
    static let oidc = """
        id: oidc
        name: OpenID
        variables: {issuer: {description: an issuer}}
        issuer: "{issuer}"
        authorization: {scopes: [openid]}
        client_authentication: client_secret_basic
        signals:
          style: secevent
          issuer: "{issuer}/"
          revoked: ["https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked"]
          subject: $.subject.sub
        profile: {requests: {}, claims: {sub: $.id_token.sub}}

        """

    static func options(_ signals: String) -> Service.Options {
        var options = Service.Options(manifests: ["alpha": Service.alpha + signals, "beta": Service.beta, "oidc": oidc])
        options.instance = { instance in
            guard instance.id == "alpha" else { return }
            if signals == hmac { instance.signalSecret = Secret("EXAMPLE-signal") }
            if signals == ed25519 {
                instance.signalPublicKey = "209162313f5659266d646bf7022b360cff6f51acb88688a8c814ff6b81f3ef1d"
            }
        }
        return options
    }

    static func sample(_ path: String) throws -> String {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "ProvidersTests/Fixtures/\(path).json")
        return try #require(try JSONValue(parsing: Array(Data(contentsOf: file)))["body"]).text
    }

    /// An account of that subject, made without any request.
    private func account(_ service: Service, _ subject: String, provider: String = "alpha") async throws -> AccountID {
        let subject = try #require(Subject(subject))
        let outcome = try await service.database.accounts.link(
            NewLink(
                userID: try #require(UserID("42")), provider: try #require(ProviderID(provider)), subject: subject,
                credential: Credential(
                    accessToken: Secret("EXAMPLE"), refreshToken: Secret("EXAMPLE"), scopes: [],
                    obtainedAt: service.time.now()),
                profile: Profile(subject: subject, claims: "{}", raw: "{}", contentHash: ""),
                nextSyncAt: service.time.now() + .seconds(60)))
        guard case .linked(let account, _) = outcome else { throw StoreError.inconsistent("\(outcome)") }
        return account.id
    }

    private func status(_ service: Service, _ id: AccountID) async throws -> String {
        let account = try #require(try await service.database.accounts.account(id))
        return account.status.rawValue + (account.problem.map { " " + $0.code.rawValue } ?? "")
    }

    private func sign(_ body: String, _ secret: String = "EXAMPLE-signal") -> String {
        "sha256=" + Hexadecimal.encode(Digest.hmacSHA256(key: Array(secret.utf8), message: Array(body.utf8)))
    }

    private func send(
        _ service: Service, _ body: String, _ fields: [(String, String)], to provider: String = "alpha",
        type: String = "application/json"
    ) async throws -> RawResponse {
        try await service.client.send(
            "POST", "/signals/\(provider)", fields + [("Content-Type", type)], body: Array(body.utf8))
    }

    @Test func `security 73: quirk V1: an HMAC over the body marks the account, once and without asking anybody`()
        async throws
    {
        let body = try Self.sample("github/webhook_github_app_authorization")
        try await Service.run(Self.options(Self.hmac)) { service in
            let id = try await account(service, "99123456")
            func fields(_ signature: String, _ delivery: String = "1") -> [(String, String)] {
                [
                    ("X-GitHub-Event", "github_app_authorization"), ("X-GitHub-Delivery", delivery),
                    ("X-Hub-Signature-256", signature),
                ]
            }
            let good = sign(body)
            for forged in [
                sign(body, "other"), sign(body + " "), "sha1=" + good.dropFirst(7), String(good.dropFirst(7)), "",
                String(good.dropLast()), good + "0",
            ] {
                #expect(try await send(service, body, fields(forged)).status == 401)
            }
            #expect(try await send(service, body, [("X-GitHub-Event", "github_app_authorization")]).status == 401)
            #expect(try await send(service, body, fields(good) + [("X-Hub-Signature-256", good)]).status == 401)
            #expect(try await status(service, id) == "active")

            #expect(try await send(service, body, fields(good)).status == 204)
            #expect(try await status(service, id) == "needs_relink consent_revoked")
            #expect(try await service.database.accounts.account(id)?.nextSyncAt == nil)
            // The user links again; the same delivery says nothing new.
            _ = try await account(service, "99123456")
            #expect(try await status(service, id) == "active")
            #expect(try await send(service, body, fields(good)).status == 204)
            #expect(try await status(service, id) == "active")
            let planned = try #require(try await service.database.accounts.account(id)?.nextSyncAt)
            #expect(planned > service.time.now())
            // The name is not signed: the same words under another may be from whoever caught them. The provider is asked.
            let copy = good.uppercased().replacing("SHA256", with: "sha256")
            #expect(try await send(service, body, fields(copy, "2")).status == 204)
            #expect(try await status(service, id) == "active")
            #expect(try await service.database.accounts.account(id)?.nextSyncAt == service.time.now())
            // Other words of the provider's own count.
            #expect(try await send(service, body + " ", fields(sign(body + " "), "3")).status == 204)
            #expect(try await status(service, id) == "needs_relink consent_revoked")
            // However long somebody waits with what they caught.
            _ = try await account(service, "99123456")
            service.time.advance(by: .seconds(399 * 86_400))
            _ = try await service.database.signals.purgeOld()
            #expect(try await send(service, body, fields(good, "4")).status == 204)
            #expect(try await status(service, id) == "active")
            #expect(service.transport.requests.isEmpty)
            #expect(service.log.everything.contains("took their consent back"))
        }
    }

    @Test func `security 73: a message about something else changes nothing, nor does one about nobody`() async throws {
        try await Service.run(Self.options(Self.hmac)) { service in
            let id = try await account(service, "1")
            for (event, body, status) in [
                ("ping", #"{"zen":"x"}"#, 204), ("installation", #"{"sender":{"id":1}}"#, 204),
                ("github_app_authorization", #"{"sender":{"id":2}}"#, 204),
                ("github_app_authorization", #"{"sender":{}}"#, 400), ("github_app_authorization", "{", 400),
                ("github_app_authorization", #"{"sender":{"id":1.5}}"#, 400),
            ] {
                let response = try await send(
                    service, body, [("X-GitHub-Event", event), ("X-Hub-Signature-256", sign(body))])
                #expect(response.status == status, "\(event) \(body)")
            }
            #expect(try await self.status(service, id) == "active")
        }
    }

    @Test func `security 73: Ed25519 over time stamp and body is verified, and a stale one is not taken`() async throws
    {
        try await Service.run(Self.options(Self.ed25519)) { service in
            let id = try await account(service, "412345678901234567")
            for message in try Self.ed25519Messages(now: service.time.now()) {
                let response = try await send(
                    service, message.body,
                    [("X-Signature-Ed25519", message.signature), ("X-Signature-Timestamp", message.timestamp)])
                #expect(response.status == message.status, "\(message.timestamp)")
                #expect(try await status(service, id) == (message.marks ? "needs_relink consent_revoked" : "active"))
            }
            #expect(service.transport.requests.isEmpty)
        }
    }

    @Test func `security 73: a security event token is verified with the issuer's keys, and its jti counts once`()
        async throws
    {
        try await Service.run(Self.options("")) { service in
            service.world.state.withLock { $0.keys = Self.keySet }
            let id = try await account(service, "100000000000000000011", provider: "gamma")
            let now = service.time.now().secondsSinceEpoch
            func token(_ changes: [String: JSONValue] = [:], header: JSONObject = ["typ": "secevent+jwt"]) throws
                -> String
            {
                var claims = try #require(
                    try JSONValue(
                        parsing: Self.sample("google/risc_set_payload")
                            .replacing("https://accounts.google.com/", with: "https://gamma.example/")
                            .replacing("000000000000-example.apps.googleusercontent.com", with: "EXAMPLE-gamma")
                    ).object)
                claims["iat"] = .number(JSONNumber(now))
                for (name, value) in changes { claims[name] = value == .null ? nil : value }
                return try Self.token(claims, header)
            }
            func ofAnotherIssuer(_ issuer: String) throws -> JSONValue {
                try JSONValue(
                    parsing: #"{"https://schemas.openid.net/secevent/oauth/event-type/tokens-revoked":{"subject":"#
                        + #"{"subject_type":"iss-sub","iss":"\#(issuer)","sub":"100000000000000000011"}}}"#)
            }
            func push(_ token: String) async throws -> RawResponse {
                try await send(service, token, [], to: "gamma", type: "application/secevent+jwt")
            }
            let refused: [String] = [
                try token(["iss": "https://gamma.example"]), try token(["aud": "EXAMPLE-other"]),
                try token(["iat": .number(JSONNumber(now + 900))]),
                try token(["iat": .number(JSONNumber(now - 700_000))]),
                try token(["iat": .null]), try token(["jti": .null]), try token(["events": .null]),
                try token(["events": try ofAnotherIssuer("https://other.example/")]),
                try token(header: ["typ": "logout+jwt"]), try token(header: ["typ": "at+jwt"]),
                try token().split(separator: ".").dropLast().joined(separator: ".") + ".AAAA", "x", "",
            ]
            for text in refused {
                let response = try await push(text)
                #expect(response.status == 400, "\(text.prefix(40))")
                #expect(try response.json()["err"]?.string != nil)
            }
            #expect(try await status(service, id) == "active")
            let good = try token()
            #expect(try await push(good).status == 202)
            #expect(try await status(service, id) == "needs_relink consent_revoked")
            _ = try await account(service, "100000000000000000011", provider: "gamma")
            #expect(try await push(good).status == 202)
            #expect(try await status(service, id) == "active")
            // The same again under another id is another event.
            #expect(try await push(try token(["jti": "2"])).status == 202)
            #expect(try await status(service, id) == "needs_relink consent_revoked")
        }
    }

    @Test func `security 73: a body is bounded, typed, and for a provider that takes signals`() async throws {
        try await Service.run(Self.options(Self.hmac)) { service in
            let long = #"{"x":""# + String(repeating: "x", count: 65 << 10) + #""}"#
            let field = ("X-Hub-Signature-256", sign(long))
            var answers = [try await send(service, long, [field])]
            answers.append(try await send(service, "{}", [field], type: "text/plain"))
            answers.append(try await send(service, "{}", [field], to: "beta"))
            answers.append(try await send(service, "{}", [field], to: "nobody"))
            answers.append(try await service.client.send("GET", "/signals/alpha"))
            #expect(answers.map(\.status) == [413, 415, 404, 404, 405])
        }
        // Without a secret nothing can be told from a forgery: not even one under the empty secret is taken.
        var options = Self.options(Self.hmac)
        options.instance = { $0.signalSecret = $0.id == "alpha" ? Secret("") : nil }
        try await Service.run(options) { service in
            let answer = try await send(service, "{}", [("X-Hub-Signature-256", sign("{}", ""))])
            #expect(answer.status == 404)
        }
    }

    @Test func `security 73: an address that sends many forgeries is not listened to for a while`() async throws {
        try await Service.run(Self.options(Self.hmac)) { service in
            var answers: [Int] = []
            for _ in 0..<40 {
                answers.append(try await send(service, "{}", [("X-Hub-Signature-256", "sha256=00")]).status)
            }
            #expect(answers.first == 401 && answers.last == 429)
        }
    }
}

extension SignalTests {
    /// In order: what a message is, its answer, and whether the account is marked from then on.
    static func ed25519Messages(now: Timestamp) throws -> [Message] {
        let key = try SigningKey(pem: Secret(ExampleKeys.ed25519))
        let revoked = try sample("discord/webhook_application_deauthorized")
        let ping = #"{"version":1,"application_id":"1234560000000000001","type":0}"#
        let seconds = now.secondsSinceEpoch
        func message(
            _ body: String, at timestamp: String, signedAt signed: String? = nil, signedBody: String? = nil,
            _ status: Int, marks: Bool = false
        ) throws -> Message {
            let bytes = Array(((signed ?? timestamp) + (signedBody ?? body)).utf8)
            return Message(
                body: body, timestamp: timestamp,
                signature: Hexadecimal.encode(try key.signature(for: bytes, algorithm: .edDSA)), status: status,
                marks: marks)
        }
        var garbled = try message(revoked, at: "\(seconds)", 401)
        garbled.signature = "zz" + garbled.signature.dropFirst(2)
        return [
            // The test that comes when the address is registered.
            try message(ping, at: "\(seconds)", 204),
            try message(revoked, at: "\(seconds)", signedAt: "\(seconds - 1)", 401),
            try message(revoked, at: "\(seconds)", signedBody: ping, 401), garbled,
            try message(revoked, at: "\(seconds - 301)", 401), try message(revoked, at: "\(seconds + 301)", 401),
            try message(revoked, at: "now", 401), try message(revoked, at: "", 401),
            try message(revoked, at: "\(seconds - 299)", 204, marks: true),
            try message(revoked, at: "\(seconds - 299)", 204, marks: true),
        ]
    }

    struct Message {
        var body: String
        var timestamp: String
        var signature: String
        var status: Int
        var marks: Bool
    }

    static var keySet: String {
        let point = signing.p256Point
        return
            #"{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"\#(Base64URL.encode(point?.x ?? []))","y":"\#(Base64URL.encode(point?.y ?? []))"}]}"#
    }

    static func token(_ claims: JSONObject, _ header: JSONObject) throws -> String {
        var header = header
        header["alg"] = "ES256"
        header["kid"] = "k1"
        let signed =
            Base64URL.encode(Array(JSONValue.object(header).text.utf8)) + "."
            + Base64URL.encode(Array(JSONValue.object(claims).text.utf8))
        return signed + "." + Base64URL.encode(try signing.signature(for: Array(signed.utf8), algorithm: .es256))
    }
}
