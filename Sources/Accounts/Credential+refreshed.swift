extension Credential {
    /// What is held after a refresh brought `answer`: the answer, with the refresh token, its expiry and the scopes of
    /// the credential before where the answer has none (RFC 6749 §6), and the key that both are bound to.
    package func refreshed(by answer: Credential) -> Credential {
        var merged = answer
        if answer.refreshToken == nil || answer.refreshToken == refreshToken && answer.refreshTokenExpiresAt == nil {
            merged.refreshToken = refreshToken
            merged.refreshTokenExpiresAt = answer.refreshTokenExpiresAt ?? refreshTokenExpiresAt
        }
        merged.proofKey = answer.proofKey ?? proofKey
        if answer.scopes.isEmpty { merged.scopes = scopes }
        return merged
    }
}
