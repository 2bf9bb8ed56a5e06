/// Text from outside, made fit for a log line and an error.
enum ErrorText {
    /// The text where it can pass as an error code, else `nil`.
    static func code(_ text: String) -> String? {
        let allowed = text.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f: true
            default: false
            }
        }
        return allowed && (1...64).contains(text.utf8.count) ? text : nil
    }

    /// One line of at most 200 characters, control characters and line separators replaced by spaces; runs that could
    /// be a token or a code echoed back are cut out.
    static func line(_ text: String) -> String {
        var words: [String] = []
        var word = ""
        var length = 0
        func endWord() {
            guard !word.isEmpty else { return }
            words.append(word.utf8.count >= 24 ? "[…]" : word)
            word = ""
        }
        for scalar in text.unicodeScalars {
            if length >= 200 { break }
            length += 1
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .surrogate, .privateUse,
                .unassigned:
                endWord()
            default: word.unicodeScalars.append(scalar)
            }
        }
        endWord()
        return words.joined(separator: " ")
    }
}
