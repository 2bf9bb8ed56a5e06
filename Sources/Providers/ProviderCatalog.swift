package import Accounts
import FoundationEssentials

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
        var files: [ManifestFile] = []
        var problems: [ProviderProblem] = []
        if let manifestsDirectory { (files, problems) = try ManifestFile.all(in: manifestsDirectory) }
        try self.init(
            files: files, instances: instances, publicURL: publicURL, syncInterval: syncInterval, problems: problems)
    }

    /// The same with the directory's files given.
    package init(
        files: [ManifestFile], instances: [InstanceConfiguration], publicURL: String, syncInterval: Duration? = nil
    ) throws(ConfigurationErrors) {
        try self.init(
            files: files, instances: instances, publicURL: publicURL, syncInterval: syncInterval, problems: [])
    }

    private init(
        files: [ManifestFile], instances: [InstanceConfiguration], publicURL: String, syncInterval: Duration?,
        problems fileProblems: [ProviderProblem]
    ) throws(ConfigurationErrors) {
        var problems = fileProblems
        var read: [String: Manifest] = [:]
        var broken: Set<String> = []
        for file in ManifestFile.builtIn + files {
            // A broken replacement must not leave what it was to replace in force unnoticed.
            read[file.id] = nil
            broken.remove(file.id)
            do { read[file.id] = try ManifestReader.read(file) } catch {
                broken.insert(file.id)
                problems += error.problems.map { ProviderProblem(subject: file.path, problem: $0) }
            }
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
                let provider = try manifest.provider(instance, publicURL: publicURL, syncInterval: syncInterval)
                providers.append(provider)
                problems += provider.missing.map { key in
                    ProviderProblem(
                        subject: instance.id,
                        problem: .init(place: instance.place, message: "\(name): \(key) is missing"))
                }
            } catch { errors += error.problems }
        }
        guard errors.isEmpty else { throw ConfigurationErrors(errors) }
        self.init(providers: providers, manifests: manifests, problems: problems)
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

    /// In order of name. One that can't be read is a problem of its own.
    static func all(in directory: String) throws(ConfigurationErrors) -> ([ManifestFile], [ProviderProblem]) {
        let names: [String]
        do { names = try FileManager.default.contentsOfDirectory(atPath: directory) } catch {
            throw ConfigurationErrors([
                .init(place: nil, message: "providers_directory: \(directory) can't be read as a directory")
            ])
        }
        var files: [ManifestFile] = []
        var problems: [ProviderProblem] = []
        for name in names.sorted() where !name.hasPrefix(".") {
            let path = directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
            if name.hasSuffix(".yml") {
                problems.append(
                    .init(subject: path, problem: .init(place: nil, message: "expected the extension .yaml")))
            }
            guard name.hasSuffix(".yaml") else { continue }
            // What is no file, or can't be read, has no data; the problem says so.
            guard let data = FileManager.default.contents(atPath: path) else {
                problems.append(.init(subject: path, problem: .init(place: nil, message: "the file can't be read")))
                continue
            }
            guard data.count <= bytesMax, let text = String(bytes: data, encoding: .utf8) else {
                problems.append(
                    .init(subject: path, problem: .init(place: nil, message: "expected UTF-8 text of at most 1 MiB")))
                continue
            }
            files.append(ManifestFile(path: path, text: text))
        }
        return (files, problems)
    }
}
