/// Everything about one site that changes, behind one lock.
struct SiteState: Sendable {
    /// A person and when they last changed.
    struct Resident: Sendable {
        var person: SimulatedPerson
        var changedAt: Int64
    }

    var switches: SimulatorSwitches
    var ledger: GrantLedger
    private(set) var residents: [String: Resident] = [:]
    private(set) var order: [String] = []
    var clients: [String: SimulatedClient]
    /// By device code.
    var devices: [String: Site.DeviceRequest] = [:]
    var faults: [SimulatedFault] = []
    var counters = SimulatorCounters()
    /// What DPoP proofs have to hold now.
    var proofNonce: String?
    /// Tokens of applications themselves, and when they end.
    var applicationTokens: [String: Int64] = [:]
    var pushedRequests: [String: Site.PushedRequest] = [:]
    /// `jti` of every assertion and proof that was taken.
    var assertionIDs: Set<String> = []
    var windows = RequestWindows()
    var generator: SeededGenerator
    /// Each step changes a tenth of the people made on the fly.
    var bulkGeneration = 0
    var bulkGrants = BulkGrants()

    init(
        site: SimulatedSite, configuration: SimulatorConfiguration, switches: SimulatorSwitches
    ) {
        let now = configuration.now()
        self.switches = switches
        ledger = GrantLedger(generator: SeededGenerator(seed: configuration.seed, name: "\(site)/ledger"))
        generator = SeededGenerator(seed: configuration.seed, name: "\(site)")
        clients = [:]
        for client in configuration.clients where client.site == site { clients[client.id] = client }
        let own = configuration.fixtureSites.first { .fixture($0.name) == site }?.people ?? []
        let cast = own.isEmpty ? SimulatedPerson.cast(at: site) : own
        for person in configuration.people ?? cast where person.site == site {
            if residents[person.id] == nil { order.append(person.id) }
            residents[person.id] = Resident(person: person, changedAt: now)
        }
    }

    var people: [SimulatedPerson] { order.compactMap { residents[$0]?.person } }

    /// Those who granted some client access and have not taken it back.
    var peopleWithGrants: [SimulatedPerson] {
        let holders = Set(ledger.families.values.map(\.holder.person))
        return people.filter { holders.contains($0.id) }
    }

    /// Anyone: of the cast, or made on the fly.
    func resident(_ id: String, site: SimulatedSite) -> Resident? {
        if let resident = residents[id] { return resident }
        guard let number = BulkPerson.number(ofPerson: id, site: site) else { return nil }
        return Resident(
            person: BulkPerson.person(number, site: site, generation: bulkGeneration), changedAt: BulkPerson.bornAt)
    }

    mutating func change(_ id: String, now: Int64, _ change: (inout SimulatedPerson) throws -> Void) rethrows -> Bool {
        guard var resident = residents[id] else { return false }
        let before = resident.person
        try change(&resident.person)
        resident.person.site = before.site
        resident.person.id = before.id
        if resident.person != before { resident.changedAt = now }
        residents[id] = resident
        return true
    }

    mutating func takeFault(for endpoint: SimulatedEndpoint) -> SimulatedFault? {
        guard let index = faults.firstIndex(where: { $0.concerns(endpoint) }) else { return nil }
        let fault = faults[index]
        if let times = fault.times {
            if times <= 1 { faults.remove(at: index) } else { faults[index].times = times - 1 }
        }
        counters.faultsMet += 1
        return fault
    }

    mutating func begin(_ endpoint: SimulatedEndpoint) {
        counters.requests += 1
        counters.concurrent += 1
        counters.concurrentMax = max(counters.concurrentMax, counters.concurrent)
        counters.endpoints[endpoint.rawValue, default: .init()].began()
    }

    mutating func end(_ endpoint: SimulatedEndpoint, status: Int?) {
        counters.concurrent -= 1
        counters.endpoints[endpoint.rawValue, default: .init()].ended(status: status)
    }

    /// Counters begin again; what is under way stays counted as under way.
    mutating func resetCounters() {
        let old = counters
        counters = SimulatorCounters()
        counters.concurrent = old.concurrent
        for (name, endpoint) in old.endpoints where endpoint.concurrent > 0 {
            counters.endpoints[name] = SimulatorCounters.Endpoint()
            counters.endpoints[name]?.concurrent = endpoint.concurrent
        }
    }

    func countersNow(_ now: Int64) -> SimulatorCounters {
        var counters = counters
        ledger.count(into: &counters, now: now)
        counters.pendingFaults = faults.count
        return counters
    }
}

extension SimulatorCounters.Endpoint {
    fileprivate mutating func began() {
        requests += 1
        concurrent += 1
        concurrentMax = max(concurrentMax, concurrent)
    }

    fileprivate mutating func ended(status: Int?) {
        concurrent -= 1
        byStatus[status.map(String.init) ?? "none", default: 0] += 1
    }
}
