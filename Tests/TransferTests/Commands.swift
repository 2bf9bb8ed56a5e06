import TestSupport

struct CommandFailure: Error {
    var command: String
    var status: Int32
    var output: String
}

/// Runs a program of the system and returns what it wrote.
@discardableResult
func run(_ command: String, _ arguments: String...) throws -> [UInt8] {
    let outcome = try ChildProgram.runBlocking(command, arguments)
    guard outcome.status == 0 else {
        throw CommandFailure(
            command: ([command] + arguments).joined(separator: " "), status: outcome.status, output: outcome.errors)
    }
    return outcome.bytes
}
