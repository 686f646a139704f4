// swift-tools-version: 6.2
import PackageDescription

// The program `fastdp-spark`, a package of its own: who builds fastDP builds no gRPC.

/// What every Swift target is compiled with, but generated code.
let settings: [SwiftSetting] = [
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .treatWarning("DeprecatedDeclaration", as: .warning),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let grpc: [Target.Dependency] = [
  .product(name: "GRPCCore", package: "grpc-swift-2"),
  .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
]

let package = Package(
  name: "fastDP-Spark",
  platforms: [.macOS(.v26)],
  products: [.executable(name: "fastdp-spark", targets: ["FastDPSparkCommand"])],
  dependencies: [
    .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.0.0"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.0.0"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.30.0", traits: []),
  ],
  targets: [
    .target(name: "SparkProto", dependencies: [protobuf]),
    .target(
      name: "SparkConnect", dependencies: ["SparkProto", protobuf] + grpc, swiftSettings: settings),
    .executableTarget(
      name: "FastDPSparkCommand", dependencies: ["SparkConnect"], swiftSettings: settings),
    .testTarget(
      name: "SparkConnectTests",
      dependencies: ["FastDPSparkCommand", "SparkConnect", "SparkProto", protobuf] + grpc,
      resources: [.copy("Fixtures")], swiftSettings: settings),
  ],
  swiftLanguageModes: [.v6]
)
