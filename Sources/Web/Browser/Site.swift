import HTTPTypes
import Hummingbird

/// What every page and every redirect is built from: the configured public URL, never a request's `Host`.
struct Site: Sendable {
    /// Without a trailing slash.
    let publicURL: String
    /// `https://accounts.example.com`, as browsers write it in `Origin`.
    let origin: String
    /// The public URL's path, empty in most installations.
    let basePath: String
    let applicationName: String
    let trustedProxies: TrustedProxies
    let pages: Pages

    var isHTTPS: Bool { publicURL.hasPrefix("https://") }

    init(publicURL: String, applicationName: String, trustedProxies: TrustedProxies) throws {
        var url = publicURL[...]
        while url.last == "/" { url.removeLast() }
        self.publicURL = String(url)
        origin = Self.origin(of: self.publicURL) ?? self.publicURL
        let afterScheme = url.firstRange(of: "://").map { url[$0.upperBound...] } ?? url
        basePath = afterScheme.firstIndex(of: "/").map { String(afterScheme[$0...]) } ?? ""
        self.applicationName = DisplayText.bounded(applicationName, 60)
        self.trustedProxies = trustedProxies
        pages = try Pages()
    }

    func client(of request: Request, _ context: WebContext) -> ClientAddress? {
        trustedProxies.client(peer: context.peer, fields: request.headers)
    }

    /// Scheme, host and port of an absolute URL, in lower case, without a default port (RFC 6454 §6.2).
    static func origin(of url: String) -> String? {
        guard let schemeEnd = url.firstRange(of: "://") else { return nil }
        let scheme = url[..<schemeEnd.lowerBound].lowercased()
        var authority = url[schemeEnd.upperBound...].prefix { !"/?#\\".contains($0) }.lowercased()
        guard !authority.isEmpty, authority.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        guard authority.allSatisfy({ $0.isLetter || $0.isNumber || ".-:[]_".contains($0) }) else { return nil }
        let defaultPort = ["http": ":80", "https": ":443"][scheme]
        if let defaultPort, authority.hasSuffix(defaultPort) { authority.removeLast(defaultPort.count) }
        return scheme + "://" + authority
    }

    /// A page with every field that oauth-aware pages need: nothing is loaded but the style sheet, nothing frames it,
    /// nothing learns its address, nothing keeps it.
    /// - Parameter formTargets: origins that a form of the page may end up at. Browsers hold `form-action` against
    ///   each redirect that answers a form, so the provider's and the application's origins have to be in it.
    func html(
        _ status: HTTPResponse.Status, _ page: some PageModel, requestID: String, formTargets: [String] = []
    ) -> Response {
        let text = pages.render(
            page, in: Pages.Frame(application: applicationName, basePath: basePath, requestID: requestID))
        var fields: HTTPFields = [.contentType: "text/html; charset=utf-8"]
        addPageFields(to: &fields, formTargets: formTargets)
        return Response(status: status, headers: fields, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    /// A redirect under the same fields; `url` is one that this program built or took from its own database.
    func redirect(to url: String, _ status: HTTPResponse.Status = .seeOther) -> Response {
        var fields: HTTPFields = [.location: url]
        addPageFields(to: &fields, formTargets: [])
        return Response(status: status, headers: fields)
    }

    func page(for problem: Problem, requestID: String) -> Response {
        var response = html(problem.status, MessagePage(problem), requestID: requestID)
        response.headers.append(contentsOf: problem.headers)
        if problem.closesConnection { response.headers[.connection] = "close" }
        return response
    }

    private func addPageFields(to fields: inout HTTPFields, formTargets: [String]) {
        let targets = (["'self'"] + formTargets).joined(separator: " ")
        fields[.contentSecurityPolicy] =
            "default-src 'none'; style-src 'self'; form-action \(targets); base-uri 'none'; frame-ancestors 'none'"
        fields[.frameOptions] = "DENY"
        fields[.xContentTypeOptions] = "nosniff"
        fields[.referrerPolicy] = "no-referrer"
        fields[.cacheControl] = "no-store"
        fields[.crossOriginOpenerPolicy] = "same-origin"
        fields[.crossOriginResourcePolicy] = "same-origin"
        fields[.permissionsPolicy] = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
        if isHTTPS { fields[.strictTransportSecurity] = "max-age=31536000" }
    }
}
