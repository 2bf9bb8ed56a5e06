import Hummingbird

/// One request to one site, read as far as every endpoint needs it.
struct Call: Sendable {
    var method: String
    /// Below the site's prefix, with a leading slash.
    var path: Substring
    var query: Substring
    var head: HTTPFields
    var body: [UInt8]
    /// Where the simulator listens: `http://127.0.0.1:PORT`.
    var base: String
    /// Milliseconds since 1970.
    var now: Int64
    /// What a fault asks to be wrong with the next ID token.
    var idTokenFlaw: SimulatedFault.IDTokenFlaw?

    var parameters: Form { Form(parsing: query) }
    var contentType: String { mediaType(head[.contentType]) }
    var hasFormBody: Bool { contentType == "application/x-www-form-urlencoded" }
    var hasJSONBody: Bool { contentType == "application/json" }
    var form: Form { Form(parsing: String(decoding: body, as: UTF8.self)) }
    var userAgent: String { head[.userAgent] ?? "" }
    var accept: String { head[.accept] ?? "" }
    func field(_ name: String) -> String? { HTTPFields.Element.Name(name).flatMap { head[$0] } }
    var ifNoneMatch: String? { head[.ifNoneMatch] }

    /// The token of `Authorization: Bearer …`, or of any other scheme in `schemes`. Schemes compare without case.
    func token(schemes: [String] = ["bearer"]) -> String? {
        guard let value = head[.authorization] else { return nil }
        let parts = value.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.count == 2, schemes.contains(parts[0].lowercased()) else { return nil }
        return String(parts[1])
    }

    /// The person a browser chose last at this site, from the cookie the consent page sets.
    func rememberedPerson() -> String? {
        guard let cookies = head[.cookie] else { return nil }
        for pair in cookies.split(separator: ";") {
            let halves = pair.split(separator: "=", maxSplits: 1)
            if halves.count == 2, halves[0].trimmingPrefix(" ") == "simulated_person" { return String(halves[1]) }
        }
        return nil
    }

    private func mediaType(_ value: String?) -> String {
        (value ?? "").prefix { $0 != ";" && $0 != " " }.lowercased()
    }
}
