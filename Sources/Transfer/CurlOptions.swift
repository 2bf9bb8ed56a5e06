import CCurl
import Glibc

/// Every option that libcurl is given, and why. Left at libcurl's defaults on purpose: no cookies, no `.netrc`, no
/// referer, no HTTP/0.9, no redirects, no HSTS or Alt-Svc memory.
struct CurlOptions: Sendable {
    let configuration: OutgoingConfiguration
    let policy: DestinationPolicy
    let hostAddresses: [String]

    func apply(toMulti multi: CurlMulti) throws(CurlFailure) {
        try multi.set(CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX)
        try multi.set(CURLMOPT_MAX_HOST_CONNECTIONS, configuration.connectionsPerHostMax)
        try multi.set(CURLMOPT_MAXCONNECTS, max(128, 2 * configuration.connectionsPerHostMax))  // kept when idle
    }

    /// What no transfer changes: set once in the life of a handle.
    func apply(to easy: CurlEasy) throws(CurlFailure) {
        try easy.set(CURLOPT_NOSIGNAL, 1)
        // A name that is still being looked up when its transfer ends is left to its thread, or the driver would wait.
        try easy.set(CURLOPT_QUICK_EXIT, 1)
        try easy.set(CURLOPT_PROTOCOLS_STR, "http,https")
        try easy.set(CURLOPT_USERAGENT, configuration.userAgent)
        try easy.set(CURLOPT_ACCEPT_ENCODING, "")  // all that this libcurl can undo
        try easy.set(CURLOPT_PIPEWAIT, 1)  // a second HTTP/2 stream rather than a second connection
        try easy.set(CURLOPT_TCP_NODELAY, 1)
        try easy.set(CURLOPT_MAXLIFETIME_CONN, 600)  // seconds; a host that moved is found again
        try easy.set(CURLOPT_TCP_KEEPALIVE, 1)  // a peer that vanished is noticed while the connection is idle
        try easy.set(CURLOPT_TCP_KEEPIDLE, 60)
        try easy.set(CURLOPT_TCP_KEEPINTVL, 15)

        try easy.set(CURLOPT_SSL_VERIFYPEER, 1)
        try easy.set(CURLOPT_SSL_VERIFYHOST, 2)
        try easy.set(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
        let system = ccurl_version().pointee
        if let caFile = configuration.caFile {
            try easy.set(CURLOPT_CAINFO, caFile)
            if let directory = system.capath { try easy.set(CURLOPT_CAPATH, String(cString: directory)) }
        } else if system.cainfo != nil {
            // The bundle alone: libcurl keeps it parsed between connections only where no directory joins in.
            try easy.clear(CURLOPT_CAPATH)
        }

        // An empty string, unlike none, keeps libcurl from reading http_proxy and no_proxy.
        try easy.set(CURLOPT_PROXY, configuration.proxy ?? "")
        try easy.set(CURLOPT_NOPROXY, "")
        try easy.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1)
        if !hostAddresses.isEmpty { try easy.set(CURLOPT_RESOLVE, hostAddresses) }
    }

    /// `receiver` is handed to the functions as their last argument.
    func apply(functions: CurlFunctions, receiver: UnsafeMutableRawPointer, to easy: CurlEasy) throws(CurlFailure) {
        try easy.set(CURLOPT_PRIVATE, pointer: receiver)
        try easy.set(CURLOPT_WRITEFUNCTION, function: functions.body)
        try easy.set(CURLOPT_WRITEDATA, pointer: receiver)
        try easy.set(CURLOPT_HEADERFUNCTION, function: functions.header)
        try easy.set(CURLOPT_HEADERDATA, pointer: receiver)
        try easy.set(CURLOPT_READFUNCTION, function: functions.read)
        try easy.set(CURLOPT_READDATA, pointer: receiver)
        try easy.set(CURLOPT_OPENSOCKETFUNCTION, socketFunction: functions.openSocket)
        try easy.set(CURLOPT_OPENSOCKETDATA, pointer: receiver)
        try easy.set(CURLOPT_ERRORBUFFER, pointer: easy.errorBuffer)
    }

    /// What differs from one exchange to the next. The total deadline is the driver's: libcurl does not count the
    /// time that a transfer waits for a connection.
    func apply(_ exchange: Exchange, to easy: CurlEasy) throws(CurlFailure) {
        try easy.set(CURLOPT_URL, exchange.url)
        try easy.set(CURLOPT_HTTPHEADER, exchange.lines)
        try easy.set(CURLOPT_CONNECTTIMEOUT_MS, exchange.connectMilliseconds)
        // In the clear there is no ALPN, and PIPEWAIT would wait for the first response to learn the version.
        try easy.set(
            CURLOPT_HTTP_VERSION,
            exchange.destination.scheme == .https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1)
        let count = exchange.body?.count ?? 0
        if exchange.body != nil || exchange.method == .post {
            try easy.set(CURLOPT_POST, 1)
            try easy.set(CURLOPT_POSTFIELDSIZE_LARGE, offset: count)
        } else {
            try easy.set(CURLOPT_HTTPGET, 1)
        }
        switch exchange.method {
        case .get: try easy.clear(CURLOPT_CUSTOMREQUEST)
        case .post: try easy.clear(CURLOPT_CUSTOMREQUEST)
        case .put, .patch, .delete: try easy.set(CURLOPT_CUSTOMREQUEST, exchange.method.rawValue)
        }
        // libcurl sends again by itself when a reused connection ends before the first byte of a response. A body
        // comes from the read function, which cannot go back, so it goes out once; without one only a new connection
        // makes sure.
        let isRepeatable = exchange.method != .post && exchange.method != .patch
        try easy.set(CURLOPT_FRESH_CONNECT, isRepeatable || count > 0 ? 0 : 1)
    }
}

/// libcurl's own name for what it refused. Only lack of memory makes the calls above fail.
struct CurlFailure: Error {
    let code: CURLcode
    var reason: String { String(cString: curl_easy_strerror(code)) }
}

struct CurlFunctions {
    let body: curl_write_callback
    let header: curl_write_callback
    let read: curl_write_callback
    let openSocket: curl_opensocket_callback
}
