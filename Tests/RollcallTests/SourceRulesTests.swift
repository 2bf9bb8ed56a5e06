import Foundation
import Testing

/// What must not be in `Sources`, whoever writes it. Each rule is shown to bite first.
@Suite(.timeLimit(.minutes(10))) struct SourceRulesTests {
    private struct File {
        /// Below `Sources`.
        var path: String
        var text: String
        var lines: [SourceText.Line]

        init(_ path: String, _ text: String) {
            self.path = path
            self.text = text
            lines = SourceText(text).lines
        }
    }

    /// One rule broken at one place: `Web/Routes.swift:12: try!`.
    private static func breaches(
        in files: [File], _ rule: (_ path: String, _ lines: [SourceText.Line], _ index: Int) -> String?
    ) -> [String] {
        files.flatMap { file in
            let (path, lines) = (file.path, file.lines)
            return lines.indices.compactMap { index in
                rule(path, lines, index).map { "\(path):\(index + 1): \($0)" }
            }
        }
    }

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Every Swift file below `Sources`.
    private static func sources() throws -> [File] {
        let folder = root.appending(path: "Sources").path()
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
            .sorted()
        #expect(paths.count > 150)
        return try paths.map { File($0, try String(contentsOfFile: folder + "/" + $0, encoding: .utf8)) }
    }

    private static func module(_ path: String) -> String { String(path.prefix { $0 != "/" }) }

    // MARK: Rules

    private static func forbidden(path: String, lines: [SourceText.Line], index: Int) -> String? {
        let code = lines[index].code
        // Regular expressions are slow in a debug build; most lines have none of it.
        guard ["!", "detached", "fatalError"].contains(where: { code.contains($0) }) else { return nil }
        for (name, pattern) in [
            ("Task.detached", /\bTask\s*\.\s*detached\b/), ("try!", /\btry!/), ("as!", /\bas!/),
            ("fatalError", /\bfatalError\b/),
        ] where code.contains(pattern) {
            return name
        }
        return nil
    }

    /// Programs may print; `Rollcall` does so in its commands alone.
    private static func prints(path: String, lines: [SourceText.Line], index: Int) -> String? {
        let mayPrint = [
            "Rollcall/Commands/", "TransferBenchmark/", "FreshnessBenchmark/", "SimulatedDay/", "EmbedFilesTool/",
        ]
        guard !mayPrint.contains(where: { path.hasPrefix($0) }) else { return nil }
        guard ["rint(", "dump("].contains(where: { lines[index].code.contains($0) }) else { return nil }
        return lines[index].code.contains(/(^|[^\w.])(Swift\.)?(debugPrint|print|dump)\(/) ? "print" : nil
    }

    /// Explained on its own line, or shortly before: a statement may begin two lines above.
    private static func silentFailure(path: String, lines: [SourceText.Line], index: Int) -> String? {
        guard lines[index].code.contains("try?") else { return nil }
        return lines[max(0, index - 2)...index].contains { $0.hasComment } ? nil : "try? without a comment"
    }

    private static func unchecked(path: String, lines: [SourceText.Line], index: Int) -> String? {
        guard ["unchecked", "unsafe"].contains(where: { lines[index].code.contains($0) }),
            lines[index].code.contains(/@unchecked\s+Sendable|nonisolated\(unsafe\)/)
        else { return nil }
        return lines[max(0, index - 1)...index].contains { $0.hasComment } ? nil : "unchecked without a comment"
    }

    /// In comments and strings too.
    private static func unfinished(in files: [File]) -> [String] {
        files.flatMap { file in
            guard ["TODO", "FIXME", "XXX"].contains(where: { file.text.contains($0) }) else { return [String]() }
            return file.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
                .filter { $0.element.contains(/\b(TODO|FIXME|XXX)\b/) }.map {
                    "\(file.path):\($0.offset + 1): unfinished"
                }
        }
    }

    /// What is particular to a provider stands in its manifest.
    private static let providerNames = [
        "apple", "discord", "github", "gitlab", "google", "microsoft", "notion", "reddit", "slack", "spotify", "strava",
        "twitch", "twitter",
    ]

    private static func providerName(path: String, lines: [SourceText.Line], index: Int) -> String? {
        guard ["OAuth", "Linking", "Sync", "Store", "Web", "Transfer"].contains(module(path)) else { return nil }
        let text = lines[index].text.lowercased()
        // Regular expressions are slow in a debug build. `x` is no name that could be told from a letter.
        guard providerNames.contains(where: { text.contains($0) }) else { return nil }
        return text.split { !$0.isLetter && !$0.isNumber }.contains { providerNames.contains(String($0)) }
            ? "a provider's name" : nil
    }

    private static let standard: Set<String> = [
        "Foundation", "FoundationEssentials", "Glibc", "Synchronization", "_StringProcessing", "CCurl",
    ]
    /// Who may share a dependency, and why.
    private static let shared: [String: (modules: Set<String>, reason: String)] = [
        "Hummingbird": (
            ["Web", "ProviderSimulator"], "the simulator is a server of its own and shares no module with ours"
        ),
        "Crypto": (
            ["Cryptography", "ProviderSimulator"], "the simulator signs what Cryptography checks, so it must not use it"
        ),
        "CryptoExtras": (["Cryptography", "ProviderSimulator"], "as Crypto"),
        "Logging": (
            ["Linking", "Sync", "Web", "Rollcall", "ProviderSimulator", "FreshnessBenchmark", "SimulatedDay"],
            "the interface that libraries log to"
        ),
        "ServiceLifecycle": (["Sync", "Web", "Rollcall"], "the interface of what runs until it is told to stop"),
    ]

    private static func sharedDependencies(in files: [File]) -> [String] {
        let own = Set(files.map { module($0.path) })
        var importers: [String: Set<String>] = [:]
        for file in files {
            for line in file.lines where line.code.contains("import ") {
                let pattern =
                    /^\s*(?:@\w+\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/
                guard let name = line.code.firstMatch(of: pattern).map({ String($0.1) }) else { continue }
                if !own.contains(name), !standard.contains(name) {
                    importers[name, default: []].insert(module(file.path))
                }
            }
        }
        return importers.filter { $0.value.count > 1 }.compactMap { name, modules in
            let extra = modules.subtracting(shared[name]?.modules ?? [])
            return extra.isEmpty ? nil : "\(name) is imported by \(modules.sorted().joined(separator: ", "))"
        }.sorted()
    }

    // MARK: They bite

    private static func planted(_ text: String, at path: String = "Web/File.swift") -> [File] {
        [File(path, text)]
    }

    @Test(arguments: [
        "Task.detached { }", "let x = try! f()", "let x = y as! Int", "fatalError(\"x\")", "let s = \"\\(try! f())\"",
        "let s = #\"a\"#; try! f()", "f(\"http://x\"); try! g()", "/* a /* b */ c */ fatalError()",
    ])
    func `sees what is forbidden`(line: String) {
        #expect(Self.breaches(in: Self.planted("// one\n" + line), Self.forbidden).count == 1)
    }

    @Test(arguments: [
        "// try! and fatalError", "let s = \"try! \\\" as! fatalError\"", "/* fatalError() */ f()",
        "let a = \"\"\"\n  try! f()\n  \"\"\"",
        "let s = #\"try! \\(fatalError()\"#", "myTask.detachedX()", "f(\"\\(g(\"as!\"))\")", "struct fatalErrors {}",
    ])
    func `sees no code where there is none`(line: String) {
        #expect(Self.breaches(in: Self.planted(line), Self.forbidden) == [])
    }

    @Test func `sees a print outside of the commands`() {
        for line in ["print(x)", "  print(\"x\")", "{ print(1) }", "Swift.print(1)", "dump(x)", "debugPrint(x)"] {
            #expect(Self.breaches(in: Self.planted(line), Self.prints).count == 1, "\(line)")
            #expect(Self.breaches(in: Self.planted(line, at: "Rollcall/ServiceAssembly.swift"), Self.prints).count == 1)
            #expect(Self.breaches(in: Self.planted(line, at: "Rollcall/Commands/A.swift"), Self.prints) == [])
        }
        for line in ["fingerprint(x)", "page.print(x)", "// print(x)", "\"print(x)\""] {
            #expect(Self.breaches(in: Self.planted(line), Self.prints) == [], "\(line)")
        }
    }

    @Test func `sees a failure that is swallowed without a word`() {
        #expect(Self.breaches(in: Self.planted("let x = try? f()"), Self.silentFailure).count == 1)
        #expect(Self.breaches(in: Self.planted("// far away\n\n\nlet x = try? f()"), Self.silentFailure).count == 1)
        for text in ["let x = try? f()  // why", "// why\nlet x = try? f()", "// why\nguard a,\n    let x = try? f()"] {
            #expect(Self.breaches(in: Self.planted(text), Self.silentFailure) == [])
        }
    }

    @Test func `sees what takes itself out of the compiler's hands`() {
        for text in ["final class A: @unchecked Sendable {}", "nonisolated(unsafe) var a = 1"] {
            #expect(Self.breaches(in: Self.planted(text), Self.unchecked).count == 1)
            #expect(Self.breaches(in: Self.planted("/// why\n" + text), Self.unchecked) == [])
        }
    }

    @Test func `sees what was left for later`() {
        for text in ["// TODO: x", "/* FIXME */", "let a = \"TODO\""] {
            #expect(Self.unfinished(in: Self.planted(text)).count == 1)
        }
        #expect(Self.unfinished(in: Self.planted("let TODOs = 1")) == [])
    }

    @Test func `sees the name of a provider where none belongs`() {
        for text in [
            "if id == \"discord\" {}", "case \"github\":", "site == .google", "f(\"https://github.com\")",
            "name == \"Slack\"", "[.notion]",
        ] {
            #expect(Self.breaches(in: Self.planted(text), Self.providerName).count == 1)
            #expect(Self.breaches(in: Self.planted(text, at: "Providers/A.swift"), Self.providerName) == [])
        }
        #expect(Self.breaches(in: Self.planted("// as GitHub does"), Self.providerName) == [])
    }

    @Test func `sees a dependency in a second module`() {
        let files = [
            ("Store/A.swift", "import GRDB\nimport Accounts"), ("Web/B.swift", "package import struct GRDB.Row"),
            ("Accounts/C.swift", "import Foundation"), ("Linking/D.swift", "import Hummingbird\nimport Accounts"),
            ("Web/E.swift", "@preconcurrency import Hummingbird\nimport Foundation"),
        ].map { File($0.0, $0.1) }
        #expect(
            Self.sharedDependencies(in: files) == [
                "GRDB is imported by Store, Web", "Hummingbird is imported by Linking, Web",
            ])
    }

    // MARK: They hold

    @Test func `nothing in Sources breaks them`() throws {
        let files = try Self.sources()
        #expect(Self.breaches(in: files, Self.forbidden) == [])
        #expect(Self.breaches(in: files, Self.prints) == [])
        #expect(Self.breaches(in: files, Self.unchecked) == [])
        #expect(Self.breaches(in: files, Self.providerName) == [])
        #expect(Self.unfinished(in: files) == [])
        #expect(Self.sharedDependencies(in: files) == [])
        #expect(Self.breaches(in: files, Self.silentFailure) == [])
    }

    @Test func `every built-in provider has the claims that its answers must become`() throws {
        let manager = FileManager.default
        let manifests = try manager.contentsOfDirectory(atPath: Self.root.appending(path: "providers").path())
            .filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }
        #expect(manifests.count >= 4)
        for manifest in manifests {
            let claims = Self.root.appending(path: "Tests/ProvidersTests/Fixtures/\(manifest)/claims.json").path()
            #expect(manager.fileExists(atPath: claims), "providers/\(manifest).yaml has no claims.json")
        }
    }
}
