/// Members in the order in which they stood; equality does not look at the order.
package struct JSONObject: Sendable, Sequence, ExpressibleByDictionaryLiteral {
    package typealias Member = (name: String, value: JSONValue)

    /// From this many members on names are found by their hash: a hostile document of a hundred thousand members must
    /// not cost their square.
    private static let indexedCountMin = 64

    private var members: [Member] = []
    private var index: [ExactName: Int]?

    package init() {}

    /// Of two members with one name the last stays.
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (name, value) in elements { self[name] = value }
    }

    /// Setting keeps the member's place, or appends; setting `nil` removes the member.
    package subscript(name: String) -> JSONValue? {
        get { position(of: name).map { members[$0].value } }
        set {
            switch (position(of: name), newValue) {
            case (let position?, let value?): members[position].value = value
            case (let position?, nil):
                members.remove(at: position)
                rebuildIndex()
            case (nil, let value?): append(name, value)
            case (nil, nil): break
            }
        }
    }

    package var count: Int { members.count }
    package var isEmpty: Bool { members.isEmpty }
    package var names: [String] { members.map(\.name) }
    /// In the order of the names' code points.
    func forEachSorted(_ body: (Member) -> Void) {
        // Mostly the first eight bytes tell, and numbers are compared faster than names.
        var order = members.indices.map { (prefix: members[$0].name.sortingPrefix, index: $0) }
        order.sort { left, right in
            if left.prefix != right.prefix { return left.prefix < right.prefix }
            return members[left.index].name.utf8.lexicographicallyPrecedes(members[right.index].name.utf8)
        }
        for (_, index) in order { body(members[index]) }
    }

    package func makeIterator() -> IndexingIterator<[Member]> { members.makeIterator() }

    /// The members for which `isIncluded` holds, in their order.
    package func filtered(_ isIncluded: (Member) -> Bool) -> JSONObject {
        var result = JSONObject()
        result.members = members.filter(isIncluded)
        result.rebuildIndex()
        return result
    }

    /// Each member with the value that `transform` gives it, without those to which it gives `nil`, in their order.
    /// Setting `nil` for one member after the other would take the square of their number.
    package func compactMapValues(_ transform: (Member) -> JSONValue?) -> JSONObject {
        var result = JSONObject()
        result.members = members.compactMap { member in transform(member).map { (member.name, $0) } }
        result.rebuildIndex()
        return result
    }

    /// `false` where the name is there already; nothing is changed then.
    mutating func insert(_ name: String, _ value: JSONValue) -> Bool {
        guard position(of: name) == nil else { return false }
        append(name, value)
        return true
    }

    private func position(of name: String) -> Int? {
        if let index { return index[ExactName(name)] }
        return members.firstIndex { $0.name.hasSameScalars(as: name) }
    }

    /// For a name that is not there.
    mutating func append(_ name: String, _ value: JSONValue) {
        members.append((name, value))
        if index == nil {
            if members.count >= Self.indexedCountMin { rebuildIndex() }
        } else {
            index?[ExactName(name)] = members.count - 1
        }
    }

    private mutating func rebuildIndex() {
        guard members.count >= Self.indexedCountMin else { return index = nil }
        var rebuilt: [ExactName: Int] = [:]
        rebuilt.reserveCapacity(members.count)
        for (position, member) in members.enumerated() { rebuilt[ExactName(member.name)] = position }
        index = rebuilt
    }
}

extension JSONObject: Hashable {
    package static func == (left: Self, right: Self) -> Bool {
        guard left.count == right.count else { return false }
        for (position, (name, value)) in left.members.enumerated() {
            // Mostly the order is the same.
            let other = right.members[position]
            guard value == (other.name.hasSameScalars(as: name) ? other.value : right[name]) else { return false }
        }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        // Order must not show: the sum of the members' own hashes.
        let sum = members.reduce(0) { sum, member in
            var memberHasher = hasher
            memberHasher.combine(ExactName(member.name))
            memberHasher.combine(member.value)
            return sum &+ memberHasher.finalize()
        }
        hasher.combine(sum)
    }
}
