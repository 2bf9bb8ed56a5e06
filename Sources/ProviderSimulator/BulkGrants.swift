/// The refresh tokens of bulk people, where `SimulatorSwitches.remembersBulkTokens` holds them to single use. Only those
/// that were used are remembered.
struct BulkGrants: Sendable {
    private struct Grant {
        /// Of the rotation: the one token that is good.
        var step: Int
        var spentAt: Int64
        var hasEnded = false
    }

    enum Outcome: Equatable {
        case refreshed
        /// Within the grace: what the rotation issued, once more.
        case replayed
        case reused
        case refused
    }

    private var grants: [Int: Grant] = [:]

    func hasEnded(_ number: Int) -> Bool { grants[number]?.hasEnded ?? false }

    mutating func use(_ number: Int, step: Int, switches: SimulatorSwitches, now: Int64) -> Outcome {
        guard switches.rotatesRefreshTokens else { return .refreshed }
        let held = grants[number]?.step ?? step
        if hasEnded(number) || step > held { return .refused }
        if step == held {
            grants[number] = Grant(step: step + 1, spentAt: now)
            return .refreshed
        }
        if step == held - 1, now - (grants[number]?.spentAt ?? 0) < Int64(switches.reuseGrace) * 1000 {
            return .replayed
        }
        if switches.reuseRevokesFamily { grants[number]?.hasEnded = true }
        return .reused
    }
}
