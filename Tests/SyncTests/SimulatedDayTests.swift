import Foundation
import Testing

/// A few hours of the day that `SimulatedDay` runs in full: the program itself, for it takes over its process's tasks.
@Suite(.timeLimit(.minutes(10))) struct SimulatedDayTests {
    @Test func `security 64, 70: through a provider's limits at nearly all of its speed, and over none`() throws {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appending(path: "SimulatedDay")
        process.arguments = ["3000", "1", "7"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = String(decoding: try pipe.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(output)")
        #expect(output.contains("The day holds."))
    }
}
