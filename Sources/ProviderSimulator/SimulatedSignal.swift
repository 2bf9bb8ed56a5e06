import Synchronization

/// A message that a site would send by itself, to be delivered by whoever asked for it: the simulator calls nobody.
package struct SimulatedSignal: Sendable {
    /// Besides the media type, which is `application/json`.
    package var fields: [(name: String, value: String)]
    package var body: [UInt8]
}

extension ProviderSimulator {
    /// The person takes back what they allowed every client. Returns what the site says of it, where it says anything.
    package func takeBackConsent(of person: String, at name: SimulatedSite) -> SimulatedSignal? {
        guard let site = site(named: name) else { return nil }
        let found = site.state.withLock { state -> SimulatedPerson? in
            state.ledger.end(person: person)
            return state.resident(person, site: name)?.person
        }
        return found.flatMap { site.rules.signal(about: $0) }
    }
}
