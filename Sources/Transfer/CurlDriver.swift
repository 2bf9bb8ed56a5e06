import CCurl
import Glibc
import Synchronization

/// The thread that owns the multi handle. Other threads reach it through an inbox and wake it only when it sleeps.
final class CurlDriver: TaskExecutor {
    private struct Inbox {
        var work = Work()
        var isAsleep = false
        var isClosed = false
    }

    /// What other threads have left for the driver's.
    struct Work {
        var jobs: [UnownedJob] = []
        var submissions: [Submission] = []
        var cancellations: [Exchange] = []
        var stopsWith: [CheckedContinuation<Void, Never>] = []
        var isStopping = false

        var isEmpty: Bool { jobs.isEmpty && submissions.isEmpty && cancellations.isEmpty && !isStopping }
    }

    private let inbox = Mutex(Inbox())
    private let multi: CurlMulti
    private let options: CurlOptions
    private let easyHandles = EasyHandleCount()

    var easyHandleCount: Int { easyHandles.value.load(ordering: .relaxed) }

    init(_ options: CurlOptions) throws(OutgoingConfigurationError) {
        guard Self.globalResult == CURLE_OK else {
            throw .unavailable(reason: CurlFailure(code: Self.globalResult).reason)
        }
        let features = ccurl_version().pointee.features
        guard features & CURL_VERSION_SSL != 0, features & CURL_VERSION_ASYNCHDNS != 0 else {
            throw .unavailable(reason: "this libcurl lacks TLS or asynchronous name resolution")
        }
        guard let pointer = curl_multi_init() else { throw .unavailable(reason: "no memory") }
        multi = CurlMulti(pointer: pointer)
        self.options = options
        do throws(CurlFailure) {
            try options.apply(toMulti: multi)
            _ = try CurlTransfer(options: options)  // what a handle refuses is known now, not at the first transfer
        } catch {
            curl_multi_cleanup(pointer)
            throw .unavailable(reason: error.reason)
        }
        guard startThread() else {
            curl_multi_cleanup(pointer)
            throw .unavailable(reason: "no thread")
        }
    }

    private static let globalResult = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    private func startThread() -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let driver = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let result = pthread_create(
            &thread, &attributes,
            { driver in
                if let driver { Unmanaged<CurlDriver>.fromOpaque(driver).takeRetainedValue().run() }
                return nil
            }, driver.toOpaque())
        if result != 0 { driver.release() }
        return result == 0
    }

    // MARK: From any thread

    func perform(_ exchange: Exchange) async -> Result<TransferResponse, TransferError> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOpen = leave {
                    $0.submissions.append(Submission(exchange: exchange, continuation: continuation))
                }
                if !isOpen { continuation.resume(returning: .failure(.cancelled)) }
            }
        } onCancel: {
            // Set first: a submission that comes after the notice is cancelled by it alone.
            exchange.isCancelled.store(true, ordering: .releasing)
            leave { $0.cancellations.append(exchange) }
        }
    }

    func stop() { leave { $0.isStopping = true } }

    func shutDown() async {
        await withCheckedContinuation { continuation in
            let isOpen = leave {
                $0.isStopping = true
                $0.stopsWith.append(continuation)
            }
            if !isOpen { continuation.resume() }
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // A task may outlive the driver it prefers.
        if !leave({ $0.jobs.append(job) }) { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
    }

    /// False once the driver is gone, and nothing was left.
    @discardableResult
    private func leave(_ leave: (inout Work) -> Void) -> Bool {
        inbox.withLock { inbox in
            if inbox.isClosed { return false }
            leave(&inbox.work)
            if inbox.isAsleep {
                inbox.isAsleep = false
                curl_multi_wakeup(multi.pointer)  // under the lock: the handle lives as long as the inbox is open
            }
            return true
        }
    }

    // MARK: On the driver's thread

    private func run() {
        // libcurl is told not to touch signals, and a peer that closes must not end the process.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)

        let transfers = CurlTransfers(multi: multi, options: options, count: easyHandles)
        var work = Work()
        while !work.isStopping {
            // Jobs leave submissions and transfers leave jobs: a few rounds before the sockets are looked at again.
            var rounds = 0
            let began = Monotonic.now
            while rounds < 8, takeWork(&work) {
                for job in work.jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
                for submission in work.submissions { transfers.start(submission) }
                for exchange in work.cancellations { transfers.cancel(exchange) }
                rounds += 1
            }
            transfers.excuse(Monotonic.now.milliseconds - began.milliseconds)
            transfers.perform()
            if !work.isStopping, fallAsleep() { transfers.poll() }
        }
        close(transfers, work)
    }

    /// Swaps the inbox's work for the emptied `work`, whose storage is used again.
    private func takeWork(_ work: inout Work) -> Bool {
        work.jobs.removeAll(keepingCapacity: true)
        work.submissions.removeAll(keepingCapacity: true)
        work.cancellations.removeAll(keepingCapacity: true)
        if work.isStopping { return false }
        return inbox.withLock { inbox in
            inbox.isAsleep = false
            if inbox.work.isEmpty { return false }
            swap(&inbox.work, &work)
            return true
        }
    }

    private func fallAsleep() -> Bool {
        inbox.withLock { inbox in
            inbox.isAsleep = inbox.work.isEmpty
            return inbox.isAsleep
        }
    }

    private func close(_ transfers: CurlTransfers, _ stopping: Work) {
        transfers.cancelAll()
        let rest = inbox.withLock { inbox in
            inbox.isClosed = true
            let rest = inbox.work
            inbox.work = Work()
            return rest
        }
        transfers.close()
        for submission in rest.submissions { submission.continuation.resume(returning: .failure(.cancelled)) }
        for job in rest.jobs { globalConcurrentExecutor.enqueue(ExecutorJob(job)) }
        for continuation in stopping.stopsWith + rest.stopsWith { continuation.resume() }
    }
}
