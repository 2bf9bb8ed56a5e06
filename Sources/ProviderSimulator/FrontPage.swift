/// The simulator's own page: who lives at each site, what changed of late, and a button that moves the world on.
struct FrontPage {
    var simulator: ProviderSimulator
    var base: String

    var html: String {
        let news = simulator.news.map { "<li>\(escaped($0))</li>" }.joined()
        let sites = simulator.allSites.map { site in
            "<h2>Simulated \(escaped(site.name.title))</h2>" + table(simulator.people(at: site.name), site.name)
        }
        return PageFrame.html(
            title: "Provider simulator", site: nil,
            body: """
                <h1>The people here</h1><p class="lead">They change their names, pictures and addresses. Whoever is \
                linked to them should notice.</p>
                <form method="post" action="\(escaped(base))/advance"><button class="main">Change something</button></form>
                \(news.isEmpty ? "" : "<h2>Of late</h2><ol class=\"news\">\(news)</ol>")
                \(sites.joined())
                """)
    }

    private func table(_ people: [SimulatedPerson], _ site: SimulatedSite) -> String {
        let rows = people.map { person in
            let picture = "\(base)/\(site)/avatars/\(person.id)/\(person.avatar ?? "default")"
            return """
                <tr><td><img src="\(escaped(picture))" alt="" width="32" height="32"></td>\
                <td>\(escaped(person.name ?? "—"))</td><td>\(escaped(person.username))</td>\
                <td>\(escaped(person.email ?? "—"))\(person.emailVerified ? "" : " (not verified)")</td></tr>
                """
        }
        return "<table><tr><th></th><th>Name</th><th>User name</th><th>E-mail</th></tr>\(rows.joined())</table>"
    }
}
