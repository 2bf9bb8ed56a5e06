import JSON

/// Where a node stands: a step from its parent, which nodes share.
final class Location: Sendable {
    enum Step: Hashable, Sendable {
        case name(ExactName)
        case index(Int)
    }

    private let parent: Location?
    private let step: Step

    init(_ step: Step, of parent: Location?) {
        self.step = step
        self.parent = parent
    }

    /// From the root on.
    var steps: [Step] {
        var steps = [step]
        var location = self
        while let parent = location.parent {
            steps.append(parent.step)
            location = parent
        }
        return steps.reversed()
    }

    /// RFC 9535 §2.7.
    var normalizedPath: String {
        var path = "$"
        for step in steps {
            switch step {
            case .index(let index): path += "[\(index)]"
            case .name(let name):
                path += "['"
                for scalar in name.text.unicodeScalars { path += Self.escaped(scalar) }
                path += "']"
            }
        }
        return path
    }

    private static func escaped(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case "'": return "\\'"
        case "\\": return "\\\\"
        case "\u{8}": return "\\b"
        case "\t": return "\\t"
        case "\n": return "\\n"
        case "\u{c}": return "\\f"
        case "\r": return "\\r"
        case _ where scalar.value < 0x20:
            let digits = String(scalar.value, radix: 16)
            return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: return String(scalar)
        }
    }
}
