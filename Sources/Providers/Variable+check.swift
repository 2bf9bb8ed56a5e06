import _StringProcessing

extension Manifest.Variable {
    /// Why the variable can't have that value, `nil` where it can.
    func problem(with value: String) -> String? {
        guard let pattern else {
            return EndpointURL.problem(with: value, allowing: .base)
        }
        return Self.problem(with: value, pattern: pattern)
    }

    /// Why a value can't be part of a host or a path.
    static func problem(with value: String, pattern: String) -> String? {
        // Whatever the pattern lets pass, the value must not reshape the URL that it becomes part of.
        let isPlain = value.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: true
            default: false
            }
        }
        guard isPlain, (1...253).contains(value.utf8.count), value != ".", value != ".." else {
            return "expected letters, digits and . _ ~ - alone"
        }
        return VariablePattern(pattern)?.matches(value) == true ? nil : "expected a value that matches \(pattern)"
    }
}

/// A manifest's regular expression for a whole value.
struct VariablePattern {
    private let regex: Regex<AnyRegexOutput>

    init?(_ pattern: String) {
        // The reason is of no use to an author: the compiler's words for it are about scalars and grammars.
        guard let regex = try? Regex(pattern) else { return nil }
        self.regex = regex
    }

    /// A match that fails counts as none.
    func matches(_ value: String) -> Bool { (try? regex.wholeMatch(in: value)) != nil }
}
