import Accounts
import Foundation
import JSON
import OAuth
import Providers
import Store
import Sync

/// One line of `accounts import`: which members there are, and what each may be.
struct AccountLine {
    /// Why a line is not taken. It names members and never quotes a token.
    struct Fault: Error, Equatable { var reason: String }

    private static let names: Set<String> = [
        "user_id", "provider", "subject", "access_token", "refresh_token", "expires_at", "scopes", "proof_key",
    ]

    let catalog: ProviderCatalog
    /// Makes each account due at once instead of spreading them over one sync interval.
    let isDue: Bool
    let clock: any TimeSource
    let random: SystemRandom

    func read(_ line: [UInt8]) throws(Fault) -> ImportedAccount {
        let value: JSONValue
        do { value = try JSONValue(parsing: line) } catch {
            throw Fault(reason: "not JSON: column \(error.column): \(error.reason)")
        }
        guard let object = value.object else { throw Fault(reason: "expected a JSON object") }
        if let unknown = object.names.first(where: { !Self.names.contains($0) }) {
            let hint = suggestion(for: unknown, among: Self.names.sorted()).map { "; did you mean '\($0)'?" } ?? ""
            // Quoted only where it can't be a token that stands in the wrong place.
            let isWord = unknown.count <= 40 && unknown.allSatisfy { $0.isASCII && ($0.isLetter || $0 == "_") }
            throw Fault(reason: isWord ? "unknown member '\(unknown)'\(hint)" : "an unknown member\(hint)")
        }
        guard let userID = UserID(try text(object, "user_id")) else {
            throw Fault(reason: "user_id must have 1 to 255 characters, none of them a control character")
        }
        let name = try text(object, "provider")
        guard let id = ProviderID(name) else {
            throw Fault(reason: "provider must be the name of a configured provider, such as github")
        }
        guard let provider = catalog[id] else {
            let known = catalog.providers.map(\.id.rawValue)
            let hint = suggestion(for: name, among: known).map { "did you mean '\($0)'?" }
            let all = known.isEmpty ? "no provider is" : "configured: \(known.joined(separator: ", "))"
            throw Fault(reason: "provider '\(name)' is not configured; \(hint ?? all)")
        }
        guard let subject = Subject(try text(object, "subject")) else {
            throw Fault(reason: "subject must have 1 to 255 characters, none of them a control character")
        }
        let now = clock.now()
        let proofKey = try proofKey(object)
        let isBound = proofKey != nil
        let credential = Credential(
            accessToken: Secret(try token(object, "access_token")), tokenType: isBound ? DPoP.tokenType : "Bearer",
            expiresAt: try time(object, "expires_at"),
            refreshToken: try refreshToken(object),
            scopes: try scopes(object) ?? provider.scopes, proofKey: proofKey, obtainedAt: now)
        let first = isDue ? now : SyncSchedule.first(now: now, policy: provider.syncPolicy, random: random)
        return ImportedAccount(
            userID: userID, provider: id, subject: subject, credential: credential, nextSyncAt: first)
    }

    private func text(_ object: JSONObject, _ name: String) throws(Fault) -> String {
        guard let value = object[name] else { throw Fault(reason: "\(name) is missing") }
        // An id may come as a number from another system; its digits are what counts.
        guard let text = value.string ?? value.number?.integerText else {
            throw Fault(reason: "\(name) must be a string")
        }
        return text
    }

    private func token(_ object: JSONObject, _ name: String) throws(Fault) -> String {
        guard let value = object[name] else { throw Fault(reason: "\(name) is missing") }
        guard let text = value.string else { throw Fault(reason: "\(name) must be a string") }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Fault(reason: "\(name) must be printable ASCII without spaces")
        }
        return text
    }

    private func refreshToken(_ object: JSONObject) throws(Fault) -> Secret? {
        switch object["refresh_token"] {
        case nil, .null: nil
        default: Secret(try token(object, "refresh_token"))
        }
    }

    /// The key that the tokens are bound to (RFC 9449), as an export has it.
    private func proofKey(_ object: JSONObject) throws(Fault) -> Secret? {
        switch object["proof_key"] {
        case nil, .null: return nil
        default:
            let key = Secret(try token(object, "proof_key"))
            guard DPoPKey(key) != nil else {
                throw Fault(reason: "proof_key must be a key as 'accounts export' writes it")
            }
            return key
        }
    }

    private func time(_ object: JSONObject, _ name: String) throws(Fault) -> Timestamp? {
        switch object[name] {
        case nil, .null: return nil
        case .string(let text):
            guard let time = Timestamp(rfc3339: text) else {
                throw Fault(reason: "\(name) must be a time such as 2026-12-01T00:00:00Z")
            }
            return time
        default: throw Fault(reason: "\(name) must be a time such as 2026-12-01T00:00:00Z")
        }
    }

    private func scopes(_ object: JSONObject) throws(Fault) -> [Scope]? {
        switch object["scopes"] {
        case nil, .null: return nil
        case .array(let values):
            var scopes: [Scope] = []
            for value in values {
                guard let scope = value.string.flatMap({ Scope($0) }) else {
                    throw Fault(reason: "scopes must be a list of scopes (RFC 6749 §3.3)")
                }
                scopes.append(scope)
            }
            return scopes
        default: throw Fault(reason: "scopes must be a list of strings")
        }
    }
}
