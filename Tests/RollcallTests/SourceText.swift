/// A Swift file taken apart far enough for rules about it: what is code, what is a string, what is a comment.
struct SourceText {
    struct Line {
        /// Without comments, and with nothing between the quotes of its strings.
        var code = ""
        /// Without comments alone.
        var text = ""
        var hasComment = false
    }

    let lines: [Line]

    private enum Context {
        /// Depth of parentheses within an interpolation; 0 outside of any.
        case code(depth: Int)
        case string(pounds: Int, isMultiline: Bool)
        case lineComment
        case blockComment(depth: Int)
    }

    init(_ source: String) {
        var stack: [Context] = [.code(depth: 0)]
        let characters = Array(source.utf8)
        var line = (code: [UInt8](), text: [UInt8](), hasComment: false)
        var lines: [Line] = []
        func end() {
            lines.append(
                Line(
                    code: String(decoding: line.code, as: UTF8.self), text: String(decoding: line.text, as: UTF8.self),
                    hasComment: line.hasComment))
            line = ([], [], false)
        }
        var index = 0
        func has(_ text: StaticString) -> Bool {
            has(Array(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)))
        }
        func has(_ text: [UInt8]) -> Bool {
            index + text.count <= characters.count && characters[index..<index + text.count].elementsEqual(text)
        }
        func pounds(at index: Int) -> Int { characters[index...].prefix { $0 == 0x23 }.count }
        while index < characters.count {
            let character = characters[index]
            var length = 1
            var isCode = false
            var isText = false
            switch stack[stack.count - 1] {
            case .lineComment:
                line.hasComment = true
                if character == 0x0a { stack.removeLast() }
            case .blockComment(let depth):
                line.hasComment = true
                if has("*/") {
                    length = 2
                    stack.removeLast()
                    if depth > 1 { stack.append(.blockComment(depth: depth - 1)) }
                } else if has("/*") {
                    length = 2
                    stack[stack.count - 1] = .blockComment(depth: depth + 1)
                }
            case .string(let count, let isMultiline):
                isText = true
                let quotes = [UInt8](repeating: 0x22, count: isMultiline ? 3 : 1)
                let mark = [UInt8](repeating: 0x23, count: count)
                if has(quotes + mark) {
                    length = quotes.count + count
                    isCode = true
                    stack.removeLast()
                } else if has([0x5c] + mark + [0x28]) {
                    length = count + 2
                    stack.append(.code(depth: 1))
                } else if character == 0x5c, count == 0 {
                    length = 2
                }
            case .code(let depth):
                isCode = true
                isText = true
                let count = pounds(at: index)
                if has("//") {
                    (isCode, isText) = (false, false)
                    stack.append(.lineComment)
                } else if has("/*") {
                    (isCode, isText) = (false, false)
                    length = 2
                    stack.append(.blockComment(depth: 1))
                } else if index + count < characters.count, characters[index + count] == 0x22 {
                    let isMultiline = characters[(index + count)...].starts(with: [0x22, 0x22, 0x22])
                    length = count + (isMultiline ? 3 : 1)
                    stack.append(.string(pounds: count, isMultiline: isMultiline))
                } else if depth > 0, character == 0x28 {
                    stack[stack.count - 1] = .code(depth: depth + 1)
                } else if depth > 0, character == 0x29 {
                    stack.removeLast()
                    if depth > 1 { stack.append(.code(depth: depth - 1)) }
                }
            }
            for character in characters[index..<min(index + length, characters.count)] {
                if character == 0x0a {
                    end()
                    continue
                }
                if isCode { line.code.append(character) }
                if isText { line.text.append(character) }
            }
            index += length
        }
        end()
        self.lines = lines
    }
}
