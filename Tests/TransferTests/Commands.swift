import Foundation

struct CommandFailure: Error {
    var command: String
    var status: Int32
    var output: String
}

/// Runs a program of the system and returns what it wrote.
@discardableResult
func run(_ command: String, _ arguments: String...) throws -> Data {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [command] + arguments
    let output = Pipe()
    let errors = Pipe()
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    let message = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
        throw CommandFailure(
            command: ([command] + arguments).joined(separator: " "), status: process.terminationStatus,
            output: String(decoding: message, as: UTF8.self))
    }
    return data
}
