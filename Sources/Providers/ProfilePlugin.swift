import JSON

/// Swift for what a manifest can't say. A plugin computes claims from the responses; it sees nothing else.
enum ProfilePlugin: String, Sendable, CaseIterable {
    case discord

    /// The variables that a manifest with this plugin declares.
    var variables: [String] {
        switch self {
        case .discord: ["cdn"]
        }
    }

    /// The requests whose responses it reads.
    var requests: [String] {
        switch self {
        case .discord: ["user"]
        }
    }

    /// The claims that it computes.
    var claims: [String] {
        switch self {
        case .discord: ["picture"]
        }
    }

    /// In place of what the manifest maps.
    func claims(from document: JSONObject, variables: [String: String]) -> JSONObject {
        switch self {
        case .discord: DiscordPlugin.claims(from: document, cdn: variables["cdn"] ?? "")
        }
    }
}

/// Discord gives a hash where others give the picture's URL
/// (<https://discord.com/developers/docs/reference#image-formatting>).
enum DiscordPlugin {
    static func claims(from document: JSONObject, cdn: String) -> JSONObject {
        guard let user = document["user"], let picture = picture(of: user) else { return [:] }
        return ["picture": .string((cdn.hasSuffix("/") ? String(cdn.dropLast()) : cdn) + picture)]
    }

    /// The path below the CDN: the avatar, or one of the default ones by the rule of the account's kind.
    private static func picture(of user: JSONValue) -> String? {
        guard let id = user["id"]?.string.flatMap({ UInt64($0) }) else { return nil }
        // A hash goes into a path: nothing but what a hash is made of.
        if let hash = user["avatar"]?.string, hash.utf8.allSatisfy({ isHashCharacter($0) }), !hash.isEmpty {
            return "/avatars/\(id)/\(hash).\(hash.hasPrefix("a_") ? "gif" : "png")"
        }
        // "0" is the discriminator of accounts that have moved to unique names.
        let discriminator = user["discriminator"]?.string.flatMap { UInt64($0) } ?? 0
        return "/embed/avatars/\(discriminator == 0 ? (id >> 22) % 6 : discriminator % 5).png"
    }

    private static func isHashCharacter(_ byte: UInt8) -> Bool {
        (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5f
    }
}
