/// Issuers that hold `{tenantid}`, as multi-tenant metadata documents of Entra do: the tenant's own id stands there in
/// each token.
enum IssuerTemplate {
    static let placeholder = "{tenantid}"

    static func isTemplate(_ issuer: String) -> Bool { parts(of: issuer) != nil }

    /// Equal, or a template's text with a tenant id in its place.
    static func matches(_ issuer: String, _ expected: String) -> Bool {
        guard let (prefix, suffix) = parts(of: expected) else { return issuer == expected }
        guard issuer.utf8.count > prefix.utf8.count + suffix.utf8.count, issuer.hasPrefix(prefix),
            issuer.hasSuffix(suffix)
        else { return false }
        return isTenant(issuer.dropFirst(prefix.count).dropLast(suffix.count))
    }

    /// The issuer with the tenant put in; `nil` where the expected issuer is a template and the tenant is none.
    static func resolve(_ expected: String, tenant: String?) -> String? {
        guard let (prefix, suffix) = parts(of: expected) else { return expected }
        guard let tenant, isTenant(tenant[...]) else { return nil }
        return prefix + tenant + suffix
    }

    private static func parts(of issuer: String) -> (prefix: Substring, suffix: Substring)? {
        guard let start = issuer.firstIndex(of: "{"), issuer[start...].hasPrefix(placeholder) else { return nil }
        return (issuer[..<start], issuer[start...].dropFirst(placeholder.count))
    }

    /// A UUID, or another label of letters, digits and hyphens.
    private static func isTenant(_ text: Substring) -> Bool {
        (1...64).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d: true
                default: false
                }
            }
    }
}
