/// Differences between documents as JSON Patch (RFC 6902).
package enum JSONPatch {
    /// The `add`, `remove` and `replace` operations that make `to` of `from`; an empty array where they are equal. One
    /// `replace` of the whole where their paths would take more than `to` itself and 64 KiB: each operation repeats the
    /// names on the way to its place, and many changes below one long name would make gigabytes.
    package static func difference(from: JSONValue, to: JSONValue) -> JSONValue {
        var difference = Difference(target: to)
        difference.append(from: from, to: to)
        if difference.isTooLong { return [["op": "replace", "path": "", "value": to]] }
        return .array(difference.operations)
    }
}

private struct Difference {
    private enum Step {
        case name(String)
        case index(Int)
    }

    private static let slack = 64 << 10
    /// What an operation takes besides its path and its value.
    private static let operationLength = 32

    private(set) var operations: [JSONValue] = []
    private(set) var isTooLong = false
    private let target: JSONValue
    private var place: [Step] = []
    /// In bytes. Values are not counted: each is a part of the target, and no part stands in two operations.
    private var length = 0
    private lazy var lengthMax = target.utf8.count + Self.slack

    init(target: JSONValue) { self.target = target }

    mutating func append(from: JSONValue, to: JSONValue) {
        switch (from, to) {
        case (.object(let before), .object(let after)):
            for (name, value) in before where !isTooLong {
                place.append(.name(name))
                if let newValue = after[name] { append(from: value, to: newValue) } else { append("remove") }
                place.removeLast()
            }
            for (name, value) in after where !isTooLong && before[name] == nil { append("add", at: .name(name), value) }
        case (.array(let before), .array(let after)): append(from: before, to: after)
        default: if from != to { append("replace", to) }
        }
    }

    /// What both ends share stays; of the elements between, those at the same place are compared and the rest added or
    /// removed. Not the shortest patch, but found in linear time.
    private mutating func append(from: [JSONValue], to: [JSONValue]) {
        let shorter = min(from.count, to.count)
        var start = 0
        while start < shorter, from[start] == to[start] { start += 1 }
        var end = 0
        while end < shorter - start, from[from.count - 1 - end] == to[to.count - 1 - end] { end += 1 }
        for index in start..<shorter - end where !isTooLong {
            place.append(.index(index))
            append(from: from[index], to: to[index])
            place.removeLast()
        }
        if from.count > to.count {
            for index in (shorter - end..<from.count - end).reversed() where !isTooLong {
                append("remove", at: .index(index))
            }
        } else {
            for index in shorter - end..<to.count - end where !isTooLong { append("add", at: .index(index), to[index]) }
        }
    }

    private mutating func append(_ operation: String, at step: Step, _ value: JSONValue? = nil) {
        place.append(step)
        append(operation, value)
        place.removeLast()
    }

    private mutating func append(_ operation: String, _ value: JSONValue? = nil) {
        let path = pointer
        length += path.utf8.count + Self.operationLength
        guard length <= Self.slack || length <= lengthMax else { return isTooLong = true }
        var members: JSONObject = ["op": .string(operation), "path": .string(path)]
        members["value"] = value
        operations.append(.object(members))
    }

    /// The place as a JSON Pointer (RFC 6901 §3).
    private var pointer: String {
        var pointer = ""
        for step in place {
            pointer += "/"
            switch step {
            case .index(let index): pointer += String(index)
            case .name(let name):
                for scalar in name.unicodeScalars {
                    switch scalar {
                    case "~": pointer += "~0"
                    case "/": pointer += "~1"
                    default: pointer.unicodeScalars.append(scalar)
                    }
                }
            }
        }
        return pointer
    }
}
