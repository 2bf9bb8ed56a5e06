/// A secret that may pass through the program but never through a log line: description, debug output and reflection
/// all say `[redacted]`.
package struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let value: String

    package init(_ value: String) { self.value = value }

    /// Hands the raw value to the one call that must have it.
    package func reveal<Result, Failure: Error>(_ body: (String) throws(Failure) -> Result) throws(Failure) -> Result {
        try body(value)
    }

    package static func == (left: Self, right: Self) -> Bool { left.value.hasSameBytes(as: right.value) }
    package func hash(into hasher: inout Hasher) { hasher.combine(value) }

    package var isEmpty: Bool { value.isEmpty }
    package var description: String { "[redacted]" }
    package var debugDescription: String { "[redacted]" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
