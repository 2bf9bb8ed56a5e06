import Testing

@testable import Transfer

/// A transport that may reach the loopback servers of these tests.
func makeTransport(
    allowing hosts: Set<String> = ["127.0.0.1", "localhost"], caFile: String? = nil, proxy: String? = nil,
    configured addresses: [String] = [], connectionsPerHostMax: Int = 32, hostAddresses: [String] = []
) throws -> CurlTransport {
    try CurlTransport(
        OutgoingConfiguration(
            userAgent: "rollcall-tests/1", caFile: caFile, proxy: proxy, allowedPrivateHosts: hosts,
            configuredAddresses: addresses, connectionsPerHostMax: connectionsPerHostMax), hostAddresses: hostAddresses)
}

extension CurlTransport {
    /// The error that sending throws; `nil` where it does not.
    func failure(_ request: TransferRequest) async -> TransferError? {
        do throws(TransferError) {
            _ = try await send(request)
            return nil
        } catch { return error }
    }
}

extension String {
    /// An HTTP/1.1 response with a body.
    static func response(_ status: String = "200 OK", _ lines: [String] = [], _ body: String = "") -> String {
        (["HTTP/1.1 " + status, "Content-Length: \(body.utf8.count)"] + lines).joined(separator: "\r\n") + "\r\n\r\n"
            + body
    }
}
