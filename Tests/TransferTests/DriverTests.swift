import Glibc
import Synchronization
import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(10))) struct DriverTests {
    private func silentServer() throws -> LoopbackServer {
        try LoopbackServer { connection in
            while let request = connection.readRequest() {
                if request.path == "/answer" { connection.write(.response("200 OK", [], "{}")) }
            }
        }
    }

    @Test func `returns at once when its task is cancelled, closes the connection and goes on`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport()
        let task = Task { await transport.failure(TransferRequest(.get, server.url("/hang"))) }
        await server.requests(atLeast: 1)
        task.cancel()
        // Not the time-out that would come in its place later.
        #expect(await task.value == .cancelled)
        await server.allClosed()
        #expect(try await transport.send(TransferRequest(.get, server.url("/answer"))).status == 200)
        #expect(transport.easyHandleCount == 1, "the handle went back to the pool")
    }

    @Test func `sends nothing for a task that is cancelled already`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport()
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return await transport.failure(TransferRequest(.get, server.url("/answer")))
        }
        #expect(await task.value == .cancelled)
        #expect(server.acceptedCount == 0)
    }

    @Test func `starts nothing that was cancelled on its way to the driver`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let configuration = OutgoingConfiguration(userAgent: "a", allowedPrivateHosts: ["127.0.0.1"])
        let policy = DestinationPolicy(allowedPrivateHosts: configuration.allowedPrivateHosts)
        let driver = try CurlDriver(CurlOptions(configuration: configuration, policy: policy, hostAddresses: []))
        let exchange = Exchange(
            method: .get, url: server.url("/answer"), destination: try policy.check(url: server.url()), lines: [],
            body: nil, connectMilliseconds: 1000, deadline: .now.advanced(by: .seconds(10)), bodyBytesMax: 1000,
            headerBytesMax: 1000)
        exchange.isCancelled.store(true, ordering: .relaxed)
        let result = await driver.perform(exchange)
        #expect(throws: TransferError.cancelled) { try result.get() }
        await driver.shutDown()
        #expect(server.acceptedCount == 0)
    }

    @Test func `survives cancellation at every moment`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport()
        await withTaskGroup { group in
            for number in 0..<300 {
                group.addTask {
                    let task = Task {
                        try? await transport.send(
                            TransferRequest(.get, server.url(number % 2 == 0 ? "/answer" : "/hang"))
                        ).status
                    }
                    for _ in 0..<number % 7 { await Task.yield() }
                    if number % 4 != 0 { task.cancel() }
                    let status = await task.value
                    if number % 4 == 0 { #expect(status == 200) }
                }
            }
        }
        #expect(try await transport.send(TransferRequest(.get, server.url("/answer"))).status == 200)
    }

    @Test func `ends everything under way when it shuts down and leaves nothing behind`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport(connectionsPerHostMax: 5)
        let tasks = (0..<20).map { _ in
            Task { await transport.failure(TransferRequest(.get, server.url("/hang"))) }
        }
        await server.requests(atLeast: 5)
        await transport.shutDown()
        for task in tasks { #expect(await task.value == .cancelled) }
        #expect(transport.easyHandleCount == 0)
        await server.allClosed()
        await transport.shutDown()
        #expect(await transport.failure(TransferRequest(.get, server.url("/answer"))) == .cancelled)
    }

    @Test func `shuts down for many callers at once, on its own executor too`() async throws {
        let transport = try makeTransport()
        let executor = transport.executor
        await withTaskGroup { group in
            for number in 0..<20 {
                if number % 2 == 0 {
                    group.addTask(executorPreference: executor) { await transport.shutDown() }
                } else {
                    group.addTask { await transport.shutDown() }
                }
            }
        }
        // Tasks that prefer an executor which is gone still run.
        let answer = await Task(executorPreference: executor) { 42 }.value
        #expect(answer == 42)
    }

    @Test func `frees its driver when it is let go without a word`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        var transport: CurlTransport? = try makeTransport()
        _ = try await transport?.send(TransferRequest(.get, server.url("/answer")))
        #expect(server.openCount == 1)
        transport = nil
        await server.allClosed()
        #expect(server.openCount == 0)
    }

    @Test func `resumes a task that prefers its executor on its own thread, without a hop`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport()
        let threads = await withTaskGroup { group in
            for _ in 0..<4 {
                group.addTask(executorPreference: transport.executor) {
                    var threads: Set<UInt> = []
                    for _ in 0..<25 {
                        threads.insert(currentThread())
                        let response = try? await transport.send(TransferRequest(.get, server.url("/answer")))
                        #expect(response?.status == 200)
                        threads.insert(currentThread())
                    }
                    return threads
                }
            }
            return await group.reduce(into: Set<UInt>()) { $0.formUnion($1) }
        }
        #expect(threads.count == 1)
        #expect(server.requests.count == 100)
    }

    @Test func `serves tasks on other executors`() async throws {
        let server = try silentServer()
        defer { server.stop() }
        let transport = try makeTransport()
        let statuses = await withTaskGroup { group in
            for _ in 0..<200 {
                group.addTask { try? await transport.send(TransferRequest(.get, server.url("/answer"))).status }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.allSatisfy { $0 == 200 })
        #expect(server.requests.count == 200)
    }
}

private func currentThread() -> UInt { UInt(pthread_self()) }
