package import Accounts

/// How many accounts of a provider have one problem.
package struct ProblemCount: Sendable, Equatable {
    package var code: AccountProblem.Code
    package var count: Int
    /// Of the account that has had it longest.
    package var since: Timestamp
}

extension AccountStore {
    /// The most frequent first.
    package func problemCounts() async throws(StoreError) -> [ProviderID: [ProblemCount]] {
        try await connections.read { transaction in
            var counts: [ProviderID: [ProblemCount]] = [:]
            for row in try transaction.db.rows(Self.problemCountsSQL) {
                guard let code = AccountProblem.Code(rawValue: try row.text(1)) else { throw StoreError.corrupt }
                counts[try row.provider(0), default: []].append(
                    ProblemCount(code: code, count: try row.int(2), since: try row.time(3)))
            }
            return counts.mapValues { $0.sorted { ($1.count, $0.code.rawValue) < ($0.count, $1.code.rawValue) } }
        }
    }

    /// As long as there are accounts with problems, whatever the number of those without.
    static let problemCountsSQL = """
        SELECT provider, problem_code, count(*), min(problem_since) FROM linked_account
        WHERE problem_code IS NOT NULL GROUP BY provider, problem_code
        """
}
