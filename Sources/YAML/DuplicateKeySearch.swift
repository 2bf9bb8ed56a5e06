import Yams

/// Finds the second of two equal keys: Yams gives the place of the first alone, and no nodes. With the first
/// characters of those it complains of changed to something that occurs nowhere, the text parses, and the keys can be
/// compared where they stand.
struct DuplicateKeySearch {
    private var text: String
    private let file: String
    private var changed: [(mark: Mark, character: Unicode.Scalar)] = []

    init(text: String, file: String) {
        self.text = text
        self.file = file
    }

    consuming func error(first: Mark) -> YAMLError {
        let firstPlace = SourcePlace(first, file: file)
        let unplaced = YAMLError(
            place: firstPlace, reason: "this key stands twice in its mapping; remove one of the two")
        var complaint = first
        for _ in 0..<100 {
            guard change(at: complaint) else { return unplaced }
            do {
                guard let root = try Parser(yaml: text, resolver: .basic, encoding: .utf8).singleRoot(),
                    let keys = keys(besides: first, in: root),
                    let name = keys.first(where: { $0.mark == first })?.name,
                    let second = keys.first(where: { $0.mark != first && $0.name == name })
                else { return unplaced }
                return .duplicateKey(name, first: firstPlace, second: SourcePlace(second.mark, file: file))
            } catch YamlError.duplicatedKeysInMapping(_, let context) {
                complaint = context.mark
            } catch {
                return unplaced
            }
        }
        return unplaced
    }

    private mutating func change(at mark: Mark) -> Bool {
        var scalars = text.unicodeScalars
        var index = scalars.startIndex
        for _ in 1..<max(mark.line, 1) {
            guard let newline = scalars[index...].firstIndex(of: "\n") else { return false }
            index = scalars.index(after: newline)
        }
        guard let start = scalars.index(index, offsetBy: mark.column - 1, limitedBy: scalars.endIndex),
            start < scalars.endIndex
        else { return false }
        index = start
        if scalars[index] == "\"" || scalars[index] == "'" { index = scalars.index(after: index) }
        guard index < scalars.endIndex, let replacement = Unicode.Scalar(0xe000 + UInt32(changed.count)) else {
            return false
        }
        changed.append((mark, scalars[index]))
        scalars.replaceSubrange(index...index, with: CollectionOfOne(replacement))
        text = String(scalars)
        return true
    }

    /// The keys of the mapping that has one at `mark`, by their names before the changes.
    private func keys(besides mark: Mark, in node: Node) -> [(mark: Mark, name: String)]? {
        switch node {
        case .mapping(let mapping):
            let siblings: [(mark: Mark, name: String)] = mapping.compactMap { key, _ in
                key.mark.map { ($0, name(of: key, at: $0)) }
            }
            if siblings.contains(where: { $0.mark == mark }) { return siblings }
            return mapping.values.lazy.compactMap { keys(besides: mark, in: $0) }.first
        case .sequence(let sequence): return sequence.lazy.compactMap { keys(besides: mark, in: $0) }.first
        case .scalar, .alias: return nil
        }
    }

    private func name(of key: Node, at mark: Mark) -> String {
        let name = key.scalar?.string ?? ""
        guard let character = changed.first(where: { $0.mark == mark })?.character else { return name }
        return String(character) + String(name.unicodeScalars.dropFirst())
    }
}

extension Mark {
    fileprivate static func == (left: Self, right: Self) -> Bool {
        left.line == right.line && left.column == right.column
    }

    fileprivate static func != (left: Self, right: Self) -> Bool { !(left == right) }
}
