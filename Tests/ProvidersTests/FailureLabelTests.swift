import Accounts
import Foundation
import JSON
import OAuth
import Providers
import Testing
import Transfer

/// Error answers with what they mean, as people labelled them: recorded ones, and those that the standards and the
/// vendors' pages name. `at` is `token` for the token endpoint and `resource` for a resource server.
@Suite struct FailureLabelTests {
    struct Label: Sendable, CustomTestStringConvertible {
        let provider: String
        let index: Int
        let isOfTokenEndpoint: Bool
        let response: TransferResponse
        let means: String
        let wait: Int?
        let everyone: Bool?
        let source: String

        var testDescription: String { "\(provider) \(index): \(response.status), \(means) (\(source))" }
    }

    /// What cannot be read of the labels fails the test that counts them.
    static let labels: [Label] = (try? readLabels()) ?? []

    private static func readLabels() throws -> [Label] {
        let folder = Fixture.folder.appending(path: "failures")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
        return try files.flatMap { file in
            let provider = String(file.dropLast(".json".count))
            return try (Fixture.json("failures/\(file)").array ?? []).enumerated().map { index, entry in
                let sample = try entry["sample"]?.string.map { try Fixture(provider, $0) }
                var fields = HeaderFields()
                for (name, value) in entry["headers"]?.object ?? [:] {
                    fields.append(name: name, value: value.string ?? "")
                }
                let body = entry["body"]?.text ?? entry["body_text"]?.string ?? ""
                return Label(
                    provider: provider, index: index, isOfTokenEndpoint: entry["at"] == .string("token"),
                    response: sample?.response
                        ?? TransferResponse(
                            status: entry["status"]?.number?.int64.map { Int($0) } ?? 0, fields: fields,
                            body: Array(body.utf8)), means: entry["means"]?.string ?? "",
                    wait: entry["wait"]?.number?.int64.map { Int($0) }, everyone: entry["everyone"]?.bool,
                    source: sample?.name ?? entry["source"]?.string ?? "")
            }
        }
    }

    private static func name(_ failure: Failure) -> String {
        switch failure {
        case .grantRefused: "grant_refused"
        case .scopeLost: "scope_lost"
        case .registrationRefused: "registration_refused"
        case .requestRefused: "request_refused"
        case .throttled: "throttled"
        case .providerDown: "provider_down"
        case .answerUnreadable: "answer_unreadable"
        case .personGone: "person_gone"
        case .unknown: "unknown"
        }
    }

    private static func classify(_ label: Label) throws -> Failure {
        let provider = try provider(label.provider)
        guard label.isOfTokenEndpoint else { return provider.failure(of: label.response, now: sampleTime).failure }
        let error = try #require(throws: TokenRequestError.self) {
            _ = try TokenEndpoint.read(
                label.response, dialect: provider.tokenDialect, requestedScopes: provider.scopes,
                requestedAt: sampleTime)
        }
        return provider.failure(error, of: label.response, now: sampleTime)
    }

    @Test(arguments: labels)
    func `an error answer means what its label says`(_ label: Label) throws {
        let failure = try Self.classify(label)
        #expect(Self.name(failure) == label.means)
        if case .throttled(let until, let everyone) = failure {
            #expect(until == sampleTime + .seconds(try #require(label.wait)))
            #expect(everyone == label.everyone)
        } else {
            #expect(label.wait == nil)
        }
    }

    @Test func `every class and every built-in manifest is labelled, a hundred and fifty answers at least`() throws {
        #expect(try Self.readLabels().count >= 150)
        let names = Set(Self.labels.map(\.means))
        #expect(names.count == 9 && !names.contains(""))
        #expect(try Set(Self.labels.map(\.provider)) == Set(Fixture.manifests()))
    }

    @Test(arguments: [
        (Failure.grantRefused, Disposition.relink(.consentRevoked), AccountProblem.Action.user, false),
        (.scopeLost, .relink(.scopeLost), .user, false),
        (.registrationRefused, .fixConfiguration, .operator, true),
        (.requestRefused, .fixConfiguration, .operator, false),
        (
            .throttled(until: sampleTime, everyone: true), .wait(until: sampleTime, everyone: true), .none, false
        ), (.providerDown, .retry, .none, false), (.answerUnreadable, .retry, .operator, false),
        (.personGone, .suspend, .user, false), (.unknown, .retry, .operator, false),
    ])
    func `what follows for the account, the person and the provider`(
        _ failure: Failure, _ disposition: Disposition, _ action: AccountProblem.Action, _ pauses: Bool
    ) {
        #expect(failure.disposition == disposition)
        #expect(failure.problemCode.action == action)
        #expect((failure.providerPause != nil) == pauses)
    }
}
