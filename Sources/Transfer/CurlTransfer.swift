import CCurl

/// An easy handle and the exchange it is busy with: what libcurl calls back into. Used on the driver's thread alone.
final class CurlTransfer {
    let easy: CurlEasy
    private let options: CurlOptions
    private(set) var exchange: Exchange?
    private var continuation: CheckedContinuation<Result<TransferResponse, TransferError>, Never>?
    /// Its index among those running.
    var place = 0
    var deadline: Monotonic { exchange?.deadline ?? .distantFuture }
    private var response = ResponseReader(bodyBytesMax: 0, headerBytesMax: 0)
    /// How much of the request's body is with libcurl.
    private var bodySent = 0
    private var refusedAddress = false
    private var connectMilliseconds = 0

    init(options: CurlOptions) throws(CurlFailure) {
        guard let easy = CurlEasy() else { throw CurlFailure(code: CURLE_OUT_OF_MEMORY) }
        self.easy = easy
        self.options = options
        try options.apply(to: easy)
        try options.apply(functions: Self.functions, receiver: Unmanaged.passUnretained(self).toOpaque(), to: easy)
    }

    static func of(_ easy: UnsafeMutableRawPointer) -> CurlTransfer? {
        var receiver: UnsafeMutableRawPointer?
        guard ccurl_get_pointer(easy, CURLINFO_PRIVATE, &receiver) == CURLE_OK, let receiver else { return nil }
        return Unmanaged<CurlTransfer>.fromOpaque(receiver).takeUnretainedValue()
    }

    func begin(_ submission: Submission) throws(CurlFailure) {
        let exchange = submission.exchange
        self.exchange = exchange
        continuation = submission.continuation
        response = ResponseReader(bodyBytesMax: exchange.bodyBytesMax, headerBytesMax: exchange.headerBytesMax)
        bodySent = 0
        refusedAddress = false
        connectMilliseconds = exchange.connectMilliseconds
        easy.errorBuffer[0] = 0
        try options.apply(exchange, to: easy)
    }

    func allowToConnect(longerBy milliseconds: Int) {
        connectMilliseconds += milliseconds
        // Refused, the limit is the one there was.
        try? easy.set(CURLOPT_CONNECTTIMEOUT_MS, connectMilliseconds)
    }

    /// Ends the exchange and frees what belongs to it.
    func finish(_ result: Result<TransferResponse, TransferError>) {
        exchange = nil
        response = ResponseReader(bodyBytesMax: 0, headerBytesMax: 0)
        continuation.take()?.resume(returning: result)
    }

    func result(_ code: CURLcode) -> Result<TransferResponse, TransferError> {
        if let failure = failure(code) { return .failure(failure) }
        return .success(
            TransferResponse(status: easy.long(CURLINFO_RESPONSE_CODE), fields: response.fields, body: response.body))
    }

    /// Whether any of the request can have left: false while names are looked up, sockets opened, TLS agreed.
    private var mayHaveBeenSent: Bool { easy.offset(CURLINFO_PRETRANSFER_TIME_T) > 0 }

    /// Before the request could leave, a deadline is a failure to connect: nothing was spent.
    var timeOut: TransferError {
        let host = exchange?.destination.host ?? ""
        return mayHaveBeenSent ? .timedOut(host: host) : .connectionFailed(host: host)
    }

    private func failure(_ code: CURLcode) -> TransferError? {
        if let tooLarge = response.tooLarge { return .responseTooLarge(limit: tooLarge) }
        if code == CURLE_OK { return nil }
        let host = exchange?.destination.host ?? ""
        if code == CURLE_OPERATION_TIMEDOUT { return timeOut }
        if mayHaveBeenSent {
            // libcurl keeps limits of its own on header lines; from 8.6 on it calls that CURLE_TOO_LARGE, 100.
            if code == CURLE_OUT_OF_MEMORY || code.rawValue == 100 {
                return .responseTooLarge(limit: exchange?.headerBytesMax ?? 0)
            }
            return .malformedResponse(reason: CurlFailure(code: code).reason)
        }
        if refusedAddress { return .destinationRefused(reason: "\(host) resolves to an address that is not allowed") }
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST: return .nameNotResolved(host: host)
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL:
            return .invalidRequest(reason: CurlFailure(code: code).reason)
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CRL_BADFILE, CURLE_SSL_INVALIDCERTSTATUS,
            CURLE_SSL_ENGINE_INITFAILED, CURLE_USE_SSL_FAILED:
            return .tlsFailed(host: host, reason: tlsReason(code))
        default: return .connectionFailed(host: host)
        }
    }

    /// What the TLS library says: names of hosts and certificates, never of requests.
    private func tlsReason(_ code: CURLcode) -> String {
        let detail = String(cString: easy.errorBuffer)
        let printable = detail.unicodeScalars.filter { (0x20...0x7e).contains($0.value) }.prefix(200)
        return printable.isEmpty ? CurlFailure(code: code).reason : String(String.UnicodeScalarView(printable))
    }
}

// MARK: What libcurl calls

extension CurlTransfer {
    static let functions = CurlFunctions(
        body: { bytes, size, count, receiver in
            CurlTransfer.receiving(receiver) { transfer in
                transfer.response.readBody(UnsafeRawBufferPointer(start: bytes, count: size * count))
            } ? size * count : 0
        },
        header: { bytes, size, count, receiver in
            CurlTransfer.receiving(receiver) { transfer in
                transfer.response.readHeaderLine(UnsafeRawBufferPointer(start: bytes, count: size * count))
            } ? size * count : 0
        },
        read: { bytes, size, count, receiver in
            guard let bytes, let receiver else { return Int(CURL_READFUNC_ABORT) }
            return Unmanaged<CurlTransfer>.fromOpaque(receiver).takeUnretainedValue()
                .copyBody(to: UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
        },
        openSocket: { receiver, _, address in
            guard let receiver, let address else { return CURL_SOCKET_BAD }
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(receiver).takeUnretainedValue()
            return transfer.permits(address) ? ccurl_open_socket(address, 30_000) : CURL_SOCKET_BAD
        })

    private static func receiving(_ receiver: UnsafeMutableRawPointer?, _ body: (CurlTransfer) -> Bool) -> Bool {
        guard let receiver else { return false }
        return Unmanaged<CurlTransfer>.fromOpaque(receiver)._withUnsafeGuaranteedRef(body)
    }

    private func copyBody(to buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let body = exchange?.body else { return 0 }
        let count = min(buffer.count, body.count - bodySent)
        body.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[bodySent..<bodySent + count]))
        }
        bodySent += count
        return count
    }

    private func permits(_ address: UnsafePointer<curl_sockaddr>) -> Bool {
        if options.configuration.proxy != nil { return true }  // every socket leads to the proxy
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = ccurl_address_bytes(address, &bytes)
        guard let ip = IPAddress(bytes: Array(bytes[..<count])), let destination = exchange?.destination,
            options.policy.permits(ip, for: destination)
        else {
            refusedAddress = true
            return false
        }
        return true
    }
}
