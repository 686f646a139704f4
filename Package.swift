// swift-tools-version: 6.2
import PackageDescription

/// What every Swift target of the package is compiled with.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .treatWarning("DeprecatedDeclaration", as: .warning),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

/// The fuzzer's program, where scripts/fuzz asks for it: everyone else's build is without it.
let fuzzer: [Target] =
  Context.environment["FASTDP_FUZZ"] == nil
  ? []
  : [
    .executableTarget(
      name: "fastdp-fuzz", dependencies: ["DPData", "DPFiles"], path: "Fuzz",
      exclude: ["corpus", "Kernels"])
  ]

/// The C library's mathematics, which Linux keeps in a library of its own.
let mathematics: [LinkerSetting] = [.linkedLibrary("m", .when(platforms: [.linux]))]

/// A module of the library, in `Sources/<name>`, with its tests in `Tests/<name>Tests`.
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> [Target] {
  [
    .target(
      name: name, dependencies: dependencies, swiftSettings: settings, linkerSettings: mathematics),
    .testTarget(
      name: "\(name)Tests", dependencies: [.target(name: name), "TestSupport"] + dependencies,
      resources: ["DPData", "DPParquet", "DPSpark"].contains(name) ? [.copy("Fixtures")] : [],
      swiftSettings: settings),
  ]
}

let crypto: [Target.Dependency] = [
  .product(name: "Crypto", package: "swift-crypto"),
  .product(name: "CryptoExtras", package: "swift-crypto"),
]

let package = Package(
  name: "fastDP",
  platforms: [.macOS(.v26)],
  products: [
    .library(name: "FastDP", targets: ["FastDP"]),
    .library(name: "DPCollectives", targets: ["DPCollectives"]),
    .library(name: "DPParquet", targets: ["DPParquet"]),
    .executable(name: "fastdp", targets: ["FastDPCommand"]),
    // For Benchmarks, which times its loops one by one.
    .library(name: "CDPKernels", targets: ["CDPKernels"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ],
  targets: [
    [
      .target(name: "CDPKernels", cSettings: [.treatAllWarnings(as: .error)]),
      .target(name: "CDPParquet", cSettings: [.treatAllWarnings(as: .error)]),
      .target(name: "CDPSystem", cSettings: [.treatAllWarnings(as: .error)]),
    ],
    module("DPFiles"),
    module("DPParquet", ["DPFiles", "CDPParquet"]),
    module("DPKernels", ["CDPKernels"]),
    module("DPAccounting"),
    module("DPMechanisms", ["DPKernels", "DPAccounting"] + crypto),
    module("DPLedger", ["DPAccounting", .product(name: "GRDB", package: "GRDB.swift")] + crypto),
    module(
      "DPData",
      [
        "CDPKernels", "DPFiles", "DPParquet", "DPKernels", "DPMechanisms", "DPAccounting", "Yams",
      ]),
    module("DPSpark", ["DPFiles", "DPAccounting", "DPParquet", "DPData"]),
    module("DPModels", ["DPFiles", "DPKernels"]),
    module("DPCollectives", ["DPKernels", "CDPSystem"] + crypto),
    module(
      "DPTraining",
      [
        "DPFiles", "DPKernels", "DPAccounting", "DPMechanisms", "DPData", "DPModels",
        "DPCollectives",
      ] + crypto),
    [
      .target(
        name: "CTestSupport", path: "Tests/CTestSupport",
        cSettings: [.treatAllWarnings(as: .error)]),
      .target(
        name: "TestSupport", dependencies: ["CTestSupport", "DPCollectives"],
        path: "Tests/TestSupport",
        swiftSettings: settings),
      .target(
        name: "FastDP",
        dependencies: [
          "DPKernels", "DPAccounting", "DPMechanisms", "DPData", "DPModels", "DPCollectives",
          "DPTraining",
        ],
        swiftSettings: settings),
      .executableTarget(
        name: "FastDPCommand",
        dependencies: [
          "FastDP", "DPCollectives", "DPFiles", "DPLedger", "DPSpark",
          .product(name: "ArgumentParser", package: "swift-argument-parser"), "Yams",
        ],
        swiftSettings: settings),
      .testTarget(
        name: "FastDPCommandTests",
        dependencies: ["FastDPCommand", "DPParquet", "TestSupport"],
        swiftSettings: settings),
    ],
    fuzzer,
  ].flatMap(\.self),
  swiftLanguageModes: [.v6]
)
