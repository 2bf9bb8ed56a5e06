/// An I-Regexp (RFC 9485), compiled to a nondeterministic automaton whose states are all followed at once: a match
/// takes time in proportion to text times states, whatever the expression. A backtracking engine would take forever on
/// patterns such as `(a*)*b`, and patterns can come from the document.
struct RegularExpression: Sendable {
    enum Instruction: Sendable {
        case one(CharacterSet)
        /// Goes on at both places.
        case split(Int, Int)
        case jump(Int)
        /// Goes on at the beginning of the text alone, or at its end alone.
        case beginning
        case end
        case accept
    }

    /// A range such as `{2,9}` is written out; an expression that grows beyond this is taken for no I-Regexp.
    static let stateCountMax = 4096

    /// Of a pattern, in characters, as of a query: a computed one could be as long as its document.
    private static let lengthMax = 4096

    private let program: [Instruction]

    var stateCount: Int { program.count }

    /// `nil` where the pattern is no I-Regexp, or too large.
    init?(_ pattern: String) {
        guard pattern.utf8.count <= 4 * Self.lengthMax, pattern.unicodeScalars.count <= Self.lengthMax else {
            return nil
        }
        guard let parsed = RegularExpressionParser.parse(pattern) else { return nil }
        var compiler = Compiler()
        guard compiler.emit(parsed) else { return nil }
        program = compiler.program + [.accept]
    }

    /// Whether the expression takes the whole text, or, unless `isWhole`, any part of it. `false` once `stepsLeft` is
    /// used up.
    func matches(_ text: String, isWhole: Bool, stepsLeft: inout Int) -> Bool {
        var current = StateSet(capacity: program.count)
        var following = StateSet(capacity: program.count)
        var pending: [Int] = []
        let scalars = text.unicodeScalars
        var index = scalars.startIndex
        follow(0, at: Place(isBeginning: true, isEnd: scalars.isEmpty), into: &current, &pending)
        while index < scalars.endIndex {
            if !isWhole && current.accepts { return true }
            stepsLeft -= 1 + current.states.count
            if current.states.isEmpty || stepsLeft <= 0 { return false }
            let scalar = scalars[index]
            scalars.formIndex(after: &index)
            let place = Place(isBeginning: false, isEnd: index == scalars.endIndex)
            following.removeAll()
            for state in current.states {
                guard case .one(let set) = program[state] else { continue }
                stepsLeft -= set.steps
                if set.contains(scalar) {
                    follow(state + 1, at: place, into: &following, &pending)
                }
            }
            if !isWhole { follow(0, at: place, into: &following, &pending) }
            swap(&current, &following)
        }
        return current.accepts
    }

    private struct Place {
        let isBeginning: Bool
        let isEnd: Bool
    }

    /// Adds a state and all that are reached from it without reading.
    private func follow(_ state: Int, at place: Place, into set: inout StateSet, _ pending: inout [Int]) {
        pending.append(state)
        while let state = pending.popLast() {
            guard set.insert(state) else { continue }
            switch program[state] {
            case .jump(let target): pending.append(target)
            case .split(let first, let second):
                pending.append(second)
                pending.append(first)
            case .beginning: if place.isBeginning { pending.append(state + 1) }
            case .end: if place.isEnd { pending.append(state + 1) }
            case .accept: set.accepts = true
            case .one: break
            }
        }
    }

    private struct StateSet {
        private(set) var states: [Int] = []
        private var isMember: [Bool]
        var accepts = false

        init(capacity: Int) { isMember = Array(repeating: false, count: capacity) }

        mutating func insert(_ state: Int) -> Bool {
            if isMember[state] { return false }
            isMember[state] = true
            states.append(state)
            return true
        }

        mutating func removeAll() {
            for state in states { isMember[state] = false }
            states.removeAll(keepingCapacity: true)
            accepts = false
        }
    }
}

private struct Compiler {
    var program: [RegularExpression.Instruction] = []
    /// Pieces that emit nothing count too: `((){999}){999}` is small only at first sight.
    private var work = 0

    /// `false` where the program would grow too large.
    mutating func emit(_ expression: ParsedExpression) -> Bool {
        work += 1
        guard work <= 4 * RegularExpression.stateCountMax, program.count < RegularExpression.stateCountMax else {
            return false
        }
        switch expression {
        case .one(let set): program.append(.one(set))
        case .beginning: program.append(.beginning)
        case .end: program.append(.end)
        case .sequence(let pieces):
            for piece in pieces where !emit(piece) { return false }
        case .alternatives(let branches):
            var jumps: [Int] = []
            for branch in branches.dropLast() {
                let split = program.count
                program.append(.split(split + 1, 0))
                guard emit(branch) else { return false }
                jumps.append(program.count)
                program.append(.jump(0))
                program[split] = .split(split + 1, program.count)
            }
            guard let last = branches.last, emit(last) else { return false }
            for jump in jumps { program[jump] = .jump(program.count) }
        case .repeated(let piece, let least, let most):
            for _ in 0..<least where !emit(piece) { return false }
            guard let most else {
                let split = program.count
                program.append(.split(split + 1, 0))
                guard emit(piece) else { return false }
                program.append(.jump(split))
                program[split] = .split(split + 1, program.count)
                return true
            }
            var splits: [Int] = []
            for _ in least..<most {
                splits.append(program.count)
                program.append(.split(program.count + 1, 0))
                guard emit(piece) else { return false }
            }
            for split in splits { program[split] = .split(split + 1, program.count) }
        }
        return true
    }
}
