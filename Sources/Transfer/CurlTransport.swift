import CCurl

/// The transport of the running program: one libcurl multi handle on a thread of its own, `async` at this edge.
///
/// Redirects are followed here, hop by hop and not by libcurl, so that each hop passes the destination policy and the
/// credentials stay with their origin.
package final class CurlTransport: Transport {
    private let driver: CurlDriver
    private let policy: DestinationPolicy

    /// Throws `OutgoingConfigurationError`.
    package convenience init(_ configuration: OutgoingConfiguration) throws {
        try self.init(configuration, hostAddresses: [])
    }

    /// - Parameter hostAddresses: `name:port:address` entries put into libcurl's DNS cache for good.
    init(_ configuration: OutgoingConfiguration, hostAddresses: [String]) throws {
        try configuration.validate()
        policy = DestinationPolicy(
            allowedPrivateHosts: configuration.allowedPrivateHosts,
            configuredAddresses: configuration.configuredAddresses)
        driver = try CurlDriver(
            CurlOptions(configuration: configuration, policy: policy, hostAddresses: hostAddresses))
    }

    deinit { driver.stop() }

    /// The thread of the driver as an executor. Tasks that prefer it await transfers without a change of thread; what
    /// they do in between holds up every other transfer of this transport. What blocks, on a disk for one, needs a
    /// transport that nobody else uses.
    package var executor: any TaskExecutor { driver }

    /// Ends what is under way with `.cancelled` and returns once libcurl's memory and sockets are freed. Later
    /// transfers are `.cancelled` at once.
    package func shutDown() async { await driver.shutDown() }

    /// Easy handles that exist, in use or pooled; 0 after `shutDown`.
    var easyHandleCount: Int { driver.easyHandleCount }

    package func send(_ request: TransferRequest) async throws(TransferError) -> TransferResponse {
        let lines = try FieldLines(request)
        var destination = try policy.check(url: request.url)
        let deadline = Monotonic.now.advanced(by: request.limits.total)
        var url = request.url
        var carriesCredentials = true
        var hops = 0
        while true {
            let exchange = Exchange(
                method: request.method, url: url, destination: destination,
                lines: carriesCredentials ? lines.all : lines.withoutCredentials, body: request.body?.bytes,
                connectMilliseconds: request.limits.connect.clampedMilliseconds, deadline: deadline,
                bodyBytesMax: request.limits.bodyBytesMax, headerBytesMax: request.limits.headerBytesMax)
            let response = try await driver.perform(exchange).get()
            guard case .follow(let limit) = request.redirects, request.method == .get,
                let location = response.redirectLocation
            else { return response }
            guard hops < limit else { throw .tooManyRedirects }
            hops += 1
            url = try Self.resolve(location, against: url)
            let next = try check(location: url)
            if next.scheme == .http, destination.scheme == .https {
                throw .destinationRefused(reason: "a redirect from https to http")
            }
            if next != destination { carriesCredentials = false }
            destination = next
        }
    }

    /// What is wrong with a Location is the server's fault, not the request's.
    private func check(location: String) throws(TransferError) -> Destination {
        do throws(TransferError) {
            return try policy.check(url: location)
        } catch .invalidRequest(let reason) {
            throw .malformedResponse(reason: "a Location that leads nowhere: \(reason)")
        }
    }

    /// RFC 3986 §5.2, in libcurl's own words.
    private static func resolve(_ location: String, against base: String) throws(TransferError) -> String {
        let parts = curl_url()
        defer { curl_url_cleanup(parts) }
        var resolved: UnsafeMutablePointer<CChar>?
        guard curl_url_set(parts, CURLUPART_URL, base, 0) == CURLUE_OK,
            curl_url_set(parts, CURLUPART_URL, location, UInt32(CURLU_URLENCODE | CURLU_NON_SUPPORT_SCHEME))
                == CURLUE_OK,
            curl_url_get(parts, CURLUPART_URL, &resolved, 0) == CURLUE_OK, let resolved
        else { throw .malformedResponse(reason: "a Location that does not parse") }
        defer { curl_free(resolved) }
        return String(cString: resolved)
    }
}

extension TransferResponse {
    /// Where a 301, 302, 303, 307 or 308 sends a GET (RFC 9110 §15.4).
    fileprivate var redirectLocation: String? {
        [301, 302, 303, 307, 308].contains(status) ? fields["Location"] : nil
    }
}
