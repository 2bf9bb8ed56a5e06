/// Someone with an account at one site.
package struct SimulatedPerson: Sendable, Equatable {
    package var site: SimulatedSite
    /// A snowflake at Discord, an integer at GitHub, `sub` elsewhere.
    package var id: String
    /// Discord's user name, GitHub's login, `preferred_username` elsewhere.
    package var username: String
    /// Discord's `global_name`, elsewhere the full name.
    package var name: String?
    package var email: String?
    package var emailVerified = true
    /// Discord's avatar hash (`a_…` is animated); elsewhere what tells one picture from the next.
    package var avatar: String?
    package var locale: String? = "en-US"
    /// Discord: `"0"`, or four digits for an account that never moved to user names.
    package var discriminator = "0"
    /// GitHub: whether `/user` shows the address.
    package var emailIsPublic = false
    /// GitHub: addresses beside the primary one.
    package var otherEmails: [String] = []
    /// Google: the Workspace domain, sent as `hd`.
    package var hostedDomain: String?
    package var isSuspended = false

    package init(site: SimulatedSite, id: String, username: String, name: String? = nil, email: String? = nil) {
        self.site = site
        self.id = id
        self.username = username
        self.name = name
        self.email = email
    }
}

extension SimulatedPerson {
    /// The people a simulator has when it is told of none: four at each site, with the oddities accounts have there (no
    /// display name, no e-mail address, an address that is not verified).
    package static func cast(at site: SimulatedSite) -> [SimulatedPerson] { (1...4).map { member($0, of: site) } }

    private static func member(_ number: Int, of site: SimulatedSite) -> SimulatedPerson {
        let (short, name) = [
            ("mira", "Mira Example"), ("oskar", "Oskar Ångström"), ("yuki", "Yuki 🦊 Example"), ("sam", "Sam <Sample>"),
        ][number - 1]
        var person = SimulatedPerson(site: site, id: id(number, site), username: "\(short)-example", name: name)
        person.email = "\(short)@example.com"
        var generator = SeededGenerator(seed: UInt64(number), name: "\(site)")
        person.avatar = generator.hexadecimalText(32)
        switch (site, number) {
        case (.discord, 1): person.avatar = "a_" + generator.hexadecimalText(32)
        case (.discord, 2):
            person.name = nil
            person.avatar = nil
            person.discriminator = "1337"
        case (.discord, 3): person.email = nil
        case (.github, 1): person.otherEmails = ["old-mira@example.com"]
        case (.github, 2): person.emailIsPublic = true
        case (.github, 3): person.name = nil
        case (.google, 2):
            person.hostedDomain = "corp.example"
            person.email = "oskar@corp.example"
        case (_, 4): person.emailVerified = false
        default: break
        }
        return person
    }

    private static func id(_ number: Int, _ site: SimulatedSite) -> String {
        switch site {
        case .discord: "41234567890123456\(number)"
        case .github: "9912345\(number)"
        case .google: "10000000000000000001\(number)"
        case .openID, .fixture: "person-\(number)"
        }
    }

    /// Sets one member by the name the control interface gives it; throws where there is none of that name, or the
    /// value is not of its type.
    mutating func set(_ field: String, to value: FieldValue) throws(FieldError) {
        switch (field, value) {
        case ("username", .text(let text)): username = text
        case ("name", _): name = try value.optionalText(field)
        case ("email", _): email = try value.optionalText(field)
        case ("avatar", _): avatar = try value.optionalText(field)
        case ("locale", _): locale = try value.optionalText(field)
        case ("hosted_domain", _): hostedDomain = try value.optionalText(field)
        case ("discriminator", .text(let text)): discriminator = text
        case ("email_verified", .flag(let flag)): emailVerified = flag
        case ("email_is_public", .flag(let flag)): emailIsPublic = flag
        case ("suspended", .flag(let flag)): isSuspended = flag
        case ("other_emails", .texts(let texts)): otherEmails = texts
        default: throw FieldError(field: field)
        }
    }
}

/// A person's member as the control interface gives it.
enum FieldValue: Sendable, Decodable {
    case null
    case text(String)
    case flag(Bool)
    case texts([String])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let flag = try? container.decode(Bool.self) {  // not a flag: the next type decides
            self = .flag(flag)
        } else if let text = try? container.decode(String.self) {  // not text: a list, or an error
            self = .text(text)
        } else {
            self = .texts(try container.decode([String].self))
        }
    }

    fileprivate func optionalText(_ field: String) throws(FieldError) -> String? {
        switch self {
        case .null: nil
        case .text(let text): text
        default: throw FieldError(field: field)
        }
    }
}

struct FieldError: Error { var field: String }
