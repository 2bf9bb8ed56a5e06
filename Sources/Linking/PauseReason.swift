package import Accounts

/// Why a provider is left alone, and whose turn it is: a pause that it asked for, failures of its own, and a refusal of
/// our registration call for different people.
package struct PauseReason: Sendable, Equatable {
    /// Completes the sentence "The provider is left alone for now: …"; what is stored.
    package let text: String
    /// What an account says that can't be served meanwhile.
    package let problemCode: AccountProblem.Code

    private static let registrationStart = "it refuses this service's registration ("

    private init(_ text: String, _ problemCode: AccountProblem.Code = .rateLimited) {
        self.text = text
        self.problemCode = problemCode
    }

    static let asked = PauseReason("it asked for a pause")
    static let limitUsedUp = PauseReason("its request limit is used up")
    static let busy = PauseReason("too many requests to it are under way")
    static let tooManyRefusals = PauseReason("too many of its answers were refusals")
    static let failing = PauseReason("its last answers were failures", .providerUnavailable)

    /// - Parameter word: the error code that it gives.
    package static func registrationRefused(_ word: String) -> PauseReason {
        PauseReason(registrationStart + word + ")", .clientRefused)
    }

    /// Of a pause that another process stored, or this one before it was started anew.
    init(stored text: String) {
        self.init(text, text.hasPrefix(Self.registrationStart) ? .clientRefused : .rateLimited)
    }
}

extension PauseReason: ExpressibleByStringLiteral, CustomStringConvertible {
    /// An operator's or a test's own words.
    package init(stringLiteral value: String) { self.init(value) }
    package var description: String { text }
}
