indirect enum ParsedExpression {
    case one(CharacterSet)
    case beginning
    case end
    case sequence([ParsedExpression])
    case alternatives([ParsedExpression])
    /// `most` is `nil` where there is no end.
    case repeated(ParsedExpression, least: Int, most: Int?)
}

/// The grammar of RFC 9485 §3. It has `^` and `$` among the plain characters, but translated as its §5 says they become
/// anchors, and so the compliance suite of JSONPath wants them: here they are anchors, and `\^` and `[$]` the characters.
struct RegularExpressionParser {
    private static let depthMax = 64

    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    static func parse(_ pattern: String) -> ParsedExpression? {
        var parser = RegularExpressionParser(text: Array(pattern.unicodeScalars))
        guard let parsed = parser.alternatives(), parser.position == parser.text.count else { return nil }
        return parsed
    }

    private init(text: [Unicode.Scalar]) { self.text = text }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard next == scalar else { return false }
        position += 1
        return true
    }

    private mutating func alternatives() -> ParsedExpression? {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthMax else { return nil }
        var branches: [ParsedExpression] = []
        repeat {
            var pieces: [ParsedExpression] = []
            while let scalar = next, scalar != "|", scalar != ")" {
                guard let piece = piece() else { return nil }
                pieces.append(piece)
            }
            branches.append(.sequence(pieces))
        } while take("|")
        return branches.count == 1 ? branches[0] : .alternatives(branches)
    }

    private mutating func piece() -> ParsedExpression? {
        guard let atom = atom() else { return nil }
        switch next {
        case "*":
            position += 1
            return .repeated(atom, least: 0, most: nil)
        case "+":
            position += 1
            return .repeated(atom, least: 1, most: nil)
        case "?":
            position += 1
            return .repeated(atom, least: 0, most: 1)
        case "{":
            position += 1
            guard let least = count() else { return nil }
            var most: Int? = least
            if take(",") {
                most = nil
                if next != "}" {
                    guard let written = count() else { return nil }
                    most = written
                }
            }
            guard take("}"), most ?? least >= least else { return nil }
            return .repeated(atom, least: least, most: most)
        default: return atom
        }
    }

    private mutating func count() -> Int? {
        var value: Int?
        while let scalar = next, ("0"..."9").contains(scalar) {
            value = min((value ?? 0) * 10 + Int(scalar.value - 0x30), 1_000_000)
            position += 1
        }
        return value
    }

    private mutating func atom() -> ParsedExpression? {
        guard let scalar = next else { return nil }
        position += 1
        switch scalar {
        case "(":
            guard let inner = alternatives(), take(")") else { return nil }
            return inner
        case "^": return .beginning
        case "$": return .end
        case ".": return .one(.anyButLineEnds)
        case "[": return characterClass().map(ParsedExpression.one)
        case "\\": return escape().map(ParsedExpression.one)
        case ")", "*", "+", "?", "]", "{", "|", "}": return nil
        default: return .one(CharacterSet(scalar))
        }
    }

    /// Behind `[`.
    private mutating func characterClass() -> CharacterSet? {
        var set = CharacterSet()
        set.isNegated = take("^")
        var isFirst = true
        while let scalar = next {
            switch scalar {
            case "]":
                position += 1
                return isFirst ? nil : set
            case "-":
                // Stands for itself at the beginning and at the end.
                position += 1
                guard isFirst || next == "]" else { return nil }
                set.insert("-"..."-")
            case "[": return nil
            default:
                guard let element = classElement() else { return nil }
                guard let low = element.onlyScalar else {
                    set.formUnion(element)
                    break
                }
                if next == "-", position + 1 < text.count, text[position + 1] != "]" {
                    position += 1
                    guard let high = classElement()?.onlyScalar, low <= high else { return nil }
                    set.insert(low...high)
                } else {
                    set.insert(low...low)
                }
            }
            isFirst = false
        }
        return nil
    }

    private mutating func classElement() -> CharacterSet? {
        guard let scalar = next else { return nil }
        position += 1
        switch scalar {
        case "\\": return escape()
        case "[", "]", "-": return nil
        default: return CharacterSet(scalar)
        }
    }

    /// Behind the backslash.
    private mutating func escape() -> CharacterSet? {
        guard let scalar = next else { return nil }
        position += 1
        switch scalar {
        case "(", ")", "*", "+", "-", ".", "?", "[", "\\", "]", "^", "{", "|", "}": return CharacterSet(scalar)
        case "n": return CharacterSet("\n")
        case "r": return CharacterSet("\r")
        case "t": return CharacterSet("\t")
        case "p", "P":
            guard take("{"), let end = text[position...].firstIndex(of: "}"), end - position <= 2 else { return nil }
            var name = ""
            name.unicodeScalars.append(contentsOf: text[position..<end])
            position = end + 1
            return CharacterSet(category: name, isComplement: scalar == "P")
        default: return nil
        }
    }
}
