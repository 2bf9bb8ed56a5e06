/// The page on which a person allows or denies. Plain HTML forms without scripts or outside resources; a program
/// drives it by the fields `request`, `person`, `scope` (with `scopes=chosen`) and `decision`.
struct ConsentPage {
    var site: SimulatedSite
    var requestID: String
    var draft: GrantLedger.Draft
    var people: [SimulatedPerson]
    var base: String
    /// The id of the person chosen before in this browser.
    var selected: String?
    var scopes: [(name: String, meaning: String, isOptional: Bool)]

    var html: String {
        let client = escaped(draft.client.name)
        let hints = [selected, draft.loginHint].compactMap { $0 }
        let welcome = people.filter { !$0.isSuspended }
        let chosen =
            welcome.first { person in hints.contains { $0 == person.id || $0 == person.email } } ?? welcome.first
        let cards = people.map { card($0, isChosen: $0.id == chosen?.id) }.joined()
        let items = scopes.map { item($0.name, $0.meaning, $0.isOptional) }.joined()
        return PageFrame.html(
            title: "\(client) wants access · Simulated \(escaped(site.title))", site: site,
            body: """
                <h1>\(client)</h1>
                <p class="lead">wants to use your \(escaped(site.title)) account.</p>
                <form method="post" action="\(escaped("\(base)/\(site)/consent"))">
                <input type="hidden" name="request" value="\(escaped(requestID))">
                <input type="hidden" name="scopes" value="chosen">
                <fieldset><legend>Continue as</legend>\(cards)</fieldset>
                <fieldset><legend>It will see</legend><ul class="scopes">\(items)</ul></fieldset>
                <p class="where">\(whereTo)</p>
                <div class="buttons">
                <button name="decision" value="deny" class="quiet">Deny</button>
                <button name="decision" value="allow" class="main">Allow</button>
                </div>
                </form>
                """)
    }

    private var whereTo: String {
        draft.deviceCode == nil
            ? "Afterwards you go to <b>\(escaped(Self.host(of: draft.redirectURI)))</b>."
            : "Only if you typed the code of a device of your own."
    }

    private func card(_ person: SimulatedPerson, isChosen: Bool) -> String {
        let state = person.isSuspended ? " disabled" : isChosen ? " checked" : ""
        return """
            <label class="person"><input type="radio" name="person" value="\(escaped(person.id))"\(state) required>\
            \(PersonCard(person: person, base: base).html)</label>
            """
    }

    private func item(_ name: String, _ meaning: String, _ isOptional: Bool) -> String {
        let text = "<span>\(escaped(meaning))<small><code>\(escaped(name))</code></small></span>"
        if isOptional {
            return """
                <li><label><input type="checkbox" name="scope" value="\(escaped(name))" checked>\(text)</label></li>
                """
        }
        return "<li><span class=\"tick\" aria-hidden=\"true\">✓</span>\(text)</li>"
    }

    static func error(site: SimulatedSite, text: String, code: String) -> String {
        PageFrame.html(
            title: "Request refused · Simulated \(escaped(site.title))", site: site,
            body: """
                <h1>This request was refused</h1><p class="lead">\(escaped(text))</p>
                <p class="where"><code>\(escaped(code))</code></p>
                """)
    }

    /// The authorization response as a form that a browser with scripts would send by itself (OAuth 2.0 Form Post
    /// Response Mode §2).
    static func form(to uri: String, _ parameters: [(String, String)]) -> String {
        let inputs = parameters.map { name, value in
            "<input type=\"hidden\" name=\"\(escaped(name))\" value=\"\(escaped(value))\">"
        }
        return """
            <!doctype html><title>Simulated answer</title><h1>Back to the application</h1>
            <form method="post" action="\(escaped(uri))">\(inputs.joined())<button>Continue</button></form>
            """
    }

    /// An application that lives in its URL's fragment: everything behind the fragment's `?` goes to `path`.
    static func landing(before path: String) -> String {
        """
        <!doctype html><title>Simulated landing</title><main data-request-in-fragment="\(escaped(path))"></main>
        <script>location.replace("\(path)?" + location.hash.split("?").slice(1).join("?"))</script>
        """
    }

    private static func host(of uri: String) -> String {
        guard let scheme = uri.firstRange(of: "://") else { return uri }
        return String(uri[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" })
    }
}

/// A person as pages show them: picture, name, what else tells them from others.
struct PersonCard {
    var person: SimulatedPerson
    var base: String

    var html: String {
        let site = person.site
        let picture = "\(base)/\(site)/avatars/\(person.id)/\(person.avatar ?? "default")"
        var details = site == .google ? [] : [person.username]
        if let email = person.email { details.append(person.emailVerified ? email : email + " (not verified)") }
        if person.isSuspended { details.append("suspended") }
        return """
            <img src="\(escaped(picture))" alt="" width="40" height="40"><span><b>\(escaped(person.name ?? person.username))\
            </b><small>\(escaped(details.joined(separator: " · ")))</small></span>
            """
    }
}

/// HTML text and attribute values.
func escaped(_ text: String) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
        switch character {
        case "&": escaped += "&amp;"
        case "<": escaped += "&lt;"
        case ">": escaped += "&gt;"
        case "\"": escaped += "&quot;"
        case "'": escaped += "&#39;"
        default: escaped.unicodeScalars.append(character)
        }
    }
    return escaped
}
