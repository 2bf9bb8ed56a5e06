/// Reads Prometheus' text format, version 0.0.4, and refuses whatever a scraper might stumble over: it is stricter than
/// the format, for what is written here is our own.
package struct PrometheusText {
    package struct Broken: Error, CustomStringConvertible {
        package var description: String
    }

    package struct Family: Equatable {
        package var type: String
        package var help: String
    }

    package private(set) var families: [String: Family] = [:]
    /// By name and labels, as they stand: `a_total{b="c"}`, the labels unescaped.
    package private(set) var samples: [Sample: Double] = [:]
    private var closed: Set<String> = []

    package struct Sample: Hashable, CustomStringConvertible {
        package var name: String
        package var labels: [String: String]
        package var description: String { "\(name)\(labels.sorted { $0.key < $1.key })" }
    }

    package init(_ text: String) throws(Broken) {
        guard text.isEmpty || text.hasSuffix("\n") else { throw Broken(description: "the last line has no end") }
        var current: String?
        var pendingHelp: (name: String, text: String)?
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast().enumerated() {
            func broken(_ what: String) -> Broken { Broken(description: "line \(number + 1): \(what): \(line)") }
            if line.hasPrefix("# HELP ") {
                let parts = line.dropFirst(7).split(separator: " ", maxSplits: 1)
                guard parts.count == 2, pendingHelp == nil else { throw broken("no help") }
                pendingHelp = (String(parts[0]), String(parts[1]))
            } else if line.hasPrefix("# TYPE ") {
                let parts = line.dropFirst(7).split(separator: " ")
                guard parts.count == 2, let help = pendingHelp, help.name == parts[0],
                    ["counter", "gauge", "histogram"].contains(parts[1])
                else { throw broken("no type, or not of what the help was") }
                let name = help.name
                guard families[name] == nil, Self.isName(name) else { throw broken("a name twice, or none") }
                if let current { closed.insert(current) }
                families[name] = Family(type: String(parts[1]), help: help.text)
                (current, pendingHelp) = (name, nil)
            } else {
                guard let current, pendingHelp == nil else { throw broken("a sample of nothing") }
                let (sample, value) = try Self.sample(line, broken)
                guard Self.isOf(current, families[current]?.type ?? "", sample.name) else {
                    throw broken("a sample of another family than \(current)")
                }
                guard samples[sample] == nil else { throw broken("a sample twice") }
                samples[sample] = value
            }
        }
        for (name, family) in families {
            if family.type == "counter", !name.hasSuffix("_total") {
                throw Broken(description: "\(name) is a counter without _total")
            }
            if family.type == "histogram" { try checkHistogram(name) }
            if family.type == "counter", samples.contains(where: { $0.key.name == name && $0.value < 0 }) {
                throw Broken(description: "\(name) is a counter below nothing")
            }
            guard samples.keys.contains(where: { Self.isOf(name, family.type, $0.name) }) else {
                throw Broken(description: "\(name) has no sample")
            }
        }
    }

    /// The value of a series; `nil` where there is none.
    package subscript(name: String, labels: [String: String]) -> Double? { samples[Sample(name: name, labels: labels)] }

    private static func isOf(_ family: String, _ type: String, _ name: String) -> Bool {
        type == "histogram" ? ["_bucket", "_sum", "_count"].contains { name == family + $0 } : name == family
    }

    private static func isName(_ name: String) -> Bool {
        name.wholeMatch(of: /[a-zA-Z_:][a-zA-Z0-9_:]*/) != nil
    }

    private static func sample(
        _ line: Substring, _ broken: (String) -> Broken
    ) throws(Broken) -> (Sample, Double) {
        var rest = line
        let name = String(rest.prefix { $0 != "{" && $0 != " " })
        guard isName(name) else { throw broken("no name") }
        rest = rest.dropFirst(name.count)
        var labels: [String: String] = [:]
        if rest.first == "{" {
            repeat {
                rest = rest.dropFirst()
                let key = String(rest.prefix { $0 != "=" })
                guard key.wholeMatch(of: /[a-zA-Z_][a-zA-Z0-9_]*/) != nil, labels[key] == nil else {
                    throw broken("no label")
                }
                rest = rest.dropFirst(key.count)
                guard rest.hasPrefix("=\"") else { throw broken("no value of a label") }
                rest = rest.dropFirst(2)
                var value = ""
                while let character = rest.first, character != "\"" {
                    rest = rest.dropFirst()
                    guard character == "\\" else {
                        value.append(character)
                        continue
                    }
                    switch rest.popFirst() {
                    case "\\": value.append("\\")
                    case "\"": value.append("\"")
                    case "n": value.append("\n")
                    default: throw broken("an escape that is none")
                    }
                }
                guard rest.popFirst() == "\"" else { throw broken("a label without an end") }
                labels[key] = value
            } while rest.first == ","
            guard rest.popFirst() == "}" else { throw broken("labels without an end") }
        }
        guard rest.popFirst() == " " else { throw broken("no value") }
        let words = ["+Inf": Double.infinity, "-Inf": -Double.infinity, "NaN": Double.nan]
        guard
            let value = words[String(rest)]
                ?? (rest.wholeMatch(of: /-?[0-9.]+(e[-+]?[0-9]+)?/).flatMap { _ in Double(rest) })
        else { throw broken("no number") }
        return (Sample(name: name, labels: labels), value)
    }

    private func checkHistogram(_ name: String) throws(Broken) {
        for (sample, count) in samples where sample.name == name + "_count" {
            guard self[name + "_sum", sample.labels] != nil else { throw Broken(description: "\(sample): no sum") }
            let buckets = samples.compactMap { other, value -> (bound: Double, count: Double)? in
                var labels = other.labels
                guard other.name == name + "_bucket", let bound = labels.removeValue(forKey: "le"),
                    labels == sample.labels
                else { return nil }
                return (bound == "+Inf" ? .infinity : Double(bound) ?? .nan, value)
            }.sorted { $0.bound < $1.bound }
            guard buckets.last?.bound == .infinity, buckets.last?.count == count,
                zip(buckets, buckets.dropFirst()).allSatisfy({ $0.count <= $1.count })
            else { throw Broken(description: "\(sample): buckets that do not add up") }
        }
        guard samples.keys.contains(where: { $0.name == name + "_count" }) else {
            throw Broken(description: "\(name) has no count")
        }
    }
}
