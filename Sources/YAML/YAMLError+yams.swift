import Yams

extension YAMLError {
    /// What libyaml and Yams complain of, with a place and something to do.
    init(_ error: YamlError, text: String, file: String) {
        switch error {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _):
            let place = SourcePlace(mark, file: file)
            let whole = context.map { " (\($0.text), which begins at \($0.mark))" } ?? ""
            self.init(place: place, reason: "\(problem)\(whole); \(Self.advice(for: problem))")
        case .composer(_, let problem, let mark, _):
            self.init(
                place: SourcePlace(mark, file: file),
                reason: problem.contains("alias")
                    ? "aliases (*name) are not read; repeat the value, or put quotes around text that begins with *"
                    : "a second document begins here; a file holds one, so remove the ---")
        case .reader(let problem, let offset, _, _):
            let position = offset.flatMap { text.index(text.startIndex, offsetBy: $0, limitedBy: text.endIndex) }
            self.init(
                place: SourcePlace(text, position ?? text.startIndex, file: file),
                reason: "\(problem); remove the character, or write it as an escape in double quotes")
        case .duplicatedKeysInMapping(_, let context):
            self = DuplicateKeySearch(text: text, file: file).error(first: context.mark)
        default:
            self.init(place: SourcePlace(nil, file: file), reason: "this can't be read as YAML")
        }
    }

    static func duplicateKey(_ name: String, first: SourcePlace, second: SourcePlace) -> YAMLError {
        YAMLError(
            place: second,
            reason: "the key '\(name)' stands at \(first.line):\(first.column) already; remove one of the two")
    }

    private static func advice(for problem: String) -> String {
        if problem.contains("cannot start any token") {
            return "indent with spaces rather than tabs, and put quotes around text that begins with @, ` or %"
        }
        if problem.contains("mapping values are not allowed") {
            return "put quotes around text that contains ': ', and check the indentation"
        }
        if problem.contains("unexpected end of stream") || problem.contains("expected ',' or") {
            return "close the quotes or brackets opened before"
        }
        if problem.contains("level") { return "flatten it" }
        return "check the indentation, the colons and the quotes there"
    }
}
