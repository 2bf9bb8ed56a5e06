import Foundation
import JSON
import Transfer

/// What real servers send, and hostile inputs kept from elsewhere: the fixtures of the other suites.
enum Samples {
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: Array(Data(contentsOf: tests.appending(path: path))))
    }

    /// Every recorded answer: its header fields as lines, and its body.
    static func answers() throws -> [(fields: String, body: [UInt8])] {
        var found: [(fields: String, body: [UInt8])] = []
        for folder in ["OAuthTests/Fixtures/providers", "ProvidersTests/Fixtures"] {
            let names = try FileManager.default.subpathsOfDirectory(atPath: tests.appending(path: folder).path())
            for name in names.sorted() where name.hasSuffix(".json") {
                let sample = try json("\(folder)/\(name)")
                let body = sample["body"]?.text ?? sample["body_text"]?.string ?? ""
                guard body.utf8.count <= 8 << 10, sample["status"] != nil else { continue }
                let fields = (sample["headers"]?.object ?? [:]).map { "\($0.name): \($0.value.string ?? "")" }
                found.append((fields.joined(separator: "\n"), Array(body.utf8)))
            }
        }
        return found
    }

    static func bodies() throws -> [[UInt8]] { try answers().map(\.body).filter { !$0.isEmpty } }

    static func texts(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    static func manifests() throws -> [[UInt8]] {
        let folder = tests.deletingLastPathComponent().appending(path: "providers")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path()).sorted()
        return try names.filter { $0.hasSuffix(".yaml") }.map {
            try Array(Data(contentsOf: folder.appending(path: $0)))
        }
    }
}

let jsonPieces = [
    "{", "}", "[", "]", ":", ",", "null", "true", "false", "\"\"", "{\"a\":", "[[", "\"\\u0000\"", "\"\\ud83d\"",
    "\"\\udc00\\ud800\"", "\"sub\":", "\"id\":", "\"__proto__\":", "\"a\":1,\"a\":2", "{}", "[]", "\\u202e", "/*",
    "NaN",
]
