import Accounts

/// What may stand at one place of a manifest. One table of shapes (`ManifestVocabulary`) drives the check of a file and
/// the JSON Schema that editors use, so that the two can't drift apart.
indirect enum Shape: Sendable {
    case text(TextRule)
    case flag
    case count(ClosedRange<Int>)
    case duration
    case choice([String])
    /// At least `atLeast` items.
    case list(Shape, atLeast: Int = 0)
    case map(names: TextRule, Shape)
    case record([Key])
    /// Tried by the kind of node; two records are told apart by the keys that are there.
    case either([Shape])

    struct Key: Sendable {
        var name: String
        var isRequired: Bool
        var shape: Shape
        /// For people, in editors.
        var meaning: String

        init(_ name: String, _ shape: Shape, required: Bool = false, _ meaning: String) {
            self.name = name
            self.shape = shape
            isRequired = required
            self.meaning = meaning
        }
    }

    /// For messages: what was expected.
    var expected: String {
        switch self {
        case .text(let rule): rule.expected
        case .flag: "true or false"
        case .count(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration: "a duration such as 50ms, 30s, 5m, 6h or 7d"
        case .choice(let values): values.count == 1 ? values[0] : "one of " + values.joined(separator: ", ")
        case .list(let item, _): "a list, each item \(item.expected)"
        case .map(let names, let value): "a mapping of \(names.expected) to \(value.expected)"
        case .record(let keys): "a mapping with \(keys.map(\.name).joined(separator: ", "))"
        case .either(let shapes): shapes.map(\.expected).joined(separator: ", or ")
        }
    }
}

/// What a text may be. `pattern` goes into the schema as it is; `accepts` may ask for more.
struct TextRule: Sendable {
    var expected: String
    var pattern: String
    var accepts: @Sendable (String) -> Bool

    init(_ expected: String, pattern: String, accepts: @escaping @Sendable (String) -> Bool) {
        self.expected = expected
        self.pattern = pattern
        self.accepts = accepts
    }
}

extension TextRule {
    static let line = TextRule("a text on one line", pattern: #"^[^\u0000-\u001f\u007f]{1,1000}$"#) {
        (1...1000).contains($0.unicodeScalars.count) && !$0.hasControlCharacters
    }

    /// Also what a tenant-like variable with a pattern usually is.
    static let id = TextRule(
        "lower-case letters, digits and hyphens, at most 63", pattern: "^[a-z0-9][a-z0-9-]{0,62}$"
    ) { text in
        (1...63).contains(text.utf8.count) && text.utf8.first != 0x2d
            && text.utf8.allSatisfy { ($0 | 0x20 == $0 && isLetter($0)) || isDigit($0) || $0 == 0x2d }
    }

    static let name = TextRule("a name such as user_emails", pattern: "^[a-z][a-z0-9_]{0,62}$") { text in
        (1...63).contains(text.utf8.count) && (0x61...0x7a).contains(text.utf8.first ?? 0)
            && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || isDigit($0) || $0 == 0x5f }
    }

    /// An absolute URL; more is checked once its variables have values.
    static let url = TextRule(
        "an https URL, in which {variable} stands for the variable's value", pattern: #"^(https?://|\{)[!-~]+$"#
    ) { text in
        URLTemplate(text) != nil && ["https://", "http://", "{"].contains { text.hasPrefix($0) }
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    static let page = TextRule("the https URL of a page", pattern: "^https?://[!-~]+$") {
        EndpointURL($0, allowing: .page) != nil
    }

    static let path = TextRule(
        #"a JSONPath (RFC 9535) such as $.user.name, quoted where YAML needs it"#, pattern: #"^\$"#
    ) {
        $0.hasPrefix("$")
    }

    static let scope = TextRule(
        "a scope: printable ASCII without spaces and quotes", pattern: #"^[!#-\[\]-~]+$"#
    ) {
        Scope($0) != nil
    }

    /// More is checked once its variables have values.
    static let resource = TextRule(
        "an absolute URI without a fragment, in which {variable} stands for the variable's value",
        pattern: #"^([A-Za-z][A-Za-z0-9+.-]*:|\{)[!-"$-~]+$"#
    ) { text in
        URLTemplate(text) != nil && (text.hasPrefix("{") || text.isAbsoluteURI)
            && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x23 }
    }

    static let fieldName = TextRule("the name of a header field", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$") {
        $0.isFieldName
    }

    static let fieldValue = TextRule("a header field's value: printable ASCII", pattern: "^[!-~]([ -~]*[!-~])?$") {
        text in
        !text.isEmpty && text.utf8.allSatisfy { (0x20...0x7e).contains($0) } && text.first != " " && text.last != " "
    }

    static let parameterName = TextRule("the name of a parameter", pattern: "^[A-Za-z0-9_.-]{1,100}$") { text in
        (1...100).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLetter($0) || isDigit($0) || $0 == 0x5f || $0 == 0x2e || $0 == 0x2d }
    }

    static let host = TextRule(
        "a host name in lower case, without scheme and port", pattern: #"^([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])$"#
    ) {
        EndpointURL("https://\($0)/", allowing: .page)?.host == $0
    }

    static let hostPattern = TextRule(
        "a host name in lower case, or *. and a domain for every host below it", pattern: #"^(\*\.)?[a-z0-9.-]{1,253}$"#
    ) { text in
        let domain = text.hasPrefix("*.") ? String(text.dropFirst(2)) : text
        // Every host below a top-level domain would be anybody's.
        return EndpointURL("https://\(domain)/", allowing: .page)?.host == domain
            && (domain == text || domain.contains("."))
    }

    static let mediaType = TextRule(
        "a media type in lower case without parameters, or the empty string for none",
        pattern: "^([a-z0-9.+-]+/[a-z0-9.+-]+)?$"
    ) { text in
        if text.isEmpty { return true }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 2
            && parts.allSatisfy {
                !$0.isEmpty
                    && $0.utf8.allSatisfy {
                        (0x61...0x7a).contains($0) || isDigit($0) || [0x2b, 0x2d, 0x2e].contains($0)
                    }
            }
    }
}

private func isLetter(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte | 0x20) }
private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

extension String {
    /// C0, C1 or delete.
    var hasControlCharacters: Bool {
        unicodeScalars.contains { $0.value < 0x20 || (0x7f...0x9f).contains($0.value) }
    }

    /// A scheme and something after it (RFC 3986 §4.3).
    var isAbsoluteURI: Bool {
        guard let colon = utf8.firstIndex(of: 0x3a), colon > utf8.startIndex, let first = utf8.first, isLetter(first),
            utf8.index(after: colon) < utf8.endIndex, !utf8.contains(0x23)
        else { return false }
        return utf8[..<colon].allSatisfy { isLetter($0) || isDigit($0) || "+.-".utf8.contains($0) }
            && utf8.allSatisfy { (0x21...0x7e).contains($0) }
    }

    /// A token of RFC 9110 §5.6.2, which a field name is.
    var isFieldName: Bool {
        (1...100).contains(utf8.count)
            && utf8.allSatisfy { isLetter($0) || isDigit($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
    }
}
