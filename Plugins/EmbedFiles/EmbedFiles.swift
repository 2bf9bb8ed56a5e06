import Foundation
import PackagePlugin

/// Builds the text files that a target needs at run time into the program, so that one file is all there is to deploy.
/// The target gets `EmbeddedFiles.all`.
@main struct EmbedFiles: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let package = context.package.directoryURL
        let folders = [
            "Store": package.appending(path: "migrations"),
            "Providers": package.appending(path: "providers"),
            "Web": package.appending(path: "Sources/Web/Pages"),
        ]
        guard let folder = folders[target.name] else {
            throw PluginError(description: "EmbedFiles knows no folder for the target \(target.name)")
        }
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { !$0.lastPathComponent.hasPrefix(".") }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedFiles.swift")
        return [
            .buildCommand(
                displayName: "Embedding \(folder.lastPathComponent)",
                executable: try context.tool(named: "EmbedFilesTool").url,
                arguments: ([output] + files).map { $0.path(percentEncoded: false) },
                inputFiles: files, outputFiles: [output])
        ]
    }
}

struct PluginError: Error, CustomStringConvertible { let description: String }
