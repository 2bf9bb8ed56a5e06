/// What happens to people while nobody looks.
enum ChangingWorld {
    /// Changes one thing about `person`; says what, in words.
    static func change(_ person: inout SimulatedPerson, using generator: inout SeededGenerator) -> String {
        let who = "\(person.name ?? person.username) at \(person.site.title)"
        switch Int.random(in: 0..<5, using: &generator) {
        case 0:
            let name = pick(firstNames, &generator) + " " + pick(lastNames, &generator)
            person.name = person.name == name ? name + " II" : name
            return "\(who) is now called \(person.name ?? "")"
        case 1:
            let word = pick(firstNames, &generator).lowercased()
            person.username = "\(word)-\(Int.random(in: 10..<100, using: &generator))"
            return "\(who) took the user name \(person.username)"
        case 2 where person.email != nil:
            let address =
                "\(pick(firstNames, &generator).lowercased())\(Int.random(in: 10..<100, using: &generator))@example.com"
            person.email = address
            return "\(who) has a new e-mail address, \(address)"
        case 3 where person.site == .discord && person.avatar != nil && Bool.random(using: &generator):
            person.avatar = nil
            return "\(who) took their picture away"
        case 3 where person.email != nil:
            person.emailVerified.toggle()
            return "\(who) has an e-mail address that is \(person.emailVerified ? "verified" : "no longer verified")"
        default:
            let isAnimated = person.site == .discord && Bool.random(using: &generator)
            person.avatar = (isAnimated ? "a_" : "") + generator.hexadecimalText(32)
            return "\(who) has a new picture"
        }
    }

    private static func pick(_ words: [String], _ generator: inout SeededGenerator) -> String {
        words[Int.random(in: 0..<words.count, using: &generator)]
    }

    private static let firstNames = [
        "Ada", "Bela", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hana", "Ines", "Jonas", "Kaja", "Lior", "Noor",
        "Otto", "Priya", "Rafael", "Sanna", "Tomoko", "Uma", "Zoë",
    ]
    private static let lastNames = [
        "Berg", "Castle", "Dunes", "Ember", "Fjord", "Grove", "Harbour", "Isle", "Juniper", "Lake", "Meadow", "North",
        "Orchard", "Pine", "Quarry", "River", "Stone", "Thorn",
    ]
}
