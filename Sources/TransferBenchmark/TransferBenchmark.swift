import Glibc
import Synchronization
import Transfer

/// Makes transfers through `CurlTransport` and prints the processor time of each in microseconds: user and system, the
/// whole process. `Benchmarks/transfer/run` compares it with a C program.
///
///     TransferBenchmark URL TRANSFERS CONCURRENCY driver|pool
///
/// `driver`: tasks that prefer the driver's thread, no change of thread in between. `pool`: tasks on Swift's own threads,
/// as the service has them.
@main
struct TransferBenchmark {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 5, let count = Int(arguments[2]), let concurrency = Int(arguments[3]),
            ["driver", "pool"].contains(arguments[4])
        else { throw Failure(reason: "usage: TransferBenchmark URL TRANSFERS CONCURRENCY driver|pool") }
        let transport = try CurlTransport(
            OutgoingConfiguration(
                userAgent: "rollcall-benchmark/1", allowedPrivateHosts: ["127.0.0.1"],
                connectionsPerHostMax: concurrency))
        let executor = arguments[4] == "driver" ? transport.executor : nil
        try await run(transport, executor, url: arguments[1], count: count / 10, concurrency: concurrency)
        let before = processorMicroseconds()
        try await run(transport, executor, url: arguments[1], count: count, concurrency: concurrency)
        let thousandths = Int((processorMicroseconds() - before) / Double(count) * 1000)
        print("\(thousandths / 1000).\(String(thousandths % 1000 + 1000).dropFirst())")
        await transport.shutDown()
    }

    private static func run(
        _ transport: CurlTransport, _ executor: (any TaskExecutor)?, url: String, count: Int, concurrency: Int
    ) async throws {
        let left = Countdown(count)
        try await withThrowingTaskGroup { group in
            for _ in 0..<concurrency {
                group.addTask(executorPreference: executor) {
                    while left.take() {
                        let response = try await transport.send(
                            TransferRequest(
                                .get, url, fields: ["Accept": "application/json"],
                                credentials: [
                                    .init(
                                        name: "Authorization",
                                        value: "Bearer EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE")
                                ]))
                        guard response.status == 200, response.body.count == 1024 else {
                            throw Failure(reason: "\(response)")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private static func processorMicroseconds() -> Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }
}

private final class Countdown: Sendable {
    private let left: Atomic<Int>

    init(_ count: Int) { left = Atomic(count) }

    func take() -> Bool { left.subtract(1, ordering: .relaxed).newValue >= 0 }
}

private struct Failure: Error {
    let reason: String
}
