package import Accounts

extension ProviderCatalog {
    /// An account that nobody syncs because its provider left the configuration, or is not ready, says so. Nothing is
    /// written for that: with the configuration the problem comes and goes.
    package func explaining(_ account: LinkedAccount) -> LinkedAccount {
        guard account.status == .active || account.status == .suspended, self[account.provider]?.isReady != true
        else { return account }
        var explained = account
        explained.problem = AccountProblem(
            code: .providerNotConfigured, since: account.problem?.since ?? account.syncedAt ?? account.linkedAt,
            detail: self[account.provider] == nil
                ? "The provider is not configured any more." : "The provider's configuration is not complete.")
        return explained
    }
}
