extension YAMLNode {
    package var isNull: Bool { if case .null = content { true } else { false } }

    /// The scalar as it was written, whether or not it could be a number: ids are often written without quotes.
    package var string: String? { if case .scalar(let text, _) = content { text } else { nil } }

    /// `true` or `false`, not in quotes; YAML 1.1's `yes`, `no`, `on` and `off` are strings.
    package var bool: Bool? {
        switch plainText {
        case "true", "True", "TRUE": true
        case "false", "False", "FALSE": false
        default: nil
        }
    }

    /// A decimal integer that fits, not in quotes; `nil` where a leading zero would make it octal to some readers.
    package var int: Int? {
        guard let text = plainText else { return nil }
        let digits = text.utf8.drop { $0 == 0x2b || $0 == 0x2d }
        return digits.first == 0x30 && digits.count > 1 ? nil : Int(text)
    }

    /// A finite decimal number, not in quotes.
    package var double: Double? {
        guard let text = plainText, let first = text.utf8.first(where: { $0 != 0x2b && $0 != 0x2d }),
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }),
            (0x30...0x39).contains(first) || first == 0x2e, let value = Double(text), value.isFinite
        else { return nil }
        return value
    }

    package var sequence: [YAMLNode]? { if case .sequence(let nodes) = content { nodes } else { nil } }

    package var mapping: [(key: YAMLNode, value: YAMLNode)]? {
        if case .mapping(let members) = content { members } else { nil }
    }

    /// A length of time with its unit, such as `50ms` or `6h`; see `Duration.init(configured:)`.
    package var duration: Duration? { plainText.flatMap(Duration.init(configured:)) }

    /// The value under that key; `nil` where there is none, or the node is no mapping.
    package subscript(key: String) -> YAMLNode? { mapping?.first { $0.key.string == key }?.value }

    /// The complaint that this node is something else than was expected: `expected true or false, found a mapping`.
    package func unexpected(expected: String) -> YAMLError {
        let found =
            switch content {
            case .null: "nothing"
            case .scalar(_, isPlain: true): "another value"
            case .scalar(_, isPlain: false): "a string"
            case .sequence: "a sequence"
            case .mapping: "a mapping"
            }
        return YAMLError(place: place, reason: "expected \(expected), found \(found)")
    }

    private var plainText: String? { if case .scalar(let text, isPlain: true) = content { text } else { nil } }
}

extension Duration {
    private static let units: KeyValuePairs<String, Int64> = [
        "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1,
    ]

    /// Reads a whole number with its unit: `50ms`, `1s`, `5m`, `6h`, `7d`. `nil` for anything else, and beyond
    /// 36500 days.
    package init?(configured text: String) {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        let unit = String(text.dropFirst(digits.count))
        guard !digits.isEmpty, let count = Int64(String(decoding: digits, as: UTF8.self)),
            let length = Self.units.first(where: { $0.key == unit })?.value
        else { return nil }
        let (milliseconds, overflow) = count.multipliedReportingOverflow(by: length)
        guard !overflow, milliseconds <= 36_500 * 86_400_000 else { return nil }
        self = .milliseconds(milliseconds)
    }

    /// As `init(configured:)` reads it, in the largest unit that is exact; parts of a millisecond are left out.
    package var configured: String {
        let milliseconds = Int64(clamping: attoseconds / 1_000_000_000_000_000)
        if milliseconds == 0 { return "0s" }
        let unit = Self.units.first { milliseconds % $0.value == 0 } ?? ("ms", 1)
        return "\(milliseconds / unit.value)\(unit.key)"
    }
}
