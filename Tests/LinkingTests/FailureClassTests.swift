import Accounts
import Foundation
import JSON
import Linking
import OAuth
import Providers
import Store
import TestSupport
import Testing
import Transfer

/// What a refresh makes of every error answer that is labelled for a token endpoint (`ProvidersTests/Fixtures/failures`),
/// at the provider whose it is.
@Suite(.timeLimit(.minutes(10))) struct FailureClassTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        let provider: String
        let index: Int
        let response: TransferResponse
        let means: String

        var testDescription: String { "\(provider) \(index): \(means)" }
    }

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "ProvidersTests/Fixtures")

    private static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: Array(Data(contentsOf: folder.appending(path: path))))
    }

    private static func read() throws -> [Sample] {
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.appending(path: "failures").path())
        return try files.sorted().flatMap { file -> [Sample] in
            let provider = String(file.dropLast(".json".count))
            return try (json("failures/\(file)").array ?? []).enumerated().compactMap { index, label in
                guard label["at"] == "token" else { return nil }
                let answer = try label["sample"]?.string.map { try json("\(provider)/\($0).json") } ?? label
                var fields = HeaderFields()
                for (name, value) in answer["headers"]?.object ?? [:] {
                    fields.append(name: name, value: value.string ?? "")
                }
                let body = answer["body"]?.text ?? answer["body_text"]?.string ?? ""
                return Sample(
                    provider: provider, index: index,
                    response: TransferResponse(
                        status: answer["status"]?.number?.int64.map { Int($0) } ?? 0, fields: fields,
                        body: Array(body.utf8)), means: label["means"]?.string ?? "")
            }
        }
    }

    /// What can't be read fails the test that counts them.
    static let samples: [Sample] = (try? read()) ?? []

    @Test func `security 63: the answers are of every built-in provider and of every class`() throws {
        #expect(try Self.read().count >= 70)
        #expect(Set(Self.samples.map(\.provider)).count >= 15)
        #expect(
            Set(Self.samples.map(\.means)).isSuperset(of: [
                "grant_refused", "registration_refused", "request_refused", "throttled", "provider_down",
                "answer_unreadable",
            ]))
    }

    @Test(arguments: samples.indices)
    func
        `security 63: a dead grant asks for a link, a refused registration pauses the provider, all else is tried again`(
            _ index: Int
        ) async throws
    {
        let sample = Self.samples[index]
        let id = try #require(ProviderID(sample.provider))
        let fixture = try Fixture(
            manifests: [:],
            instances: [
                InstanceConfiguration(
                    id: sample.provider,
                    variables: ["oidc": ["issuer": "https://op.example"], "apple": ["team": "TEAMEXAMPL"]][
                        sample.provider] ?? [:],
                    clientID: sample.provider == "github" ? "Iv1.EXAMPLE" : "EXAMPLE",
                    clientSecret: sample.provider == "apple" ? nil : Secret("EXAMPLE-secret"),
                    clientKey: sample.provider == "apple" ? Secret(ExampleKeys.p256) : nil,
                    keyID: sample.provider == "apple" ? "EXAMPLE" : nil)
            ])
        let provider = try fixture.provider(id)
        fixture.site.on("") { _ in .success(sample.response) }
        if let issuer = provider.issuer {
            fixture.site.on(
                "/openid-configuration", 200, [:],
                #"{"issuer":"\#(issuer)","authorization_endpoint":"\#(issuer)/authorize","token_endpoint":"\#(issuer)/token","jwks_uri":"\#(issuer)/keys","response_types_supported":["code"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}"#
            )
        }
        let account = try await fixture.link(fixture.credential(), provider: id)
        func refresh() async -> AccessTokenError? {
            do {
                _ = try await fixture.tokens.token(for: account, provider: provider, minTTL: .seconds(60))
                return nil
            } catch { return error }
        }
        func sent() -> Int { fixture.transport.requests.count { !$0.url.hasSuffix("/openid-configuration") } }

        let error = await refresh()
        #expect(sent() == 1)
        let state = try await fixture.account(account)
        let pauses = try await fixture.database.schedule.providerPauses().map(\.provider)
        switch sample.means {
        case "grant_refused":
            #expect(state.status == .needsRelink && state.nextSyncAt == nil && pauses.isEmpty)
            if case .relink? = error {} else { Issue.record("\(String(describing: error))") }
        case "registration_refused":
            #expect(state.status == .active && pauses == [id])
            _ = await refresh()
            #expect(sent() == 1)
        default:
            #expect(state.status == .active)
            #expect(error != nil && error?.disposition != .relink(.consentRevoked))
            #expect(try await fixture.stored(account).credential.refreshToken?.text == "EXAMPLE-refresh-1")
        }
    }
}
