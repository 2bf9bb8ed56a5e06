import Synchronization

/// One hop, checked and ready for libcurl.
final class Exchange: Sendable {
    let method: Method
    let url: String
    let destination: Destination
    let lines: [String]
    let body: [UInt8]?
    let connectMilliseconds: Int
    let deadline: Monotonic
    let bodyBytesMax: Int
    let headerBytesMax: Int
    /// Set by the task that no longer waits for it.
    let isCancelled = Atomic<Bool>(false)

    init(
        method: Method, url: String, destination: Destination, lines: [String], body: [UInt8]?,
        connectMilliseconds: Int, deadline: Monotonic, bodyBytesMax: Int, headerBytesMax: Int
    ) {
        self.method = method
        self.url = url
        self.destination = destination
        self.lines = lines
        self.body = body
        self.connectMilliseconds = connectMilliseconds
        self.deadline = deadline
        self.bodyBytesMax = bodyBytesMax
        self.headerBytesMax = headerBytesMax
    }
}

/// An exchange and the task that waits for it.
struct Submission: Sendable {
    let exchange: Exchange
    let continuation: CheckedContinuation<Result<TransferResponse, TransferError>, Never>
}
