import FoundationEssentials
import JSON
import JSONPath
import Testing

/// The JSONPath Compliance Test Suite, read from `JSONPATH_CTS` or from `../shared/jsonpath/cts.json` beside the
/// package. It is not part of this repository; where it is absent the run says so, and the cases of this folder stand
/// alone.
struct ComplianceSuiteTests {
    @Test(arguments: ComplianceSuite.cases)
    func `agrees with the compliance suite`(_ expected: ComplianceSuite.Case) throws {
        if expected.isInvalid {
            #expect(throws: JSONPathError.self) { try JSONPath(expected.selector) }
            return
        }
        let path = try JSONPath(expected.selector)
        let document = try #require(expected.document)
        let values = path.values(in: document)
        let outcome = ComplianceSuite.Outcome(values: values, paths: path.locations(in: document))
        #expect(expected.outcomes.contains(outcome), "selected \(JSONValue.array(values).text) at \(outcome.paths)")
        // A normalized path is itself a query for its one node.
        for (value, location) in zip(values, outcome.paths) {
            #expect(try JSONPath(location).values(in: document) == [value])
        }
    }

    @Test func `says whether the compliance suite was found, and finds all of it`() {
        guard ComplianceSuite.exists else {
            if ComplianceSuite.isNamed { Issue.record("JSONPATH_CTS names no file: \(ComplianceSuite.path)") }
            print(
                """
                NOTE: the JSONPath compliance suite was not found at \(ComplianceSuite.path).
                      Only this package's own JSONPath cases were run. Set JSONPATH_CTS to the path of cts.json.
                """)
            return
        }
        #expect(ComplianceSuite.problem == nil)
        #expect(ComplianceSuite.cases.count >= 703)
        #expect(ComplianceSuite.cases.count { $0.isInvalid } >= 247)
    }
}

enum ComplianceSuite {
    struct Outcome: Equatable, Sendable {
        let values: [JSONValue]
        let paths: [String]
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let selector: String
        let isInvalid: Bool
        let document: JSONValue?
        let outcomes: [Outcome]

        var testDescription: String { name }

        init?(_ value: JSONValue) {
            guard let name = value["name"]?.string, let selector = value["selector"]?.string else { return nil }
            self.name = name
            self.selector = selector
            isInvalid = value["invalid_selector"]?.bool ?? false
            document = value["document"]
            let results = value["results"]?.array ?? value["result"].map { [$0] } ?? []
            let paths = value["results_paths"]?.array ?? value["result_paths"].map { [$0] } ?? []
            outcomes = zip(results, paths).map { result, paths in
                Outcome(values: result.array ?? [], paths: (paths.array ?? []).compactMap(\.string))
            }
            guard isInvalid || document != nil && !outcomes.isEmpty && results.count == paths.count else { return nil }
        }
    }

    /// Whether the environment says where it is: then it has to be there.
    static let isNamed = ProcessInfo.processInfo.environment["JSONPATH_CTS"] != nil

    static let path: String = {
        if let path = ProcessInfo.processInfo.environment["JSONPATH_CTS"] { return path }
        let packageRoot = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return "/\(packageRoot)/../shared/jsonpath/cts.json"
    }()

    static let exists = FileManager.default.fileExists(atPath: path)

    private static let loaded: (cases: [Case], problem: String?) = {
        guard exists else { return ([], nil) }
        guard let bytes = FileManager.default.contents(atPath: path) else { return ([], "can't be read") }
        do {
            let tests = try JSONValue(parsing: bytes)["tests"]?.array ?? []
            let cases = tests.compactMap(Case.init)
            return (cases, cases.count == tests.count ? nil : "\(tests.count - cases.count) cases can't be read")
        } catch {
            return ([], "\(error)")
        }
    }()

    static var cases: [Case] { loaded.cases }
    static var problem: String? { loaded.problem }
}
