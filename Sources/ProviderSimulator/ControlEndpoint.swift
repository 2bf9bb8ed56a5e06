import FoundationEssentials
import Synchronization

/// How other processes steer the simulator.
///
/// - `GET /control`: counters of every site.
/// - `POST /control`: a JSON object, or an array of them: `site` with `fault`, `switches`, `client` and `clear`
///   (`faults`); without a site `clear` (`faults`, `counters`) and `advance` (a number of steps).
/// - `GET /control/people/<site>`, `POST /control/people/<site>/<id>`: a JSON object of members to change.
/// - `POST /advance`: one step, for the button on the front page.
extension ProviderSimulator {
    private struct Order: KnowsMembers {
        typealias Members = CodingKeys
        enum CodingKeys: String, CodingKey, CaseIterable { case site, fault, switches, client, clear, advance }

        var site: String?
        var fault: Exactly<SimulatedFault>?
        var switches: Exactly<SimulatorSwitches.Change>?
        var client: Exactly<Client>?
        var clear: [String]?
        var advance: Int?
    }

    private struct Client: KnowsMembers {
        typealias Members = CodingKeys
        enum CodingKeys: String, CodingKey, CaseIterable { case id, secret, redirectUris, name }

        var id: String
        var secret: String?
        var redirectUris: [String]
        var name: String?
    }

    private struct Refused: Error { var reason: String }

    func control(_ call: Call) -> Reply {
        switch (call.method, call.path) {
        case ("GET", "/"): return .html(200, FrontPage(simulator: self, base: call.base).html)
        case ("POST", "/advance"):
            step()
            return .redirect("/")
        case ("GET", "/control"):
            return encoded(
                Dictionary(
                    uniqueKeysWithValues: allSites.map { site in
                        ("\(site.name)", site.state.withLock { $0.countersNow(call.now) })
                    }))
        case ("POST", "/control"): return orders(call)
        default: return people(call)
        }
    }

    private func orders(_ call: Call) -> Reply {
        do {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            let isArray = call.body.first { $0 > 0x20 } == UInt8(ascii: "[")
            let orders =
                try isArray
                ? decoder.decode([Exactly<Order>].self, from: Data(call.body))
                : [decoder.decode(Exactly<Order>.self, from: Data(call.body))]
            var news: [String] = []
            for order in orders { news += try follow(order.value, call) }
            return .json(200, ["done": .integer(Int64(orders.count)), "news": .strings(news)])
        } catch let error as Refused {
            return refuse(error.reason)
        } catch let error as DecodingError {
            return refuse(Self.reason(error))
        } catch {
            return refuse("the order could not be followed")
        }
    }

    private func follow(_ order: Order, _ call: Call) throws -> [String] {
        guard let name = order.site else {
            if order.fault != nil || order.switches != nil || order.client != nil {
                throw Refused(reason: "site is missing")
            }
            for thing in order.clear ?? [] {
                switch thing {
                case "faults": for site in allSites { clearFaults(at: site.name) }
                case "counters": resetCounters()
                default: throw Refused(reason: "clear knows faults and counters")
                }
            }
            return (0..<max(0, min(order.advance ?? 0, 10_000))).map { _ in step() }
        }
        guard let site = SimulatedSite(name).flatMap({ self.site(named: $0) }) else {
            throw Refused(reason: "there is no site of that name")
        }
        for thing in order.clear ?? [] {
            switch thing {
            case "faults": clearFaults(at: site.name)
            case "counters": site.state.withLock { $0.resetCounters() }
            default: throw Refused(reason: "clear knows faults and counters")
            }
        }
        if let client = order.client?.value {
            register(
                SimulatedClient(
                    site: site.name, id: client.id, secret: client.secret ?? "", redirectURIs: client.redirectUris,
                    name: client.name ?? "Example Application"))
        }
        if let switches = order.switches?.value {
            site.state.withLock { switches.apply(to: &$0.switches) }
        }
        if let fault = order.fault?.value { try inject(fault, at: site.name) }
        return []
    }

    /// `/control/people/<site>[/<id>]`; a site's name may itself have a slash.
    private func people(_ call: Call) -> Reply {
        let prefix = "/control/people/"
        guard call.path.hasPrefix(prefix) else { return .json(404, ["error": "nothing is here"]) }
        let rest = String(call.path.dropFirst(prefix.count))
        if call.method == "GET" {
            guard let site = SimulatedSite(rest) else { return .json(404, ["error": "there is no such site"]) }
            return .json(200, .array(people(at: site).map(Self.described)))
        }
        guard call.method == "POST", let slash = rest.lastIndex(of: "/"),
            let name = SimulatedSite(String(rest[..<slash])), let site = site(named: name)
        else { return .json(404, ["error": "there is no such site or person"]) }
        do {
            let fields = try JSONDecoder().decode([String: FieldValue].self, from: Data(call.body))
            let id = String(rest[rest.index(after: slash)...])
            let found = try site.state.withLock { state in
                try state.change(id, now: call.now) { person in
                    for (field, value) in fields.sorted(by: { $0.key < $1.key }) { try person.set(field, to: value) }
                }
            }
            guard found else { return .json(404, ["error": "there is no such person"]) }
            return .json(200, ["changed": .strings(fields.keys.sorted())])
        } catch let error as FieldError {
            return refuse("\(error.field) is no member of a person, or not of that type")
        } catch {
            return refuse("the body is not a JSON object of members")
        }
    }

    private static func described(_ person: SimulatedPerson) -> JSONText {
        [
            "id": .string(person.id), "username": .string(person.username), "name": .optional(person.name),
            "email": .optional(person.email), "email_verified": .bool(person.emailVerified),
            "avatar": .optional(person.avatar), "locale": .optional(person.locale),
            "discriminator": .string(person.discriminator), "email_is_public": .bool(person.emailIsPublic),
            "other_emails": .strings(person.otherEmails), "hosted_domain": .optional(person.hostedDomain),
            "suspended": .bool(person.isSuspended),
        ]
    }

    private func encoded(_ value: some Encodable) -> Reply {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        do {
            return Reply(
                200, fields: [("content-type", "application/json")], body: Array(try encoder.encode(value)))
        } catch { return .json(500, ["error": "the counters could not be written"]) }
    }

    private func refuse(_ reason: String) -> Reply { .json(400, ["error": .string(reason)]) }

    private static func reason(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): "\(path(context, key)) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): "\(path(context)) is of another type"
        case .dataCorrupted(let context): context.codingPath.isEmpty ? "not JSON" : "\(path(context)) is not known"
        @unknown default: "not understood"
        }
    }
}
