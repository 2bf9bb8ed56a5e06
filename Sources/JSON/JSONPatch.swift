/// Differences between documents as JSON Patch (RFC 6902).
package enum JSONPatch {
    /// The `add`, `remove` and `replace` operations that make `to` of `from`; an empty array where they are equal.
    package static func difference(from: JSONValue, to: JSONValue) -> JSONValue {
        var operations: [JSONValue] = []
        append(from: from, to: to, at: "", &operations)
        return .array(operations)
    }

    private static func append(from: JSONValue, to: JSONValue, at path: String, _ operations: inout [JSONValue]) {
        switch (from, to) {
        case (.object(let before), .object(let after)):
            for (name, value) in before {
                if let newValue = after[name] {
                    append(from: value, to: newValue, at: path + token(name), &operations)
                } else {
                    operations.append(["op": "remove", "path": .string(path + token(name))])
                }
            }
            for (name, value) in after where before[name] == nil {
                operations.append(["op": "add", "path": .string(path + token(name)), "value": value])
            }
        case (.array(let before), .array(let after)):
            append(from: before, to: after, at: path, &operations)
        default:
            if from != to { operations.append(["op": "replace", "path": .string(path), "value": to]) }
        }
    }

    /// What both ends share stays; of the elements between, those at the same place are compared and the rest added or
    /// removed. Not the shortest patch, but found in linear time.
    private static func append(
        from: [JSONValue], to: [JSONValue], at path: String, _ operations: inout [JSONValue]
    ) {
        let shorter = min(from.count, to.count)
        var start = 0
        while start < shorter, from[start] == to[start] { start += 1 }
        var end = 0
        while end < shorter - start, from[from.count - 1 - end] == to[to.count - 1 - end] { end += 1 }
        for index in start..<shorter - end {
            append(from: from[index], to: to[index], at: "\(path)/\(index)", &operations)
        }
        if from.count > to.count {
            for index in (shorter - end..<from.count - end).reversed() {
                operations.append(["op": "remove", "path": .string("\(path)/\(index)")])
            }
        } else {
            for index in shorter - end..<to.count - end {
                operations.append(["op": "add", "path": .string("\(path)/\(index)"), "value": to[index]])
            }
        }
    }

    /// One reference token of a JSON Pointer with its slash (RFC 6901 §3).
    private static func token(_ name: String) -> String {
        var token = "/"
        for scalar in name.unicodeScalars {
            switch scalar {
            case "~": token += "~0"
            case "/": token += "~1"
            default: token.unicodeScalars.append(scalar)
            }
        }
        return token
    }
}
