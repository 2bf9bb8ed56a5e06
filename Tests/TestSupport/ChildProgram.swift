import Glibc
import Synchronization

/// A program beside the tests, in its own process.
///
/// Not Foundation's `Process`: to close what is open it reads 256 bytes for each name in `/proc/self/fd`, past the end of
/// its buffer where there are more than some 1,300, as there are while all tests run side by side.
package final class ChildProgram: Sendable {
    /// What a finished program left.
    package struct Outcome: Sendable {
        /// The exit status, or the number of the signal that ended it.
        package var status: Int32
        package var bytes: [UInt8]
        package var errors: String
        /// Standard output.
        package var output: String { String(decoding: bytes, as: UTF8.self) }
    }

    package struct Failure: Error {
        package var call: String
        package var code: Int32
    }

    package let pid: Int32
    private let state = Mutex(State())

    private struct State {
        var status: Int32?
        var waiters: [CheckedContinuation<Int32, Never>] = []
    }

    /// - Parameters:
    ///   - program: a path, or a name to be looked for on the `PATH`.
    ///   - environment: all variables it has; the tests' own where absent.
    ///   - folder: its working directory.
    ///   - input: as `output` and `errors` a file descriptor that stays the caller's; nothing where absent.
    package init(
        _ program: String, _ arguments: [String], environment: [String: String]? = nil, folder: String? = nil,
        input: Int32? = nil, output: Int32? = nil, errors: Int32? = nil
    ) throws {
        pid = try Self.spawn(program, arguments, environment, folder, input, output, errors)
        try watch()
    }

    private static func spawn(
        _ program: String, _ arguments: [String], _ environment: [String: String]?, _ folder: String?,
        _ input: Int32?, _ output: Int32?, _ errors: Int32?
    ) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (place, descriptor) in [input, output, errors].enumerated() {
            if let descriptor {
                posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(place))
            } else {
                posix_spawn_file_actions_addopen(&actions, Int32(place), "/dev/null", O_RDWR, 0)
            }
        }

        if let folder { try Extension.folder.apply(folder, &actions) }
        try Extension.closing.apply(3, &actions)

        // The threads that tests run on hold signals back, and would hand that on.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var words = ([program] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        var variables = (environment ?? [:]).map { strdup("\($0)=\($1)") } + [nil]
        defer { variables.forEach { free($0) } }
        var pid: pid_t = 0
        let code =
            environment == nil
            ? posix_spawnp(&pid, program, &actions, &attributes, &words, environ)
            : posix_spawnp(&pid, program, &actions, &attributes, &words, &variables)
        guard code == 0 else { throw Failure(call: program, code: code) }
        return pid
    }

    /// Nothing to one that has ended: its number may be another's by then.
    package func signal(_ signal: Int32) {
        state.withLock { state in
            if state.status == nil { _ = kill(pid, signal) }
        }
    }

    /// The exit status, or the number of the signal that ended it.
    package func end() async -> Int32 {
        await withCheckedContinuation { continuation in
            let status: Int32? = state.withLock { state in
                if state.status == nil { state.waiters.append(continuation) }
                return state.status
            }
            if let status { continuation.resume(returning: status) }
        }
    }

    /// As above; one that does not end in time is killed, which shows in its status.
    package func end(within limit: Duration) async -> Int32 {
        let watch = Task {
            do { try await Task.sleep(for: limit) } catch { return }  // It has ended.
            signal(SIGKILL)
        }
        defer { watch.cancel() }
        return await end()
    }

    /// A thread that waits for it, so that no task has to.
    private func watch() throws {
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { child in
                guard let child else { return nil }
                Unmanaged<ChildProgram>.fromOpaque(child).takeRetainedValue().wait()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        guard code == 0 else { throw Failure(call: "pthread_create", code: code) }
        pthread_detach(thread)
    }

    private func wait() {
        let status = Self.status(of: pid)
        let waiters = state.withLock { state in
            state.status = status
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: status) }
    }

    private static func status(of pid: pid_t) -> Int32 {
        var ended: Int32 = 0
        while waitpid(pid, &ended, 0) < 0, errno == EINTR {}
        return ended & 0x7f == 0 ? (ended >> 8) & 0xff : ended & 0x7f
    }
}

extension ChildProgram {
    /// Runs to the end. A program that does not end in time is killed, which shows in its status.
    package static func run(
        _ program: String, _ arguments: [String], environment: [String: String]? = nil, folder: String? = nil,
        input: String = "", within limit: Duration = .seconds(60)
    ) async throws -> Outcome {
        let files = try (Scratch(input), Scratch(), Scratch())
        let child = try ChildProgram(
            program, arguments, environment: environment, folder: folder, input: files.0.descriptor,
            output: files.1.descriptor, errors: files.2.descriptor)
        return Outcome(status: await child.end(within: limit), files)
    }

    /// As above, for where nothing can be awaited.
    package static func runBlocking(_ program: String, _ arguments: [String]) throws -> Outcome {
        let files = try (Scratch(), Scratch(), Scratch())
        let pid = try spawn(
            program, arguments, nil, nil, files.0.descriptor, files.1.descriptor, files.2.descriptor)
        return Outcome(status: status(of: pid), files)
    }
}

extension ChildProgram.Outcome {
    fileprivate init(status: Int32, _ files: (Scratch, Scratch, Scratch)) {
        self.init(
            status: status, bytes: files.1.bytes(), errors: String(decoding: files.2.bytes(), as: UTF8.self))
    }
}

/// What glibc has beside POSIX, in headers that Swift does not see.
private enum Extension {
    struct Call<Value> {
        let name: String
        let call: (UnsafeMutablePointer<posix_spawn_file_actions_t>, Value) -> Int32

        func apply(_ value: Value, _ actions: UnsafeMutablePointer<posix_spawn_file_actions_t>) throws {
            let code = call(actions, value)
            guard code == 0 else { throw ChildProgram.Failure(call: name, code: code) }
        }
    }

    private typealias Actions = UnsafeMutablePointer<posix_spawn_file_actions_t>
    private typealias Folder = @convention(c) (Actions, UnsafePointer<CChar>) -> Int32
    private typealias Closing = @convention(c) (Actions, Int32) -> Int32

    /// Working directory.
    static var folder: Call<String> {
        get throws {
            let name = "posix_spawn_file_actions_addchdir_np"
            let call = unsafeBitCast(try symbol(name), to: Folder.self)
            return Call(name: name) { call($0, $1) }
        }
    }

    /// What a program is not given is not open in it, from that number on: the end of another's pipe, held by it, would
    /// never be seen closed.
    static var closing: Call<Int32> {
        get throws {
            let name = "posix_spawn_file_actions_addclosefrom_np"
            let call = unsafeBitCast(try symbol(name), to: Closing.self)
            return Call(name: name) { call($0, $1) }
        }
    }

    private static func symbol(_ name: String) throws -> UnsafeMutableRawPointer {
        guard let symbol = dlsym(nil, name) else { throw ChildProgram.Failure(call: name, code: ENOSYS) }
        return symbol
    }
}

/// A file without a name, gone with its last user.
private final class Scratch {
    private let file: UnsafeMutablePointer<FILE>
    var descriptor: Int32 { fileno(file) }

    init(_ text: String = "") throws {
        guard let file = tmpfile() else { throw ChildProgram.Failure(call: "tmpfile", code: errno) }
        self.file = file
        let bytes = Array(text.utf8)
        guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
            throw ChildProgram.Failure(call: "fwrite", code: errno)
        }
        rewind(file)
    }

    deinit { fclose(file) }

    func bytes() -> [UInt8] {
        rewind(file)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&piece, 1, piece.count, file), count > 0 { bytes += piece[..<count] }
        return bytes
    }
}
