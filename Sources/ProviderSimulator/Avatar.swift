/// Pictures drawn from a name: no file, no other server.
enum Avatar {
    /// The same seed, the same picture.
    static func svg(seed: String) -> String {
        var generator = SeededGenerator(seed: 7, name: seed)
        let hue = Int.random(in: 0..<360, using: &generator)
        var squares = ""
        for row in 0..<5 {
            for column in 0..<3 where Bool.random(using: &generator) {
                for x in Set([column, 4 - column]).sorted() {
                    squares += "<rect x=\"\(x * 16 + 8)\" y=\"\(row * 16 + 8)\" width=\"16\" height=\"16\"/>"
                }
            }
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 96 96" width="96" height="96">\
            <rect width="96" height="96" fill="hsl(\(hue) 45% 88%)"/><g fill="hsl(\(hue) 55% 42%)">\(squares)</g></svg>
            """
    }
}
