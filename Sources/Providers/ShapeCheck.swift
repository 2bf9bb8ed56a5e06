import YAML

/// Finds all that is wrong with a node, so that an author mends a file in one go.
struct ShapeCheck {
    private(set) var problems: [ConfigurationProblem] = []

    /// `path` is where the node is in the manifest, empty for the whole of it.
    mutating func check(_ node: YAMLNode, _ shape: Shape, path: String = "") {
        switch shape {
        case .text(let rule):
            guard let text = node.text, rule.accepts(text) else { return report(node, shape, path) }
        case .flag: if node.bool == nil { report(node, shape, path) }
        case .count(let range):
            guard let count = node.int, range.contains(count) else { return report(node, shape, path) }
        case .duration:
            guard let duration = node.time, duration > .zero else { return report(node, shape, path) }
        case .choice(let values):
            guard let text = node.text, values.contains(text) else { return report(node, shape, path) }
        case .list(let item, let atLeast):
            guard let items = node.sequence, items.count >= atLeast else { return report(node, shape, path) }
            for (index, node) in items.enumerated() { check(node, item, path: "\(path)[\(index)]") }
        case .map(let names, let value):
            guard let members = node.mapping else { return report(node, shape, path) }
            for (key, node) in members {
                guard let name = key.string, names.accepts(name) else {
                    problems.append(
                        .init(place: key.place, message: "\(said(path)): \(found(key)) is not \(names.expected)"))
                    continue
                }
                check(node, value, path: join(path, name))
            }
        case .record(let keys): checkRecord(node, keys, shape, path)
        case .either(let shapes):
            let fitting = shapes.filter { $0.fits(node) }
            let mended = fitting.max { $0.likeness(to: node) < $1.likeness(to: node) }
            let accepted = fitting.contains { candidate in
                var trial = ShapeCheck()
                trial.check(node, candidate, path: path)
                return trial.problems.isEmpty
            }
            if accepted { return }
            guard let mended, fitting.count == 1 || node.mapping != nil else { return report(node, shape, path) }
            check(node, mended, path: path)
        }
    }

    private mutating func checkRecord(_ node: YAMLNode, _ keys: [Shape.Key], _ shape: Shape, _ path: String) {
        guard let members = node.mapping else { return report(node, shape, path) }
        for (key, value) in members {
            guard let known = keys.first(where: { $0.name == key.string }) else {
                problems.append(
                    .init(
                        place: key.place,
                        message:
                            "\(said(path)): unknown key \(found(key)); expected \(keys.map(\.name).joined(separator: ", "))"
                    ))
                continue
            }
            check(value, known.shape, path: join(path, known.name))
        }
        for key in keys where key.isRequired && !members.contains(where: { $0.key.string == key.name }) {
            problems.append(
                .init(
                    place: node.place,
                    message: "\(said(path)): the key \(key.name) is missing; expected \(key.shape.expected)"))
        }
    }

    private mutating func report(_ node: YAMLNode, _ shape: Shape, _ path: String) {
        problems.append(
            .init(place: node.place, message: "\(said(path)): expected \(shape.expected), found \(found(node))"))
    }

    private func said(_ path: String) -> String { path.isEmpty ? "the manifest" : path }
    private func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private func found(_ node: YAMLNode) -> String {
        if node.mapping != nil { return "a mapping" }
        if let items = node.sequence { return items.isEmpty ? "an empty list" : "a list" }
        guard let text = node.string else { return "nothing" }
        if node.text == nil { return "\(text) without quotes" }
        let visible = String(text.unicodeScalars.prefix(60).map { $0.value < 0x20 ? "?" : Character($0) })
        return text.unicodeScalars.count > 60 ? "\"\(visible)…\"" : "\"\(visible)\""
    }
}

extension Shape {
    /// Whether the node is of the kind that the shape asks for.
    fileprivate func fits(_ node: YAMLNode) -> Bool {
        switch self {
        case .text, .flag, .count, .duration, .choice: node.string != nil
        case .list: node.sequence != nil
        case .map, .record: node.mapping != nil
        case .either(let shapes): shapes.contains { $0.fits(node) }
        }
    }

    /// How many of the node's keys a record knows.
    fileprivate func likeness(to node: YAMLNode) -> Int {
        guard case .record(let keys) = self else { return 0 }
        return node.mapping?.count { member in keys.contains { $0.name == member.key.string } } ?? 0
    }
}
