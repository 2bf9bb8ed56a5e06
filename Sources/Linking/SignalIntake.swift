package import Accounts
package import Logging
import OAuth
package import Providers
package import Store
import Transfer

/// What providers say by themselves: that a person took their consent back. Believed only where it is signed, counted
/// once, and acted upon without asking the provider anything.
package struct SignalIntake: Sendable {
    private let database: Database
    private let servers: AuthorizationServers
    private let time: any TimeSource
    private let logger: Logger

    package init(
        database: Database, servers: AuthorizationServers, time: any TimeSource, logger: Logger
    ) {
        self.database = database
        self.servers = servers
        self.time = time
        self.logger = logger
    }

    /// - Parameters:
    ///   - provider: one that takes signals.
    ///   - fields: of the request, as they came.
    /// - Returns: what came of it; `nil` where the message says nothing that matters here.
    package func receive(
        _ provider: Provider, fields: [(name: String, value: String)], body: [UInt8]
    ) async throws(SignalRefusal) -> SignalOutcome? {
        let signal: ProviderSignal
        do throws(SignalRefusal) {
            if provider.signals?.style == .secevent {
                signal = try await event(body, provider)
            } else {
                signal = try read(fields, body, provider)
            }
        } catch {
            logger.notice(
                "A signal is refused", metadata: ["provider": "\(provider.id)", "detail": "\(error.detail)"])
            throw error
        }
        var metadata: Logger.Metadata = [
            "provider": "\(provider.id)", "event": "\(signal.event ?? "-")",
        ]
        guard let subject = signal.revokedSubject else {
            logger.debug("A signal says nothing that matters here", metadata: metadata)
            return nil
        }
        do {
            let outcome = try await database.signals.consentRevoked(
                provider: provider.id, subject: subject, delivery: signal.delivery,
                seal: signal.seal, detail: "The provider says that the user took their consent back.")
            metadata["outcome"] = "\(outcome.word)"
            if let account = outcome.account { metadata["account"] = "\(account)" }
            logger.notice("A provider says that a user took their consent back", metadata: metadata)
            return outcome
        } catch {
            throw .unavailable("the database failed: \(error)")
        }
    }

    private func read(
        _ fields: [(name: String, value: String)], _ body: [UInt8], _ provider: Provider
    ) throws(SignalRefusal) -> ProviderSignal {
        var header = HeaderFields()
        for (name, value) in fields { header.append(name: name, value: value) }
        do { return try provider.signal(fields: header, body: body, now: time.now()) } catch {
            throw SignalRefusal(error)
        }
    }

    private func event(_ body: [UInt8], _ provider: Provider) async throws(SignalRefusal) -> ProviderSignal {
        guard let token = String(validating: body, as: UTF8.self), let issuer = provider.signals?.issuer else {
            throw .malformed("not text")
        }
        let server: AuthorizationServer
        do { server = try await servers.server(for: provider) } catch { throw .unavailable(error.detail) }
        for refetching in [false, true] {
            do {
                let keys = try await servers.keys(for: provider, server: server, refetching: refetching)
                let claims = try SecurityEventToken.verify(
                    token, keys: keys, issuer: issuer, clientID: provider.client.clientID,
                    algorithms: server.idTokenAlgorithms, now: time.now())
                return try provider.signal(claims: claims)
            } catch IDTokenError.unknownKey where !refetching {
                continue
            } catch let error as AuthorizationServerError {
                throw .unavailable(error.detail)
            } catch let error as SignalError {
                throw SignalRefusal(error)
            } catch IDTokenError.malformed(let reason) {
                throw .malformed(reason)
            } catch {
                throw .unauthenticated("the token is not acceptable: \(error)")
            }
        }
        throw .unauthenticated("the token names a key that the issuer does not publish")
    }
}

/// Why a message is not taken. Each says in words why, without a word of the message.
package enum SignalRefusal: Error, Equatable {
    /// Not shown to be the provider's.
    case unauthenticated(String)
    case malformed(String)
    /// Not for the message's fault: it may be sent again.
    case unavailable(String)

    init(_ error: SignalError) {
        switch error {
        case .unsigned: self = .unauthenticated("there is no signature")
        case .signatureInvalid: self = .unauthenticated("the signature is wrong")
        case .untimely: self = .unauthenticated("the time stamp is missing, or more than five minutes off")
        case .malformed(let reason): self = .malformed(reason)
        }
    }

    package var detail: String {
        switch self {
        case .unauthenticated(let detail), .malformed(let detail), .unavailable(let detail): detail
        }
    }
}

extension SignalOutcome {
    fileprivate var word: String {
        switch self {
        case .marked: "marked"
        case .markedBefore: "marked before"
        case .nobody: "nobody here"
        case .repeated: "repeated"
        case .doubted: "said before, the provider is asked"
        }
    }

    fileprivate var account: AccountID? {
        switch self {
        case .marked(let id), .markedBefore(let id), .doubted(let id): id
        case .nobody, .repeated: nil
        }
    }
}
