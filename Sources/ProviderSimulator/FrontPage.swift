/// The simulator's own page: who lives at each site, what changed of late, and a button that moves the world on.
struct FrontPage {
    var simulator: ProviderSimulator
    var base: String

    var html: String {
        let news = simulator.news.map { "<li>\(escaped($0))</li>" }.joined()
        let sites = simulator.allSites.map { site in
            "<section><h2>Simulated \(escaped(site.name.title))</h2>\(list(simulator.people(at: site.name)))</section>"
        }
        return PageFrame.html(
            title: "Provider simulator", site: nil, isWide: true,
            body: """
                <h1>The people here</h1><p class="lead">They change their names, pictures and addresses. Whoever is \
                linked to them should notice.</p>
                <form method="post" action="\(escaped(base))/advance"><button class="main">Change something</button></form>
                \(news.isEmpty ? "" : "<h2>Of late</h2><ol class=\"news\">\(news)</ol>")
                <div class="sites">\(sites.joined())</div>
                """)
    }

    private func list(_ people: [SimulatedPerson]) -> String {
        people.map { "<div class=\"person\">\(PersonCard(person: $0, base: base).html)</div>" }.joined()
    }
}
