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
    private var lists: [CURLoption.RawValue: UnsafeMutablePointer<curl_slist>?] = [:]

    init?() {
        guard let pointer = curl_easy_init() else { return nil }
        self.pointer = pointer
        errorBuffer = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorBuffer.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    }

    deinit {
        curl_easy_cleanup(pointer)
        for list in lists.values { curl_slist_free_all(list) }
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
    /// The list lives until the option is set again.
    func set(_ option: CURLoption, _ lines: [String]) throws(CurlFailure) {
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            guard let longer = curl_slist_append(list, line) else {
                curl_slist_free_all(list)
                throw CurlFailure(code: CURLE_OUT_OF_MEMORY)
            }
            list = longer
        }
        let code = ccurl_set_list(pointer, option, list)
        let previous = lists.updateValue(list, forKey: option.rawValue)
        curl_slist_free_all(previous ?? nil)
        try check(code)
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
