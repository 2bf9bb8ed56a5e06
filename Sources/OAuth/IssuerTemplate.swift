/// Issuers, compared byte for byte (RFC 3986 §6.2.1); `==` of strings would take canonically equivalent ones for equal.
///
/// An issuer may hold `{tenantid}`, as the multi-tenant metadata documents of Entra do: the tenant's own id stands there in
/// each token.
enum IssuerTemplate {
    private static let placeholder = Array("{tenantid}".utf8)

    static func isTemplate(_ issuer: String) -> Bool { parts(of: issuer) != nil }

    /// Equal, or a template's text with a tenant id in its place.
    static func matches(_ issuer: String, _ expected: String) -> Bool {
        let issuer = Array(issuer.utf8)
        guard let (prefix, suffix) = parts(of: expected) else { return issuer == Array(expected.utf8) }
        guard issuer.count > prefix.count + suffix.count, issuer.starts(with: prefix),
            issuer.suffix(suffix.count) == suffix
        else { return false }
        return isTenant(issuer[prefix.count..<(issuer.count - suffix.count)])
    }

    /// Equal, or a template with this tenant put in.
    static func matches(_ issuer: String, _ expected: String, tenant: String?) -> Bool {
        guard let (prefix, suffix) = parts(of: expected) else { return issuer.isIdentical(to: expected) }
        guard let tenant = tenant.map({ Array($0.utf8) }), isTenant(tenant[...]) else { return false }
        return Array(issuer.utf8) == prefix + tenant + suffix
    }

    private static func parts(of issuer: String) -> (prefix: ArraySlice<UInt8>, suffix: ArraySlice<UInt8>)? {
        let bytes = Array(issuer.utf8)
        guard let start = bytes.firstIndex(of: UInt8(ascii: "{")), bytes[start...].starts(with: placeholder) else {
            return nil
        }
        return (bytes[..<start], bytes[start...].dropFirst(placeholder.count))
    }

    /// A UUID, or another label of letters, digits and hyphens.
    private static func isTenant(_ text: ArraySlice<UInt8>) -> Bool {
        (1...64).contains(text.count)
            && text.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d: true
                default: false
                }
            }
    }
}

extension String {
    /// The same bytes in UTF-8.
    func isIdentical(to other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}
