import JSON

// Stands in for the JSON module's reader and writer until they are there.
extension JSONValue {
    init(parsing bytes: [UInt8]) throws(JSONReadingForNow) { throw JSONReadingForNow() }
    var text: String { "" }
}

struct JSONReadingForNow: Error {}
