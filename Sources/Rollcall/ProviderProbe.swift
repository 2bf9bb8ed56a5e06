import Accounts
import Foundation
import Linking
import OAuth
import Providers
import Transfer

/// Looks whether a provider can be reached, without any credential: name, TLS, discovery, clock.
struct ProviderProbe {
    struct Finding {
        var isGood: Bool
        var text: String
    }

    private let transport: CurlTransport
    private let time = SystemTime()

    init(_ configuration: ServiceConfiguration, _ provider: Provider) throws {
        transport = try configuration.transport(to: [provider])
    }

    func close() async { await transport.shutDown() }

    func examine(_ provider: Provider) async -> [Finding] {
        var findings: [Finding] = []
        var metadata: ProviderMetadata?
        if let issuer = provider.issuer {
            do {
                let response = try await transport.send(ProviderMetadata.request(issuer: issuer))
                findings += clock(response)
                metadata = try ProviderMetadata.read(
                    response, issuer: issuer, issuerAliases: provider.issuerAliases,
                    allowedHosts: provider.metadataHosts)
                findings.append(Finding(isGood: true, text: "The metadata document of \(issuer) can be used"))
            } catch let error as TransferError {
                findings.append(Finding(isGood: false, text: error.sentence))
            } catch let error as DiscoveryError {
                findings.append(Finding(isGood: false, text: AuthorizationServerError.discovery(error).detail))
            } catch {
                findings.append(Finding(isGood: false, text: "The metadata document can't be read: \(error)"))
            }
        }
        guard provider.issuer == nil || metadata != nil else { return findings }
        do {
            let server = try provider.authorizationServer(metadata: metadata)
            findings += await reach(server.tokenEndpoint, "token endpoint", checksClock: metadata == nil)
            findings += await reach(server.authorizationEndpoint, "authorization endpoint", checksClock: false)
            if server.dpop == .none, metadata?.offersDPoP == true {
                let hint = "its tokens can be bound to a key (RFC 9449), and handed to nobody then: set dpop: offered"
                findings.append(Finding(isGood: true, text: "The server offers DPoP; \(hint)"))
            }
        } catch {
            findings.append(Finding(isGood: false, text: "\(error)"))
        }
        return findings
    }

    /// Any HTTP answer will do: without credentials it is a refusal.
    private func reach(_ url: String, _ name: String, checksClock: Bool) async -> [Finding] {
        do {
            let response = try await transport.send(TransferRequest(.get, url))
            // Some serve POST alone and answer 404 to all else.
            let hint = response.status == 404 || response.status == 410 ? "; compare its path with the manifest's" : ""
            let findings = [
                Finding(isGood: response.status < 500, text: "The \(name) answers (\(response.status))\(hint)")
            ]
            return findings + (checksClock ? clock(response) : [])
        } catch {
            return [Finding(isGood: false, text: "The \(name) can't be reached: \(error.sentence)")]
        }
    }

    /// ID tokens and lifetimes are judged by our clock; a minute of difference is allowed for.
    private func clock(_ response: TransferResponse) -> [Finding] {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        guard let text = response.fields["date"], let date = formatter.date(from: text) else { return [] }
        let theirs = Timestamp(secondsSinceEpoch: Int64(date.timeIntervalSince1970))
        let seconds = abs((theirs - time.now()).components.seconds)
        return [
            Finding(
                isGood: seconds <= 60,
                text: seconds <= 60 ? "The clocks agree" : "The clocks differ by \(seconds) s; set this machine's clock"
            )
        ]
    }
}
