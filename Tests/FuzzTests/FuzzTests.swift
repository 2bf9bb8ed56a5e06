import Foundation
import Testing

/// Every parser that meets the outside, against inputs nobody would send on purpose: none crashes, none takes long, and
/// what must be true of every answer is true. Here a few thousand inputs each; `scripts/fuzz` runs millions of them under
/// the address sanitizer.
@Suite(.timeLimit(.minutes(10))) struct FuzzTests {
    /// `FUZZ_INPUTS` inputs for each parser; `FUZZ_SEED` makes other ones; `FUZZ_PARSER` names the only one to run;
    /// `FUZZ_TRACE` is a folder for the input under way, to be found there after a crash.
    private static let environment = ProcessInfo.processInfo.environment
    private static let seed = environment["FUZZ_SEED"].flatMap { UInt64($0) } ?? 20_261_121
    private static let parsers = Parsers.all.filter { parser in
        environment["FUZZ_PARSER"].map { $0.isEmpty || $0 == parser.name } ?? true
    }

    @Test(arguments: parsers) func `survives what nobody would send on purpose`(parser: FuzzedParser) throws {
        let inputs = Self.environment["FUZZ_INPUTS"].flatMap { Int($0) } ?? parser.smoke
        let trace = try Self.environment["FUZZ_TRACE"].map { try InputTrace(folder: $0, name: parser.name) }
        var mutation = Mutation(samples: try parser.samples(), pieces: parser.pieces, seed: Self.seed)
        let check = try parser.prepare()
        var accepted = 0
        var slowest = Duration.zero
        var findings = 0
        var done = 0
        let started = ContinuousClock.now
        for number in 0..<inputs where findings < 3 {
            let input = mutation.next()
            done += 1
            trace?.write(input)
            let began = ContinuousClock.now
            do {
                if try check(input) { accepted += 1 }
            } catch {
                findings += 1
                Issue.record("\(parser.name), input \(number) of seed \(Self.seed): \(error): \(Self.shown(input))")
            }
            let took = ContinuousClock.now - began
            if took > parser.timeMax {
                findings += 1
                Issue.record("\(parser.name), input \(number) of seed \(Self.seed) took \(took): \(Self.shown(input))")
            }
            slowest = max(slowest, took)
        }
        // A parser that takes nothing was asked nothing.
        #expect(accepted > 0, "\(parser.name): of \(inputs) inputs \(accepted) were taken")
        print(
            "fuzz: \(parser.name): \(done) inputs, \(accepted) taken, slowest \(slowest), in \(ContinuousClock.now - started)"
        )
    }

    private static func shown(_ input: [UInt8]) -> String {
        let text = String(decoding: input.prefix(300), as: UTF8.self).debugDescription
        return "\(input.count) bytes, base64 \(Data(input.prefix(3000)).base64EncodedString()), \(text)"
    }
}

struct FuzzedParser: Sendable, CustomTestStringConvertible {
    var name: String
    /// Inputs in an ordinary test run.
    var smoke = 1500
    var timeMax = Duration.seconds(2)
    var pieces: [String] = []
    var samples: @Sendable () throws -> [[UInt8]]
    /// Makes what the parser needs once; the closure returns whether the input was taken, and throws what must not be.
    var prepare: @Sendable () throws -> ([UInt8]) throws -> Bool

    var testDescription: String { name }
}

/// Something that must hold for every input, and does not.
struct Broken: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }

    static func unless(_ condition: Bool, _ what: @autoclosure () -> String) throws {
        if !condition { throw Broken(what()) }
    }
}

/// The input under way in a file that outlives the process: what it was that ended it.
private final class InputTrace {
    private static let size = 80 << 10
    private let memory: UnsafeMutableRawPointer

    init(folder: String, name: String) throws {
        let descriptor = open("\(folder)/\(name)", O_RDWR | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, off_t(Self.size)) == 0,
            let memory = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), memory != MAP_FAILED
        else { throw Broken("no trace in \(folder)") }
        close(descriptor)
        self.memory = memory
    }

    deinit { munmap(memory, Self.size) }

    func write(_ input: [UInt8]) {
        memory.storeBytes(of: UInt64(input.count), as: UInt64.self)
        input.withUnsafeBytes {
            memory.advanced(by: 8).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: $0.count)
        }
    }
}
