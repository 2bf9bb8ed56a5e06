/// A civil date in UTC, for the forms of time that the sites write.
struct CalendarTime {
    private let year: Int
    private let month: Int
    private let day: Int
    private let hour: Int
    private let minute: Int
    private let second: Int
    private let weekday: Int

    init(milliseconds: Int64) {
        let seconds = Int(milliseconds / 1000)
        let days = seconds / 86_400
        (hour, minute, second) = (seconds % 86_400 / 3600, seconds % 3600 / 60, seconds % 60)
        weekday = (days + 4) % 7
        // Days since 0000-03-01, in eras of 400 years (the proleptic Gregorian calendar).
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// RFC 9110 §5.6.7: `Fri, 20 Nov 2026 14:42:53 GMT`.
    var httpDate: String {
        let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return "\(weekdays[weekday]), \(two(day)) \(months[month - 1]) \(year) \(clock) GMT"
    }

    /// `2026-11-20T14:42:53`, without a zone.
    var iso8601: String { "\(year)-\(two(month))-\(two(day))T\(clock)" }

    private var clock: String { "\(two(hour)):\(two(minute)):\(two(second))" }
    private func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

/// Seconds with three digits of fraction, as Discord writes them.
func decimalSeconds(milliseconds: Int64) -> String {
    let fraction = String(1000 + milliseconds % 1000).dropFirst()
    return "\(milliseconds / 1000).\(fraction)"
}
