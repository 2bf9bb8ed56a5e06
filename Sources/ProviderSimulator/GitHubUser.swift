/// The documents GitHub's REST API shows of a person.
enum GitHubUser {
    static func short(_ person: SimulatedPerson, base: String) -> JSONText { .object(identity(person, base)) }

    /// `private-user` with `read:user`, else `public-user`.
    static func document(_ resident: SiteState.Resident, isPrivate: Bool, base: String) -> JSONText {
        let person = resident.person
        let user = "\(base)/github/api/users/\(person.username)"
        var members = identity(person, base)
        members += [
            ("gravatar_id", ""), ("followers_url", .string(user + "/followers")),
            ("following_url", .string(user + "/following{/other_user}")),
            ("gists_url", .string(user + "/gists{/gist_id}")),
            ("starred_url", .string(user + "/starred{/owner}{/repo}")),
            ("subscriptions_url", .string(user + "/subscriptions")), ("organizations_url", .string(user + "/orgs")),
            ("repos_url", .string(user + "/repos")), ("events_url", .string(user + "/events{/privacy}")),
            ("received_events_url", .string(user + "/received_events")),
            ("user_view_type", isPrivate ? "private" : "public"), ("name", .optional(person.name)),
            ("company", .null), ("blog", ""), ("location", .null),
            ("email", person.emailIsPublic ? .optional(person.email) : .null), ("hireable", .null), ("bio", .null),
            ("twitter_username", .null), ("notification_email", .null), ("public_repos", 8), ("public_gists", 8),
            ("followers", 12), ("following", 34), ("created_at", "2019-02-03T04:05:06Z"),
            ("updated_at", .string(CalendarTime(milliseconds: resident.changedAt).iso8601 + "Z")),
        ]
        if isPrivate {
            members += [
                ("private_gists", 3), ("total_private_repos", 4), ("owned_private_repos", 4), ("disk_usage", 12_345),
                ("collaborators", 2), ("two_factor_authentication", true),
                (
                    "plan",
                    ["name": "free", "space": 976_562_499, "private_repos": 10_000, "collaborators": 0]
                ),
            ]
        }
        return .object(members)
    }

    static func emails(_ person: SimulatedPerson) -> JSONText {
        var emails = person.otherEmails.map { Self.email($0, isPrimary: false, isVerified: true) }
        if let email = person.email {
            emails.append(Self.email(email, isPrimary: true, isVerified: person.emailVerified))
        }
        emails.append(
            Self.email(
                "\(person.id)+\(person.username)@users.noreply.github.com", isPrimary: false, isVerified: true))
        return .array(emails)
    }

    private static func email(_ address: String, isPrimary: Bool, isVerified: Bool) -> JSONText {
        [
            "email": .string(address), "primary": .bool(isPrimary), "verified": .bool(isVerified),
            "visibility": isPrimary ? "private" : .null,
        ]
    }

    private static func identity(_ person: SimulatedPerson, _ base: String) -> [(String, JSONText)] {
        let version = person.avatar.map { "?v=" + $0 } ?? "?v=4"
        return [
            ("login", .string(person.username)), ("id", .number(person.id)),
            ("node_id", .string("U_EXAMPLE" + person.id)),
            ("avatar_url", .string("\(base)/github/avatars/u/\(person.id)\(version)")),
            ("url", .string("\(base)/github/api/users/\(person.username)")),
            ("html_url", .string("\(base)/github/\(person.username)")), ("type", "User"), ("site_admin", false),
        ]
    }
}
