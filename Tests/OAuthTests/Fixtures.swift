import Cryptography
import FoundationEssentials
import JSON
import Testing
import Transfer

/// The canned answers and hostile inputs beside this file.
enum Fixtures {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

    static func json(_ path: String) throws -> JSONValue {
        try JSONValue(parsing: [UInt8](Data(contentsOf: folder.appending(path: path))))
    }

    /// `cases` (or another array) of a file, by `name`.
    static func cases(_ path: String, _ member: String = "cases") throws -> [(name: String, case: JSONValue)] {
        try #require(try json(path)[member]?.array).map { (try #require($0["name"]?.string), $0) }
    }

    /// An answer recorded under `providers/`: status, header fields, and a body as JSON or as text.
    static func response(_ path: String) throws -> TransferResponse {
        let sample = try json("providers/\(path).json")
        var fields: HeaderFields = [:]
        for (name, value) in try #require(sample["headers"]?.object) {
            fields.append(name: name, value: try #require(value.string))
        }
        let body = sample["body_text"]?.string ?? sample["body"]?.text ?? ""
        let status = try #require(sample["status"]?.number?.int64)
        return TransferResponse(status: Int(status), fields: fields, body: Array(body.utf8))
    }

    static var recorded: [String] {
        get throws {
            let providers = folder.appending(path: "providers")
            return try FileManager.default.subpathsOfDirectory(atPath: providers.path)
                .filter { $0.hasSuffix(".json") }.map { String($0.dropLast(".json".count)) }.sorted()
        }
    }

    /// `@REPEAT:s:n@` stands for `s`, n times.
    static func expand(_ text: String) throws -> String {
        guard let start = text.firstRange(of: "@REPEAT:") else { return text }
        let rest = text[start.upperBound...]
        let end = try #require(rest.firstIndex(of: "@"))
        let parts = rest[..<end].split(separator: ":")
        try #require(parts.count == 2)
        let repeated = String(repeating: String(parts[0]), count: try #require(Int(parts[1])))
        return try expand(text[..<start.lowerBound] + repeated + rest[end...].dropFirst())
    }
}

extension TransferRequest {
    /// The body as the server would read it.
    var bodyText: String { String(decoding: body?.bytes ?? [], as: UTF8.self) }
    var authorization: String? { credentials.first { $0.name == "Authorization" }?.value }
}
