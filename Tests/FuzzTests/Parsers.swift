import Accounts
import Cryptography
import Foundation
import JSON
import JSONPath
import TestSupport
import Transfer
import YAML

@testable import OAuth
@testable import Providers
@testable import Rollcall
@testable import Web

/// The parsers, and what is true of whatever they answer.
enum Parsers {
    static let all: [FuzzedParser] = [
        json, jsonPath, yaml, manifest, tokenResponse, callback, idToken, keySet, discovery, form, limits, profile,
        cookie, query, fields, importLine,
    ]

    private static let now = Timestamp(secondsSinceEpoch: 1_795_185_773)
    private static let marker = "MARKER-EXAMPLE"

    private static func text(_ input: [UInt8]) -> String { String(decoding: input, as: UTF8.self) }

    private static func mustNotShow(_ error: some Error) throws {
        try Broken.unless(
            !"\(error) \(String(reflecting: error))".contains(marker), "a secret is in the error \(error)")
    }

    // MARK: Documents

    static let json = FuzzedParser(name: "json", pieces: jsonPieces, samples: Samples.bodies) {
        { input in
            let value: JSONValue
            do throws(JSONError) { value = try JSONValue(parsing: input) } catch {
                try mustNotShow(error)
                try Broken.unless(
                    error.line >= 1 && error.column >= 1 && error.offset <= input.count, "no place: \(error)")
                return false
            }
            try Broken.unless(try JSONValue(parsing: value.text) == value, "written and read it is another")
            let canonical = value.canonicalText
            try Broken.unless(
                try JSONValue(parsing: canonical).canonicalText == canonical, "its canonical form has another one")
            try Broken.unless(
                JSONPatch.difference(from: value, to: value).array?.isEmpty == true, "it differs from itself")
            return true
        }
    }

    static let jsonPath = FuzzedParser(
        name: "jsonpath",
        pieces: [
            "$", "@", ".", "..", "*", "[", "]", "?", "(", ")", "'", ",", ":", "&&", "||", "!", "==", "<=", "length(",
            "count(", "match(", "search(", "value(", "[?@.a]", "[0]", "[-1]", "[::-1]", "..*", "(a|b)*", "(.*)*",
            "a{1,9}",
            "[^a]", "\\p{L}", "$..[?search(@,'(a+)+b')]",
        ],
        samples: {
            Samples.texts(
                "$", "$.user.name", "$['user']['emails'][0]", "$..id", "$.a[1:5:2]", "$[?@.primary == true].email",
                "$.user.emails[?@.verified && @.primary].email", "$[?length(@.name) > 3]", "$[?match(@.name, 'a.*b')]",
                "$[?search(@.name, '(a|b)+c?[x-z]')]", "$[?count(@..*) >= 2]", "$['\\u00e9','b',*]", "$.a[?@.b == $.c]")
        }
    ) {
        let document = try JSONValue(
            parsing: #"""
                {"user":{"name":"aaaaaaaaaaaaaaaaaaaaaaaab","emails":[{"email":"a@example.com","primary":true},
                {"email":"b","verified":null}],"é":[1,2.5,-1e3,{"a":[]}]},"a":[0,1,2,3,[4,[5]],{"b":"x","c":{"d":"xy"}}],"c":"x"}
                """#)
        return { input in
            let path: JSONPath
            do { path = try JSONPath(text(input)) } catch { return false }
            let values = path.values(in: document)
            let locations = path.locations(in: document)
            try Broken.unless(values.count == locations.count, "\(values.count) values at \(locations.count) places")
            for (value, location) in zip(values, locations).prefix(20) {
                try Broken.unless(try JSONPath(location).values(in: document) == [value], "\(location) is elsewhere")
            }
            // What is removed is gone, and nothing is where nothing was found.
            let rest = path.removing(from: document)
            try Broken.unless(locations.isEmpty == (rest == document), "removing \(locations) left \(rest.text)")
            return true
        }
    }

    private static let yamlPieces = [
        "\n", "\n  ", "\n    ", "- ", ": ", "? ", "| ", "> ", "&a ", "*a", "!!str ", "!!binary ", "---\n", "...\n", "{",
        "}",
        "[", "]", ",", "#", "\"", "'", "<<: ", "~", "yes", "%YAML 1.2\n", "{site}", "{{", "https://example.com/",
        "http://127.0.0.1/", "$.user.id", "$..*", "id: example", "variables:", "claims:", "sub: ", "\t",
    ]

    static let yaml = FuzzedParser(
        name: "yaml", pieces: yamlPieces,
        samples: { try Samples.manifests() + Samples.texts("a: [1, {b: c}]\n", "&x a: *x\n", "- - - a\n") }
    ) {
        { input in
            do throws(YAMLError) { _ = try YAMLNode(parsing: text(input), file: "example.yaml") } catch {
                try Broken.unless(error.place.line >= 1 && error.place.column >= 1, "no place: \(error)")
                return false
            }
            return true
        }
    }

    static let manifest = FuzzedParser(
        name: "manifest", smoke: 300, pieces: yamlPieces,
        samples: {
            Samples.texts(
                """
                id: example
                name: Example
                variables: {site: "https://example.com"}
                authorization: {endpoint: "{site}/authorize", scopes: [profile], parameters: {prompt: consent}}
                client_authentication: client_secret_basic
                token:
                  endpoint: "{site}/token"
                  refresh: {rotation: single_use, lifetime: 30d}
                profile:
                  requests: {user: {url: "{site}/me", headers: {X-Api: "1"}}}
                  claims: {sub: $.user.id, name: [$.user.name, $.user.login], email: "$.user.emails[?@.primary].email"}
                  volatile: [$.user.seen]
                limits: {requests: [{per: client, count: 50, window: 1s}], dialect: retry_after}
                """,
                """
                id: example
                name: E
                issuer: https://op.example
                token: {refresh: {rotation: none, lifetime: unknown}}
                profile: {requests: {userinfo: {}}, claims: {sub: $.userinfo.sub}}
                limits: {dialect: {statuses: [420], remaining: [x-left], waits: [{field: x-reset, unit: epoch_seconds}]}}
                """)
        }
    ) {
        let instance = InstanceConfiguration(
            id: "example", clientID: "EXAMPLE-id", clientSecret: Secret(marker + "-SECRET"))
        return { input in
            let provider: Provider
            do throws(ConfigurationErrors) {
                let manifest = try ManifestReader.read(ManifestFile(path: "example.yaml", text: text(input)))
                provider = try Provider(
                    manifest, instance, publicURL: "https://accounts.example.com", syncInterval: nil)
            } catch {
                try Broken.unless(!error.problems.isEmpty, "refused without a reason")
                return false
            }
            try Broken.unless(
                provider.client.redirectURI.hasPrefix("https://accounts.example.com/callback/"),
                provider.client.redirectURI)
            return true
        }
    }

    // MARK: What providers answer

    private static func catalog() throws -> ProviderCatalog {
        let secret = Secret(marker + "-CLIENT")
        return try ProviderCatalog(
            files: [],
            instances: [
                InstanceConfiguration(id: "discord", clientID: "EXAMPLE", clientSecret: secret),
                InstanceConfiguration(id: "github", clientID: "Iv1.EXAMPLE", clientSecret: secret),
                InstanceConfiguration(id: "google", clientID: "EXAMPLE", clientSecret: secret),
                InstanceConfiguration(
                    id: "oidc", variables: ["issuer": "https://op.example"], clientID: "EXAMPLE", clientSecret: secret),
            ], publicURL: "https://accounts.example.com")
    }

    static let tokenResponse = FuzzedParser(
        name: "token",
        pieces: jsonPieces + [
            "\"access_token\":", "\"refresh_token\":", "\"expires_in\":", "\"error\":", "\"token_type\":", "\"scope\":",
            "\"errors\":[", "access_token=", "&error=", "&scope=", "&expires_in=", "invalid_grant",
        ],
        samples: {
            let cases = try Samples.json("OAuthTests/Fixtures/generic/token_edge_cases.json")["cases"]?.array ?? []
            return try cases.compactMap { $0["body"]?.string.map { Array($0.utf8) } } + Samples.bodies()
                + Samples.texts(
                    #"{"access_token":"MARKER-EXAMPLE-A1","refresh_token":"MARKER-EXAMPLE-R1","expires_in":3600}"#,
                    "access_token=MARKER-EXAMPLE-A1&token_type=bearer&scope=a%20b&refresh_token=MARKER-EXAMPLE-R1")
        }
    ) {
        let dialects = try catalog().providers.map(\.tokenDialect)
        let types = ["application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/html"]
        let statuses = [200, 200, 400, 401, 302, 503]
        return { input in
            let shift = input.count
            let response = TransferResponse(
                status: statuses[shift % statuses.count],
                fields: ["content-type": types[shift % 16 == 0 ? 2 : input.first == 0x7b ? 0 : 1]],
                body: input)
            for dialect in dialects {
                _ = TokenEndpoint.detail(of: response, dialect: dialect)
            }
            let dialect = dialects[shift % dialects.count]
            let answer: AccessTokenResponse
            do throws(TokenRequestError) {
                answer = try TokenEndpoint.read(response, dialect: dialect, requestedScopes: [], requestedAt: now)
            } catch {
                if case .refused = error { return false }
                try mustNotShow(error)
                return false
            }
            try Broken.unless(response.status == 200, "a token of an answer with \(response.status)")
            let credential = answer.credential
            try Broken.unless(
                credential.accessToken.reveal { !$0.isEmpty && $0.utf8.allSatisfy { (0x20...0x7e).contains($0) } },
                "a token that no header can carry")
            try Broken.unless(credential.expiresAt.map { $0 >= now } ?? true, "a token that ended before it began")
            // Scopes are shown, and a mutation may have put a token there.
            var plain = answer
            plain.credential.scopes = []
            let shown = "\(plain) \(String(reflecting: plain))"
            let hides = credential.accessToken.reveal { token in token.utf8.count < 16 || !shown.contains(token) }
            try Broken.unless(hides, "the token shows in a description")
            return true
        }
    }

    static let idToken = FuzzedParser(
        name: "idtoken", pieces: [".", "..", "eyJ", "eyJhbGciOiJub25lIn0", "=", "-", "_", "AAAA", "e30"],
        samples: {
            let vectors = try Samples.json("OAuthTests/Fixtures/oidc/id_token_vectors.json")["vectors"]?.array ?? []
            return vectors.compactMap { $0["token"]?.string.map { Array($0.utf8) } }
        }
    ) {
        let file = try Samples.json("OAuthTests/Fixtures/oidc/id_token_vectors.json")
        let keys = try JSONWebKeySet(file["jwks"] ?? .null)
        let signed = Set((file["vectors"]?.array ?? []).compactMap { $0["token"]?.string.map(Self.signedPart) })
        return { input in
            let token = text(input)
            do {
                _ = try IDToken.verify(
                    token, keys: keys, issuer: "https://op.example", clientID: "client-123.example",
                    nonce: "example-nonce-1", accessToken: nil, algorithms: [.rs256, .es256], now: now)
            } catch {
                try mustNotShow(error)
                return false
            }
            try Broken.unless(signed.contains(signedPart(token)), "verified, and never signed")
            return true
        }
    }

    private static func signedPart(_ token: String) -> String {
        token.split(separator: ".", omittingEmptySubsequences: false).prefix(2).joined(separator: ".")
    }

    static let keySet = FuzzedParser(
        name: "keys",
        pieces: jsonPieces + [
            "\"kty\":", "\"RSA\"", "\"n\":", "\"e\":\"AQAB\"", "\"crv\":\"P-256\"", "\"x\":", "\"keys\":[",
        ],
        samples: {
            let file = try Samples.json("OAuthTests/Fixtures/oidc/id_token_vectors.json")
            return ["jwks", "jwks_after_rotation"].compactMap { file[$0].map { Array($0.text.utf8) } }
        }
    ) {
        { input in
            let response = TransferResponse(status: 200, fields: ["content-type": "application/json"], body: input)
            do { return try !JSONWebKeySet.read(response).keys.isEmpty } catch {
                try mustNotShow(error)
                return false
            }
        }
    }

    static let discovery = FuzzedParser(
        name: "discovery",
        pieces: jsonPieces + [
            "\"https://op.example\"", "\"https://op.example@evil.example/\"", "\"http://op.example/\"",
            "\"//op.example\"",
            "\"https://op.example:444/\"", "\"https://OP.EXAMPLE/x\"", "\"token_endpoint\":", "\"jwks_uri\":",
            "\"issuer\":",
            "\\u0000", "https://op.example\\\\@evil.example/",
        ],
        samples: {
            let cases = try Samples.json("OAuthTests/Fixtures/oidc/discovery_cases.json")["cases"]?.array ?? []
            return cases.compactMap { $0["document"].map { Array($0.text.utf8) } }
        }
    ) {
        { input in
            let response = TransferResponse(status: 200, fields: ["content-type": "application/json"], body: input)
            let metadata: ProviderMetadata
            do {
                metadata = try ProviderMetadata.read(response, issuer: "https://op.example", allowedHosts: [])
            } catch { return false }
            let endpoints = [
                metadata.authorizationEndpoint, metadata.tokenEndpoint, metadata.userinfoEndpoint, metadata.jwksURI,
                metadata.revocationEndpoint, metadata.introspectionEndpoint, metadata.deviceAuthorizationEndpoint,
            ]
            for endpoint in endpoints.compactMap({ $0 }) {
                // Foundation reads it in its own way: two readings of one address are one too many.
                let url = URL(string: endpoint)
                try Broken.unless(
                    url?.scheme?.lowercased() == "https" && url?.host()?.lowercased() == "op.example"
                        && url?.user() == nil,
                    "an endpoint elsewhere: \(endpoint)")
            }
            return true
        }
    }

    static let limits = FuzzedParser(
        name: "limits",
        pieces: [
            "retry-after: ", "x-ratelimit-reset: ", "x-ratelimit-remaining: 0\n",
            "ratelimit: limit=1, remaining=0, reset=",
            "ratelimit: \"a\";r=0;t=", ";", ",", "=", "\n\n{\"retry_after\":", "Fri, 20 Nov 2026 14:41:23 GMT",
            "2026-11-20T15:42:53Z", "x-ratelimit-reset-after: ", "1e9", ".5", "5.",
        ],
        samples: {
            try Samples.answers().map { Array($0.fields.utf8) + [0x0a, 0x0a] + $0.body }
                + Samples.texts("retry-after: 5\n\n", "ratelimit: \"default\";r=0;t=30\n\n")
        }
    ) {
        var dialects = try catalog().providers.map(\.limits.dialect)
        let table = HeaderTable(
            statuses: [420], statusesWhenSpent: [403],
            markers: [HeaderTable.Marker(path: try JSONPath("$.error"), reach: .route)],
            remaining: ["x-ratelimit-remaining"],
            waits: WaitUnit.allCases.map { HeaderTable.Wait(field: "x-ratelimit-reset", path: nil, unit: $0) }
                + [HeaderTable.Wait(field: nil, path: try JSONPath("$.retry_after"), unit: .seconds)],
            usage: HeaderTable.Usage(
                limit: "x-ratelimit-limit", used: "x-ratelimit-used", windows: [.seconds(900), .zero]))
        dialects += [.ietf, .table(table), .retryAfter]
        let all = dialects.map { ProviderLimits(dialect: $0) }
        let statuses = [429, 200, 403, 503, 420, 304]
        return { input in
            let response = Self.response(input, status: statuses[input.count % statuses.count])
            var isSignal = false
            for limits in all {
                guard let signal = limits.signal(in: response, now: now) else { continue }
                isSignal = true
                try Broken.unless(
                    signal.until > now && signal.until <= now + LimitSignal.waitMax, "rest until \(signal.until)")
            }
            return isSignal
        }
    }

    /// Field lines, an empty line, the body.
    private static func response(_ input: [UInt8], status: Int) -> TransferResponse {
        let end = zip(input, input.dropFirst()).enumerated().first { $1 == (0x0a, 0x0a) }?.offset ?? input.count
        var fields = HeaderFields()
        for line in input[..<end].split(separator: 0x0a) {
            let sides = line.split(separator: 0x3a, maxSplits: 1)
            guard sides.count == 2 else { continue }
            fields.append(name: text(Array(sides[0])), value: text(Array(sides[1])))
        }
        return TransferResponse(status: status, fields: fields, body: Array(input.dropFirst(end + 2)))
    }

    static let profile = FuzzedParser(
        name: "profile",
        pieces: jsonPieces + ["\"email\":", "\"email_verified\":", "\"emails\":[", "\"avatar\":", "\"locale\":"],
        samples: Samples.bodies
    ) {
        let providers = try catalog().providers
        return { input in
            guard let body = try? JSONValue(parsing: input) else { return false }
            var isTaken = false
            for provider in providers {
                let names = provider.mapping.requests.map(\.name)
                let profile: Profile
                do {
                    profile = try provider.profile(
                        from: Dictionary(uniqueKeysWithValues: names.map { ($0, body) }), idTokenClaims: body.object)
                } catch { continue }
                isTaken = true
                let claims = try JSONValue(parsing: profile.claims)
                try Broken.unless(claims["sub"]?.string == profile.subject.rawValue, "another subject in the claims")
                try Broken.unless(
                    claims["email_verified"].map { $0.bool != nil } ?? true, "email_verified is no boolean")
                _ = try JSONValue(parsing: profile.raw)
            }
            return isTaken
        }
    }
}
