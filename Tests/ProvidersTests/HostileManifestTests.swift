import Foundation
import Providers
import Testing
import YAML

/// A change that breaks the example manifest, and the first thing that must be said of it.
private struct Breakage: Sendable, CustomTestStringConvertible {
    var change: (String, String)
    var line: Int
    var column: Int
    var message: String
    var testDescription: String { change.1 }

    init(_ old: String, _ new: String, _ line: Int, _ column: Int, _ message: String) {
        change = (old, new)
        self.line = line
        self.column = column
        self.message = message
    }
}

private let topLevel =
    "id, name, documentation, registration, redirect_uri_note, variables, issuer, issuer_aliases, metadata_hosts, user_agent, authorization, callback, client_authentication, client_assertion, resource, token, application_token, revocation, device_authorization, introspection, signals, profile, limits, sync"
private let request = #"user: {url: "{site}/me"}"#
private let url = "an https URL, in which {variable} stands for the variable's value"

private let breakages: [Breakage] = [
    // Unknown and missing keys.
    Breakage(
        "name: Example", "nmae: Example", 1, 1, "the manifest: the key name is missing; expected a text on one line"),
    Breakage("limits:", "limit:", 18, 1, #"the manifest: unknown key "limit"; expected \#(topLevel)"#),
    Breakage(
        "dialect: retry_after", "dialekt: retry_after", 19, 3,
        #"limits: unknown key "dialekt"; expected dialect, requests, concurrency, invalid_requests"#),
    Breakage(
        "sub: $.user.id", "given_name: $.user.id", 16, 5,
        "profile.claims: the key sub is missing; expected \(path), or a list, each item \(path)"),
    Breakage("name: $.user.name", "hd: $.user.hd", 17, 5, #"profile.claims: unknown key "hd"; expected \#(claims)"#),
    // Wrong types and values.
    Breakage("name: Example", "name: [Example]", 2, 7, "name: expected a text on one line, found a list"),
    Breakage("name: Example", "name: 5", 2, 7, "name: expected a text on one line, found 5 without quotes"),
    Breakage("name: Example", "name:", 2, 6, "name: expected a text on one line, found nothing"),
    Breakage("name: Example", #"name: "a\nb""#, 2, 7, #"name: expected a text on one line, found "a?b""#),
    Breakage(
        "scopes: [profile]", "scopes: profile", 7, 11,
        #"authorization.scopes: expected a list, each item a scope: printable ASCII without spaces and quotes, found "profile""#
    ),
    Breakage(
        "scopes: [profile]", "scopes: [a b]", 7, 12,
        #"authorization.scopes[0]: expected a scope: printable ASCII without spaces and quotes, found "a b""#),
    Breakage("scopes: [profile]", "scopes: [a, b, a]", 7, 18, "authorization.scopes: a is there twice"),
    Breakage(
        "rotation: single_use", "rotation: once", 11, 23,
        #"token.refresh.rotation: expected one of single_use, reusable, newest_wins, found "once""#),
    Breakage(
        "rotation: single_use", "lifetime: soon", 11, 23,
        #"token.refresh.lifetime: expected unknown, or a duration such as 50ms, 30s, 5m, 6h or 7d, found "soon""#),
    Breakage(
        "dialect: retry_after", "concurrency: 0", 19, 16,
        #"limits.concurrency: expected a whole number from 1 to 1000, found 0 without quotes"#),
    Breakage(
        "dialect: retry_after", "concurrency: \"5\"", 19, 16,
        #"limits.concurrency: expected a whole number from 1 to 1000, found "5""#),
    Breakage(
        "dialect: retry_after", "requests: {per: planet, count: 1, window: 1s}", 19, 19,
        #"limits.requests.per: expected one of client, token, found "planet""#),
    Breakage(
        "dialect: retry_after", "requests: {per: client, count: 1, window: 0s}", 19, 45,
        #"limits.requests.window: expected a duration such as 50ms, 30s, 5m, 6h or 7d, found "0s""#),
    // Grants, response types and authentication that there are not.
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  response_type: token", 8, 18,
        #"authorization.response_type: expected one of code, Assertion, omitted, found "token""#),
    Breakage(
        "refresh: {rotation: single_use}", "grants: [authorization_code, password]", 11, 32,
        #"token.grants[1]: expected one of authorization_code, refresh_token, found "password""#),
    Breakage(
        "client_secret_basic", "tls_client_auth", 8, 24,
        #"client_authentication: expected one of client_secret_basic, client_secret_basic_raw, client_secret_username, client_secret_bearer, client_secret_post, client_secret_jwt, private_key_jwt, none, none_basic, found "tls_client_auth""#
    ),
    // Paths.
    Breakage("$.user.name", "$.user[", 17, 11, "profile.claims.name: $.user[ is no JSONPath (RFC 9535): "),
    Breakage(
        "$.user.name", "user.name", 17, 11,
        #"profile.claims.name: expected \#(path), found "user.name""#),
    Breakage("$.user.name", "$.usr.name", 17, 11, "profile.claims.name: expected a path that begins with $.user"),
    Breakage("$.user.name", "$.users.name", 17, 11, "profile.claims.name: expected a path that begins with $.user"),
    Breakage(
        "$.user.name", "[$.user.name, $.id_token.name]", 17, 25,
        "profile.claims.name: expected a path that begins with $.user"),
    Breakage(
        "name: $.user.name", "email_verified: {path: $.user.v, accept: [text]}", 17, 47,
        #"profile.claims.email_verified.accept[0]: expected one of integer, string, time, found "text""#),
    Breakage(
        "  claims:", "  volatile: [\"$[\"]\n  claims:", 15, 14, "profile.volatile: $[ is no JSONPath (RFC 9535): "),
    Breakage(
        "  claims:", "  volatile: [$.usr.followers]\n  claims:", 15, 14,
        "profile.volatile: expected a path that begins with $.user"),
    Breakage(
        "  claims:", "  volatile: [$]\n  claims:", 15, 14, "profile.volatile: expected a path that begins with $.user"),
    Breakage(
        request, #"user: {url: "{site}/me", optional: true}"#, 16, 10,
        "profile.claims.sub: expected a path into a request that is not optional, or the ID token"),
    // Names of parameters and members.
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  parameter_names: {prompt: s}", 8, 21,
        #"authorization.parameter_names: unknown key "prompt"; expected response_type, client_id, redirect_uri, scope, state, code_challenge, code_challenge_method, nonce"#
    ),
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  parameter_names: {client_id: key, scope: key}", 8, 37,
        "authorization.parameter_names.scope: key is the name of another already; expected another"),
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  parameter_names: {client_id: state}", 8, 21,
        "authorization.parameter_names.client_id: state is the name of another already; expected another"),
    Breakage(
        "  refresh: {rotation: single_use}", "  response: {member_names: {acess_token: t}}", 11, 29,
        #"token.response.member_names: unknown key "acess_token"; expected access_token, token_type, expires_in, refresh_token, refresh_token_expires_in, scope, id_token"#
    ),
    Breakage(
        "  refresh: {rotation: single_use}", "  request: {parameter_names: {code: x, client_id: x}}", 11, 40,
        "token.request.parameter_names.client_id: x is the name of another already; expected another"),
    // Variables and URLs.
    Breakage(
        "{site}/token", "{sight}/token", 10, 13,
        "token.endpoint: the variable {sight} has no value; expected one declared under variables"),
    Breakage("{site}/token", "{site/token", 10, 13, "token.endpoint: expected \(url), found \"{site/token\""),
    Breakage(
        "{site}/token", "{site}/token/{client_id}", 10, 13,
        "token.endpoint: the variable {client_id} has no value; expected one declared under variables"),
    Breakage(
        "{site}/me", "{userinfo_endpoint}", 14, 17,
        "profile.requests.user.url: {userinfo_endpoint} has no value without an issuer"),
    Breakage(
        "{site}/token", "http://example.com/token", 10, 13,
        "token.endpoint: expected https: http is allowed for loopback addresses alone"),
    Breakage(
        "{site}/token", "https://user:pass@example.com/token", 10, 13,
        "token.endpoint: the URL holds user information before its host"),
    Breakage("{site}/token", "https://example.com/token#x", 10, 13, "token.endpoint: the URL holds a fragment (#)"),
    Breakage(
        "{site}/token", "ftp://example.com/token", 10, 13,
        "token.endpoint: expected \(url), found \"ftp://example.com/token\""),
    Breakage("{site}/token", "https://", 10, 13, "token.endpoint: the URL has no valid host"),
    Breakage("{site}/token", "https://exa%6dple.com", 10, 13, "token.endpoint: the URL has no valid host"),
    Breakage(
        "{site}/token", "{site}.evil.example/token", 10, 13,
        "token.endpoint: {site} is a URL; expected it at the beginning, with nothing or a path after it"),
    Breakage(
        "https://example.com", "http://example.com", 4, 9,
        "variables.site: expected https: http is allowed for loopback addresses alone"),
    Breakage("https://example.com", "https://example.com/?a=b", 4, 9, "variables.site: the URL holds a query (?)"),
    Breakage(
        "site: https://example.com", "site: https://example.com\n  tenant: {pattern: \"[\"}", 5, 21,
        "variables.tenant.pattern: expected a regular expression"),
    Breakage(
        "site: https://example.com", "site: https://example.com\n  tenant: {pattern: \"[a-z]+\", default: A}", 5, 40,
        "variables.tenant: expected a value that matches [a-z]+"),
    Breakage(
        "site: https://example.com", "site: https://example.com\n  token: https://example.com", 5, 3,
        "variables.token: the name has a meaning of its own; expected another"),
    Breakage(
        "  endpoint: \"{site}/token\"\n", "", 10, 3,
        "token: the key endpoint is missing; expected a URL, for there is no issuer to tell it"),
    Breakage("id: example", "id: other", 1, 5, "id: expected example, as the file is named"),
    Breakage(
        "id: example", "id: \"../example\"", 1, 5,
        #"id: expected lower-case letters, digits and hyphens, at most 63, found "../example""#),
    // Headers and parameters that belong to the program.
    Breakage(
        request, #"user: {url: "{site}/me", headers: {Host: evil.example}}"#, 14, 40,
        "profile.requests.user.headers.Host: the program sets this field itself; expected another"),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {content-length: "1"}}"#, 14, 40,
        "profile.requests.user.headers.content-length: the program sets this field itself; expected another"),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {Transfer-Encoding: chunked}}"#, 14, 40,
        "profile.requests.user.headers.Transfer-Encoding: the program sets this field itself; expected another"),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {authorization: x}}"#, 14, 40,
        "profile.requests.user.headers.authorization: the program sets this field itself; expected another"),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {COOKIE: x}}"#, 14, 40,
        "profile.requests.user.headers.COOKIE: the program sets this field itself; expected another"),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {X-A: "a\r\nX-B: b"}}"#, 14, 45,
        #"profile.requests.user.headers.X-A: expected a header field's value: printable ASCII, found "a??X-B: b""#),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {"X A": b}}"#, 14, 40,
        #"profile.requests.user.headers: "X A" is not the name of a header field"#),
    Breakage(
        request, #"user: {url: "{site}/me", headers: {X-A: a, x-a: b}}"#, 14, 48,
        "profile.requests.user.headers.x-a: the field is there twice"),
    Breakage(
        "  refresh: {rotation: single_use}", "  request: {headers: {Authorization: x}}", 11, 23,
        "token.request.headers.Authorization: the program sets this field itself; expected another"),
    Breakage(
        "  refresh: {rotation: single_use}", "  request: {parameters: {client_secret: x}}", 11, 26,
        "token.request.parameters.client_secret: the program sets this parameter itself; expected another"),
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  parameters: {redirect_uri: x}", 8, 16,
        "authorization.parameters.redirect_uri: the program sets this parameter itself; expected another"),
    Breakage(
        "scopes: [profile]", "scopes: [profile]\n  parameters: {response_mode: fragment}", 8, 16,
        "authorization.parameters.response_mode: the program sets this parameter itself; expected another"),
    // Requests, plugins, issuers.
    Breakage(
        "user: {url", "id_token: {url", 14, 5,
        "profile.requests.id_token: the name stands for the ID token's claims; expected another"),
    Breakage(
        "  claims:", "  plugin: discord\n  claims:", 15, 11,
        "profile.plugin: discord needs the variable cdn, which is not declared"),
    Breakage(
        request, #"me: {url: "{site}/me"}\n  plugin: discord"#.replacing("\\n", with: "\n"), 15, 11,
        "profile.plugin: discord needs a request user that is not optional, which is not declared"),
    Breakage("  claims:", "  plugin: python\n  claims:", 15, 11, #"profile.plugin: expected discord, found "python""#),
    Breakage(
        "limits:", "issuer_aliases: [example.com]\nlimits:", 18, 17, "issuer_aliases: expected together with issuer"),
    Breakage(
        "limits:", "issuer: https://example.com\nlimits:", 7, 11,
        "authorization.scopes: expected openid among them, for there is an issuer"),
    Breakage(
        "name: Example", "name: Example\nissuer: https://example.com/?x", 3, 9, "issuer: the URL holds a query (?)"),
    Breakage(
        "limits:", "revocation: {style: rfc7009}\nlimits:", 18, 13,
        "revocation: the key endpoint is missing; expected a URL, for there is no issuer to tell it"),
    Breakage(
        "limits:", "revocation: never\nlimits:", 18, 13,
        "revocation: expected none, found \"never\""
    ),
    Breakage(
        "limits:", "revocation: {method: DELETE, url: \"{site}/{user}\", authentication: basic}\nlimits:", 18, 35,
        "revocation.url: the variable {user} has no value; expected one declared under variables, or {client_id}, {access_token}, {refresh_token}, {token}"
    ),
    Breakage(
        "limits:",
        "revocation: {method: DELETE, url: \"{site}/x\", authentication: basic, body: {format: json, parameters: {t: \"{secret}\"}}}\nlimits:",
        18, 104,
        "revocation.body.parameters.t: expected no places but {client_id}, {access_token}, {refresh_token}, {token}"),
    Breakage(
        "dialect: retry_after", "dialect: {waits: [{unit: seconds}]}", 19, 21,
        "limits.dialect.waits[0]: expected either header or body"),
    Breakage(
        "dialect: retry_after", "dialect: {markers: [{path: \"$[?\"}]}", 19, 30,
        "limits.dialect.markers.path: $[? is no JSONPath (RFC 9535): "),
    // YAML itself.
    Breakage("name: Example", "name: Example\nname: Twice", 3, 1, ""),
    Breakage("user: {url", "user: {url: \"{site}/a\"}\n    user: {url", 15, 5, ""),
    Breakage("name: Example", "name: &a Example", 2, 7, ""),
    Breakage("name: Example", "name: [", 4, 7, ""),
]

private let path = "a JSONPath (RFC 9535) such as $.user.name, quoted where YAML needs it"
private let claims =
    "sub, name, given_name, family_name, middle_name, nickname, preferred_username, profile, picture, website, email, email_verified, gender, birthdate, zoneinfo, locale, phone_number, phone_number_verified, address, updated_at"

@Suite struct HostileManifestTests {
    private func problems(_ manifest: String) throws -> [ProviderProblem] {
        try ProviderCatalog(
            files: [ManifestFile(path: "example.yaml", text: manifest)], instances: [],
            publicURL: "https://accounts.example.com"
        ).problems
    }

    @Test func `the example is right before it is broken`() throws {
        #expect(try problems(exampleManifest()).isEmpty)
    }

    @Test(arguments: breakages)
    private func `security 16, 32, 82, 86, 88: a broken manifest is refused where it is broken`(_ breakage: Breakage)
        throws
    {
        let manifest = exampleManifest(replacing: [breakage.change])
        #expect(manifest != exampleManifest())
        let problems = try problems(manifest)
        let first = try #require(problems.first)
        #expect(first.subject == "example.yaml")
        let place = try #require(first.problem.place)
        #expect("\(place.line):\(place.column)" == "\(breakage.line):\(breakage.column)")
        #expect(place.file == "example.yaml")
        if breakage.message.hasSuffix(": ") || breakage.message.isEmpty {
            #expect(first.problem.message.hasPrefix(breakage.message))
        } else {
            #expect(first.problem.message == breakage.message)
        }
    }

    @Test func `all that is wrong with a file is told at once, in the order of the file`() throws {
        let manifest = exampleManifest(replacing: [
            ("name: Example", "name: Example\ncolour: blue"), ("scopes: [profile]", "scopes: [profile]\n  pkce: plain"),
            ("{site}/token", "http://example.com/token"), ("$.user.id", "$.user["), ("$.user.name", "$.nobody.name"),
            ("dialect: retry_after", "dialect: loud"),
        ])
        let found = try problems(manifest)
        #expect(found.compactMap { $0.problem.place?.line } == [3, 9, 12, 18, 19, 21])
        #expect(found.allSatisfy { $0.description.hasPrefix("example.yaml: example.yaml:") })
    }

    @Test func `texts that are no manifest at all are refused`() throws {
        for text in ["", "5", "[]", "null", "- id: example", "id", "\u{0}", "%YAML 9.9\n---\nid: x", "{"] {
            #expect(try !problems(text).isEmpty, "\(text)")
        }
    }

    @Test func `a value that would fit is quoted for its reader and cut`() throws {
        let long = String(repeating: "x", count: 5000)
        let found = try problems(exampleManifest(replacing: [("client_secret_basic", long)]))
        #expect(found.allSatisfy { $0.description.utf8.count < 400 })
    }

    /// Each built-in manifest with one byte changed, from a fixed seed: it is read or refused, and a problem has a place.
    @Test func `no byte of a manifest can be changed into a crash`() throws {
        var state: UInt64 = 0x9e37_79b9_7f4a_7c15
        func next(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let bytes = Array("{}[]:,$*&!|>'\"\n\t -#%@`0a\u{7f}".utf8)
        for id in ["discord", "github", "google", "oidc"] {
            let file = Fixture.folder.appending(path: "../../../providers/\(id).yaml")
            let original = try Array(Data(contentsOf: file.standardizedFileURL))
            for _ in 0..<60 {
                var text = original
                text[next(text.count)] = bytes[next(bytes.count)]
                let found = try ProviderCatalog(
                    files: [ManifestFile(path: "\(id).yaml", text: String(decoding: text, as: UTF8.self))],
                    instances: [], publicURL: "https://accounts.example.com"
                ).problems
                #expect(found.allSatisfy { $0.problem.place != nil && !$0.problem.message.isEmpty })
            }
        }
    }
}
