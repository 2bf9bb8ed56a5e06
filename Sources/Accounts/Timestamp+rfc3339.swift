extension Timestamp {
    /// RFC 3339 in UTC with whole seconds, as every time in the HTTP interface: `2026-11-21T09:30:00Z`. Years before 1
    /// and after 9999 are written as the nearest instant that has four digits.
    package var rfc3339: String {
        let seconds = min(max(secondsSinceEpoch, -62_135_596_800), Self.distantFuture.secondsSinceEpoch)
        // Days from 0001-01-01, then whole cycles of the calendar: 400, 100, 4 years and one.
        var (days, time) = (seconds + 62_135_596_800).quotientAndRemainder(dividingBy: 86_400)
        let cycles = days / 146_097
        days %= 146_097
        let centuries = min(days / 36_524, 3)
        days -= centuries * 36_524
        let leapCycles = days / 1461
        days %= 1461
        let years = min(days / 365, 3)
        days -= years * 365
        let year = 400 * cycles + 100 * centuries + 4 * leapCycles + years + 1
        var month: Int64 = 1
        while days >= Self.days(in: month, of: year) {
            days -= Self.days(in: month, of: year)
            month += 1
        }
        var text: [UInt8] = []
        func write(_ number: Int64, digits: Int, _ separator: Unicode.Scalar) {
            var divisor = digits == 4 ? 1000 : 10 as Int64
            for _ in 0..<digits {
                text.append(UInt8(ascii: "0") + UInt8(number / divisor % 10))
                divisor /= 10
            }
            text.append(UInt8(ascii: separator))
        }
        write(year, digits: 4, "-")
        write(month, digits: 2, "-")
        write(days + 1, digits: 2, "T")
        write(time / 3600, digits: 2, ":")
        time %= 3600
        write(time / 60, digits: 2, ":")
        write(time % 60, digits: 2, "Z")
        return String(decoding: text, as: UTF8.self)
    }

    /// Reads RFC 3339 §5.6 with `Z` or an offset, with or without a fraction, of which milliseconds are kept; `nil`
    /// where it is anything else. A leap second counts as the next.
    package init?(rfc3339 text: String) {
        var reader = FieldReader(text: Array(text.utf8))
        guard let year = reader.number(digits: 4), year >= 1, reader.take("-"),
            let month = reader.number(digits: 2), (1...12).contains(month), reader.take("-"),
            let day = reader.number(digits: 2), (1...Self.days(in: month, of: year)).contains(day),
            reader.take("T") || reader.take("t"),
            let hour = reader.number(digits: 2), hour <= 23, reader.take(":"),
            let minute = reader.number(digits: 2), minute <= 59, reader.take(":"),
            let second = reader.number(digits: 2), second <= 60,
            let milliseconds = reader.milliseconds(), let offset = reader.offsetMinutes(), reader.isAtEnd
        else { return nil }
        let yearsBefore = year - 1
        var days = 365 * yearsBefore + yearsBefore / 4 - yearsBefore / 100 + yearsBefore / 400 + day - 1
        for earlier in 1..<month { days += Self.days(in: earlier, of: year) }
        let seconds = days * 86_400 - 62_135_596_800 + hour * 3600 + (minute - offset) * 60 + second
        millisecondsSinceEpoch = seconds * 1000 + milliseconds
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}

private struct FieldReader {
    let text: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == text.count }
    private var digit: Int64? {
        guard position < text.count, (0x30...0x39).contains(text[position]) else { return nil }
        return Int64(text[position] - 0x30)
    }

    mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard position < text.count, text[position] == UInt8(ascii: scalar) else { return false }
        position += 1
        return true
    }

    mutating func number(digits: Int) -> Int64? {
        var number: Int64 = 0
        for _ in 0..<digits {
            guard let digit else { return nil }
            number = number * 10 + digit
            position += 1
        }
        return number
    }

    /// Zero where there is no fraction, `nil` where one has no digits.
    mutating func milliseconds() -> Int64? {
        guard take(".") else { return 0 }
        guard digit != nil else { return nil }
        var milliseconds: Int64 = 0
        var weight: Int64 = 100
        while let digit {
            milliseconds += digit * weight
            weight /= 10
            position += 1
        }
        return milliseconds
    }

    mutating func offsetMinutes() -> Int64? {
        if take("Z") || take("z") { return 0 }
        let isWest = take("-")
        guard isWest || take("+"), let hours = number(digits: 2), hours <= 23, take(":"),
            let minutes = number(digits: 2), minutes <= 59
        else { return nil }
        return (isWest ? -1 : 1) * (hours * 60 + minutes)
    }
}
