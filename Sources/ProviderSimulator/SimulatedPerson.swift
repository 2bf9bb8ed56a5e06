/// Someone with an account at one site.
package struct SimulatedPerson: Sendable, Equatable {
    package var site: SimulatedSite
    /// A snowflake at Discord, an integer at GitHub, `sub` elsewhere; decimal digits in any case.
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
    /// The people a simulator has when it is told of none: three at each site.
    package static func cast(openIDProviders: [String]) -> [SimulatedPerson] { [] }
}
