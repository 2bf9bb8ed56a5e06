package import Accounts
package import YAML

/// One entry of `providers:` in the configuration: which manifest, and the settings that an instance may override.
package struct InstanceConfiguration: Sendable {
    /// `{provider}` in every URL.
    package var id: String
    /// The manifest's id; the instance's own where it is not given.
    package var manifest: String?
    package var variables: [String: String]
    package var clientID: String?
    package var clientSecret: Secret?
    /// PEM of the private key that assertions are signed with.
    package var clientKey: Secret?
    /// `kid` of that key.
    package var keyID: String?
    /// Of the certificate with that key's public half: SHA-1 or SHA-256 in hexadecimal.
    package var certificateThumbprint: String?
    /// What the provider's own messages are signed with, shared (`hmac_sha256`) or public (`ed25519`, hexadecimal).
    package var signalSecret: Secret?
    package var signalPublicKey: String?
    /// In place of the manifest's.
    package var scopes: [String]?
    /// In place of the manifest's.
    package var resources: [String]?
    package var clientAuthentication: String?
    /// In place of the manifest's `token.dpop`.
    package var dpop: String?
    /// Added to the manifest's; the same name replaces.
    package var authorizationParameters: [String: String]
    package var sync: SyncOverrides
    /// Where the configuration has it, for problems.
    package var place: SourcePlace?

    package struct SyncOverrides: Sendable, Equatable {
        package var interval: Duration?
        package var minimumInterval: Duration?
        package var maximumAge: Duration?

        package init(interval: Duration? = nil, minimumInterval: Duration? = nil, maximumAge: Duration? = nil) {
            self.interval = interval
            self.minimumInterval = minimumInterval
            self.maximumAge = maximumAge
        }
    }

    package init(
        id: String, manifest: String? = nil, variables: [String: String] = [:], clientID: String? = nil,
        clientSecret: Secret? = nil, clientKey: Secret? = nil, keyID: String? = nil,
        certificateThumbprint: String? = nil, signalSecret: Secret? = nil, signalPublicKey: String? = nil,
        scopes: [String]? = nil, resources: [String]? = nil, clientAuthentication: String? = nil, dpop: String? = nil,
        authorizationParameters: [String: String] = [:], sync: SyncOverrides = SyncOverrides(),
        place: SourcePlace? = nil
    ) {
        self.id = id
        self.manifest = manifest
        self.variables = variables
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.clientKey = clientKey
        self.keyID = keyID
        self.certificateThumbprint = certificateThumbprint
        self.signalSecret = signalSecret
        self.signalPublicKey = signalPublicKey
        self.scopes = scopes
        self.resources = resources
        self.clientAuthentication = clientAuthentication
        self.dpop = dpop
        self.authorizationParameters = authorizationParameters
        self.sync = sync
        self.place = place
    }
}

/// One thing that is wrong with a manifest or an instance, and where.
package struct ConfigurationProblem: Sendable, Equatable, CustomStringConvertible {
    package var place: SourcePlace?
    /// What was found and what was expected.
    package var message: String

    package init(place: SourcePlace?, message: String) {
        self.place = place
        self.message = message
    }

    /// `providers.d/example.yaml:3:7: …`
    package var description: String { place.map { "\($0): \(message)" } ?? message }
}

/// All that is wrong, at once.
package struct ConfigurationErrors: Error, Equatable, CustomStringConvertible {
    package var problems: [ConfigurationProblem]

    package init(_ problems: [ConfigurationProblem]) { self.problems = problems }

    package var description: String { problems.map(\.description).joined(separator: "\n") }
}

/// What keeps one manifest or instance from working while the others do.
package struct ProviderProblem: Sendable, Equatable, CustomStringConvertible {
    /// The instance's id, or the manifest's file where no instance is concerned.
    package var subject: String
    package var problem: ConfigurationProblem

    package init(subject: String, problem: ConfigurationProblem) {
        self.subject = subject
        self.problem = problem
    }

    package var description: String { "\(subject): \(problem)" }
}
