import JSON

/// Recursive descent over the grammar of RFC 9535 Appendix A, with the well-typedness of §2.4.3 checked on the way.
struct QueryParser {
    private static let lengthMax = 4096
    private static let depthMax = 64
    /// RFC 9535 §2.1: integers are those that a double holds exactly (RFC 7493).
    private static let integerMax = (1 << 53) - 1

    private let text: [Unicode.Scalar]
    private var position = 0
    private var depth = 0

    static func parse(_ text: String) throws(JSONPathError) -> Query {
        var parser = QueryParser(text: Array(text.unicodeScalars.prefix(lengthMax + 1)))
        if parser.text.count > lengthMax {
            throw JSONPathError(position: lengthMax, reason: "the query is longer than \(lengthMax) characters")
        }
        guard parser.take("$") else { throw parser.error("a query begins with '$'") }
        let query = try parser.query(isAbsolute: true)
        if parser.position < parser.text.count {
            throw parser.error("expected a segment: '.name', '[…]' or '..', or the end")
        }
        return query
    }

    private init(text: [Unicode.Scalar]) { self.text = text }

    // MARK: Characters

    private func error(_ reason: String, at place: Int? = nil) -> JSONPathError {
        JSONPathError(position: place ?? position, reason: reason)
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private func follows(_ expected: String) -> Bool {
        text[position...].starts(with: expected.unicodeScalars)
    }

    private mutating func take(_ expected: String) -> Bool {
        guard follows(expected) else { return false }
        position += expected.unicodeScalars.count
        return true
    }

    private mutating func expect(_ expected: String) throws(JSONPathError) {
        guard take(expected) else { throw error("expected '\(expected)'") }
    }

    private mutating func skipBlanks() {
        while let scalar = next, scalar == " " || scalar == "\t" || scalar == "\n" || scalar == "\r" { position += 1 }
    }

    private mutating func nested<Result>(
        _ body: (inout QueryParser) throws(JSONPathError) -> Result
    ) throws(JSONPathError) -> Result {
        depth += 1
        if depth > Self.depthMax { throw error("nested more than \(Self.depthMax) deep") }
        let result = try body(&self)
        depth -= 1
        return result
    }

    // MARK: Segments and selectors

    /// What follows `$` or `@`. Blanks before a segment belong to it; others are left to the caller.
    private mutating func query(isAbsolute: Bool) throws(JSONPathError) -> Query {
        var query = Query(isAbsolute: isAbsolute)
        while true {
            let end = position
            skipBlanks()
            if take("..") {
                let selectors = next == "[" ? try bracketed() : [try wildcardOrName()]
                query.segments.append(Segment(isDescendant: true, selectors: selectors))
            } else if take(".") {
                query.segments.append(Segment(isDescendant: false, selectors: [try wildcardOrName()]))
            } else if next == "[" {
                query.segments.append(Segment(isDescendant: false, selectors: try bracketed()))
            } else {
                position = end
                return query
            }
        }
    }

    private mutating func wildcardOrName() throws(JSONPathError) -> Selector {
        if take("*") { return .wildcard }
        let start = position
        while let scalar = next, scalar.isNameFirst || position > start && scalar.isDigit { position += 1 }
        if position == start { throw error("expected a member name or '*'") }
        return .name(string(from: start))
    }

    private func string(from start: Int) -> String {
        var result = String.UnicodeScalarView()
        result.append(contentsOf: text[start..<position])
        return String(result)
    }

    private mutating func bracketed() throws(JSONPathError) -> [Selector] {
        try expect("[")
        var selectors: [Selector] = []
        repeat {
            skipBlanks()
            selectors.append(try selector())
            skipBlanks()
        } while take(",")
        try expect("]")
        return selectors
    }

    private mutating func selector() throws(JSONPathError) -> Selector {
        switch next {
        case "*":
            position += 1
            return .wildcard
        case "'", "\"": return .name(try stringLiteral())
        case "?":
            position += 1
            skipBlanks()
            return .filter(try nested { parser throws(JSONPathError) in try parser.disjunction() })
        default: return try indexOrSlice()
        }
    }

    private mutating func indexOrSlice() throws(JSONPathError) -> Selector {
        let start = try integerIfAny()
        let afterStart = position
        skipBlanks()
        guard take(":") else {
            position = afterStart
            guard let start else { throw error("expected a name in quotes, an index, a slice, '*' or '?'") }
            return .index(start)
        }
        skipBlanks()
        let end = try integerIfAny()
        let afterEnd = position
        skipBlanks()
        guard take(":") else {
            position = afterEnd
            return .slice(start: start, end: end, step: 1)
        }
        let afterColon = position
        skipBlanks()
        guard let step = try integerIfAny() else {
            position = afterColon
            return .slice(start: start, end: end, step: 1)
        }
        return .slice(start: start, end: end, step: step)
    }

    private mutating func integerIfAny() throws(JSONPathError) -> Int? {
        guard let first = next, first == "-" || first.isDigit else { return nil }
        let start = position
        position += first == "-" ? 1 : 0
        let digits = position
        while let scalar = next, scalar.isDigit { position += 1 }
        guard position > digits else { throw error("expected a digit") }
        if text[digits] == "0", position - start > 1 {
            throw error("an integer has no leading zero, and no '-0'", at: start)
        }
        guard let value = Int(string(from: start)), value.magnitude <= Self.integerMax else {
            throw error("an integer is at most 2^53 - 1", at: start)
        }
        return value
    }

    // MARK: Filters

    private mutating func disjunction() throws(JSONPathError) -> LogicalExpression {
        var terms = [try conjunction()]
        while takeOperator("||") { terms.append(try conjunction()) }
        return terms.count == 1 ? terms[0] : .any(terms)
    }

    private mutating func conjunction() throws(JSONPathError) -> LogicalExpression {
        var factors = [try basic()]
        while takeOperator("&&") { factors.append(try basic()) }
        return factors.count == 1 ? factors[0] : .all(factors)
    }

    /// Blanks, the operator, blanks; or nothing at all.
    private mutating func takeOperator(_ expected: String) -> Bool {
        let start = position
        skipBlanks()
        guard take(expected) else {
            position = start
            return false
        }
        skipBlanks()
        return true
    }

    private mutating func basic() throws(JSONPathError) -> LogicalExpression {
        if next == "!" {
            position += 1
            skipBlanks()
            return .not(next == "(" ? try parenthesized() : try test(try operand()))
        }
        if next == "(" { return try parenthesized() }
        let left = try operand()
        let afterLeft = position
        skipBlanks()
        guard let comparison = ComparisonOperator.allCases.first(where: { follows($0.rawValue) }) else {
            position = afterLeft
            return try test(left)
        }
        position += comparison.rawValue.unicodeScalars.count
        skipBlanks()
        let leftValue = try comparable(left)
        return .comparison(leftValue, comparison, try comparable(try operand()))
    }

    private mutating func parenthesized() throws(JSONPathError) -> LogicalExpression {
        try expect("(")
        skipBlanks()
        let inner = try nested { parser throws(JSONPathError) in try parser.disjunction() }
        skipBlanks()
        try expect(")")
        return inner
    }

    /// What stands on either side of an operator, alone as a test, or as an argument of a function.
    private enum Operand {
        case literal(JSONValue)
        case query(Query)
        case value(ComparableExpression)
        case logical(LogicalExpression)
    }

    private mutating func operand() throws(JSONPathError) -> (operand: Operand, start: Int) {
        let start = position
        switch next {
        case "@", "$":
            position += 1
            return (.query(try query(isAbsolute: text[start] == "$")), start)
        case "'", "\"": return (.literal(.string(try stringLiteral())), start)
        case let scalar? where scalar == "-" || scalar.isDigit: return (.literal(.number(try numberLiteral())), start)
        case let scalar? where scalar.isLowercaseLetter:
            while let scalar = next, scalar.isLowercaseLetter || scalar == "_" || scalar.isDigit { position += 1 }
            let name = string(from: start)
            if next == "(" {
                let function = try nested { parser throws(JSONPathError) in try parser.function(name, at: start) }
                return (function, start)
            }
            switch name {
            case "true": return (.literal(.bool(true)), start)
            case "false": return (.literal(.bool(false)), start)
            case "null": return (.literal(.null), start)
            default: throw error("expected a literal, a query, or a function with its '('", at: start)
            }
        default: throw error("expected a comparison, a query, a function or '('")
        }
    }

    private func test(_ tested: (operand: Operand, start: Int)) throws(JSONPathError) -> LogicalExpression {
        switch tested.operand {
        case .query(let query): return .existence(query)
        case .logical(let expression): return expression
        case .literal: throw error("a literal is no test by itself; compare it", at: tested.start)
        case .value: throw error("the function's result is no test by itself; compare it", at: tested.start)
        }
    }

    private func comparable(_ compared: (operand: Operand, start: Int)) throws(JSONPathError) -> ComparableExpression {
        switch compared.operand {
        case .literal(let value): return .literal(value)
        case .value(let value): return value
        case .query(let query):
            guard query.isSingular else {
                throw error("this query may select several values, which can't be compared", at: compared.start)
            }
            return .query(query)
        case .logical: throw error("the function's result is true or false and can't be compared", at: compared.start)
        }
    }

    // MARK: Functions (RFC 9535 §2.4)

    private mutating func function(_ name: String, at start: Int) throws(JSONPathError) -> Operand {
        var arguments: [(operand: Operand, start: Int)] = []
        try expect("(")
        skipBlanks()
        if next != ")" {
            repeat {
                skipBlanks()
                arguments.append(try operand())
                skipBlanks()
            } while take(",")
        }
        try expect(")")
        let arity = ["length": 1, "count": 1, "value": 1, "match": 2, "search": 2]
        guard let expected = arity[name] else { throw error("there is no function '\(name)'", at: start) }
        guard arguments.count == expected else {
            throw error("'\(name)' takes \(expected == 1 ? "one argument" : "two arguments")", at: start)
        }
        switch name {
        case "length": return .value(.length(try comparable(arguments[0])))
        case "count": return .value(.count(try nodes(arguments[0])))
        case "value": return .value(.value(try nodes(arguments[0])))
        default:
            let pattern = try comparable(arguments[1])
            let subject = try comparable(arguments[0])
            let test = RegularExpressionTest(isWhole: name == "match", subject: subject, pattern: .init(pattern))
            return .logical(.match(test))
        }
    }

    private func nodes(_ argument: (operand: Operand, start: Int)) throws(JSONPathError) -> Query {
        guard case .query(let query) = argument.operand else {
            throw error("this function takes a query, not a value", at: argument.start)
        }
        return query
    }

    // MARK: Literals

    private mutating func numberLiteral() throws(JSONPathError) -> JSONNumber {
        let start = position
        while let scalar = next, scalar.isDigit || "+-.eE".unicodeScalars.contains(scalar) { position += 1 }
        guard let number = JSONNumber(string(from: start)) else { throw error("this is not a number", at: start) }
        return number
    }

    private mutating func stringLiteral() throws(JSONPathError) -> String {
        let start = position
        let quote = text[position]
        position += 1
        var result = String.UnicodeScalarView()
        while let scalar = next {
            position += 1
            switch scalar {
            case quote: return String(result)
            case "\\": result.append(try escape(quote: quote))
            case _ where scalar.value < 0x20: throw error("a control character must be escaped", at: position - 1)
            default: result.append(scalar)
            }
        }
        throw error("the string is not closed", at: start)
    }

    private mutating func escape(quote: Unicode.Scalar) throws(JSONPathError) -> Unicode.Scalar {
        let start = position - 1
        guard let scalar = next else { throw error("the string is not closed", at: start) }
        position += 1
        switch scalar {
        case quote, "\\", "/": return scalar
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            let unit = try hexadecimalUnit()
            if let scalar = Unicode.Scalar(unit) { return scalar }
            guard unit < 0xdc00, take("\\u") else { throw error("a surrogate without its other half", at: start) }
            let low = try hexadecimalUnit()
            guard (0xdc00...0xdfff).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (UInt32(unit) - 0xd800) << 10 + (UInt32(low) - 0xdc00))
            else { throw error("a surrogate without its other half", at: start) }
            return scalar
        default: throw error("an unknown escape", at: start)
        }
    }

    private mutating func hexadecimalUnit() throws(JSONPathError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let scalar = next, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
                throw error("expected four hexadecimal digits")
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }
}

extension Unicode.Scalar {
    fileprivate var isDigit: Bool { ("0"..."9").contains(self) }
    fileprivate var isLowercaseLetter: Bool { ("a"..."z").contains(self) }
    /// RFC 9535 §2.5.1.1, name-first.
    fileprivate var isNameFirst: Bool {
        isLowercaseLetter || ("A"..."Z").contains(self) || self == "_" || value >= 0x80
    }
}
