package import Accounts
import Cryptography
package import JSON
import JSONPath
package import Transfer

/// How a provider tells by itself that a person took their consent back, and how its word is known to be its own.
package struct SignalRule: Sendable {
    package enum Style: String, Sendable, CaseIterable {
        /// HMAC-SHA-256 of the body in a field, in hexadecimal.
        case hmacSHA256 = "hmac_sha256"
        /// Ed25519 over a time stamp and the body, in hexadecimal.
        case ed25519
        /// A Security Event Token (RFC 8417), pushed as RFC 8935 has it and signed with the issuer's keys.
        case secevent
    }

    enum Event: Sendable {
        case field(String)
        case path(JSONPath)
    }

    package var style: Style
    var signatureField: String?
    /// Before the signature, in its field.
    var signaturePrefix: String
    var timestampField: String?
    /// With what the provider calls one delivery.
    var deliveryField: String?
    /// What the message is about; with `secevent` the names of `events` are.
    var event: Event?
    /// Events that mean that consent is gone.
    var revoked: Set<String>
    /// Whose: in the body, or with `secevent` in what the event holds.
    var subject: JSONPath
    /// `iss` of a token.
    package var issuer: String?
}

/// A message that is the provider's own.
package struct ProviderSignal: Sendable, Equatable {
    /// What it was about, for a log; `nil` where it does not say.
    package var event: String?
    /// Whose consent is gone; `nil` where the message says something else.
    package var revokedSubject: Subject?
    /// Tells this message from others.
    package var delivery: String
    /// The signature, where `delivery` is not under it: whoever caught a message could send it under another name.
    package var seal: String?
}

/// Why a message is not believed. Nothing of it enters the error.
package enum SignalError: Error, Equatable {
    case unsigned
    case signatureInvalid
    /// Its time stamp is more than five minutes off, or none.
    case untimely
    case malformed(reason: String)
}

extension Provider {
    private static let timestampSkew: Duration = .seconds(300)

    /// Messages can be told from forgeries: the instance has what that takes.
    package var takesSignals: Bool {
        switch signals?.style {
        case .hmacSHA256: signalSecret?.isEmpty == false
        case .ed25519: signalPublicKey != nil
        case .secevent: issuer != nil && isReady
        case nil: false
        }
    }

    /// Reads a message that is signed in its header fields.
    package func signal(
        fields: HeaderFields, body: [UInt8], now: Timestamp
    ) throws(SignalError) -> ProviderSignal {
        guard let rule = signals else { throw .unsigned }
        let named = rule.signatureField.map { fields.values($0) } ?? []
        guard let text = named.first, named.count == 1, text.hasPrefix(rule.signaturePrefix) else { throw .unsigned }
        let signature = String(text.dropFirst(rule.signaturePrefix.count))
        switch rule.style {
        case .hmacSHA256:
            let mac = signalSecret?.reveal { Digest.hmacSHA256(key: Array($0.utf8), message: body) } ?? []
            guard !mac.isEmpty, constantTimeEqual(Hexadecimal.encode(mac), signature.lowercased()) else {
                throw .signatureInvalid
            }
        case .ed25519:
            let stamps = rule.timestampField.map { fields.values($0) } ?? []
            guard let stamp = stamps.first, stamps.count == 1 else { throw .unsigned }
            guard let bytes = Hexadecimal.decode(signature),
                signalPublicKey?.isValid(
                    signature: bytes, for: Array(stamp.utf8) + body, algorithm: .edDSA) == true
            else { throw .signatureInvalid }
            guard let seconds = Int64(stamp), (0...253_402_300_799).contains(seconds) else { throw .untimely }
            let age = now - Timestamp(secondsSinceEpoch: seconds)
            guard age <= Self.timestampSkew, age >= .zero - Self.timestampSkew else { throw .untimely }
        case .secevent: throw .unsigned
        }
        let document: JSONValue
        do { document = try JSONValue(parsing: body, depthMax: 32) } catch { throw .malformed(reason: "not JSON") }
        let event: String? =
            switch rule.event {
            case .field(let name): fields[name]
            case .path(let path): path.values(in: document).lazy.compactMap(\.string).first
            case nil: nil
            }
        // Where a delivery has no name of its own, its signature stands for it.
        let name = rule.deliveryField.flatMap { fields[$0] }
        return ProviderSignal(
            event: event,
            revokedSubject: event.map(rule.revoked.contains) == true ? try rule.subject(in: document) : nil,
            delivery: name ?? signature, seal: name.map { _ in signature.lowercased() })
    }

    /// Reads the claims of a security event token that was verified.
    package func signal(claims: JSONObject) throws(SignalError) -> ProviderSignal {
        guard let rule = signals, let events = claims["events"]?.object, let id = claims["jti"]?.string else {
            throw .malformed(reason: "no events or no jti")
        }
        let known = events.names.first { rule.revoked.contains($0) }
        var subject: Subject?
        if let known, let event = events[known] {
            // Another issuer's subject is not this one's.
            if let stated = event["subject"]?["iss"]?.string, stated != claims["iss"]?.string {
                throw .malformed(reason: "the subject is another issuer's")
            }
            subject = try rule.subject(in: event)
        }
        return ProviderSignal(event: known ?? events.names.first, revokedSubject: subject, delivery: id)
    }
}

extension SignalRule {
    fileprivate func subject(in document: JSONValue) throws(SignalError) -> Subject {
        let found = subject.values(in: document).lazy.compactMap { ClaimType.Kind.subject.claim(from: $0)?.string }
            .first
        guard let subject = found.flatMap({ Subject($0) }) else { throw .malformed(reason: "no subject") }
        return subject
    }
}
