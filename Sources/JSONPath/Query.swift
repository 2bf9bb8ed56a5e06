import JSON

/// A parsed query: RFC 9535 §2.1 in its own words.
struct Query: Sendable {
    /// Begins at `$` rather than at `@`.
    var isAbsolute: Bool
    var segments: [Segment] = []

    /// Selects at most one node (RFC 9535 §2.3.5.1), by its syntax alone.
    var isSingular: Bool { segments.allSatisfy { !$0.isDescendant && $0.singleSelector != nil } }
}

struct Segment: Sendable {
    var isDescendant: Bool
    var selectors: [Selector]

    /// The selector where it is the only one, and a name or an index.
    var singleSelector: Selector? {
        guard selectors.count == 1 else { return nil }
        switch selectors[0] {
        case .name, .index: return selectors[0]
        case .wildcard, .slice, .filter: return nil
        }
    }
}

enum Selector: Sendable {
    case name(String)
    case wildcard
    /// Counts from the end where negative.
    case index(Int)
    case slice(start: Int?, end: Int?, step: Int)
    case filter(LogicalExpression)
}

indirect enum LogicalExpression: Sendable {
    case any([LogicalExpression])
    case all([LogicalExpression])
    case not(LogicalExpression)
    case comparison(ComparableExpression, ComparisonOperator, ComparableExpression)
    case existence(Query)
    case match(RegularExpressionTest)
}

enum ComparisonOperator: String, Sendable, CaseIterable {
    // Longer ones first: the parser takes the first that fits.
    case equal = "=="
    case notEqual = "!="
    case lessOrEqual = "<="
    case greaterOrEqual = ">="
    case less = "<"
    case greater = ">"
}

/// What yields one value or `Nothing` (RFC 9535 §2.4.1, ValueType).
indirect enum ComparableExpression: Sendable {
    case literal(JSONValue)
    /// A singular query.
    case query(Query)
    case length(ComparableExpression)
    case count(Query)
    case value(Query)
}

/// `match` or `search` (RFC 9535 §2.4.6 and §2.4.7).
struct RegularExpressionTest: Sendable {
    /// `match`: the expression has to take the whole string.
    var isWhole: Bool
    var subject: ComparableExpression
    var pattern: Pattern

    enum Pattern: Sendable {
        /// A literal, compiled with the query; `nil` where it is no I-Regexp, which is no error but never matches.
        case compiled(RegularExpression?)
        case computed(ComparableExpression)

        init(_ source: ComparableExpression) {
            if case .literal(let literal) = source {
                self = .compiled(literal.string.flatMap(RegularExpression.init))
            } else {
                self = .computed(source)
            }
        }
    }
}
