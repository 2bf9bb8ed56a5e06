/// Takes a response as libcurl hands it out, line by line and decompressed, and stops at the first byte too many.
struct ResponseReader {
    private(set) var fields = HeaderFields()
    private(set) var body: [UInt8] = []
    /// The limit that was passed.
    private(set) var tooLarge: Int?
    private let bodyBytesMax: Int
    private let headerBytesMax: Int
    private var headerBytes = 0
    private var headerIsComplete = false

    init(bodyBytesMax: Int, headerBytesMax: Int) {
        self.bodyBytesMax = bodyBytesMax
        self.headerBytesMax = headerBytesMax
    }

    /// False where the transfer has to end.
    mutating func readBody(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count <= bodyBytesMax - body.count else {
            tooLarge = bodyBytesMax
            body = []
            return false
        }
        body.append(contentsOf: bytes)
        return true
    }

    /// One whole line with its end. Interim responses (RFC 9110 §15.2) are counted and forgotten, trailers as well.
    mutating func readHeaderLine(_ bytes: UnsafeRawBufferPointer) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= headerBytesMax else {
            tooLarge = headerBytesMax
            return false
        }
        var line = bytes[...]
        while let last = line.last, last == 0x0a || last == 0x0d { line.removeLast() }
        if line.starts(with: "HTTP/".utf8) {
            fields = HeaderFields()
            fields.reserveCapacity(12)
            headerIsComplete = false
        } else if line.isEmpty {
            headerIsComplete = true
        } else if !headerIsComplete {
            readField(line)
        }
        return true
    }

    private mutating func readField(_ line: Slice<UnsafeRawBufferPointer>) {
        if line.first == 0x20 || line.first == 0x09 {  // a folded line, RFC 9112 §5.2
            fields.extendLast(with: text(line))
        } else if let colon = line.firstIndex(of: UInt8(ascii: ":")) {
            fields.append(
                name: String(decoding: line[..<colon], as: UTF8.self), value: text(line[(colon + 1)...]))
        }
    }

    private func text(_ bytes: Slice<UnsafeRawBufferPointer>) -> String {
        var bytes = bytes
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes.removeFirst() }
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }
}
