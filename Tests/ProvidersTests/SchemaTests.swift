import Foundation
import JSON
import Providers
import Testing

@Suite struct SchemaTests {
    private func schema() throws -> JSONValue { try JSONValue(parsing: Manifest.jsonSchema) }

    @Test func `the schema is one of draft 2020-12 and closed`() throws {
        let schema = try schema()
        #expect(schema["$schema"]?.string == "https://json-schema.org/draft/2020-12/schema")
        func check(_ schema: JSONValue, _ path: String) {
            if schema["properties"] != nil { #expect(schema["additionalProperties"] == .bool(false), "\(path)") }
            for name in schema["required"]?.array ?? [] {
                #expect(schema["properties"]?[name.string ?? ""] != nil, "\(path)")
            }
            for (name, value) in schema["properties"]?.object ?? [:] {
                #expect(value["description"]?.string?.isEmpty == false, "\(path).\(name)")
                check(value, "\(path).\(name)")
            }
            for value in schema["anyOf"]?.array ?? [] { check(value, path) }
            for name in ["items", "additionalProperties"] { schema[name].map { check($0, path) } }
        }
        check(schema, "")
    }

    /// Each key of the schema, set in a manifest, is one that the reader knows: it complains about the value alone.
    @Test func `the reader knows each key of the schema and no other`() throws {
        let top = try #require(schema()["properties"]?.object)
        for name in top.names {
            let manifest = "\(name): [[]]\n"
            let problems = try ProviderCatalog(
                files: [ManifestFile(path: "example.yaml", text: manifest)], instances: [],
                publicURL: "https://accounts.example.com"
            ).problems
            #expect(!problems.contains { $0.problem.message.contains("unknown key") }, "\(name)")
        }
        for (section, value) in top {
            for name in value["properties"]?.object?.names ?? [] {
                let problems = try ProviderCatalog(
                    files: [ManifestFile(path: "example.yaml", text: "\(section):\n  \(name): [[]]\n")], instances: [],
                    publicURL: "https://accounts.example.com"
                ).problems
                #expect(!problems.contains { $0.problem.message.contains("unknown key") }, "\(section).\(name)")
            }
        }
    }

    /// A key that is accepted and then not read would be a promise that nothing keeps.
    @Test func `no key of the schema is accepted and ignored`() throws {
        let folder = Fixture.folder.appending(path: "../../../Sources/Providers").standardizedFileURL
        var source = ""
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path())
        where name.hasPrefix("ManifestReader") {
            source += try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        }
        func check(_ schema: JSONValue) {
            for (name, value) in schema["properties"]?.object ?? [:] {
                // What a choice of one says needs no reading, and claims are read by their table.
                let isSettled = ["response_type", "style"].contains(name) || name == "claims"
                #expect(isSettled || source.contains("\"\(name)\""), "\(name)")
                if name != "claims" { check(value) }
            }
            for value in schema["anyOf"]?.array ?? [] { check(value) }
            for name in ["items", "additionalProperties"] { schema[name].map { check($0) } }
        }
        check(try schema())
    }

    @Test func `the built-in manifests hold no key that the schema lacks`() throws {
        let top = try #require(schema()["properties"]?.object)
        let folder = Fixture.folder.appending(path: "../../../providers").standardizedFileURL
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path()).filter { $0.hasSuffix(".yaml") }
        #expect(files.count >= 4)
        for file in files {
            let text = try String(contentsOf: folder.appending(path: file), encoding: .utf8)
            for line in text.split(separator: "\n") where line.first?.isLetter == true {
                #expect(top[String(line.prefix { $0 != ":" })] != nil, "\(file): \(line)")
            }
        }
    }
}
