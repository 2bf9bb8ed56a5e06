import Accounts
import Mustache

/// The templates, parsed once. A model's properties are a template's variables; Mustache escapes each of them.
struct Pages: Sendable {
    /// What surrounds every page.
    struct Frame {
        let application: String
        let applicationInitials: String
        let basePath: String
        let requestID: String

        init(application: String, basePath: String, requestID: String) {
            self.application = application
            applicationInitials = DisplayText.initials(of: application)
            self.basePath = basePath
            self.requestID = requestID
        }
    }

    let styleSheet: String
    let openAPI: String
    private let library: MustacheLibrary

    init() throws {
        var library = MustacheLibrary()
        var others: [String: String] = [:]
        for file in EmbeddedFiles.all {
            if file.name.hasSuffix(".mustache") {
                try library.register(file.text, named: String(file.name.dropLast(9)))
            } else {
                others[file.name] = file.text
            }
        }
        for name in ["confirm", "chooser", "unlink", "linked", "message"] where library.getTemplate(named: name) == nil
        {
            throw MissingFile(name: name + ".mustache")
        }
        guard let styleSheet = others["style.css"] else { throw MissingFile(name: "style.css") }
        guard let openAPI = others["openapi.json"] else { throw MissingFile(name: "openapi.json") }
        self.library = library
        self.styleSheet = styleSheet
        self.openAPI = openAPI
    }

    struct MissingFile: Error { var name: String }

    func render<Page: PageModel>(_ page: Page, in frame: Frame) -> String {
        library.render(Model(page: page, frame: frame), withTemplate: Page.template) ?? ""
    }

    private struct Model {
        var page: any PageModel
        var frame: Frame
    }
}

protocol PageModel {
    static var template: String { get }
    var title: String { get }
}

/// A provider as a button or a heading shows it: its name in text, beside a neutral badge of initials.
struct ProviderBadge {
    var id: String
    var name: String
    var initials: String

    init(id: ProviderID, name: String) {
        self.id = id.rawValue
        self.name = DisplayText.bounded(name, 60)
        initials = DisplayText.initials(of: name)
    }
}

struct ConfirmPage: PageModel {
    static let template = "confirm"
    var title: String
    var provider: ProviderBadge
    var user: String
    var csrf: String
}

struct ChooserPage: PageModel {
    static let template = "chooser"
    let title = "Your linked accounts"
    var user: String
    var csrf: String
    var providers: [ProviderBadge]
    var accounts: [Account]
    var notice: String?
    // Stored, for templates see nothing else.
    let hasProviders: Bool
    let hasAccounts: Bool

    struct Account {
        var id: String
        var provider: ProviderBadge
        var name: String
        /// Set where the user has to link again.
        var warning: String?
    }

    init(user: String, csrf: String, providers: [ProviderBadge], accounts: [Account], notice: String? = nil) {
        self.user = user
        self.csrf = csrf
        self.providers = providers
        self.accounts = accounts
        self.notice = notice
        hasProviders = !providers.isEmpty
        hasAccounts = !accounts.isEmpty
    }
}

struct UnlinkPage: PageModel {
    static let template = "unlink"
    var title: String
    var account: ChooserPage.Account
    var user: String
    var csrf: String
}

struct LinkedPage: PageModel {
    static let template = "linked"
    var title: String
    var provider: ProviderBadge
    var name: String?
}

/// Failures, ended links, addresses with nothing behind them: what happened, who can act, what to do now.
struct MessagePage: PageModel {
    static let template = "message"
    var title: String
    var message: String
    var advice: String?
    var code: String

    init(title: String, message: String, advice: String? = nil, code: String) {
        self.title = title
        self.message = message
        self.advice = advice
        self.code = code
    }

    /// The same for people, who have no use for a machine's words.
    init(_ problem: Problem) {
        let (message, advice): (String, String?) =
            switch problem.code {
            case .routeNotFound: ("There is no page at this address. It may be incomplete.", nil)
            case .rateLimited:
                (
                    "Too much came from your network in a short time, so this is turned away for a moment.",
                    "Wait a minute, then go back and try again."
                )
            case .storageUnavailable, .internalError:
                ("The page could not be made. Nothing was changed.", "Wait a moment, then try again.")
            default: (problem.detail, nil)
            }
        self.init(title: problem.title, message: message, advice: advice, code: problem.code.rawValue)
    }
}

/// Text from outside on its way into a page: short, on one line, without characters that reorder what surrounds them.
enum DisplayText {
    static func bounded(_ text: String, _ limit: Int) -> String {
        let visible = text.unicodeScalars.filter { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
            default: true
            }
        }
        let text = String(String.UnicodeScalarView(visible))
        return text.count > limit ? text.prefix(limit - 1) + "…" : text
    }

    /// The first letters of the first two words, or the first two of the only one.
    static func initials(of name: String) -> String {
        let words = bounded(name, 60).split { !$0.isLetter && !$0.isNumber }
        guard let first = words.first else { return "?" }
        if words.count > 1 { return words.prefix(2).compactMap(\.first).map { $0.uppercased() }.joined() }
        return first.prefix(1).uppercased() + first.dropFirst().prefix(1).lowercased()
    }
}
