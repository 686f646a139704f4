// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v26)],
  dependencies: [
    .package(name: "fastDP", path: ".."),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
  ],
  targets: [
    .executableTarget(
      name: "NoiseBenchmark",
      dependencies: [
        .product(name: "FastDP", package: "fastDP"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "CryptoExtras", package: "swift-crypto"),
      ]),
    .executableTarget(
      name: "KernelBenchmark", dependencies: [.product(name: "CDPKernels", package: "fastDP")]),
    .executableTarget(
      name: "ParquetBenchmark", dependencies: [.product(name: "DPParquet", package: "fastDP")]),
    .executableTarget(
      name: "StepBenchmark", dependencies: [.product(name: "FastDP", package: "fastDP")]),
  ],
  swiftLanguageModes: [.v6]
)
