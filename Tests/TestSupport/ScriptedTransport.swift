import Synchronization
package import Transfer

/// A transport that answers from a script and remembers what was asked of it.
package final class ScriptedTransport: Transport {
    package typealias Answer = Result<TransferResponse, TransferError>
    package typealias Reply = @Sendable (TransferRequest) async -> Answer

    private struct State {
        var replies: [Reply] = []
        var requests: [TransferRequest] = []
    }

    private let state = Mutex(State())
    private let fallback: Reply

    /// `fallback` answers once the queued replies are used up; without one the test fails with a named error.
    package init(fallback: Reply? = nil) {
        self.fallback =
            fallback ?? { .failure(.invalidRequest(reason: "the script has no reply for \($0)")) }
    }

    package var requests: [TransferRequest] { state.withLock { $0.requests } }

    package func reply(_ reply: @escaping Reply) { state.withLock { $0.replies.append(reply) } }

    package func reply(_ status: Int, _ fields: HeaderFields = ["content-type": "application/json"], _ body: String) {
        reply { _ in .success(TransferResponse(status: status, fields: fields, body: Array(body.utf8))) }
    }

    package func fail(_ error: TransferError) { reply { _ in .failure(error) } }

    package func send(_ request: TransferRequest) async throws(TransferError) -> TransferResponse {
        let reply = state.withLock { state in
            state.requests.append(request)
            return state.replies.isEmpty ? fallback : state.replies.removeFirst()
        }
        return try await reply(request).get()
    }
}
