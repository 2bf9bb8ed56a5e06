package import Accounts

extension KeyRing {
    /// Reads the text of a key file: one base64 key of 32 bytes a line, the first the primary one; blank lines and lines
    /// that begin with `#` are skipped. Throws `KeyRingTextError`, which names lines and never quotes them.
    package init(parsing text: String) throws(KeyRingTextError) {
        var keys: [(key: SealingKey, line: Int)] = []
        for (index, rawLine) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let line = rawLine.trimmingSpace
            if line.isEmpty || line.hasPrefix("#") { continue }
            let number = index + 1
            guard let bytes = Base64.decode(line) else { throw .notBase64(line: number) }
            let key: SealingKey
            do { key = try SealingKey(bytes: bytes) } catch { throw .wrongLength(line: number, bytes: bytes.count) }
            if let earlier = keys.first(where: { $0.key.id == key.id }) {
                throw .duplicate(line: number, firstLine: earlier.line)
            }
            keys.append((key, number))
        }
        guard let primary = keys.first else { throw .empty }
        self.init(primary: primary.key, others: keys.dropFirst().map(\.key))
    }

    /// A ring of one new key. Throws only where `random` does not give the 32 bytes it is asked for.
    package static func generate(random: some RandomSource) throws(SealingError) -> KeyRing {
        KeyRing(primary: try SealingKey(bytes: random.bytes(32)))
    }

    /// This ring with a new primary key; everything sealed before still opens.
    package func withNewPrimary(random: some RandomSource) throws(SealingError) -> KeyRing {
        KeyRing(primary: try SealingKey(bytes: random.bytes(32)), others: [primary] + others)
    }

    /// This ring without every key but the primary one.
    package var primaryAlone: KeyRing { KeyRing(primary: primary) }

    /// What `init(parsing:)` reads. Secret: it goes into a file of mode 0600 and nowhere else.
    package var text: String {
        var lines = ["# Sealing keys, one a line. New secrets are sealed with the first; older keys below still open."]
        for key in [primary] + others { lines += ["# key \(key.id)", Base64.encode(key.bytes)] }
        return lines.joined(separator: "\n") + "\n"
    }
}

package enum KeyRingTextError: Error, Equatable, CustomStringConvertible {
    case empty
    case notBase64(line: Int)
    case wrongLength(line: Int, bytes: Int)
    case duplicate(line: Int, firstLine: Int)

    package var description: String {
        switch self {
        case .empty: "no key: expected a line with 32 bytes in base64"
        case .notBase64(let line): "line \(line): not base64; expected 32 bytes as 44 characters"
        case .wrongLength(let line, let bytes): "line \(line): a key has 32 bytes, this one has \(bytes)"
        case .duplicate(let line, let firstLine): "line \(line): the same key as on line \(firstLine)"
        }
    }
}

extension Substring {
    fileprivate var trimmingSpace: Substring {
        var text = self
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }
}
