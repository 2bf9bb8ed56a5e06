/// The characters that one place of a regular expression takes: ranges and Unicode's general categories.
struct CharacterSet: Sendable {
    private var ranges: [ClosedRange<Unicode.Scalar>] = []
    /// One bit for each general category.
    private var categories: UInt32 = 0
    var isNegated = false

    /// `.` (RFC 9485 §3.1): all but line feed and carriage return.
    static let anyButLineEnds: CharacterSet = {
        var set = CharacterSet()
        set.ranges = ["\n"..."\n", "\r"..."\r"]
        set.isNegated = true
        return set
    }()

    init() {}
    init(_ scalar: Unicode.Scalar) { ranges = [scalar...scalar] }

    /// A category such as `Lu`, or a group of them such as `L`; `nil` where I-Regexp has no such.
    init?(category name: String, isComplement: Bool) {
        let bits = Self.categoryNames.enumerated().reduce(0 as UInt32) { bits, category in
            category.element == name || category.element.prefix(1) == name ? bits | 1 << category.offset : bits
        }
        guard bits != 0 else { return nil }
        categories = isComplement ? ~bits : bits
    }

    mutating func insert(_ range: ClosedRange<Unicode.Scalar>) { ranges.append(range) }

    mutating func formUnion(_ other: CharacterSet) {
        ranges += other.ranges
        categories |= other.categories
    }

    /// The character where the set was made of one alone.
    var onlyScalar: Unicode.Scalar? { categories == 0 ? ranges.first?.lowerBound : nil }

    /// What `contains` takes, in steps of an evaluation beyond the one for the state: ranges are looked at one by one.
    var steps: Int { ranges.count / 16 }

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        var isMember = ranges.contains { $0.contains(scalar) }
        if !isMember && categories != 0 {
            isMember = categories & 1 << Self.categoryBit(scalar.properties.generalCategory) != 0
        }
        return isMember != isNegated
    }

    /// RFC 9485 §3, IsCategory: surrogates (`Cs`) are left out there, and no scalar is one.
    private static let categoryNames = [
        "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps",
        "Zl", "Zp", "Zs", "Sc", "Sk", "Sm", "So", "Cc", "Cf", "Cn", "Co",
    ]

    private static func categoryBit(_ category: Unicode.GeneralCategory) -> Int {
        switch category {
        case .lowercaseLetter: 0
        case .modifierLetter: 1
        case .otherLetter: 2
        case .titlecaseLetter: 3
        case .uppercaseLetter: 4
        case .spacingMark: 5
        case .enclosingMark: 6
        case .nonspacingMark: 7
        case .decimalNumber: 8
        case .letterNumber: 9
        case .otherNumber: 10
        case .connectorPunctuation: 11
        case .dashPunctuation: 12
        case .closePunctuation: 13
        case .finalPunctuation: 14
        case .initialPunctuation: 15
        case .otherPunctuation: 16
        case .openPunctuation: 17
        case .lineSeparator: 18
        case .paragraphSeparator: 19
        case .spaceSeparator: 20
        case .currencySymbol: 21
        case .modifierSymbol: 22
        case .mathSymbol: 23
        case .otherSymbol: 24
        case .control: 25
        case .format: 26
        case .unassigned: 27
        case .privateUse: 28
        case .surrogate: 31
        @unknown default: 31
        }
    }
}
