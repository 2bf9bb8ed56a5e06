/// People who exist because they are asked for: the access token `EXAMPLE-bulk-<n>` is person *n* of any site, with
/// every scope, and the refresh token `EXAMPLE-bulk-refresh-<n>` renews it, rotating as `EXAMPLE-bulk-refresh-<n>-<k>`.
/// Nothing is stored of them, unless `remembersBulkTokens` asks for it, so that a hundred thousand accounts cost no more than one.
package enum BulkPerson {
    package static func accessToken(_ number: Int) -> String { "EXAMPLE-bulk-\(number)" }
    package static func refreshToken(_ number: Int) -> String { "EXAMPLE-bulk-refresh-\(number)" }

    /// The id of person `number` at `site`.
    package static func id(_ number: Int, site: SimulatedSite) -> String {
        switch site {
        case .discord: String(discordBase + number << 22)
        case .github: String(githubBase + number)
        case .google, .openID, .fixture: String(openIDPrefix + String(10_000_000_000 + number))
        }
    }

    static let bornAt: Int64 = 1_767_225_600_000
    private static let discordBase = 400_000_000_000_000_000
    private static let githubBase = 500_000_000
    private static let openIDPrefix = "2000000000"
    private static let tokenPrefix = "EXAMPLE-bulk-"
    private static let refreshPrefix = "EXAMPLE-bulk-refresh-"
    private static let numberMax = 9_999_999_999

    static func number(ofAccessToken token: String) -> Int? {
        guard token.hasPrefix(tokenPrefix) else { return nil }
        return number(token.dropFirst(tokenPrefix.count))
    }

    /// Person and step of the rotation.
    static func number(ofRefreshToken token: String) -> (number: Int, step: Int)? {
        guard token.hasPrefix(refreshPrefix) else { return nil }
        let parts = token.dropFirst(refreshPrefix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let number = number(first) else { return nil }
        if parts.count == 1 { return (number, 0) }
        return self.number(parts[1]).map { (number, $0) }
    }

    static func number(ofPerson id: String, site: SimulatedSite) -> Int? {
        guard let value = number(id[...], max: .max) else { return openIDNumber(id, site: site) }
        switch site {
        case .discord:
            let offset = value - discordBase
            return offset >= 0 && offset % (1 << 22) == 0 && offset >> 22 <= numberMax ? offset >> 22 : nil
        case .github: return value >= githubBase && value - githubBase <= numberMax ? value - githubBase : nil
        case .google, .openID, .fixture: return nil
        }
    }

    /// Person `number` after `generation` steps of the world: each step changes one in ten.
    static func person(_ number: Int, site: SimulatedSite, generation: Int) -> SimulatedPerson {
        let version = (generation + number % 10) / 10
        var person = SimulatedPerson(
            site: site, id: id(number, site: site), username: "bulk-\(number)",
            name: version == 0 ? "Bulk Person \(number)" : "Bulk Person \(number), version \(version)",
            email: "bulk-\(number)@example.com")
        var generator = SeededGenerator(seed: UInt64(number))
        person.avatar = hexadecimal(
            [generator.next(), UInt64(version)].flatMap { value in
                (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
            })
        return person
    }

    private static func openIDNumber(_ id: String, site: SimulatedSite) -> Int? {
        guard site != .discord, site != .github, id.hasPrefix(openIDPrefix) else { return nil }
        guard let value = number(id.dropFirst(openIDPrefix.count), max: .max), value >= 10_000_000_000 else {
            return nil
        }
        return value - 10_000_000_000
    }

    private static func number(_ text: Substring, max: Int = numberMax) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text).flatMap { $0 <= max ? $0 : nil }
    }
}
