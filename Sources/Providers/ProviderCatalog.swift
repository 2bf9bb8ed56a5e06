package import Accounts
import Cryptography
import FoundationEssentials
import OAuth

/// All providers that are configured, and the manifests they may be made from.
package struct ProviderCatalog: Sendable {
    /// In the order of the configuration.
    package let providers: [Provider]
    /// Built-in ones and those of the directory, by id.
    package let manifests: [Manifest]
    /// What does not work while the rest does: a broken file, an instance of it, a missing client id.
    package let problems: [ProviderProblem]

    package static let empty = ProviderCatalog(providers: [], manifests: [], problems: [])

    package subscript(id: ProviderID) -> Provider? { providers.first { $0.id == id } }

    private init(providers: [Provider], manifests: [Manifest], problems: [ProviderProblem]) {
        self.providers = providers
        self.manifests = manifests
        self.problems = problems
    }

    /// Manifests are those built in, and the `.yaml` files of `manifestsDirectory`, which add to them or replace them by
    /// id. `publicURL` is what browsers see; every redirect URI is built from it. `syncInterval` is the operator's for all
    /// providers. Throws what is wrong with the configuration itself: a directory that can't be read, an instance with a
    /// setting that its manifest does not take.
    package init(
        manifestsDirectory: String?, instances: [InstanceConfiguration], publicURL: String, syncInterval: Duration?
    ) throws(ConfigurationErrors) {
        var found = ManifestFile.Found()
        if let manifestsDirectory { found = try ManifestFile.all(in: manifestsDirectory) }
        try self.init(found: found, instances: instances, publicURL: publicURL, syncInterval: syncInterval)
    }

    /// The same with the directory's files given.
    package init(
        files: [ManifestFile], instances: [InstanceConfiguration], publicURL: String, syncInterval: Duration? = nil
    ) throws(ConfigurationErrors) {
        try self.init(
            found: ManifestFile.Found(files: files), instances: instances, publicURL: publicURL,
            syncInterval: syncInterval)
    }

    private init(
        found: ManifestFile.Found, instances: [InstanceConfiguration], publicURL: String, syncInterval: Duration?
    ) throws(ConfigurationErrors) {
        var problems = found.problems
        var read: [String: Manifest] = [:]
        var broken: Set<String> = []
        // A broken replacement, or one that can't be read, must not leave what it was to replace in force unnoticed.
        for file in ManifestFile.builtIn + found.files {
            read[file.id] = nil
            broken.remove(file.id)
            do { read[file.id] = try ManifestReader.read(file) } catch {
                broken.insert(file.id)
                problems += error.problems.map { ProviderProblem(subject: file.path, problem: $0) }
            }
        }
        for id in found.unreadable {
            read[id] = nil
            broken.insert(id)
        }
        let manifests = read.values.sorted { $0.id < $1.id }

        var errors: [ConfigurationProblem] = []
        if let problem = EndpointURL.problem(with: publicURL, allowing: .base) {
            errors.append(.init(place: nil, message: "public_url: \(problem)"))
        }
        var providers: [Provider] = []
        for instance in instances {
            let name = "providers.\(instance.id)"
            let wanted = instance.manifest ?? instance.id
            if providers.contains(where: { $0.id.rawValue == instance.id }) {
                errors.append(.init(place: instance.place, message: "\(name): the instance is there twice"))
                continue
            }
            guard let manifest = read[wanted] else {
                let isKnown = broken.contains(wanted)
                let problem = ConfigurationProblem(
                    place: instance.place,
                    message: isKnown
                        ? "\(name): its manifest \(wanted) has problems"
                        : "\(name): there is no manifest \(wanted); expected one of \(manifests.map(\.id).joined(separator: ", "))"
                )
                if isKnown {
                    problems.append(.init(subject: instance.id, problem: problem))
                } else {
                    errors.append(problem)
                }
                continue
            }
            do {
                let provider = try Provider(manifest, instance, publicURL: publicURL, syncInterval: syncInterval)
                providers.append(provider)
                problems += provider.missing.map { key in
                    ProviderProblem(
                        subject: instance.id,
                        problem: .init(place: instance.place, message: "\(name): \(key) is missing"))
                }
                problems += provider.requiredScopes(lackingIn: provider.scopes).map { request, scopes in
                    let wanted = scopes.map(\.rawValue).joined(separator: " or ")
                    return ProviderProblem(
                        subject: instance.id,
                        problem: .init(
                            place: instance.place,
                            message: "\(name).scopes: expected \(wanted), which the profile's request \(request) needs")
                    )
                }
            } catch { errors += error.problems }
        }
        errors += Self.sharedKeys(providers, instances)
        guard errors.isEmpty else { throw ConfigurationErrors(errors) }
        self.init(providers: providers, manifests: manifests, problems: problems)
    }

    /// A key that two servers know makes an assertion for one worth trying at the other.
    private static func sharedKeys(
        _ providers: [Provider], _ instances: [InstanceConfiguration]
    ) -> [ConfigurationProblem] {
        func server(_ provider: Provider) -> String? { provider.issuer ?? provider.endpoints.token }
        return providers.enumerated().compactMap { index, provider in
            guard let key = provider.client.signingKey,
                let other = providers[..<index].first(where: {
                    $0.client.signingKey == key && server($0) != server(provider)
                })
            else { return nil }
            return ConfigurationProblem(
                place: instances.first { $0.id == provider.id.rawValue }?.place,
                message: "providers.\(provider.id).client_key: it is \(other.id)'s key; expected one for each server")
        }
    }
}

/// A manifest's text and where it is from.
package struct ManifestFile: Sendable {
    package var path: String
    package var text: String
    var isBuiltIn = false

    package init(path: String, text: String) {
        self.path = path
        self.text = text
    }

    /// The file's name without `.yaml`: what the manifest's id must be, so that no two files have one.
    var id: String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.hasSuffix(".yaml") ? String(name.dropLast(5)) : name
    }

    static let builtIn: [ManifestFile] = EmbeddedFiles.all.map { name, text in
        var file = ManifestFile(path: name, text: text)
        file.isBuiltIn = true
        return file
    }

    private static let bytesMax = 1 << 20

    /// What a directory holds.
    struct Found {
        var files: [ManifestFile] = []
        /// The ids of those that can't be read, each of which is a problem, too.
        var unreadable: [String] = []
        var problems: [ProviderProblem] = []
    }

    /// In order of name. One that can't be read is a problem of its own.
    static func all(in directory: String) throws(ConfigurationErrors) -> Found {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch {
            throw ConfigurationErrors([
                .init(place: nil, message: "providers_directory: \(directory) can't be read as a directory")
            ])
        }
        var found = Found()
        for name in names.sorted() where !name.hasPrefix(".") {
            let path = directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
            if name.hasSuffix(".yml") {
                found.problems.append(
                    .init(subject: path, problem: .init(place: nil, message: "expected the extension .yaml")))
            }
            guard name.hasSuffix(".yaml") else { continue }
            do {
                found.files.append(ManifestFile(path: path, text: try text(path)))
            } catch {
                found.unreadable.append(ManifestFile(path: path, text: "").id)
                found.problems.append(.init(subject: path, problem: .init(place: nil, message: error.reason)))
            }
        }
        return found
    }

    private struct Unreadable: Error { var reason: String }

    /// The size is looked at before the whole is read.
    private static func text(_ path: String) throws(Unreadable) -> String {
        let target = URL(filePath: path).resolvingSymlinksInPath().path()
        // What is no file, or can't be read, has no attributes or no data; the problem says so.
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: target),
            attributes[.type] as? FileAttributeType == .typeRegular
        else { throw Unreadable(reason: "the file can't be read") }
        // An integer of one type or another, by what else is loaded: each prints as its digits.
        let size = attributes[.size].flatMap { Int("\($0)") }
        let tooLarge = Unreadable(reason: "expected UTF-8 text of at most 1 MiB")
        guard let size, size <= bytesMax else { throw tooLarge }
        guard let data = FileManager.default.contents(atPath: target) else {
            throw Unreadable(reason: "the file can't be read")
        }
        guard data.count <= bytesMax, let text = String(bytes: data, encoding: .utf8) else { throw tooLarge }
        return text
    }
}
