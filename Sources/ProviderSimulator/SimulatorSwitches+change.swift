extension SimulatorSwitches {
    /// Some of a site's switches, by name. An access token lifetime of 0 is none: tokens that never expire.
    struct Change: KnowsMembers, Sendable {
        typealias Members = CodingKeys

        enum CodingKeys: String, CodingKey, CaseIterable {
            case accessTokenLifetime, refreshTokenLifetime, codeLifetime, deviceCodeLifetime, deviceInterval,
                rotatesRefreshTokens, reuseRevokesFamily,
                reuseGrace, remembersBulkTokens, refreshEndsAccessTokens, refreshTokenOnFirstConsentOnly, requiresPkce,
                sendsIssuer, acceptsBasic, acceptsPost, publicClientsUseBasic, secretIsUsername, decodesBasic,
                offersPushedRequests, requiresPushedRequests,
                offersDpop, requiresDpop, demandsProofNonces,
                pushedRequestLifetime, resources, requiresAssertions, assertionIssuer, assertionAudience,
                requiresKeyId, requiresUserAgent, sendsEtags, sendsScope,
                refreshedTokenRefusals, tokensPerGrantMax, validationInterval, tokenLimit, clientLimit,
                invalidRequestLimit, autoConsent,
                latency
        }

        var accessTokenLifetime: Int?
        var refreshTokenLifetime: Int?
        var codeLifetime: Int?
        var deviceCodeLifetime: Int?
        var deviceInterval: Int?
        var rotatesRefreshTokens: Bool?
        var reuseRevokesFamily: Bool?
        var reuseGrace: Int?
        var remembersBulkTokens: Bool?
        var refreshEndsAccessTokens: Bool?
        var refreshTokenOnFirstConsentOnly: Bool?
        var requiresPkce: Bool?
        var sendsIssuer: Bool?
        var acceptsBasic: Bool?
        var acceptsPost: Bool?
        var publicClientsUseBasic: Bool?
        var secretIsUsername: Bool?
        var decodesBasic: Bool?
        var offersPushedRequests: Bool?
        var requiresPushedRequests: Bool?
        var pushedRequestLifetime: Int?
        var resources: [String]?
        var offersDpop: Bool?
        var requiresDpop: Bool?
        var demandsProofNonces: Bool?
        var requiresAssertions: Bool?
        /// Empty is the client id.
        var assertionIssuer: String?
        /// Empty is the issuer or the endpoint.
        var assertionAudience: String?
        var requiresKeyId: Bool?
        var requiresUserAgent: Bool?
        var sendsEtags: Bool?
        var sendsScope: Bool?
        var refreshedTokenRefusals: Int?
        var tokensPerGrantMax: Int?
        /// 0 is none.
        var validationInterval: Int?
        /// A count of 0 is no limit.
        var tokenLimit: SimulatedLimit?
        var clientLimit: SimulatedLimit?
        var invalidRequestLimit: SimulatedLimit?
        /// Empty is nobody.
        var autoConsent: String?
        var latency: Int?

        func apply(to switches: inout SimulatorSwitches) {
            func set<T>(_ value: T?, _ path: WritableKeyPath<SimulatorSwitches, T>) {
                if let value { switches[keyPath: path] = value }
            }
            if let accessTokenLifetime {
                switches.accessTokenLifetime = accessTokenLifetime == 0 ? nil : accessTokenLifetime
            }
            if let refreshTokenLifetime {
                switches.refreshTokenLifetime = refreshTokenLifetime == 0 ? nil : refreshTokenLifetime
            }
            set(codeLifetime, \.codeLifetime)
            set(deviceCodeLifetime, \.deviceCodeLifetime)
            set(deviceInterval, \.deviceInterval)
            set(rotatesRefreshTokens, \.rotatesRefreshTokens)
            set(reuseRevokesFamily, \.reuseRevokesFamily)
            set(reuseGrace, \.reuseGrace)
            set(remembersBulkTokens, \.remembersBulkTokens)
            set(refreshEndsAccessTokens, \.refreshEndsAccessTokens)
            set(refreshTokenOnFirstConsentOnly, \.refreshTokenOnFirstConsentOnly)
            set(requiresPkce, \.requiresPKCE)
            set(sendsIssuer, \.sendsIssuer)
            set(acceptsBasic, \.acceptsBasic)
            set(acceptsPost, \.acceptsPost)
            set(publicClientsUseBasic, \.publicClientsUseBasic)
            set(secretIsUsername, \.secretIsUsername)
            set(decodesBasic, \.decodesBasic)
            set(offersPushedRequests, \.offersPushedRequests)
            set(requiresPushedRequests, \.requiresPushedRequests)
            set(pushedRequestLifetime, \.pushedRequestLifetime)
            if let resources { switches.resources = resources }
            set(offersDpop, \.offersDPoP)
            set(requiresDpop, \.requiresDPoP)
            set(demandsProofNonces, \.demandsProofNonces)
            set(requiresAssertions, \.requiresAssertions)
            set(requiresKeyId, \.requiresKeyID)
            set(requiresUserAgent, \.requiresUserAgent)
            set(sendsEtags, \.sendsETags)
            set(sendsScope, \.sendsScope)
            set(refreshedTokenRefusals, \.refreshedTokenRefusals)
            set(tokensPerGrantMax, \.tokensPerGrantMax)
            set(latency, \.latency)
            if let validationInterval {
                switches.validationInterval = validationInterval == 0 ? nil : validationInterval
            }
            if let tokenLimit { switches.tokenLimit = tokenLimit.count == 0 ? nil : tokenLimit }
            if let clientLimit { switches.clientLimit = clientLimit.count == 0 ? nil : clientLimit }
            if let invalidRequestLimit {
                switches.invalidRequestLimit = invalidRequestLimit.count == 0 ? nil : invalidRequestLimit
            }
            if let assertionIssuer { switches.assertionIssuer = assertionIssuer.isEmpty ? nil : assertionIssuer }
            if let assertionAudience {
                switches.assertionAudience = assertionAudience.isEmpty ? nil : assertionAudience
            }
            if let autoConsent { switches.autoConsent = autoConsent.isEmpty ? nil : autoConsent }
        }
    }
}
