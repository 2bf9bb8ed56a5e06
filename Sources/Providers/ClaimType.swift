/// The claims of OpenID Connect Core §5.1, with their types.
struct ClaimType: Sendable {
    enum Kind: Sendable {
        /// A non-empty string, or an integer as its exact decimal string: ids go beyond 2^53.
        case subject
        case string
        /// An absolute `https` or `http` URL; some name a placeholder by a path.
        case url
        case boolean
        /// Seconds since 1970, as a number.
        case time
        /// §5.1.1, an object.
        case address
    }

    var name: String
    var kind: Kind
    var meaning: String

    private init(_ name: String, _ kind: Kind = .string, _ meaning: String) {
        self.name = name
        self.kind = kind
        self.meaning = meaning
    }

    static let all: [ClaimType] = [
        .init("sub", .subject, "The provider's stable id for the person."),
        .init("name", "The full name."),
        .init("given_name", "The given name."),
        .init("family_name", "The family name."),
        .init("middle_name", "The middle name."),
        .init("nickname", "The casual name."),
        .init("preferred_username", "The name at the provider; it may change hands."),
        .init("profile", .url, "The URL of the profile page."),
        .init("picture", .url, "The URL of the profile picture."),
        .init("website", "The URL of the person's own page."),
        .init("email", "The preferred e-mail address."),
        .init("email_verified", .boolean, "Whether the provider has verified the address."),
        .init("gender", "The gender."),
        .init("birthdate", "The birthday, YYYY-MM-DD."),
        .init("zoneinfo", "The time zone, as in Europe/Paris."),
        .init("locale", "The language, as in en-US."),
        .init("phone_number", "The preferred telephone number."),
        .init("phone_number_verified", .boolean, "Whether the provider has verified the number."),
        .init("address", .address, "The postal address."),
        .init("updated_at", .time, "When the profile last changed: seconds since 1970 or an RFC 3339 time."),
    ]

    private init(_ name: String, _ meaning: String) { self.init(name, .string, meaning) }

    static func named(_ name: String) -> ClaimType? { all.first { $0.name == name } }
}

/// A form of a boolean claim that is taken where the manifest says so.
enum BooleanForm: String, Sendable, CaseIterable {
    case integer, string
    /// When it became true, RFC 3339; null where it is not.
    case time
}
