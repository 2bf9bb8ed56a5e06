import Accounts
import FoundationEssentials
import GRDB

/// A connection of GRDB's; `Database` is ours.
typealias Connection = GRDB.Database

/// What can be bound to a parameter.
protocol Bound { var bound: DatabaseValue { get } }

extension String: Bound { var bound: DatabaseValue { databaseValue } }
extension Int: Bound { var bound: DatabaseValue { databaseValue } }
extension Int64: Bound { var bound: DatabaseValue { databaseValue } }
extension Double: Bound { var bound: DatabaseValue { databaseValue } }
extension Bool: Bound { var bound: DatabaseValue { (self ? 1 : 0).databaseValue } }
extension Timestamp: Bound { var bound: DatabaseValue { millisecondsSinceEpoch.databaseValue } }
extension Identifier: Bound { var bound: DatabaseValue { rawValue.databaseValue } }
extension UserID: Bound { var bound: DatabaseValue { rawValue.databaseValue } }
extension ProviderID: Bound { var bound: DatabaseValue { rawValue.databaseValue } }
extension Subject: Bound { var bound: DatabaseValue { rawValue.databaseValue } }

/// An array that is bound as one value: bytes as a blob, scopes as text.
protocol BoundElement { static func bound(_ array: [Self]) -> DatabaseValue }

extension Array: Bound where Element: BoundElement { var bound: DatabaseValue { Element.bound(self) } }
extension UInt8: BoundElement { static func bound(_ array: [Self]) -> DatabaseValue { Data(array).databaseValue } }
extension Scope: BoundElement {
    static func bound(_ array: [Self]) -> DatabaseValue { array.map(\.rawValue).joined(separator: " ").databaseValue }
}

extension Connection {
    /// Runs a prepared statement and returns how many rows it changed.
    @discardableResult
    func run(_ sql: String, _ values: (any Bound)?...) throws -> Int { try run(sql, values: values) }

    @discardableResult
    func run(_ sql: String, values: [(any Bound)?]) throws -> Int {
        try cachedStatement(sql: sql).execute(arguments: arguments(values))
        return changesCount
    }

    func first(_ sql: String, _ values: (any Bound)?...) throws -> Row? {
        try Row.fetchOne(cachedStatement(sql: sql), arguments: arguments(values))
    }

    /// Every row; the statement bounds how many.
    func rows(_ sql: String, _ values: (any Bound)?...) throws -> [Row] { try rows(sql, values: values) }

    func rows(_ sql: String, values: [(any Bound)?]) throws -> [Row] {
        try Row.fetchAll(cachedStatement(sql: sql), arguments: arguments(values))
    }

    private func arguments(_ values: [(any Bound)?]) -> StatementArguments {
        StatementArguments(values.map { $0?.bound ?? .null })
    }
}

/// Columns by position, in the order of the statement. A value of another kind than the schema promises means that the
/// file was changed by something else: `.corrupt`, where GRDB's own accessors would end the process.
protocol Columns {
    func optionalText(_ index: Int) -> String?
    func optionalInt64(_ index: Int) -> Int64?
    func optionalDouble(_ index: Int) -> Double?
    func optionalBytes(_ index: Int) -> [UInt8]?
}

extension Row: Columns {
    func optionalText(_ index: Int) -> String? { value(index) }
    func optionalInt64(_ index: Int) -> Int64? { value(index) }
    func optionalDouble(_ index: Int) -> Double? { value(index) }
    func optionalBytes(_ index: Int) -> [UInt8]? { (value(index) as Data?).map { Array($0) } }

    private func value<Value: DatabaseValueConvertible>(_ index: Int) -> Value? {
        Value.fromDatabaseValue(self[index])
    }
}

extension Columns {
    func text(_ index: Int) throws -> String { try present(optionalText(index)) }
    func int64(_ index: Int) throws -> Int64 { try present(optionalInt64(index)) }
    func int(_ index: Int) throws -> Int { Int(try int64(index)) }
    func double(_ index: Int) throws -> Double { try present(optionalDouble(index)) }
    func bool(_ index: Int) throws -> Bool { try int64(index) != 0 }
    func bytes(_ index: Int) throws -> [UInt8] { try present(optionalBytes(index)) }
    func time(_ index: Int) throws -> Timestamp { try present(optionalTime(index)) }

    func optionalTime(_ index: Int) -> Timestamp? {
        optionalInt64(index).map { Timestamp(millisecondsSinceEpoch: $0) }
    }

    func id<Kind>(_ index: Int) throws -> Identifier<Kind> { try present(Identifier(text(index))) }
    func user(_ index: Int) throws -> UserID { try present(UserID(text(index))) }
    func provider(_ index: Int) throws -> ProviderID { try present(ProviderID(text(index))) }
    func subject(_ index: Int) throws -> Subject { try present(Subject(text(index))) }
    func scopes(_ index: Int) throws -> [Scope] {
        let text = try text(index)
        return text.isEmpty ? [] : text.split(separator: " ").compactMap { Scope(String($0)) }
    }

    /// One of the words of an enum.
    func word<Word: RawRepresentable<String>>(_ index: Int) throws -> Word {
        try present(Word(rawValue: text(index)))
    }

    private func present<Value>(_ value: Value?) throws(StoreError) -> Value {
        guard let value else { throw .corrupt }
        return value
    }
}
