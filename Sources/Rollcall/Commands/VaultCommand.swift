import Accounts
import ArgumentParser
import Cryptography
import Foundation
import JSON
import Store

struct VaultCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vault", abstract: "The keys that seal the tokens: change them, and prove which are needed.",
        subcommands: [VaultRotate.self, VaultVerify.self, VaultRetire.self])
}

struct VaultRotate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate",
        abstract: "Make a new primary key and seal everything anew under it, beside a running service or without one.",
        discussion: """
            Example:  rollcall vault rotate && rollcall vault verify

            The key file gets a new first line; a running service uses it at once, without a restart. Then every row \
            moves to the new key, in small steps. It may be interrupted at any moment: the next run goes on where it \
            stopped, and makes no further key before that is done. In the end no row needs an old key. The old ones \
            stay in the key file for backups made before; `rollcall vault retire` takes them out.

            A key that comes from the environment or a credential can't be written: put a new one before it (`openssl \
            rand -base64 32`), restart the service, and run this to move the rows.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try options.load()
        try await reportingFailures(database: configuration.databasePath) {
            try configuration.requireDatabase()
            let lock = try configuration.keyFile?.locked()
            defer { lock?.closeFile() }
            let database = try configuration.openDatabase()
            defer { database.close() }
            let damaged = try await changeKeys(configuration, database)
            let retired = try await database.vault.retireUnusedKeys()
            // What was sealed under the old key leaves the log, unless a reader is in the way.
            try await database.checkpoint()
            let primary = database.vault.keyRing.primary.id
            for id in retired { Terminal.note("No row needs key \(id) any more; it is kept for older backups.") }
            guard damaged.isEmpty else {
                for error in damaged { Terminal.note("\(error)") }
                Terminal.note("What does not open stays under its key; all else is sealed under key \(primary).")
                throw ExitCode.someFailed
            }
            Terminal.note("Everything is sealed under key \(primary).")
        }
    }

    /// Returns what does not open.
    private func changeKeys(
        _ configuration: ServiceConfiguration, _ database: Database
    ) async throws -> [StoreError] {
        if try await database.vault.uses().count > 1 {
            Terminal.note("A change of keys was begun before; going on with it.")
            let (rows, damaged) = try await reseal(database)
            // What does not open must not keep the keys from ever changing again.
            guard rows == 0, !damaged.isEmpty, configuration.keyFile != nil else { return damaged }
            Terminal.note("All that opens was sealed anew before: this is another change.")
        }
        try await newPrimary(configuration, database)
        return try await reseal(database).damaged
    }

    private func newPrimary(_ configuration: ServiceConfiguration, _ database: Database) async throws {
        guard let file = configuration.keyFile else {
            throw ConfigurationError(problems: [
                "\(configuration.keyPlace): this key can't be written from here; put a new one before it ('openssl rand "
                    + "-base64 32' makes one), restart the service, and run this again"
            ])
        }
        // In the file before anything is sealed with it: whoever meets it in the database finds it there.
        let ring = try file.read().withNewPrimary(random: SystemRandom())
        try file.replace(with: ring)
        try await database.vault.use(ring)
        Terminal.note("Key \(ring.primary.id) is the primary one in \(file.path).")
    }

    /// How many rows were sealed anew, and what does not open.
    private func reseal(_ database: Database) async throws -> (rows: Int, damaged: [StoreError]) {
        let old = try await database.vault.uses().filter { !$0.isPrimary }
        let bar = ProgressBar("Sealing anew", total: old.map(\.rows).reduce(0, +))
        defer { bar.finish() }
        var rows = 0
        var damaged: [StoreError] = []
        var cursor: String?
        repeat {
            let started = ContinuousClock.now
            let step = try await database.vault.reseal(after: cursor, limit: 100)
            rows += step.rows
            damaged += step.damaged
            cursor = step.next
            bar.advance(to: rows)
            // Others write in the other half of the time: SQLite has no queue, and who comes back at once is served first.
            try await Task.sleep(for: max(.milliseconds(2), ContinuousClock.now - started))
        } while cursor != nil
        Terminal.note("\(rows) rows were sealed anew.")
        return (rows, damaged)
    }
}

struct VaultVerify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Open everything that is sealed, and say which key each row needs. Changes nothing.",
        discussion: """
            Example:  rollcall vault verify --json

            Exits 0 where everything opens and no row needs another key than the primary one, else 1.
            """)

    @OptionGroup var options: ConfigurationOptions
    @Flag(help: "Print the result as one JSON object.") var json = false

    func run() async throws {
        let configuration = try options.load()
        try await reportingFailures(database: configuration.databasePath) {
            try configuration.requireDatabase()
            let database = try configuration.openDatabase()
            defer { database.close() }
            let bar = ProgressBar("Opening", total: try await database.vault.uses().map(\.rows).reduce(0, +))
            var rows = 0
            var damaged: [StoreError] = []
            var cursor: String?
            repeat {
                let step = try await database.vault.verify(after: cursor, limit: 1000)
                rows += step.rows
                damaged += step.damaged
                cursor = step.next
                bar.advance(to: rows)
            } while cursor != nil
            bar.finish()
            let uses = try await database.vault.uses()
            let needsOld = uses.contains { !$0.isPrimary && $0.rows > 0 }
            say(uses, idle: database.vault.keyRing.keyIDs.filter { id in !uses.contains { $0.keyID == id } }, rows)
            for error in damaged { Terminal.note("\(error)") }
            if needsOld { Terminal.note("Some rows need an old key: 'rollcall vault rotate' moves them.") }
            if needsOld || !damaged.isEmpty { throw ExitCode.someFailed }
            Terminal.note("All \(rows) sealed rows open, and none needs another key than the primary one.")
        }
    }

    private func say(_ uses: [VaultUse], idle: [String], _ rows: Int) {
        var keys = uses.map { (id: $0.keyID, rows: $0.rows, isPrimary: $0.isPrimary) }
        keys += idle.map { (id: $0, rows: 0, isPrimary: false) }
        keys.sort { ($0.isPrimary ? 0 : 1, $0.id) < ($1.isPrimary ? 0 : 1, $1.id) }
        guard json else {
            let lines = keys.map {
                [$0.id, String($0.rows), $0.isPrimary ? "primary" : $0.rows > 0 ? "needed" : "not needed"]
            }
            return Terminal.say(Terminal.table(["KEY", "ROWS", "STATE"], lines))
        }
        let objects = keys.map { key in
            JSONValue.object([
                "id": .string(key.id), "rows": .number(JSONNumber(key.rows)), "primary": .bool(key.isPrimary),
            ])
        }
        Terminal.say(JSONValue.object(["opened": .number(JSONNumber(rows)), "keys": .array(objects)]).text)
    }
}

struct VaultRetire: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retire",
        abstract: "Take the keys that no row needs out of the key file, for good.",
        discussion: """
            Example:  rollcall vault verify && rollcall vault retire

            A backup made before the last `rollcall vault rotate` needs its old key: wait until no such backup is kept. \
            Nothing brings a retired key back.
            """)

    @OptionGroup var options: ConfigurationOptions

    func run() async throws {
        let configuration = try options.load()
        try await reportingFailures(database: configuration.databasePath) {
            try configuration.requireDatabase()
            guard let file = configuration.keyFile else {
                throw ConfigurationError(problems: [
                    "\(configuration.keyPlace): these keys can't be written from here; take out those that 'rollcall vault "
                        + "verify' calls not needed"
                ])
            }
            let lock = try file.locked()
            defer { lock.closeFile() }
            let database = try configuration.openDatabase()
            defer { database.close() }
            _ = try await database.vault.retireUnusedKeys()
            let needed = Set(try await database.vault.uses().map(\.keyID))
            let ring = try file.read()
            let idle = ring.others.map(\.id).filter { !needed.contains($0) }
            guard !idle.isEmpty else { return Terminal.note("\(file.path) holds no key that is not needed.") }
            try file.replace(with: ring.without(Set(idle)))
            for id in idle { Terminal.note("Key \(id) is gone from \(file.path).") }
        }
    }
}

extension ServiceConfiguration {
    /// Where the keys are in a file of ours.
    fileprivate var keyFile: KeyFile? {
        if case .file(let path) = keySource { return KeyFile(path: path) }
        return nil
    }

    fileprivate var keyPlace: String {
        switch keySource {
        case .text(_, let place): place
        case .file(let path), .credential(let path): path
        }
    }
}
