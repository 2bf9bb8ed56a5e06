package import Accounts

/// A cached profile as the HTTP interface serves it.
package struct ProfileDocument: Sendable, Equatable {
    package var accountID: AccountID
    package var userID: UserID
    /// The whole JSON document, put together from stored JSON without decoding it.
    package var bytes: [UInt8]
    /// A strong entity tag with its quotes (RFC 9110 §8.8.3): it changes whenever the bytes do.
    package var etag: String
    package var version: Int64
    package var fetchedAt: Timestamp
    package var changedAt: Timestamp
}

/// One version in an account's history.
package struct ProfileVersion: Sendable, Equatable {
    package var version: Int64
    package var changedAt: Timestamp
    /// RFC 6902 over `{"claims": …, "raw": …}`, from the version before; `nil` for the first.
    package var patch: String?
}

package struct ProfileCache: Sendable {
    let connections: Connections

    /// Synchronous, a few microseconds: one prepared statement on a connection of its own. `nil` where there is no such
    /// account, or no profile yet.
    package func document(account id: AccountID) throws(StoreError) -> ProfileDocument? {
        try connections.readers.run(.documentByAccount, [id.rawValue], ProfileDocument.init).first
    }

    package func document(provider: ProviderID, subject: Subject) throws(StoreError) -> ProfileDocument? {
        try connections.readers.run(
            .documentBySubject, [provider.rawValue, subject.rawValue], ProfileDocument.init
        ).first
    }

    /// Newest first, for as long as the feed keeps changes; `after` is a `Page.next`.
    package func history(
        of id: AccountID, after: String? = nil, limit: Int
    ) async throws(StoreError) -> Page<ProfileVersion> {
        let before = try after.map { (text) throws(StoreError) in
            guard let sequence = Int64(text) else { throw .inconsistent("after: not a cursor of this list") }
            return sequence
        }
        return try await connections.read { transaction in
            let rows = try transaction.db.rows(
                """
                SELECT sequence, version, at, patch FROM change
                WHERE account_id = ? AND sequence < ? AND version IS NOT NULL ORDER BY sequence DESC LIMIT ?
                """, id, before ?? .max, limit + 1)
            let items = try rows.prefix(limit).map { row in
                ProfileVersion(version: try row.int64(1), changedAt: try row.time(2), patch: row.optionalText(3))
            }
            let next = rows.count > limit ? String(try rows[limit - 1].int64(0)) : nil
            return Page(items: items, next: next)
        }
    }
}

extension ProfileDocument {
    /// From the columns of `ReadStatement.documentByAccount`.
    init(_ row: borrowing ReadRow) throws(StoreError) {
        guard let id = AccountID(row.text(0)), let user = UserID(row.text(1)),
            let fetchedAt = row.optionalTime(4), let changedAt = row.optionalTime(6)
        else { throw .corrupt }
        let version = row.int64(5)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(row.withBytes(7) { $0.count } + row.withBytes(8) { $0.count } + 1024)
        bytes.append(contentsOf: #"{"account_id":""#.utf8)
        row.withBytes(0) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: #"","user_id":"#.utf8)
        row.withBytes(1) { appendJSONString($0, to: &bytes) }
        bytes.append(contentsOf: #","provider":"#.utf8)
        row.withBytes(2) { appendJSONString($0, to: &bytes) }
        bytes.append(contentsOf: #","subject":"#.utf8)
        row.withBytes(3) { appendJSONString($0, to: &bytes) }
        bytes.append(contentsOf: #","claims":"#.utf8)
        row.withBytes(7) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: #","raw":"#.utf8)
        row.withBytes(8) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: #","version":"#.utf8)
        bytes.append(contentsOf: String(version).utf8)
        bytes.append(contentsOf: #","fetched_at":""#.utf8)
        appendRFC3339(fetchedAt, to: &bytes)
        bytes.append(contentsOf: #"","changed_at":""#.utf8)
        appendRFC3339(changedAt, to: &bytes)
        bytes.append(contentsOf: #""}"#.utf8)
        // The account's id fixes user, provider and subject, the version fixes content and `changed_at`; the first digit
        // numbers the layout above.
        let etag =
            "\"1-\(id.rawValue.dropFirst(AccountKind.identifierPrefix.count))-\(version)-\(fetchedAt.secondsSinceEpoch)\""
        self.init(
            accountID: id, userID: user, bytes: bytes, etag: etag, version: version,
            fetchedAt: fetchedAt, changedAt: changedAt)
    }
}

/// Writes UTF-8 as a JSON string (RFC 8259 §7).
func appendJSONString(_ text: some Sequence<UInt8>, to bytes: inout [UInt8]) {
    bytes.append(0x22)
    for byte in text {
        switch byte {
        case 0x22, 0x5c:
            bytes.append(0x5c)
            bytes.append(byte)
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            bytes.append(contentsOf: [0x5c, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
        default: bytes.append(byte)
        }
    }
    bytes.append(0x22)
}

/// What `Timestamp.rfc3339` gives, many times faster (days to civil date after Howard Hinnant).
func appendRFC3339(_ time: Timestamp, to bytes: inout [UInt8]) {
    let seconds = min(max(time.secondsSinceEpoch, -62_135_596_800), 253_402_300_799)
    let days = seconds >= 0 ? seconds / 86_400 : -((86_399 - seconds) / 86_400)
    let second = seconds - days * 86_400
    // Years begin in March, eras have 400 years.
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    func append(_ value: Int64, digits: Int) {
        var divisor: Int64 = digits == 4 ? 1000 : 10
        while divisor > 0 {
            bytes.append(0x30 + UInt8(truncatingIfNeeded: value / divisor % 10))
            divisor /= 10
        }
    }
    append(year, digits: 4)
    bytes.append(0x2d)
    append(month, digits: 2)
    bytes.append(0x2d)
    append(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1, digits: 2)
    bytes.append(0x54)
    append(second / 3600, digits: 2)
    bytes.append(0x3a)
    append(second / 60 % 60, digits: 2)
    bytes.append(0x3a)
    append(second % 60, digits: 2)
    bytes.append(0x5a)
}
