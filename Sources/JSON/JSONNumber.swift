/// A number as it was written. Equality and order are those of the exact decimal values: `1`, `1.0` and `10e-1` are
/// equal, `9007199254740993` and `9007199254740992` are not, though a double can't tell them apart.
package struct JSONNumber: Sendable, CustomStringConvertible {
    /// Valid by RFC 8259 §6.
    package let text: String

    init(validated text: String) { self.text = text }
    package init(_ value: Int64) { text = String(value) }
    package init(_ value: Int) { text = String(value) }

    /// `nil` where the text is not a number by RFC 8259 §6.
    package init?(_ text: String) {
        // Why it is none is of no interest.
        guard case .number(let number) = try? JSONValue(parsing: text), number.text == text else { return nil }
        self = number
    }

    /// Rounded to so many significant digits; `nil` where it is not finite.
    package init?(_ value: Double, digits: Int) {
        guard value.isFinite else { return nil }
        var unit = 1.0
        // Up or down to where the last digit that counts is the last before the point.
        var scaled = value
        while scaled.magnitude >= Self.tenTo(digits) { (scaled, unit) = (scaled / 10, unit * 10) }
        while value != 0, scaled.magnitude < Self.tenTo(digits - 1), unit > 1e-300 {
            (scaled, unit) = (scaled * 10, unit / 10)
        }
        let rounded = unit >= 1 ? scaled.rounded() * unit : scaled.rounded() / (1 / unit).rounded()
        let whole = Int64(exactly: rounded)
        text = whole.map(String.init) ?? "\(rounded)"
    }

    private static func tenTo(_ power: Int) -> Double { (0..<power).reduce(1) { value, _ in value * 10 } }

    package var description: String { text }
    /// Finite, or infinite where the text is beyond a double's range; never traps.
    package var double: Double { Double(text) ?? .infinity }
    /// Where the text is an integer that fits, without fraction or exponent.
    package var int64: Int64? { Int64(text) }
    /// The exact decimal string where the value is an integer written without fraction or exponent, whatever its size.
    package var integerText: String? {
        guard text.utf8.allSatisfy({ $0 == 0x2d || (0x30...0x39).contains($0) }) else { return nil }
        return text == "-0" ? "0" : text
    }
}

extension JSONNumber: Hashable, Comparable {
    package static func == (left: Self, right: Self) -> Bool {
        if left.text == right.text { return true }
        if let left = left.int64, let right = right.int64 { return left == right }
        return DecimalParts(left.text) == DecimalParts(right.text)
    }

    package static func < (left: Self, right: Self) -> Bool {
        if let left = left.int64, let right = right.int64 { return left < right }
        return DecimalParts(left.text) < DecimalParts(right.text)
    }

    /// Equal values have equal doubles.
    package func hash(into hasher: inout Hasher) { hasher.combine(double) }
}

/// A valid number's value: ± 0.digits × 10^exponent, the digits without zeros at either end, so that equal values have
/// equal parts.
private struct DecimalParts: Equatable, Comparable {
    var isNegative = false
    var digits: [UInt8] = []
    var exponent = 0

    /// Exponents beyond ±2^40 are taken for ±2^40.
    init(_ text: String) {
        let exponentMax = 1 << 40
        var pointAt: Int?
        var written = 0
        var isExponentNegative = false
        var isInExponent = false
        for byte in text.utf8 {
            switch byte {
            case 0x2d where isInExponent: isExponentNegative = true
            case 0x2d: isNegative = true
            case 0x2e: pointAt = digits.count
            case 0x45, 0x65: isInExponent = true
            case 0x30...0x39 where isInExponent: written = min(written * 10 + Int(byte - 0x30), exponentMax)
            case 0x30...0x39: digits.append(byte)
            default: break
            }
        }
        exponent = (pointAt ?? digits.count) + (isExponentNegative ? -written : written)
        let leadingZeros = digits.prefix { $0 == 0x30 }.count
        digits.removeFirst(leadingZeros)
        exponent -= leadingZeros
        while digits.last == 0x30 { digits.removeLast() }
        if digits.isEmpty {
            isNegative = false
            exponent = 0
        }
    }

    static func < (left: Self, right: Self) -> Bool {
        if left.isNegative != right.isNegative { return left.isNegative }
        return left.isNegative ? right.isCloserToZero(than: left) : left.isCloserToZero(than: right)
    }

    private func isCloserToZero(than other: Self) -> Bool {
        if digits.isEmpty || other.digits.isEmpty { return digits.isEmpty && !other.digits.isEmpty }
        if exponent != other.exponent { return exponent < other.exponent }
        return digits.lexicographicallyPrecedes(other.digits)
    }
}
