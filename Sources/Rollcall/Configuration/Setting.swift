/// One entry of the configuration: its name, what it may be, and what it is when nobody says.
struct Setting: Sendable {
    enum Kind: Sendable {
        case text
        case url
        case proxyURL
        case file
        case integer(ClosedRange<Int>)
        case duration(ClosedRange<Duration>)
        case choice([String])
        case list
    }

    var key: String
    var kind: Kind
    /// `nil`: there is nothing to fall back on, and none is needed.
    var fallback: String?
    var help: String
    var isSecret = false

    /// `http.port` is `ROLLCALL_HTTP_PORT` in the environment.
    var environmentName: String { Setting.environmentName(of: key) }

    static func environmentName(of key: String) -> String {
        "ROLLCALL_" + key.uppercased().map { $0 == "." || $0 == "-" ? "_" : $0 }
    }

    static let all: [Setting] = [
        Setting(
            key: "public_url", kind: .url,
            help: "what browsers and providers see; every redirect URI is built from it"),
        Setting(
            key: "application.name", kind: .text, fallback: "this application",
            help: "the name that a user reads on the confirmation page"),
        Setting(
            key: "application.return_to", kind: .list,
            help: "origins that a finished link may send the browser back to"),
        Setting(key: "http.host", kind: .text, fallback: "127.0.0.1", help: "the address to listen on"),
        Setting(key: "http.port", kind: .integer(0...65535), fallback: "8080", help: "the port to listen on"),
        Setting(
            key: "http.operator_host", kind: .text, fallback: "127.0.0.1",
            help: "the address of the operator's own port"),
        Setting(
            key: "http.operator_port", kind: .integer(1...65535),
            help: "a port of its own for /metrics, which needs no key; on http.port where absent"),
        Setting(
            key: "http.trusted_proxies", kind: .list,
            help: "addresses or networks whose X-Forwarded-For is believed"),
        Setting(
            key: "database.path", kind: .text, fallback: "rollcall-data/rollcall.sqlite", help: "the SQLite file"),
        Setting(
            key: "vault.key_file", kind: .text, fallback: "rollcall-data/master.key",
            help: "the master key, made on the first start (mode 0600)"),
        Setting(
            key: "vault.key", kind: .text, help: "the master key itself: base64 of 32 bytes; only from the environment",
            isSecret: true),
        Setting(
            key: "providers_directory", kind: .text,
            help: "manifests that add to or replace the built-in ones"),
        Setting(key: "outgoing.ca_file", kind: .file, help: "a PEM file of further certificate authorities"),
        Setting(
            key: "outgoing.proxy", kind: .proxyURL,
            help: "an http, https or socks5h proxy for every outgoing request", isSecret: true),
        Setting(
            key: "outgoing.allowed_private_hosts", kind: .list,
            help: "names or addresses in private networks that may be reached"),
        Setting(
            key: "sync.interval", kind: .duration(.seconds(10)...(.seconds(30 * 86_400))),
            help: "how often a profile is fetched again; a manifest's own where absent"),
        Setting(
            key: "sync.strategy", kind: .choice(["adaptive", "fixed"]), fallback: "adaptive",
            help: "fetch what changes and is read often more often, at the same cost, or each once an interval"),
        Setting(
            key: "sync.concurrency", kind: .integer(1...1024), fallback: "64",
            help: "accounts synced at the same time, over all providers"),
        Setting(
            key: "log.level", kind: .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]),
            fallback: "info", help: "the least severe log line that is written"),
        Setting(key: "log.format", kind: .choice(["text", "json"]), fallback: "text", help: "text or JSON lines"),
        Setting(
            key: "core_dumps", kind: .choice(["off", "on"]), fallback: "off",
            help: "whether a crash may leave a core file, which holds tokens and keys in the clear"),
    ]

    static func named(_ key: String) -> Setting? { all.first { $0.key == key } }

    /// What may stand below `providers.<instance>`; `.variables` and `.authorization.parameters` take any name.
    static let instanceKeys = [
        "manifest", "client_id", "client_secret", "client_key", "key_id", "certificate_thumbprint", "signal_secret",
        "signal_public_key", "scopes", "resource", "dpop", "client_authentication", "variables",
        "authorization", "sync",
    ]
    /// Files whose content is the value; each ends in `_file`.
    static let instanceFileKeys = ["client_id_file", "client_secret_file", "client_key_file", "signal_secret_file"]
    /// Values that nobody is shown.
    static let instanceSecretKeys = ["client_secret", "client_key", "signal_secret"]
    static let instanceSyncKeys = ["interval", "minimum_interval", "maximum_age"]
}

/// The known word nearest to a mistyped one, where one is near enough to be meant.
func suggestion(for word: String, among known: [String], distanceMax: Int? = nil) -> String? {
    let ranked = known.map { (word: $0, distance: editDistance(word, $0)) }.min { $0.distance < $1.distance }
    guard let ranked, ranked.distance <= distanceMax ?? max(2, word.count / 3) else { return nil }
    return ranked.word
}

private func editDistance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var previous = Array(0...right.count)
    for (row, a) in left.enumerated() {
        var current = [row + 1]
        for (column, b) in right.enumerated() {
            current.append(min(previous[column + 1] + 1, current[column] + 1, previous[column] + (a == b ? 0 : 1)))
        }
        previous = current
    }
    return previous[right.count]
}
