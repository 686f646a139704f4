import Foundation
import TestSupport
import Testing

/// `bench train` measures this program alone or beside peers, and says when a peer is none.
///
/// The peers here are made up: shell scripts in the place of a Python.
struct BenchTrainTests {
  private let folder: ScratchFolder
  private static let small = [
    "bench", "train", "--examples", "2000", "--seconds", "0.05", "--json",
  ]
  private static let own = [
    "examplesPerSecond", "nanosecondsPerExample", "peakFraction", "phases", "threads",
    "instructionSet",
  ]

  init() throws { folder = try ScratchFolder() }

  /// Puts a script in the place of JAX's Python, and a program beside it.
  private func makePeer(_ script: String) throws -> [String] {
    let bin = folder.file("jax/bin")
    try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
    _ = try folder.write("#!/bin/sh\n\(script)\n", to: "jax/bin/python")
    _ = try folder.write("", to: "train_jax.py")
    // Another process sets the mode: a program that this one wrote may still be open in a third.
    let mode = try RunningProgram("/bin/chmod", ["755", "\(bin)/python"]).wait()
    #expect(mode.status == 0)
    return ["--peers", folder.path, "--peer-programs", folder.path, "--against", "jax-sgd"]
  }

  @Test(arguments: [[], ["--non-private"], ["--hidden", "none"], ["--activation", "tanh"]])
  func speedsAreMeasured(options: [String]) throws {
    let result = try succeed(Self.small + options)
    try expectKeys(result.json(), Self.own)
    let rate = try result.number("examplesPerSecond")
    #expect(rate > 0)
    #expect(try abs(result.number("nanosecondsPerExample") * rate - 1e9) < 1)
    #expect(try (0...1.5).contains(result.number("peakFraction")))
    let phases = try #require(result.json()["phases"] as? [String: Double])
    #expect(Set(phases.keys) == ["sample", "compute", "noiseUpdate"])
    #expect(phases.values.allSatisfy { $0 > 0 })
  }

  @Test func peersAreTimedInTurn() throws {
    let peer = try makePeer(
      "echo 'jax: 1,234 records/s, 2 s per epoch'; echo \"$@\" >> \(folder.path)/calls")
    let result = try succeed(Self.small + peer + ["--repeat", "3", "--hidden", "7,5"])
    try expectKeys(result.json(), Self.own + ["peers"])
    let peers = try #require(result.json()["peers"] as? [String: [String: Double]])
    #expect(peers["jax-sgd"]?["examplesPerSecond"] == 1234)
    let ratio = try #require(peers["jax-sgd"]?["ratio"])
    #expect(try abs(ratio - result.number("examplesPerSecond") / 1234) <= 1e-6 * ratio)
    let calls = try folder.text("calls").split(separator: "\n")
    #expect(calls.count == 3)
    #expect(
      calls.allSatisfy { $0.contains("sgd --batch 256 --features 9 --rows 2000 --hidden 7 5") })
  }

  @Test func peersThatFailAreNamed() throws {
    let failing = try makePeer("exit 3")
    expectRefusal(try fastdp(Self.small + failing), 69, naming: ["jax-sgd", "status 3"])
    let silent = try makePeer("echo nothing")
    expectRefusal(try fastdp(Self.small + silent), 69, naming: ["jax-sgd", "records/s"])
    let absent = ["--peers", folder.file("no"), "--peer-programs", folder.path]
    expectRefusal(try fastdp(Self.small + absent), 66, naming: [folder.file("no")])
    let unknown = ["--peers", folder.path, "--against", "tensorflow"]
    expectRefusal(try fastdp(Self.small + unknown), 64, naming: ["tensorflow", "jax-sgd"])
  }

  @Test(arguments: [
    ["--seconds", "0"], ["--repeat", "0"], ["--features", "0"], ["--threads", "0"],
    ["--hidden", "0"], ["--batch-size", "0"], ["--examples", "0"],
  ])
  func badSettingsAreRefused(options: [String]) throws {
    expectRefusal(try fastdp(Self.small + options), 64)
  }
}
