package import Accounts
package import Linking
package import Logging
package import Providers
package import Store

/// Keeping the cache true: trigger → pass → one account → outcome → when next.
///
/// `SyncService` starts a pass when something is due, `SyncPass` claims what is due within every provider's free
/// slots, `AccountSync` takes one account through token, fetch and record, `SyncSchedule` says when it is due again,
/// and `SyncOnDemand` does the same for a caller who waits. Tokens and fetching are `Linking`'s, rows are `Store`'s;
/// this module sees no OAuth message.
package struct AccountSync: Sendable {
    let catalog: ProviderCatalog
    let schedule: SyncScheduleStore
    let tokens: AccessTokens
    let profiles: ProfileFetch
    let time: any TimeSource
    let random: any RandomSource
    let logger: Logger

    package init(
        catalog: ProviderCatalog, schedule: SyncScheduleStore, tokens: AccessTokens, profiles: ProfileFetch,
        time: any TimeSource, random: any RandomSource, logger: Logger
    ) {
        self.catalog = catalog
        self.schedule = schedule
        self.tokens = tokens
        self.profiles = profiles
        self.time = time
        self.random = random
        self.logger = logger
    }
}
