import Foundation
import TestSupport
import Testing

/// A few hours of the day that `SimulatedDay` runs in full: the program itself, for it takes over its process's tasks.
@Suite(.timeLimit(.minutes(10))) struct SimulatedDayTests {
    @Test func `security 64, 70: through a provider's limits at nearly all of its speed, and over none`() async throws {
        let tests = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let program = tests.deletingLastPathComponent().appending(path: "SimulatedDay").path()
        let outcome = try await ChildProgram.run(program, ["3000", "1", "7"], within: .seconds(600))
        #expect(outcome.status == 0 && outcome.output.contains("The day holds."), "\(outcome.output)")
    }
}
