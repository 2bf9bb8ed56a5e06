import Foundation
import Testing

/// `docs/grants.md` names files and tests that there are.
@Suite(.timeLimit(.minutes(10))) struct GrantTableTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func names(below folder: String) throws -> Set<String> {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: root.appending(path: folder).path())
        return Set(paths.filter { $0.hasSuffix(".swift") }.map { URL(filePath: $0).lastPathComponent })
    }

    @Test func `every file and test that the tables name is there`() throws {
        let text = try String(contentsOf: Self.root.appending(path: "docs/grants.md"), encoding: .utf8)
        let sources = try Self.names(below: "Sources")
        let tests = try Self.names(below: "Tests")
        let files = text.matches(of: /`([A-Za-z+]+\.swift)`/).map { String($0.1) }
        let suites = text.matches(of: /`(\w+Tests)`/).map { String($0.1) + ".swift" }
        #expect(files.count >= 25 && suites.count >= 40)
        #expect(files.filter { !sources.contains($0) } == [])
        #expect(suites.filter { !tests.contains($0) } == [])
    }

    @Test func `no row is left without a file or a test but those that say why`() throws {
        let text = try String(contentsOf: Self.root.appending(path: "docs/grants.md"), encoding: .utf8)
        for line in text.split(separator: "\n") where line.hasPrefix("| ") && line.contains("Tests") {
            #expect(!line.contains("|  |") && !line.contains("to come"), "\(line)")
        }
    }
}
