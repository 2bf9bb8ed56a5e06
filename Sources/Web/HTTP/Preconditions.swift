import Accounts
import HTTPTypes
import Hummingbird

/// Conditional requests (RFC 9110 §13) and dates as HTTP writes them.
enum Preconditions {
    /// Whether the client already has what `etag` names: `If-None-Match` by weak comparison, and only without it
    /// `If-Modified-Since`.
    static func isNotModified(_ fields: HTTPFields, etag: String, lastModified: Timestamp) -> Bool {
        if let list = fields[.ifNoneMatch] { return matches(list, etag) }
        guard let since = fields[.ifModifiedSince].flatMap(Self.date) else { return false }
        return lastModified.secondsSinceEpoch <= since.secondsSinceEpoch
    }

    /// `list` is `*` or entity tags separated by commas, which may stand inside a tag as well.
    static func matches(_ list: String, _ etag: String) -> Bool {
        if list == etag || list == "*" { return true }
        var rest = list.utf8[...]
        while let open = rest.firstIndex(of: 0x22) {
            guard let close = rest[rest.index(after: open)...].firstIndex(of: 0x22) else { return false }
            if rest[open...close].elementsEqual(etag.utf8) { return true }
            rest = rest[rest.index(after: close)...]
        }
        return false
    }

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7). By hand: this stands in every profile that is read.
    static func text(_ time: Timestamp) -> String {
        let seconds = min(max(time.secondsSinceEpoch, 0), 253_402_300_799)
        let (day, second) = (Int(seconds / 86_400), Int(seconds % 86_400))
        // Days to a civil date, by eras of 400 years beginning in March.
        let shifted = day + 719_468
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = shifted / 146_097 * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        var text = days[day % 7]
        text.reserveCapacity(29)
        text += ", " + twoDigits(dayOfMonth) + " " + months[month - 1] + " "
        text += twoDigits(year / 100) + twoDigits(year % 100) + " " + twoDigits(second / 3600) + ":"
        text += twoDigits(second / 60 % 60) + ":" + twoDigits(second % 60) + " GMT"
        return text
    }

    /// The reverse, for the one form that anything sends today; older forms are as good as absent.
    static func date(_ text: String) -> Timestamp? {
        let parts = text.split { $0 == " " || $0 == ":" }
        guard parts.count == 8, parts[7] == "GMT", let day = Int64(parts[1]),
            let month = months.firstIndex(of: String(parts[2])),
            let year = Int64(parts[3]), let hour = Int64(parts[4]), let minute = Int64(parts[5]),
            let second = Int64(parts[6]), (1970...9999).contains(year), (1...31).contains(day),
            (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second)
        else { return nil }
        let shiftedYear = month < 2 ? year - 1 : year
        let era = shiftedYear / 400
        let yearOfEra = shiftedYear % 400
        let dayOfYear = (153 * Int64((month + 10) % 12) + 2) / 5 + day - 1
        let days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
        return Timestamp(secondsSinceEpoch: days * 86_400 + hour * 3600 + minute * 60 + second)
    }

    private static func twoDigits(_ number: Int) -> String {
        String(unsafeUninitializedCapacity: 2) { buffer in
            buffer[0] = 0x30 + UInt8(number / 10 % 10)
            buffer[1] = 0x30 + UInt8(number % 10)
            return 2
        }
    }
}

/// `Prefer: wait=N` (RFC 7240 §4.3).
enum Preferences {
    /// The longest that a request may wait, in seconds.
    static let waitMax = 60

    /// The seconds to wait, bounded; `nil` where nothing is preferred or it can't be read, for preferences are wishes.
    static func wait(_ fields: HTTPFields) -> Int? {
        for preference in fields[values: .prefer].flatMap({ $0.split(separator: ",") }) {
            let sides = preference.prefix { $0 != ";" }.split(separator: "=", maxSplits: 1)
                .map { $0.filter { $0 != " " && $0 != "\t" && $0 != "\"" } }
            if sides.count == 2, sides[0].lowercased() == "wait", let seconds = Int(sides[1]), seconds >= 0 {
                return min(seconds, waitMax)
            }
        }
        return nil
    }
}
