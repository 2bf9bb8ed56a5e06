/// What a page says when it can't do what was asked: what happened, and who can do what about it. Never a word from
/// the provider or from a query.
struct FailureText: Sendable {
    enum Remedy: Sendable { case startAgain, tryLater, tellApplication, none }

    var title: String
    var message: String
    var remedy: Remedy

    func advice(_ application: String) -> String? {
        switch remedy {
        case .startAgain: "To try again, start at \(application): it makes a new link."
        case .tryLater: "Wait a moment, then start again at \(application)."
        case .tellApplication: "You can't mend this yourself. Please tell the people who run \(application)."
        case .none: nil
        }
    }

    static let used = FailureText(
        title: "This link has been used", message: "Each link works once and for ten minutes.", remedy: .startAgain)
    static let ended = FailureText(
        title: "This link has ended",
        message: "Each link works once and for ten minutes. This one is over, or its address is incomplete.",
        remedy: .startAgain)
    static let otherBrowser = FailureText(
        title: "This link belongs to another browser",
        message:
            "It was opened in another browser or on another device first, or this browser refuses cookies. Nothing was linked.",
        remedy: .startAgain)
    static let forged = FailureText(
        title: "That did not come from our page",
        message: "The button that was pressed is not on a page that this browser was shown. Nothing was changed.",
        remedy: .startAgain)
    static let badForm = FailureText(
        title: "That is not on offer", message: "What was asked for is not part of this link. Nothing was changed.",
        remedy: .startAgain)
    static let notNow = FailureText(
        title: "Not loaded ahead of time", message: "This page does nothing until it is really opened.", remedy: .none)
    static let nothingHere = FailureText(
        title: "Nothing to see here", message: "No link has ended in this browser lately.", remedy: .none)
}

extension FailureText {
    /// For the stable codes of `Linking`.
    init(code: String, provider: String) {
        self =
            switch code {
            case "access_denied":
                FailureText(
                    title: "Nothing was linked",
                    message: "You declined at \(provider), or left its page. Nothing was stored.",
                    remedy: .startAgain)
            case "account_held":
                FailureText(
                    title: "That account is already linked",
                    message:
                        "This \(provider) account is linked to another user here, and it stays there. Nothing was changed.",
                    remedy: .none)
            case "scope_missing":
                FailureText(
                    title: "A permission is missing",
                    message:
                        "\(provider) did not give the access that is needed to read your profile. Nothing was stored.",
                    remedy: .startAgain)
            case "provider_unavailable", "profile_unavailable":
                FailureText(
                    title: "\(provider) can’t be reached",
                    message: "\(provider) did not answer as it should. Nothing was stored.", remedy: .tryLater)
            case "client_refused", "provider_error":
                FailureText(
                    title: "\(provider) refused",
                    message: "\(provider) would not complete the link. Nothing was stored.",
                    remedy: .tellApplication)
            case "configuration_changed":
                FailureText(
                    title: "The link was interrupted",
                    message: "The settings for \(provider) changed while you were there. Nothing was stored.",
                    remedy: .startAgain)
            case "link_expired":
                FailureText(
                    title: "This link has ended",
                    message: "It took longer than ten minutes, was finished before, or belongs to another browser.",
                    remedy: .startAgain)
            case "invalid_callback":
                FailureText(
                    title: "That answer can’t be used",
                    message: "What came back from \(provider) is not what was asked for. Nothing was stored.",
                    remedy: .startAgain)
            default:
                FailureText(
                    title: "Something went wrong here",
                    message: "The link could not be completed. Nothing was changed.",
                    remedy: .tryLater)
            }
    }
}
