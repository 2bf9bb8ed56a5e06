package import Accounts
import Cryptography
import FoundationEssentials
import GRDB

/// Links by device code. What is to be done next is claimed under a lease: a device code has one poller, however many
/// processes look for work.
package struct DeviceLinkStore: Sendable {
    let connections: Connections

    /// More than anyone has open in earnest.
    package static let openPerUserMax = 16
    /// How long one can still be read after it ended.
    static let afterlife = Duration.seconds(3600)
    /// Nothing is put off longer: what seems to be was planned by a clock that was ahead.
    static let horizon = Duration.seconds(7200)

    /// A user has at most `openPerUserMax` pending ones: the oldest makes room.
    package func create(_ request: DeviceLinkRequest) async throws(StoreError) -> DeviceLink {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM device_link WHERE id IN (
                    SELECT id FROM device_link WHERE user_id = ? AND status = 'pending' ORDER BY id DESC
                    LIMIT 100 OFFSET ?)
                """, request.userID, Self.openPerUserMax - 1)
            let id: DeviceLinkID = transaction.newID()
            let place = Self.place("device_code", id, request.provider, request.userID)
            try transaction.db.run(
                """
                INSERT INTO device_link (id, user_id, user_label, provider, scopes, confirm, fingerprint, user_code,
                    verification_uri, verification_uri_complete, created_at, expires_at, interval, next_at, status,
                    key_id, device_code)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', ?, ?)
                """, id, request.userID, request.userLabel, request.provider, request.scopes, request.confirm,
                request.fingerprint, request.userCode, request.verificationURI, request.verificationURIComplete,
                transaction.now, request.expiresAt, request.interval.wholeMilliseconds,
                transaction.now + request.interval, transaction.ring.primary.id,
                transaction.ring.seal(request.deviceCode, at: place))
            guard let link = try transaction.deviceLink(id) else { throw StoreError.corrupt }
            return link
        }
    }

    /// Ended ones too, for a while.
    package func link(_ id: DeviceLinkID) async throws(StoreError) -> DeviceLink? {
        try await connections.read { try $0.deviceLink(id) }
    }

    /// Leases what is due, of `id` alone where one is given. A link whose code does not open has ended.
    package func claimDue(
        _ id: DeviceLinkID? = nil, owner: String, lease: Duration, limit: Int
    ) async throws(StoreError) -> [ClaimedDeviceLink] {
        try await connections.write { transaction in
            let now = transaction.now
            let rows = try transaction.db.rows(
                """
                UPDATE device_link SET lease_owner = ?1, lease_until = ?2
                WHERE id IN (
                    SELECT id FROM device_link
                    WHERE next_at IS NOT NULL AND (next_at <= ?3 OR next_at > ?5)
                        AND (lease_until <= ?3 OR lease_until > ?6) AND (?7 IS NULL OR id = ?7)
                    ORDER BY next_at LIMIT ?4)
                RETURNING id, provider, user_id, key_id, device_code
                """, owner, now + min(lease, Transaction.leaseMax), now, limit, now + Self.horizon,
                now + Transaction.leaseMax, id)
            return try rows.compactMap { row in
                let id: DeviceLinkID = try row.id(0)
                guard let link = try transaction.deviceLink(id) else { throw StoreError.corrupt }
                guard let sealed = row.optionalBytes(4) else {
                    return ClaimedDeviceLink(link: link, deviceCode: nil)
                }
                let place = Self.place("device_code", id, link.provider, link.userID)
                do {
                    let code = try transaction.ring.openSecret(sealed, keyID: row.text(3), at: place)
                    return ClaimedDeviceLink(link: link, deviceCode: code)
                } catch SealingError.unknownKey {
                    // A process with the newer key ring will open it.
                    return nil
                } catch {
                    try transaction.endDeviceLink(id, error: "server_error")
                    return nil
                }
            }.sorted { $0.link.id < $1.link.id }
        }
    }

    /// The answer was no answer yet: gives the lease back. Nothing where the link has ended meanwhile.
    package func postpone(
        _ id: DeviceLinkID, owner: String, to nextAt: Timestamp, interval: Duration
    ) async throws(StoreError) {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                UPDATE device_link SET next_at = ?, interval = ?, lease_owner = NULL, lease_until = 0
                WHERE id = ? AND lease_owner = ? AND status = 'pending'
                """, nextAt, interval.wholeMilliseconds, id, owner)
        }
    }

    /// Access was allowed: from now on the user has until `expiresAt` to confirm. False where the link has ended meanwhile.
    package func keep(
        _ grant: DeviceGrant, for id: DeviceLinkID, until expiresAt: Timestamp
    ) async throws(StoreError) -> Bool {
        try await connections.write { transaction in
            guard let link = try transaction.deviceLink(id), link.status == .pending else { return false }
            let bytes = Array(try JSONEncoder().encode(SealedGrant(grant)))
            let place = Self.place("granted", id, link.provider, link.userID)
            return try transaction.db.run(
                """
                UPDATE device_link SET status = 'confirmation_required', expires_at = ?2, next_at = ?2,
                    lease_owner = NULL, lease_until = 0, key_id = ?3, device_code = NULL, granted = ?4
                WHERE id = ?1
                """, id, expiresAt, transaction.ring.primary.id, transaction.ring.seal(bytes, at: place)) == 1
        }
    }

    /// What waits to be confirmed; `nil` where nothing does.
    package func grant(of id: DeviceLinkID) async throws(StoreError) -> DeviceGrant? {
        try await connections.read { try $0.deviceGrant(id) }
    }

    /// Ends one that is under way, with a stable code. Returns the tokens that waited.
    @discardableResult
    package func fail(_ id: DeviceLinkID, error: String) async throws(StoreError) -> DeviceGrant? {
        try await connections.write { transaction in
            // One that does not open is not worth keeping the link for.
            let grant = try? transaction.deviceGrant(id)
            try transaction.endDeviceLink(id, error: error)
            return grant
        }
    }

    /// Deletes a bounded number of those that ended an hour ago; returns how many.
    @discardableResult
    package func purgeExpired() async throws(StoreError) -> Int {
        try await connections.write { transaction in
            try transaction.db.run(
                """
                DELETE FROM device_link WHERE id IN (
                    SELECT id FROM device_link WHERE expires_at <= ? AND next_at IS NULL LIMIT 1000)
                """, transaction.now - Self.afterlife)
        }
    }

    static func place(
        _ column: String, _ id: DeviceLinkID, _ provider: ProviderID, _ user: UserID
    ) -> SealedPlace {
        SealedPlace(
            table: "device_link", column: column, row: id.rawValue, provider: provider.rawValue, user: user.rawValue)
    }
}

extension Transaction {
    func deviceLink(_ id: DeviceLinkID) throws -> DeviceLink? {
        let row = try db.first(
            """
            SELECT id, user_id, user_label, provider, scopes, confirm, fingerprint, user_code, verification_uri,
                verification_uri_complete, created_at, expires_at, interval, next_at, status, error, account_id
            FROM device_link WHERE id = ?
            """, id)
        guard let row else { return nil }
        return DeviceLink(
            id: try row.id(0), userID: try row.user(1), userLabel: row.optionalText(2), provider: try row.provider(3),
            scopes: try row.scopes(4), confirm: try row.bool(5), fingerprint: try row.text(6),
            userCode: try row.text(7), verificationURI: try row.text(8), verificationURIComplete: row.optionalText(9),
            createdAt: try row.time(10), expiresAt: try row.time(11), interval: .milliseconds(try row.int64(12)),
            nextAt: row.optionalTime(13), status: try row.word(14), error: row.optionalText(15),
            accountID: try row.optionalText(16).map { _ in try row.id(16) })
    }

    func deviceGrant(_ id: DeviceLinkID) throws -> DeviceGrant? {
        let row = try db.first("SELECT key_id, granted FROM device_link WHERE id = ? AND granted IS NOT NULL", id)
        guard let row, let link = try deviceLink(id) else { return nil }
        let place = DeviceLinkStore.place("granted", id, link.provider, link.userID)
        do {
            let bytes = try ring.open(row.bytes(1), keyID: row.text(0), at: place)
            return try JSONDecoder().decode(SealedGrant.self, from: Data(bytes)).grant
        } catch {
            throw StoreError.damaged("a device link")
        }
    }

    func endDeviceLink(_ id: DeviceLinkID, error: String) throws {
        try db.run(
            """
            UPDATE device_link SET status = 'failed', error = ?2, \(Self.deviceLinkEnds)
            WHERE id = ?1 AND next_at IS NOT NULL
            """, id, error)
    }

    /// One under way has brought an account; false where it had ended.
    func completeDeviceLink(_ id: DeviceLinkID, account: AccountID) throws {
        try db.run(
            "UPDATE device_link SET status = 'linked', account_id = ?2, \(Self.deviceLinkEnds) WHERE id = ?1", id,
            account)
    }

    private static let deviceLinkEnds =
        "next_at = NULL, lease_owner = NULL, lease_until = 0, key_id = NULL, device_code = NULL, granted = NULL"
}

/// What is sealed, as JSON.
private struct SealedGrant: Codable {
    var accessToken: String
    var tokenType: String
    var expiresAt: Int64?
    var refreshToken: String?
    var refreshTokenExpiresAt: Int64?
    var scopes: [String]
    var proofKey: String?
    var obtainedAt: Int64
    var subject: String
    var claims: String
    var raw: String

    init(_ grant: DeviceGrant) {
        let credential = grant.credential
        accessToken = credential.accessToken.reveal { $0 }
        tokenType = credential.tokenType
        expiresAt = credential.expiresAt?.millisecondsSinceEpoch
        refreshToken = credential.refreshToken?.reveal { $0 }
        refreshTokenExpiresAt = credential.refreshTokenExpiresAt?.millisecondsSinceEpoch
        scopes = credential.scopes.map(\.rawValue)
        proofKey = credential.proofKey?.reveal { $0 }
        obtainedAt = credential.obtainedAt.millisecondsSinceEpoch
        subject = grant.subject.rawValue
        claims = grant.claims
        raw = grant.raw
    }

    var grant: DeviceGrant? {
        func time(_ milliseconds: Int64?) -> Timestamp? { milliseconds.map { Timestamp(millisecondsSinceEpoch: $0) } }
        return Subject(subject).map { subject in
            DeviceGrant(
                credential: Credential(
                    accessToken: Secret(accessToken), tokenType: tokenType, expiresAt: time(expiresAt),
                    refreshToken: refreshToken.map { Secret($0) }, refreshTokenExpiresAt: time(refreshTokenExpiresAt),
                    scopes: scopes.compactMap { Scope($0) }, proofKey: proofKey.map { Secret($0) },
                    obtainedAt: Timestamp(millisecondsSinceEpoch: obtainedAt)), subject: subject, claims: claims,
                raw: raw)
        }
    }
}
