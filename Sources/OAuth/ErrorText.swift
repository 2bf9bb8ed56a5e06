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
    /// be a token or a code echoed back are cut out, and so is a word that the end of the line would cut in two: of what
    /// was too long to be shown whole, no part is.
    static func line(_ text: String) -> String {
        var words: [String] = []
        var word = ""
        var length = 0
        let cut = "[…]"
        let lengthMax = 200 - cut.count
        func endWord() {
            guard !word.isEmpty else { return }
            let hasDigit = word.utf8.contains { (0x30...0x39).contains($0) }
            words.append(word.utf8.count >= (hasDigit ? 16 : 24) ? cut : word)
            word = ""
        }
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .spaceSeparator, .surrogate, .privateUse,
                .unassigned:
                endWord()
                if length >= lengthMax { return words.joined(separator: " ") }
            default:
                if length >= lengthMax { return (words + [cut]).joined(separator: " ") }
                word.unicodeScalars.append(scalar)
            }
            length += 1
        }
        endWord()
        return words.joined(separator: " ")
    }
}
