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
    init(code: String, provider: String) { self = .ended }
}
