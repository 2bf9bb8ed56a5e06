/// Names and values of a query or of an `application/x-www-form-urlencoded` body, strictly read: a broken percent
/// sequence or bytes that are not UTF-8 make it unreadable as a whole.
struct FormParameters: Sendable, Equatable {
    private var pairs: [(name: String, value: String)] = []

    static let empty = FormParameters()

    private init() {}

    init?(parsing text: some StringProtocol) {
        self.init(bytes: text.utf8)
    }

    init?(bytes: some Collection<UInt8>) {
        for part in bytes.split(separator: 0x26) {
            let sides = part.split(separator: 0x3d, maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(sides[0], plusIsSpace: true) else { return nil }
            guard let value = sides.count > 1 ? Self.decoded(sides[1], plusIsSpace: true) : "" else { return nil }
            pairs.append((name, value))
        }
    }

    subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }
    var names: [String] { pairs.map(\.name) }
    var values: [String] { pairs.map(\.value) }
    func count(of name: String) -> Int { pairs.count { $0.name == name } }

    static func == (left: Self, right: Self) -> Bool { left.pairs.elementsEqual(right.pairs) { $0 == $1 } }

    /// Percent-decoding to UTF-8; `nil` where a sequence is broken or the bytes are not UTF-8.
    static func decoded(_ bytes: some Collection<UInt8>, plusIsSpace: Bool) -> String? {
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case 0x25:
                guard let high = iterator.next().flatMap(hexValue), let low = iterator.next().flatMap(hexValue)
                else { return nil }
                output.append(high << 4 | low)
            case 0x2b where plusIsSpace: output.append(0x20)
            default: output.append(byte)
            }
        }
        return String(validating: output, as: UTF8.self)
    }

    private static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}
