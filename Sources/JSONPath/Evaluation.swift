import JSON

struct Node {
    let value: JSONValue
    /// `nil` at the root, and where places are not tracked.
    let location: Location?
}

/// One run of a query over a document.
struct Evaluation {
    private static let stepsMax = 1_000_000

    private let root: JSONValue
    private let tracksLocations: Bool
    private var stepsLeft = Self.stepsMax

    init(_ root: JSONValue, tracksLocations: Bool) {
        self.root = root
        self.tracksLocations = tracksLocations
    }

    /// What `query` selects; nothing once the run has taken too many steps.
    mutating func nodes(of query: Query, from current: JSONValue) -> [Node] {
        var nodes = [Node(value: query.isAbsolute ? root : current, location: nil)]
        for segment in query.segments {
            var selected: [Node] = []
            for node in nodes {
                if segment.isDescendant {
                    visitDescendants(of: node) { evaluation, node in
                        evaluation.select(segment.selectors, in: node, into: &selected)
                    }
                } else {
                    select(segment.selectors, in: node, into: &selected)
                }
                if stepsLeft <= 0 { return [] }
            }
            nodes = selected
        }
        return nodes
    }

    static func singleValue(of query: Query, in start: JSONValue) -> JSONValue? {
        var value = start
        for segment in query.segments {
            switch (segment.selectors[0], value) {
            case (.name(let name), .object(let object)):
                guard let member = object[name] else { return nil }
                value = member
            case (.index(let index), .array(let elements)):
                guard let position = elements.position(at: index) else { return nil }
                value = elements[position]
            default: return nil
            }
        }
        return value
    }

    /// The node itself and everything in it, each before its children. Without recursion: a document may be deep.
    private mutating func visitDescendants(of node: Node, _ visit: (inout Self, Node) -> Void) {
        var waiting = [node]
        while let node = waiting.popLast(), stepsLeft > 0 {
            stepsLeft -= 1
            visit(&self, node)
            let firstChild = waiting.count
            appendChildren(of: node, to: &waiting)
            waiting[firstChild...].reverse()
        }
    }

    private func child(_ value: JSONValue, _ step: @autoclosure () -> Location.Step, of parent: Node) -> Node {
        Node(value: value, location: tracksLocations ? Location(step(), of: parent.location) : nil)
    }

    private func appendChildren(of node: Node, to nodes: inout [Node]) {
        switch node.value {
        case .array(let elements):
            for (index, element) in elements.enumerated() { nodes.append(child(element, .index(index), of: node)) }
        case .object(let object):
            for (name, value) in object { nodes.append(child(value, .name(ExactName(name)), of: node)) }
        default: break
        }
    }

    private mutating func select(_ selectors: [Selector], in node: Node, into selected: inout [Node]) {
        for selector in selectors {
            let before = selected.count
            switch (selector, node.value) {
            case (.name(let name), .object(let object)):
                if let value = object[name] { selected.append(child(value, .name(ExactName(name)), of: node)) }
            case (.index(let index), .array(let elements)):
                if let position = elements.position(at: index) {
                    selected.append(child(elements[position], .index(position), of: node))
                }
            case (.wildcard, _): appendChildren(of: node, to: &selected)
            case (.slice(let start, let end, let step), .array(let elements)):
                for position in elements.positions(from: start, to: end, by: step) {
                    selected.append(child(elements[position], .index(position), of: node))
                }
            case (.filter(let expression), _):
                var children: [Node] = []
                appendChildren(of: node, to: &children)
                stepsLeft -= children.count
                for child in children where stepsLeft > 0 && holds(expression, for: child.value) {
                    selected.append(child)
                }
            default: break
            }
            stepsLeft -= 1 + selected.count - before
            if stepsLeft <= 0 { return }
        }
    }

    // MARK: Filters (RFC 9535 §2.3.5)

    private mutating func holds(_ expression: LogicalExpression, for current: JSONValue) -> Bool {
        stepsLeft -= 1
        switch expression {
        case .any(let terms):
            for term in terms where holds(term, for: current) { return true }
            return false
        case .all(let factors):
            for factor in factors where !holds(factor, for: current) { return false }
            return true
        case .not(let inner): return !holds(inner, for: current)
        case .existence(let query):
            if query.isSingular {
                return Self.singleValue(of: query, in: query.isAbsolute ? root : current) != nil
            }
            return !nodes(of: query, from: current).isEmpty
        case .comparison(let left, let comparison, let right):
            return holds(comparison, value(of: left, for: current), value(of: right, for: current))
        case .match(let test): return matches(test, for: current)
        }
    }

    private mutating func holds(_ comparison: ComparisonOperator, _ left: JSONValue?, _ right: JSONValue?) -> Bool {
        switch comparison {
        case .equal: areEqual(left, right)
        case .notEqual: !areEqual(left, right)
        case .less: isLess(left, right)
        case .greater: isLess(right, left)
        case .lessOrEqual: isLess(left, right) || areEqual(left, right)
        case .greaterOrEqual: isLess(right, left) || areEqual(left, right)
        }
    }

    /// As `==`, but counted: one comparison may be made for every element of a long list.
    private mutating func areEqual(_ left: JSONValue?, _ right: JSONValue?) -> Bool {
        stepsLeft -= 1
        switch (left, right) {
        case (.array(let left), .array(let right)):
            guard left.count == right.count else { return false }
            for (left, right) in zip(left, right) where stepsLeft <= 0 || !areEqual(left, right) { return false }
            return true
        case (.object(let left), .object(let right)):
            guard left.count == right.count else { return false }
            for (name, value) in left where stepsLeft <= 0 || !areEqual(value, right[name]) { return false }
            return true
        case (.string(let left), .string(let right)):
            stepsLeft -= min(left.utf8.count, right.utf8.count) / 64
            return .string(left) == .string(right) as JSONValue
        case (.number(let left), .number(let right)):
            countComparison(left, right)
            return left == right
        default: return left == right
        }
    }

    /// Numbers and strings have an order, nothing else; strings that of their scalars, which is that of their UTF-8.
    private mutating func isLess(_ left: JSONValue?, _ right: JSONValue?) -> Bool {
        stepsLeft -= 1
        switch (left, right) {
        case (.number(let left), .number(let right)):
            countComparison(left, right)
            return left < right
        case (.string(let left), .string(let right)):
            stepsLeft -= min(left.utf8.count, right.utf8.count) / 64
            return left.utf8.lexicographicallyPrecedes(right.utf8)
        default: return false
        }
    }

    /// The digits of both are walked, whichever is the longer, and that takes longer than comparing bytes: a document's
    /// number may be as long as the document.
    private mutating func countComparison(_ left: JSONNumber, _ right: JSONNumber) {
        stepsLeft -= max(left.text.utf8.count, right.text.utf8.count) / 16
    }

    /// `nil` is the RFC's `Nothing`, which equals itself alone.
    private mutating func value(of comparable: ComparableExpression, for current: JSONValue) -> JSONValue? {
        switch comparable {
        case .literal(let value): return value
        case .query(let query): return Self.singleValue(of: query, in: query.isAbsolute ? root : current)
        case .length(let argument):
            switch value(of: argument, for: current) {
            case .string(let text):
                stepsLeft -= text.utf8.count / 16
                return .number(JSONNumber(text.unicodeScalars.count))
            case .array(let elements): return .number(JSONNumber(elements.count))
            case .object(let object): return .number(JSONNumber(object.count))
            default: return nil
            }
        case .count(let query): return .number(JSONNumber(nodes(of: query, from: current).count))
        case .value(let query):
            let nodes = nodes(of: query, from: current)
            return nodes.count == 1 ? nodes[0].value : nil
        }
    }

    private mutating func matches(_ test: RegularExpressionTest, for current: JSONValue) -> Bool {
        guard case .string(let subject) = value(of: test.subject, for: current) else { return false }
        let expression: RegularExpression?
        switch test.pattern {
        case .compiled(let compiled): expression = compiled
        case .computed(let comparable):
            guard case .string(let pattern) = value(of: comparable, for: current) else { return false }
            expression = RegularExpression(pattern)
            stepsLeft -= pattern.utf8.count + (expression?.stateCount ?? RegularExpression.stateCountMax)
        }
        guard let expression else { return false }
        return expression.matches(subject, isWhole: test.isWhole, stepsLeft: &stepsLeft)
    }
}

extension Array {
    /// Where an index of a query points (RFC 9535 §2.3.3.2).
    fileprivate func position(at index: Int) -> Int? {
        let position = index >= 0 ? index : count + index
        return indices.contains(position) ? position : nil
    }

    /// RFC 9535 §2.3.4.2.2.
    fileprivate func positions(from start: Int?, to end: Int?, by step: Int) -> StrideTo<Int> {
        func normalized(_ index: Int) -> Int { index >= 0 ? index : count + index }
        if step > 0 {
            return stride(
                from: Swift.min(Swift.max(normalized(start ?? 0), 0), count),
                to: Swift.min(Swift.max(normalized(end ?? count), 0), count), by: step)
        }
        if step == 0 { return stride(from: 0, to: 0, by: 1) }
        return stride(
            from: Swift.min(Swift.max(start.map(normalized) ?? count - 1, -1), count - 1),
            to: Swift.min(Swift.max(end.map(normalized) ?? -1, -1), count - 1), by: step)
    }
}
