import Foundation
import Testing

/// `docs/quirks.md` tells of every quirk, and of the tests that there really are.
@Suite(.timeLimit(.minutes(10))) struct QuirkTableTests {
    private struct Row {
        var how: String
        var simulator: String
        var tests: [String]

        var isOut: Bool { how.hasPrefix("out") }
    }

    /// How many of each kind there are: the table is of these and no others.
    private static let counts = [
        ("A", 18), ("B", 8), ("C", 19), ("D", 25), ("E", 18), ("F", 24), ("G", 12), ("R", 6), ("V", 1),
    ]

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func table() throws -> [(id: String, row: Row)] {
        let text = try String(contentsOf: root.appending(path: "docs/quirks.md"), encoding: .utf8)
        return text.split(separator: "\n").compactMap { line in
            // A pipe inside a cell is escaped.
            let cells = line.split(separator: " | ", omittingEmptySubsequences: false).map(String.init)
            guard cells.count == 4, let id = cells[0].wholeMatch(of: /\| ([A-Z]\d+)/)?.1 else { return nil }
            let tests = cells[3].matches(of: /`(\w+)`/).map { String($0.1) }
            return (String(id), Row(how: cells[1], simulator: cells[2], tests: tests))
        }
    }

    /// Test files by the ids in the names of their tests.
    private static func tests() throws -> [String: Set<String>] {
        let folder = root.appending(path: "Tests").path()
        var found: [String: Set<String>] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder) where path.hasSuffix(".swift") {
            let text = try String(contentsOfFile: folder + "/" + path, encoding: .utf8)
            guard text.contains("quirk ") else { continue }
            let file = URL(filePath: path).deletingPathExtension().lastPathComponent
            // Names of tests, in their backquotes: `security 41: quirk B8, D18: …`.
            let words = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            for name in words.components(separatedBy: "func `").dropFirst().map({ $0.prefix { $0 != "`" } }) {
                guard let start = name.firstRange(of: "quirk ") else { continue }
                for id in name[start.upperBound...].prefix(while: { $0 != ":" }).split(separator: ", ")
                where id.wholeMatch(of: /[A-Z]\d+/) != nil {
                    found[String(id), default: []].insert(file)
                }
            }
        }
        return found
    }

    @Test func `every quirk has its row, in order`() throws {
        let expected = Self.counts.flatMap { kind, count in (1...count).map { "\(kind)\($0)" } }
        #expect(try Self.table().map(\.id) == expected)
    }

    @Test func `a row names the tests that there are, and what is supported has one`() throws {
        let tests = try Self.tests()
        #expect(tests.count > 60)
        for (id, row) in try Self.table() {
            #expect(row.tests.allSatisfy { tests[id, default: []].contains($0) }, "\(id)")
            #expect(!row.how.isEmpty, "\(id)")
            #expect(row.isOut || !row.tests.isEmpty, "\(id)")
        }
        let ids = try Self.table().map(\.id)
        #expect(tests.keys.filter { !ids.contains($0) } == [])
    }

    @Test func `what is supported is played by a site, or by a switch that there is`() throws {
        let folder = Self.root.appending(path: "Sources/ProviderSimulator").path()
        let source = try FileManager.default.contentsOfDirectory(atPath: folder).map {
            try String(contentsOfFile: folder + "/" + $0, encoding: .utf8).lowercased()
        }.joined()
        for (id, row) in try Self.table() {
            #expect(row.isOut == (row.simulator == "–"), "\(id)")
            for name in row.simulator.matches(of: /`([A-Za-z_.]+)/).map(\.1) {
                let last = name.split(separator: ".").last.map { $0.lowercased() } ?? ""
                #expect(source.contains(last), "\(id): \(name)")
            }
        }
    }
}
