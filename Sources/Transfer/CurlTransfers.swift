import CCurl
import Synchronization

/// The transfers under way and the pool of easy handles. Used on the driver's thread alone.
final class CurlTransfers {
    private let multi: CurlMulti
    private let options: CurlOptions
    private let count: EasyHandleCount
    private var running: [CurlTransfer] = []
    private var pool: [CurlTransfer] = []
    /// No later than the earliest deadline of those running.
    private var nextDeadline = Monotonic.distantFuture

    /// What a burst leaves beyond it is freed.
    private static let pooledCountMax = 256
    /// Milliseconds; less is nothing to a limit of seconds.
    private static let excusedMin = 50

    init(multi: CurlMulti, options: CurlOptions, count: EasyHandleCount) {
        self.multi = multi
        self.options = options
        self.count = count
    }

    func start(_ submission: Submission) {
        if submission.exchange.isCancelled.load(ordering: .acquiring) {
            return submission.continuation.resume(returning: .failure(.cancelled))
        }
        let transfer: CurlTransfer
        do throws(CurlFailure) {
            transfer = try take()
        } catch {  // no memory, and nothing sent
            let host = submission.exchange.destination.host
            return submission.continuation.resume(returning: .failure(.connectionFailed(host: host)))
        }
        transfer.place = running.count
        running.append(transfer)
        nextDeadline = min(nextDeadline, submission.exchange.deadline)
        do throws(CurlFailure) {
            try transfer.begin(submission)
            guard curl_multi_add_handle(multi.pointer, transfer.easy.pointer) == CURLM_OK else {
                throw CurlFailure(code: CURLE_OUT_OF_MEMORY)
            }
        } catch {
            end(transfer, .failure(.connectionFailed(host: submission.exchange.destination.host)))
        }
    }

    func cancel(_ exchange: Exchange) {
        guard let transfer = running.first(where: { $0.exchange === exchange }) else { return }
        end(transfer, .failure(.cancelled))
    }

    func cancelAll() {
        for transfer in running { end(transfer, .failure(.cancelled)) }
    }

    /// Moves every transfer as far as it goes without waiting, and ends those that are done or out of time.
    func perform() {
        var runningCount: Int32 = 0
        curl_multi_perform(multi.pointer, &runningCount)
        var left: Int32 = 0
        while let message = curl_multi_info_read(multi.pointer, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let transfer = CurlTransfer.of(easy)
            else { continue }
            end(transfer, transfer.result(ccurl_message_result(message)))
        }
        endOverdue()
    }

    /// The driver's thread was held up: what libcurl has not looked at meanwhile is not late. To be said before `perform`,
    /// for libcurl looks at the clock before it looks at the socket.
    func excuse(_ milliseconds: Int) {
        guard milliseconds >= Self.excusedMin else { return }
        for transfer in running { transfer.allowToConnect(longerBy: milliseconds) }
    }

    /// Waits for a socket, a timer of libcurl's, a deadline or `curl_multi_wakeup`.
    func poll() {
        let wait = nextDeadline.milliseconds.subtractingReportingOverflow(Monotonic.now.milliseconds).partialValue
        curl_multi_poll(multi.pointer, nil, 0, Int32(clamping: min(max(wait, 0), 60_000)), nil)
    }

    func close() {
        pool.removeAll()
        count.value.store(0, ordering: .relaxed)
        curl_multi_cleanup(multi.pointer)
    }

    private func take() throws(CurlFailure) -> CurlTransfer {
        if let pooled = pool.popLast() { return pooled }
        let transfer = try CurlTransfer(options: options)
        count.value.add(1, ordering: .relaxed)
        return transfer
    }

    /// Looks at every transfer, but only when the earliest deadline there was has come.
    private func endOverdue() {
        if nextDeadline == .distantFuture { return }
        let now = Monotonic.now
        if now < nextDeadline { return }
        for transfer in running where transfer.deadline <= now { end(transfer, .failure(transfer.timeOut)) }
        nextDeadline = running.reduce(.distantFuture) { min($0, $1.deadline) }
    }

    private func end(_ transfer: CurlTransfer, _ result: Result<TransferResponse, TransferError>) {
        curl_multi_remove_handle(multi.pointer, transfer.easy.pointer)
        let last = running.removeLast()
        if last !== transfer {
            last.place = transfer.place
            running[transfer.place] = last
        }
        if pool.count < Self.pooledCountMax {
            pool.append(transfer)
        } else {
            count.value.subtract(1, ordering: .relaxed)
        }
        transfer.finish(result)
    }
}

/// Easy handles alive.
final class EasyHandleCount: Sendable {
    let value = Atomic<Int>(0)
}
