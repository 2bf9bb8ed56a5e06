// swift-tools-version: 6.2
import PackageDescription

/// Warnings are errors; imports say what they mean.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let configuration = Target.Dependency.product(name: "Configuration", package: "swift-configuration")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let cryptoExtras = Target.Dependency.product(name: "CryptoExtras", package: "swift-crypto")
let grdb = Target.Dependency.product(name: "GRDB", package: "GRDB.swift")
let grdbSQLite = Target.Dependency.product(name: "GRDBSQLite", package: "GRDB.swift")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let metrics = Target.Dependency.product(name: "CoreMetrics", package: "swift-metrics")
let mustache = Target.Dependency.product(name: "Mustache", package: "swift-mustache")
let serviceLifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

/// The tests of one module, in the folder that mirrors it.
func tests(_ module: String, _ others: String..., fixtures: Bool = false) -> Target {
    .testTarget(
        name: module + "Tests",
        dependencies: ([module] + others).map { .byName(name: $0) } + ["TestSupport"],
        exclude: fixtures ? ["Fixtures"] : [], swiftSettings: strict)
}

// In dependency order: a target names only targets above it.
let package = Package(
    name: "rollcall",
    products: [.executable(name: "rollcall", targets: ["Rollcall"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache.git", from: "2.1.1"),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        .executableTarget(name: "EmbedFilesTool", swiftSettings: strict),
        .plugin(name: "EmbedFiles", capability: .buildTool(), dependencies: ["EmbedFilesTool"]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .target(name: "JSON", swiftSettings: strict),
        .target(name: "YAML", dependencies: [yams], swiftSettings: strict),
        .target(name: "JSONPath", dependencies: ["JSON"], swiftSettings: strict),
        .target(name: "Accounts", swiftSettings: strict),
        .target(name: "Freshness", swiftSettings: strict),
        .target(name: "Telemetry", dependencies: ["Accounts", metrics], swiftSettings: strict),
        .target(name: "Cryptography", dependencies: ["Accounts", crypto, cryptoExtras], swiftSettings: strict),
        .target(name: "Transfer", dependencies: ["CCurl"], swiftSettings: strict),
        .target(
            name: "OAuth", dependencies: ["Accounts", "Cryptography", "JSON", "Transfer"], swiftSettings: strict),
        .target(
            name: "Providers",
            dependencies: ["Accounts", "Cryptography", "JSON", "JSONPath", "OAuth", "Transfer", "YAML"],
            swiftSettings: strict, plugins: ["EmbedFiles"]),
        .target(
            name: "Store", dependencies: ["Accounts", "Cryptography", "JSON", grdb, grdbSQLite], swiftSettings: strict,
            plugins: ["EmbedFiles"]),
        .target(
            name: "Linking",
            dependencies: [
                "Accounts", "Cryptography", "JSON", "OAuth", "Providers", "Store", "Telemetry", "Transfer", logging,
            ], swiftSettings: strict),
        .target(
            name: "Sync",
            dependencies: [
                "Accounts", "Freshness", "JSON", "Linking", "Providers", "Store", "Telemetry", logging,
                serviceLifecycle,
            ], swiftSettings: strict),
        .target(
            name: "Web",
            dependencies: [
                "Accounts", "Cryptography", "JSON", "Linking", "Providers", "Store", "Sync", "Telemetry", hummingbird,
                logging, mustache,
            ], exclude: ["Pages"], swiftSettings: strict, plugins: ["EmbedFiles"]),
        .target(
            name: "ProviderSimulator", dependencies: [hummingbird, crypto, cryptoExtras, logging], swiftSettings: strict
        ),
        .executableTarget(
            name: "Rollcall",
            dependencies: [
                "Accounts", "Cryptography", "JSON", "Linking", "OAuth", "ProviderSimulator", "Providers", "Store",
                "Sync", "Telemetry", "Transfer", "Web", "YAML", argumentParser, configuration, logging,
                serviceLifecycle,
            ], swiftSettings: strict),
        .executableTarget(
            name: "FreshnessBenchmark",
            dependencies: [
                "Accounts", "Cryptography", "Freshness", "JSON", "Linking", "Providers", "Store", "Sync", "Transfer",
                logging,
            ], swiftSettings: strict),
        .executableTarget(
            name: "SimulatedDay",
            dependencies: [
                "Accounts", "Cryptography", "Linking", "Providers", "Store", "Sync", "Transfer", logging,
            ], swiftSettings: strict),
        .executableTarget(name: "TransferBenchmark", dependencies: ["Transfer"], swiftSettings: strict),
        .executableTarget(
            name: "TokenRace",
            dependencies: ["Accounts", "Cryptography", "JSON", "Linking", "Providers", "Store", "Transfer", logging],
            path: "Tests/Crash/TokenRace", swiftSettings: strict),
        .target(
            name: "TestSupport", dependencies: ["Accounts", "Transfer", logging], path: "Tests/TestSupport",
            swiftSettings: strict),
        tests("Accounts"),
        tests("Freshness"),
        tests("Telemetry", "Accounts"),
        tests("FreshnessBenchmark"),
        tests("JSON"),
        tests("JSONPath", "JSON"),
        tests("YAML"),
        tests("Cryptography"),
        tests("Transfer", "Accounts", "CCurl", "OAuth"),
        tests("OAuth", "Accounts", "Cryptography", "JSON", "Transfer", fixtures: true),
        tests("Providers", "Accounts", "Cryptography", "JSON", "OAuth", "Transfer", "YAML", fixtures: true),
        tests("Store", "Accounts", "Cryptography"),
        tests("Linking", "Accounts", "Cryptography", "JSON", "OAuth", "Providers", "Store", "Transfer"),
        tests(
            "Sync", "Accounts", "Cryptography", "Freshness", "JSON", "Linking", "OAuth", "Providers", "SimulatedDay",
            "Store",
            "Transfer"),
        tests(
            "Web", "Accounts", "Cryptography", "JSON", "Linking", "OAuth", "Providers", "Store", "Sync", "Telemetry",
            "Transfer"),
        .testTarget(
            name: "ProviderSimulatorTests", dependencies: ["ProviderSimulator", crypto, cryptoExtras],
            swiftSettings: strict),
        tests(
            "Rollcall", "Accounts", "Cryptography", "JSON", "Linking", "OAuth", "ProviderSimulator", "Providers",
            "Store", "Sync", "Transfer", "Web"),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "Accounts", "Cryptography", "JSON", "JSONPath", "OAuth", "Providers", "Rollcall", "Store",
                "TestSupport",
                "Transfer", "Web", "YAML", hummingbird,
            ], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
