import Accounts
import GRDB

extension SyncScheduleStore {
    /// In one transaction: profile and change where it changed, `synced_at`, next due time, failures, problem, status; frees
    /// the lease. False, with nothing stored, where the lease went to someone else or the account is gone. A status that a
    /// relink, a dead grant or an operator set meanwhile stays, as does one whose dead grant is no longer the one held, and `since` of a problem that goes on.
    /// It may share its commit with other records, and is durable when this returns.
    package func record(_ result: SyncResult, for claim: SyncClaim) async throws(StoreError) -> Bool {
        try await connections.writeShared(on: place) { transaction in
            try transaction.recordPlainly(result, for: claim) || transaction.recordInFull(result, for: claim)
        }
    }

    /// Of a healthy account that stays so: one statement on the narrow row.
    static let recordSQL = """
        UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0, synced_at = ?4, attempted_at = ?4,
            validators = coalesce(?5, validators), mapping = coalesce(?6, mapping), next_sync_at = ?7, failures = ?8,
            change_shape = CASE WHEN ?9 THEN ?10 ELSE change_shape END,
            change_rate = CASE WHEN ?9 THEN ?11 ELSE change_rate END,
            plan_interval = CASE WHEN ?9 THEN ?12 ELSE plan_interval END,
            plan_share = CASE WHEN ?9 THEN ?13 ELSE plan_share END,
            plan_clamped = CASE WHEN ?9 THEN ?14 ELSE plan_clamped END,
            plan_weight = CASE WHEN ?9 THEN ?15 ELSE plan_weight END
        WHERE account_id = ?1 AND lease_owner = ?2 AND lease_until = ?3
            AND EXISTS (
                SELECT 1 FROM linked_account WHERE id = ?1 AND status = 'active' AND problem_code IS NULL)
        """

    static let claimedProfileSQL = """
        SELECT claims, raw FROM profile WHERE account_id = ?1 AND version = ?2 AND content_hash = ?3
        """

    static let updateProfileSQL = """
        UPDATE profile SET version = ?2, changed_at = ?3, content_hash = ?4, email_verified = ?5, claims = ?6, raw = ?7
        WHERE account_id = ?1
        """

    /// Apart, for what is named in an UPDATE is written to its index even where it stays as it is.
    static let updateProfileNamesSQL = """
        UPDATE profile SET email = ?2, preferred_username = ?3
        WHERE account_id = ?1
            AND (email IS NOT ?2 COLLATE BINARY OR preferred_username IS NOT ?3 COLLATE BINARY)
        """

    static let appendUpdateSQL = """
        INSERT INTO change (id, kind, account_id, user_id, provider, at, version, patch)
        VALUES (?1, 'profile.updated', ?2, ?3, ?4, ?5, ?6, ?7)
        """
}

extension Transaction {
    /// The common case: a success for an account that has no problem. False, with nothing stored, where it is another.
    func recordPlainly(_ result: SyncResult, for claim: SyncClaim) throws -> Bool {
        guard result.status == nil, result.problem == nil, claim.account.status == .active else { return false }
        let validators: [String: Validators]?
        var mapping: String?
        switch result.content {
        case .failed: return false
        case .unchanged(let found): validators = found
        case .profile(let profile, _):
            // The first of an imported account is inserted.
            guard claim.version != nil, profile.subject == claim.account.subject else { return false }
            validators = profile.validators
            mapping = profile.mapping
        }
        let recorded = try run(.record) { parameters in
            parameters.text(1, claim.account.id.rawValue)
            parameters.text(2, claim.owner)
            parameters.time(3, claim.leaseUntil)
            parameters.time(4, result.at)
            if let validators, validators != claim.validators { parameters.text(5, Self.text(validators)) }
            if mapping != claim.mapping { parameters.text(6, mapping) }
            parameters.time(7, result.nextSyncAt.map(withinHorizon))
            parameters.integer(8, result.failures)
            parameters.bool(9, result.learned != nil)
            guard let learned = result.learned else { return }
            parameters.real(10, learned.changeShape)
            parameters.real(11, learned.changeRate)
            parameters.real(12, learned.plan?.interval)
            parameters.real(13, learned.plan?.share)
            parameters.bool(14, learned.plan?.isClamped ?? false)
            parameters.real(15, learned.plan?.weight)
        }
        guard recorded == 1 else { return false }
        if case .profile(let profile, let difference) = result.content, profile.contentHash != claim.contentHash {
            try replaceProfile(profile, difference, for: claim)
        }
        return true
    }

    private func replaceProfile(_ profile: Profile, _ difference: ProfileDifference?, for claim: SyncClaim) throws {
        let account = claim.account
        var claimed: ProfileContent?
        try run(.claimedProfile) { parameters in
            parameters.text(1, account.id.rawValue)
            parameters.integer(2, claim.version)
            parameters.text(3, claim.contentHash)
        } row: {
            claimed = ProfileContent(claims: try $0.text(0), raw: try $0.text(1))
        }
        guard let claimed, let version = claim.version else {
            // Another one meanwhile.
            try store(profile, of: account.id, account.userID, account.provider, difference)
            return
        }
        try run(.updateProfile) { parameters in
            parameters.text(1, account.id.rawValue)
            parameters.integer(2, version + 1)
            parameters.time(3, now)
            parameters.text(4, profile.contentHash)
            parameters.bool(5, profile.emailVerified)
            parameters.text(6, profile.claims)
            parameters.text(7, profile.raw)
        }
        try run(.updateProfileNames) { parameters in
            parameters.text(1, account.id.rawValue)
            parameters.text(2, profile.email)
            parameters.text(3, profile.preferredUsername)
        }
        let content = ProfileContent(claims: profile.claims, raw: profile.raw)
        try appendUpdate(
            account, version: version + 1, patch: difference?(claimed, content) ?? Self.replacement(content))
    }

    func recordInFull(_ result: SyncResult, for claim: SyncClaim) throws -> Bool {
        let id = claim.account.id
        let freed = try db.run(
            """
            UPDATE sync_schedule SET lease_owner = NULL, lease_until = 0
            WHERE account_id = ? AND lease_owner = ? AND lease_until = ?
            """, id, claim.owner, claim.leaseUntil)
        guard freed == 1, let account = try account(id) else { return false }
        switch result.content {
        case .failed:
            try db.run("UPDATE sync_schedule SET attempted_at = ? WHERE account_id = ?", result.at, id)
        case .unchanged(let validators):
            try confirmProfile(of: id, at: result.at, validators: validators)
        case .profile(let profile, let difference):
            guard profile.subject == account.subject else {
                throw StoreError.inconsistent("the profile is of another subject")
            }
            try store(profile, of: id, account.userID, account.provider, difference)
            try confirmProfile(
                of: id, at: result.at, validators: profile.validators, mapping: profile.mapping)
        }
        // The refusal of a token that another has replaced says nothing: the account is tried again at once.
        var result = result
        if result.status == .needsRelink, account.statusBeneathPause != .needsRelink,
            try credentialRow(id)?.generation != result.generation
        {
            result.status = nil
            result.problem = account.problem
            result.nextSyncAt = now
        }
        let status = try settle(account, result)
        let isStopped = status == .needsRelink || status == .paused
        try db.run(
            "UPDATE sync_schedule SET next_sync_at = ?, failures = ? WHERE account_id = ?",
            isStopped ? nil : result.nextSyncAt.map(withinHorizon), result.failures, id)
        if let learned = result.learned {
            try db.run(
                """
                UPDATE sync_schedule SET change_shape = ?2, change_rate = ?3, \(Transaction.planAssignments(from: 4))
                WHERE account_id = ?1
                """,
                values: [id, learned.changeShape, learned.changeRate] + Transaction.planValues(learned.plan))
        }
        return true
    }

    /// Status and problem of an account after a sync. Returns the status.
    func settle(_ account: LinkedAccount, _ result: SyncResult) throws -> AccountStatus {
        var isConfirmed = true
        if case .failed = result.content { isConfirmed = false }
        // Only the user mends a dead grant, only an operator ends a pause; their problems stay as they are.
        if account.status == .needsRelink || account.status == .paused { return account.status }
        let status = result.status ?? (isConfirmed && account.status == .suspended ? .active : account.status)
        var problem = result.problem
        if let held = account.problem, held.code == problem?.code { problem?.since = held.since }
        if status == .needsRelink {
            guard let problem else { throw StoreError.inconsistent("an account needs a relink for a reason") }
            try markNeedsRelink(account, problem: problem)
        } else if status != account.status || problem != account.problem {
            try setStatus(status, problem: problem, of: account.id)
            if account.status == .suspended && status == .active {
                try append(.accountRecovered, account.id, account.userID, account.provider)
            }
        }
        return status
    }
}
