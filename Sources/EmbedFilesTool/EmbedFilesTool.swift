import Foundation

/// `EmbedFilesTool OUTPUT FILE…` writes a Swift file that holds the text of each FILE under its name.
@main struct EmbedFilesTool {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        var source = "/// Generated at build time from files of the repository.\nenum EmbeddedFiles {\n"
        source += "    static let all: [(name: String, text: String)] = [\n"
        for path in arguments.dropFirst() {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            // A raw literal of four marks: no file holds that delimiter, or the compiler says so.
            source += "(name: \"\(URL(filePath: path).lastPathComponent)\", text: ####\"\"\"\n\(text)\n\"\"\"####),\n"
        }
        source += "    ]\n}\n"
        try source.write(toFile: arguments.first ?? "/dev/stdout", atomically: true, encoding: .utf8)
    }
}
