import CCurl

/// A multi handle. `curl_multi_wakeup` may be called from any thread while the handle lives; all else is for the
/// driver's thread.
struct CurlMulti: @unchecked Sendable {  // a pointer: who may do what with it is said above, and kept by `CurlDriver`
    let pointer: UnsafeMutableRawPointer

    func set(_ option: CURLMoption, _ value: Int) throws(CurlFailure) {
        if ccurl_multi_set_long(pointer, option, value) != CURLM_OK { throw CurlFailure(code: CURLE_UNKNOWN_OPTION) }
    }
}

/// An easy handle with the memory that libcurl only points to.
final class CurlEasy {
    let pointer: UnsafeMutableRawPointer
    let errorBuffer: UnsafeMutablePointer<CChar>
    private var fields = CurlList()
    private var addresses = CurlList()

    init?() {
        guard let pointer = curl_easy_init() else { return nil }
        self.pointer = pointer
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(pointer)
        errorBuffer.deallocate()
    }

    func set(_ option: CURLoption, _ value: Int) throws(CurlFailure) {
        try check(ccurl_set_long(pointer, option, value))
    }
    func set(_ option: CURLoption, offset value: Int) throws(CurlFailure) {
        try check(ccurl_set_offset(pointer, option, curl_off_t(value)))
    }
    func set(_ option: CURLoption, _ value: String) throws(CurlFailure) {
        try check(ccurl_set_string(pointer, option, value))
    }
    func set(_ option: CURLoption, pointer value: UnsafeMutableRawPointer?) throws(CurlFailure) {
        try check(ccurl_set_pointer(pointer, option, value))
    }
    func set(fields lines: [String]) throws(CurlFailure) {
        try check(ccurl_set_list(pointer, CURLOPT_HTTPHEADER, fields.write(lines)))
    }
    func set(addresses lines: [String]) throws(CurlFailure) {
        try check(ccurl_set_list(pointer, CURLOPT_RESOLVE, addresses.write(lines)))
    }
    func set(_ option: CURLoption, function: curl_write_callback) throws(CurlFailure) {
        try check(ccurl_set_data_function(pointer, option, function))
    }
    func set(_ option: CURLoption, socketFunction: curl_opensocket_callback) throws(CurlFailure) {
        try check(ccurl_set_socket_function(pointer, option, socketFunction))
    }
    func clear(_ option: CURLoption) throws(CurlFailure) { try check(ccurl_set_pointer(pointer, option, nil)) }

    func long(_ info: CURLINFO) -> Int {
        var value = 0
        return ccurl_get_long(pointer, info, &value) == CURLE_OK ? value : 0
    }
    func offset(_ info: CURLINFO) -> Int {
        var value: curl_off_t = 0
        return ccurl_get_offset(pointer, info, &value) == CURLE_OK ? Int(value) : 0
    }

    private func check(_ code: CURLcode) throws(CurlFailure) { if code != CURLE_OK { throw CurlFailure(code: code) } }
}

/// A list of strings as libcurl reads it, in two blocks of memory that serve one transfer after another.
private struct CurlList: ~Copyable {
    private var text = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 512)
    private var nodes = UnsafeMutableBufferPointer<curl_slist>.allocate(capacity: 8)

    deinit {
        text.deallocate()
        nodes.deallocate()
    }

    /// What was written before is gone. `nil` is the empty list.
    mutating func write(_ lines: [String]) -> UnsafeMutablePointer<curl_slist>? {
        let textCount = lines.reduce(0) { $0 + $1.utf8.count + 1 }
        if textCount > text.count {
            text.deallocate()
            text = .allocate(capacity: 2 * textCount)
        }
        if lines.count > nodes.count {
            nodes.deallocate()
            nodes = .allocate(capacity: 2 * lines.count)
        }
        guard var end = text.baseAddress, let first = nodes.baseAddress, !lines.isEmpty else { return nil }
        for (index, line) in lines.enumerated() {
            let next = index + 1 < lines.count ? first + index + 1 : nil
            (first + index).initialize(to: curl_slist(data: end, next: next))
            let count = line.utf8.count + 1
            line.withCString { end.initialize(from: $0, count: count) }
            end += count
        }
        return first
    }
}
