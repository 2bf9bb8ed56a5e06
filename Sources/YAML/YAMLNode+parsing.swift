import Yams

extension YAMLNode {
    /// Nesting beyond this is refused; libyaml itself stops at 1000, which bounds the stack.
    private static let depthMax = 64
    /// Yams hashes the keys of a mapping with everything that aliases make them stand for. So few can't grow into much
    /// before they are refused.
    private static let aliasLikeCountMax = 32

    /// Reads the one document of a file. `file` is only for the places; an empty text is a `null`.
    package init(parsing text: String, file: String, bytesMax: Int = 1 << 20) throws(YAMLError) {
        let start = SourcePlace(file: file, line: 1, column: 1)
        if text.utf8.count > bytesMax {
            throw YAMLError(place: start, reason: "the file is larger than \(bytesMax) bytes; split it or shorten it")
        }
        if let excess = text.positionOfAliasLikeText(number: Self.aliasLikeCountMax + 1) {
            throw YAMLError(
                place: SourcePlace(text, excess, file: file),
                reason: "too much here looks like an alias (*name); write values out, and put quotes around text")
        }
        do {
            // The nodes' anchors live as long as the parser.
            let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
            let root = try parser.singleRoot()
            self = try withExtendedLifetime(parser) {
                guard let root else { return YAMLNode(content: .null, place: start) }
                return try YAMLNode(root, file: file, depth: 1)
            }
        } catch let error as YAMLError {
            throw error
        } catch let error as YamlError {
            throw YAMLError(error, text: text, file: file)
        } catch {
            throw YAMLError(place: start, reason: "this can't be read as YAML")
        }
    }

    private init(_ node: Node, file: String, depth: Int) throws(YAMLError) {
        let place = SourcePlace(node.mark, file: file)
        if node.anchor != nil {
            throw YAMLError(place: place, reason: "anchors (&name) and aliases (*name) are not read; repeat the value")
        }
        if depth > Self.depthMax {
            throw YAMLError(place: place, reason: "nested more than \(Self.depthMax) deep; flatten it")
        }
        switch node {
        case .scalar(let scalar):
            try Self.checkTag(scalar.tag, allowed: .str, at: place)
            let isPlain = scalar.style == .plain && scalar.tag.rawValue.isEmpty
            let isNull = isPlain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
            self.init(content: isNull ? .null : .scalar(scalar.string, isPlain: isPlain), place: place)
        case .sequence(let sequence):
            try Self.checkTag(sequence.tag, allowed: .seq, at: place)
            var nodes: [YAMLNode] = []
            for element in sequence { nodes.append(try YAMLNode(element, file: file, depth: depth + 1)) }
            self.init(content: .sequence(nodes), place: place)
        case .mapping(let mapping):
            try Self.checkTag(mapping.tag, allowed: .map, at: place)
            var members: [(key: YAMLNode, value: YAMLNode)] = []
            var places: [String: SourcePlace] = [:]
            for (key, value) in mapping {
                let name = try Self.key(key, file: file, depth: depth)
                if let first = places.updateValue(name.place, forKey: name.string ?? "") {
                    throw .duplicateKey(name.string ?? "", first: first, second: name.place)
                }
                members.append((name, try YAMLNode(value, file: file, depth: depth + 1)))
            }
            self.init(content: .mapping(members), place: place)
        case .alias:
            throw YAMLError(place: place, reason: "aliases (*name) are not read; repeat the value")
        }
    }

    /// A key is a string whatever it looks like: `404:` is the key `404`.
    private static func key(_ node: Node, file: String, depth: Int) throws(YAMLError) -> YAMLNode {
        let place = SourcePlace(node.mark, file: file)
        guard case .scalar(let scalar) = node, node.anchor == nil else {
            throw YAMLError(place: place, reason: "a key must be a plain name, not a collection, anchor or alias")
        }
        return YAMLNode(content: .scalar(scalar.string, isPlain: scalar.style == .plain), place: place)
    }

    private static func checkTag(_ tag: Tag, allowed: Tag.Name, at place: SourcePlace) throws(YAMLError) {
        if !["", "!", allowed.rawValue].contains(tag.rawValue) {
            throw YAMLError(place: place, reason: "explicit tags (!name) are not read; remove the tag")
        }
    }
}

extension SourcePlace {
    init(_ mark: Mark?, file: String) {
        self.init(file: file, line: mark?.line ?? 1, column: mark?.column ?? 1)
    }

    init(_ text: String, _ position: String.Index, file: String) {
        let before = text[..<position].unicodeScalars
        let lineStart = before.lastIndex(of: "\n").map { before.index(after: $0) } ?? before.startIndex
        self.init(
            file: file, line: 1 + before.count { $0 == "\n" },
            column: 1 + before.distance(from: lineStart, to: before.endIndex))
    }
}

extension String {
    /// Where the text stands for the `number`th time that may be an alias: `*` at the beginning of a word, with no
    /// space behind. What stands in quotes and comments counts too: where those end is the parser's business.
    fileprivate func positionOfAliasLikeText(number: Int) -> String.Index? {
        var found = 0
        var previous = UInt8(ascii: "\n")
        for index in utf8.indices {
            let byte = utf8[index]
            if byte == UInt8(ascii: "*"), " \t\r\n[]{},:?-\"'".utf8.contains(previous) {
                let following = utf8.index(after: index)
                if following < utf8.endIndex, utf8[following] > 0x20 { found += 1 }
                if found == number { return index }
            }
            previous = byte
        }
        return nil
    }
}
