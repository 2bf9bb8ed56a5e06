/// One metric by name, with what its labels mean. The names are an interface: dashboards and alarms are built on them.
///
/// No label ever holds an account, a user, an address or anything else that grows with use: there are as many series as
/// providers, the routes of their manifests, the routes that are served, and words from closed lists make.
package struct MetricFamily: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case counter
        case gauge
        /// The upper bounds of its buckets in seconds, in order; the unbounded one is implied.
        case histogram([Double])
    }

    package let name: String
    package let kind: Kind
    /// One sentence, as `# HELP` shows it.
    package let help: String
    /// The names of its labels, in the order in which values are given.
    package let labels: [String]

    private init(_ name: String, _ kind: Kind, _ labels: [String], _ help: String) {
        self.name = name
        self.kind = kind
        self.help = help
        self.labels = labels
    }
}

// What is counted as it happens.
extension MetricFamily {
    /// From an answer out of a cache nearby to the transport's own limit.
    private static let providerSeconds = Kind.histogram([0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30])
    /// From a read of the cache to a caller who waits for a sync.
    private static let webSeconds = Kind.histogram([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ])

    static let providerRequests = MetricFamily(
        "rollcall_provider_requests_total", .counter, ["provider", "route", "outcome"],
        "Requests to a provider by the manifest's name of the request and what came of it: ok, not_modified, limited, "
            + "refused, server_error, no_answer or cancelled.")
    static let providerRequestSeconds = MetricFamily(
        "rollcall_provider_request_duration_seconds", providerSeconds, ["provider", "route"],
        "How long requests to a provider took, from leaving to the end of the answer.")
    static let syncs = MetricFamily(
        "rollcall_syncs_total", .counter, ["provider", "outcome"],
        "Syncs of accounts by what they found: updated, unchanged, or the code of the problem.")
    static let tokenRefreshes = MetricFamily(
        "rollcall_token_refreshes_total", .counter, ["provider", "outcome"],
        "Refreshes of access tokens that were sent: refreshed, relink (the grant is dead) or failed (tried again).")
    static let webRequests = MetricFamily(
        "rollcall_http_requests_total", .counter, ["method", "route", "status"],
        "HTTP requests answered; route is the pattern, and - where no route took the request.")
    static let webRequestSeconds = MetricFamily(
        "rollcall_http_request_duration_seconds", webSeconds, ["method", "route"],
        "How long HTTP requests took to answer.")
}

// What is looked up when somebody asks.
extension MetricFamily {
    static let accounts = MetricFamily(
        "rollcall_accounts", .gauge, ["provider", "status"], "Linked accounts by status.")
    static let accountProblems = MetricFamily(
        "rollcall_account_problems", .gauge, ["provider", "problem", "action"],
        "Accounts with a problem by its code and who has to act: none, operator or user.")
    static let accountsDue = MetricFamily(
        "rollcall_accounts_due", .gauge, ["provider"], "Accounts whose sync is due, counted up to 10,000.")
    static let overdueSeconds = MetricFamily(
        "rollcall_oldest_due_seconds", .gauge, ["provider"],
        "For how long the account that waits longest has been due; 0 where none is.")
    static let budget = MetricFamily(
        "rollcall_sync_budget_per_second", .gauge, ["provider"], "Syncs a second that may be spent.")
    static let budgetPlanned = MetricFamily(
        "rollcall_sync_planned_per_second", .gauge, ["provider"], "Syncs a second that all plans add up to.")
    static let budgetUsed = MetricFamily(
        "rollcall_sync_budget_used_ratio", .gauge, ["provider"],
        "Syncs of the last hour over the budget of that time.")
    static let price = MetricFamily(
        "rollcall_sync_price_seconds", .gauge, ["provider"],
        "Seconds of freshness that a request has to buy: the higher, the scarcer the budget.")
    static let freshness = MetricFamily(
        "rollcall_freshness_ratio", .gauge, ["provider", "weight"],
        "The believed share of current profiles, weighted by how often each is read (reads) or not (accounts).")
    static let staleAgainstFixed = MetricFamily(
        "rollcall_stale_vs_fixed_ratio", .gauge, ["provider"],
        "Planned staleness over that of one fixed interval with as many requests.")
    static let calibration = MetricFamily(
        "rollcall_sync_calibration", .gauge, ["provider"],
        "Believed less found share of unchanged profiles, over about the last thousand syncs; beyond 0.03 the estimate "
            + "of freshness is off.")
    static let promiseUnpayable = MetricFamily(
        "rollcall_maximum_age_unpayable", .gauge, ["provider"],
        "1 where the budget can't keep every profile younger than maximum_age.")
    static let requestsUnderWay = MetricFamily(
        "rollcall_provider_requests_under_way", .gauge, ["provider"], "Requests to a provider that wait for an answer.")
    static let invalidRequests = MetricFamily(
        "rollcall_provider_invalid_requests", .gauge, ["provider"],
        "Answers within the provider's window that count against its budget of invalid requests.")
    static let circuit = MetricFamily(
        "rollcall_provider_circuit", .gauge, ["provider", "state"],
        "1 for the state that the provider's circuit is in: closed, half_open or open.")
    static let pausedSeconds = MetricFamily(
        "rollcall_provider_paused_seconds", .gauge, ["provider"],
        "For how long the provider will still be left alone; 0 where it is not.")
    static let databaseUp = MetricFamily(
        "rollcall_database_up", .gauge, [], "1 where the database could be read for this answer.")
    static let databaseBytes = MetricFamily(
        "rollcall_database_bytes", .gauge, ["file"], "Size of the database (main) and of its write-ahead log (wal).")
    static let build = MetricFamily("rollcall_build_info", .gauge, ["version"], "1, with the version of the program.")

    static let processorSeconds = MetricFamily(
        "process_cpu_seconds_total", .counter, [], "Processor time spent, user and system.")
    static let residentBytes = MetricFamily("process_resident_memory_bytes", .gauge, [], "Memory that is resident.")
    static let virtualBytes = MetricFamily("process_virtual_memory_bytes", .gauge, [], "Address space in use.")
    static let startTime = MetricFamily(
        "process_start_time_seconds", .gauge, [], "When the process started, in seconds since 1970.")
    static let openFiles = MetricFamily("process_open_fds", .gauge, [], "File descriptors that are open.")
    static let openFilesMax = MetricFamily("process_max_fds", .gauge, [], "How many may be open.")
}

extension MetricFamily {
    /// Of providers, looked up: each answer has exactly those that hold by then.
    static let ofProviders = [
        accounts, accountProblems, accountsDue, overdueSeconds, budget, budgetPlanned, budgetUsed, price, freshness,
        staleAgainstFixed, calibration, promiseUnpayable, requestsUnderWay, invalidRequests, circuit, pausedSeconds,
    ]

    /// In the order in which they are shown.
    package static let all =
        [
            providerRequests, providerRequestSeconds, syncs, tokenRefreshes, webRequests, webRequestSeconds,
        ] + ofProviders + [
            databaseUp, databaseBytes, build, processorSeconds, residentBytes, virtualBytes, startTime, openFiles,
            openFilesMax,
        ]
}
