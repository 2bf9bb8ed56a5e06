import Accounts
import ArgumentParser
import Foundation
import JSON
import Providers
import Store
import Sync

extension AccountsCommand {
    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take over accounts and their tokens from another system.",
            discussion: """
                Example:  rollcall accounts import accounts.ndjson

                Newline-delimited JSON, one account a line:

                  {"user_id": "42", "provider": "github", "subject": "583231", "access_token": "…",
                   "refresh_token": "…", "expires_at": "2026-12-01T00:00:00Z", "scopes": ["read:user"]}

                refresh_token, expires_at and scopes may be left out. The same file may be imported again. A wrong line \
                is reported with its number and ends the import, whose earlier batches stay; with --keep-going it is \
                skipped. Exits 0 where every line was taken, 1 where some were skipped, 65 where a line ended it.
                """)

        static let batchSize = 500

        @Argument(help: "The file; - reads standard input.", completion: .file()) var file: String
        @Flag(help: "Skip wrong lines instead of ending at the first.") var keepGoing = false
        @Flag(help: "Make the accounts due at once instead of spreading them over one sync interval.") var due = false
        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            let configuration = try options.load()
            try await reportingFailures {
                let catalog = try ServiceAssembly.catalog(configuration)
                let random = SystemRandom()
                let handle = try open()
                let database = try Database(
                    path: configuration.databasePath, keyRing: try configuration.keyRing(random: random),
                    time: SystemTime(), random: random)
                defer { database.close() }
                var work = ImportWork(
                    database: database, catalog: catalog, keepGoing: keepGoing, isDue: due, random: random,
                    totalBytes: size(of: handle))
                try await work.run(LineReader(handle))
            }
        }

        private func open() throws -> FileHandle {
            if file == "-" { return .standardInput }
            guard let handle = FileHandle(forReadingAtPath: file) else {
                Terminal.note("\(file): the file can't be read; check that it exists, and its mode")
                throw ExitCode.badInput
            }
            return handle
        }

        private func size(of handle: FileHandle) -> Int? {
            var status = stat()
            guard fstat(handle.fileDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            return Int(status.st_size)
        }
    }
}

/// Reads lines, checks them, and stores them in batches; memory does not grow with the file.
private struct ImportWork {
    let database: Database
    let catalog: ProviderCatalog
    let keepGoing: Bool
    let isDue: Bool
    let random: SystemRandom
    let totalBytes: Int?
    var created = 0
    var replaced = 0
    var unchanged = 0
    var skipped = 0
    private var batch: [(line: Int, account: ImportedAccount)] = []

    init(
        database: Database, catalog: ProviderCatalog, keepGoing: Bool, isDue: Bool, random: SystemRandom,
        totalBytes: Int?
    ) {
        self.database = database
        self.catalog = catalog
        self.keepGoing = keepGoing
        self.isDue = isDue
        self.random = random
        self.totalBytes = totalBytes
    }

    mutating func run(_ lines: LineReader) async throws {
        var lines = lines
        let bar = ProgressBar("Importing", total: totalBytes)
        defer { bar.finish() }
        while true {
            let line: [UInt8]
            do {
                guard let next = try lines.next() else { break }
                line = next
            } catch is LineReader.LineTooLong {
                bar.finish()
                Terminal.note("line \(lines.lineNumber): longer than 1 MiB; the rest of the file is not read")
                try await flush()
                throw ExitCode.badInput
            }
            if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
            switch parse(line) {
            case .success(let account):
                batch.append((lines.lineNumber, account))
                if batch.count >= AccountsCommand.Import.batchSize { try await flush() }
            case .failure(let fault):
                bar.finish()
                try await refuse(line: lines.lineNumber, fault.reason)
            }
            bar.advance(to: lines.byteCount, note: "\(created + replaced + unchanged) accounts")
        }
        try await flush()
        bar.finish()
        Terminal.say("\(created) created, \(replaced) replaced, \(unchanged) unchanged, \(skipped) skipped")
        if skipped > 0 { throw ExitCode.someFailed }
    }

    private mutating func refuse(line: Int, _ reason: String) async throws {
        Terminal.note("line \(line): \(reason)")
        skipped += 1
        guard !keepGoing else { return }
        try await flush()
        Terminal.note(
            "Ended at line \(line); \(created + replaced + unchanged) accounts before it are stored. "
                + "Mend the line and import the file again, or skip wrong lines with --keep-going.")
        throw ExitCode.badInput
    }

    private mutating func flush() async throws {
        let batch = batch
        self.batch.removeAll(keepingCapacity: true)
        guard !batch.isEmpty else { return }
        let outcomes = try await database.accounts.importAccounts(batch.map(\.account))
        for (entry, outcome) in zip(batch, outcomes) {
            switch outcome {
            case .created: created += 1
            case .replaced: replaced += 1
            case .unchanged: unchanged += 1
            case .conflict:
                try await refuse(line: entry.line, "another user holds this account; unlink it there first")
            }
        }
    }

    private struct Fault: Error { var reason: String }

    private static let names: Set<String> = [
        "user_id", "provider", "subject", "access_token", "refresh_token", "expires_at", "scopes",
    ]

    private func parse(_ line: [UInt8]) -> Result<ImportedAccount, Fault> {
        do { return .success(try account(from: line)) } catch { return .failure(error) }
    }

    private func account(from line: [UInt8]) throws(Fault) -> ImportedAccount {
        let value: JSONValue
        do { value = try JSONValue(parsing: line) } catch {
            throw Fault(reason: "not JSON: column \(error.column): \(error.reason)")
        }
        guard let object = value.object else { throw Fault(reason: "expected a JSON object") }
        if let unknown = object.names.first(where: { !Self.names.contains($0) }) {
            let hint = suggestion(for: unknown, among: Self.names.sorted()).map { "; did you mean '\($0)'?" } ?? ""
            throw Fault(reason: "unknown member '\(unknown.prefix(40))'\(hint)")
        }
        guard let userID = UserID(try text(object, "user_id")) else {
            throw Fault(reason: "user_id must have 1 to 255 characters, none of them a control character")
        }
        let name = try text(object, "provider")
        guard let id = ProviderID(name), let provider = catalog[id] else {
            throw Fault(reason: "provider '\(name.prefix(63))' is not configured")
        }
        guard let subject = Subject(try text(object, "subject")) else {
            throw Fault(reason: "subject must have 1 to 255 characters, none of them a control character")
        }
        let now = SystemTime().now()
        let credential = Credential(
            accessToken: Secret(try token(object, "access_token")),
            expiresAt: try time(object, "expires_at"),
            refreshToken: object["refresh_token"] == nil ? nil : Secret(try token(object, "refresh_token")),
            scopes: try scopes(object) ?? provider.scopes, obtainedAt: now)
        let first = isDue ? now : SyncSchedule.first(now: now, policy: provider.syncPolicy, random: random)
        return ImportedAccount(
            userID: userID, provider: id, subject: subject, credential: credential, nextSyncAt: first)
    }

    private func text(_ object: JSONObject, _ name: String) throws(Fault) -> String {
        guard let value = object[name] else { throw Fault(reason: "\(name) is missing") }
        // An id may come as a number from another system; its digits are what counts.
        guard let text = value.string ?? value.number?.integerText else {
            throw Fault(reason: "\(name) must be a string")
        }
        return text
    }

    private func token(_ object: JSONObject, _ name: String) throws(Fault) -> String {
        guard let text = object[name]?.string else { throw Fault(reason: "\(name) must be a string") }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Fault(reason: "\(name) must be printable ASCII without spaces")
        }
        return text
    }

    private func time(_ object: JSONObject, _ name: String) throws(Fault) -> Timestamp? {
        switch object[name] {
        case nil, .null: return nil
        case .string(let text):
            guard let time = Timestamp(rfc3339: text) else {
                throw Fault(reason: "\(name) must be a time such as 2026-12-01T00:00:00Z")
            }
            return time
        default: throw Fault(reason: "\(name) must be a time such as 2026-12-01T00:00:00Z")
        }
    }

    private func scopes(_ object: JSONObject) throws(Fault) -> [Scope]? {
        switch object["scopes"] {
        case nil, .null: return nil
        case .array(let values):
            var scopes: [Scope] = []
            for value in values {
                guard let scope = value.string.flatMap({ Scope($0) }) else {
                    throw Fault(reason: "scopes must be a list of scopes (RFC 6749 §3.3)")
                }
                scopes.append(scope)
            }
            return scopes
        default: throw Fault(reason: "scopes must be a list of strings")
        }
    }
}

extension AccountsCommand {
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write every account with its tokens, in the clear, as `accounts import` reads them.",
            discussion: """
                Example:  (umask 077; rollcall accounts export > accounts.ndjson)

                The output holds secrets: keep it from others. Accounts whose sealed tokens do not open are reported and \
                left out.
                """)

        @OptionGroup var options: ConfigurationOptions

        func run() async throws {
            try await withDatabase(options) { database in
                let bar = ProgressBar("Exporting", total: nil)
                defer { bar.finish() }
                var after: String?
                var written = 0
                var damaged = 0
                repeat {
                    let page = try await database.accounts.exportAccounts(after: after, limit: 500)
                    var lines = ""
                    for item in page.items {
                        guard let credential = item.credential else {
                            damaged += 1
                            Terminal.note("\(item.account.id): its tokens do not open; left out")
                            continue
                        }
                        lines += Self.line(item.account, credential) + "\n"
                        written += 1
                    }
                    FileHandle.standardOutput.write(Data(lines.utf8))
                    bar.advance(to: written)
                    after = page.next
                } while after != nil
                if damaged > 0 { throw ExitCode.someFailed }
            }
        }

        private static func line(_ account: LinkedAccount, _ credential: Credential) -> String {
            var object: JSONObject = [
                "user_id": .string(account.userID.rawValue), "provider": .string(account.provider.rawValue),
                "subject": .string(account.subject.rawValue),
                "access_token": .string(credential.accessToken.reveal { $0 }),
            ]
            if let token = credential.refreshToken { object["refresh_token"] = .string(token.reveal { $0 }) }
            if let time = credential.expiresAt { object["expires_at"] = .string(time.rfc3339) }
            object["scopes"] = .array(credential.scopes.map { .string($0.rawValue) })
            return JSONValue.object(object).text
        }
    }
}
