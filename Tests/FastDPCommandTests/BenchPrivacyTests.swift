import Foundation
import TestSupport
import Testing

/// `bench privacy` measures this program alone or beside a peer, and says when a peer is no peer.
///
/// The peers here are made up: shell scripts in the place of a Python that has dp_accounting.
struct BenchPrivacyTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private static let own = ["epsilonSeconds", "calibrationSeconds"]
  private static let greeting = #"echo '{"version": "0.6.0"}'"#

  /// Puts a script in the place of the peers' Python.
  private func makePeer(_ script: String, mode: String = "755") throws {
    let bin = folder.file("jax/bin")
    try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
    let text = try folder.write("#!/bin/sh\n\(script)\n", to: "script")
    // Another program makes the file: one that this process had open to write, a child that another
    // test starts at that moment would hold, and it could not be run.
    let install = ["-m", mode, text, "\(bin)/python"]
    try #require(RunningProgram("install", install).wait().status == 0)
  }

  /// A peer that answers each question with a number, after so many seconds as it says.
  private func makePeer(epsilon: String, sigma: String) throws {
    try makePeer(
      """
      \(Self.greeting)
      while read question; do
        echo $question >> '\(folder.file("asked"))'
        case $question in
          epsilon) echo '{"seconds": 50, "value": \(epsilon)}';;
          calibration) echo '{"seconds": 400, "value": \(sigma)}';;
        esac
      done
      """)
  }

  private var withPeers: [String] { ["bench", "privacy", "--peers", folder.path] }

  /// Alone, it reports two medians.
  @Test func timesAreReported() throws {
    let outcome = try succeed("bench", "privacy", "--json")
    #expect(outcome.errors.isEmpty)
    try expectKeys(outcome.json(), Self.own)
    for key in Self.own { #expect(try (1e-5...60).contains(outcome.number(key))) }
    let shown = try succeed("bench", "privacy")
    #expect(shown.output.contains("epsilon  ") && shown.output.contains("noise multiplier"))
    #expect(shown.errors.isEmpty && !shown.output.contains("agree"))
  }

  /// Beside a peer that agrees, it reports both times, both answers and how many times as long the
  /// peer took; ε is asked five times, σ three times, or as often as is said.
  @Test func peerIsCompared() throws {
    // Values of dp_accounting 0.6.0: compose(...).get_epsilon(1e-6) at the interval 4.5e-5, and
    // calibrate_dp_mechanism for ε = 1.
    try makePeer(epsilon: "0.322430691982916", sigma: "0.6573699625056386")
    let outcome = try succeed(withPeers + ["--json"])
    let result = try outcome.json()
    expectKeys(
      result,
      Self.own + [
        "epsilonPeerSeconds", "calibrationPeerSeconds", "epsilonRatio", "calibrationRatio",
        "epsilon", "epsilonLower", "epsilonPeer", "noiseMultiplier", "noiseMultiplierPeer", "agree",
        "peer",
      ])
    #expect(outcome.errors.isEmpty)
    #expect(result["agree"] as? Bool == true && result["peer"] as? String == "dp_accounting 0.6.0")
    #expect(try outcome.number("epsilonPeerSeconds") == 50)
    #expect(try outcome.number("calibrationPeerSeconds") == 400)
    let ratios = try [
      50 / outcome.number("epsilonSeconds") / outcome.number("epsilonRatio"),
      400 / outcome.number("calibrationSeconds") / outcome.number("calibrationRatio"),
    ]
    #expect(ratios.allSatisfy { abs($0 - 1) < 1e-9 })
    #expect(try outcome.number("epsilonLower") < 0.3222 && outcome.number("epsilon") > 0.3220)
    #expect(try abs(outcome.number("noiseMultiplier") - 0.65737) < 0.0007)
    let asked =
      String(repeating: "epsilon\n", count: 5)
      + String(repeating: "calibration\n", count: 3)
    #expect(try folder.text("asked") == asked)

    let shown = try succeed(withPeers + ["--repeat", "6"])
    #expect(shown.output.contains("  dp_accounting 0.6.0  "))
    #expect(shown.output.contains(/answers agree +yes\n/), "\(shown.output)")
    #expect(try folder.text("asked").split(separator: "\n").count == 8 + 12)
  }

  /// Answers that differ by more than either allows are shown, and are a fault.
  @Test(arguments: [("0.3200", "0.6574"), ("0.3235", "0.6574"), ("0.3224", "0.66")])
  func disagreementIsAFault(epsilon: String, sigma: String) throws {
    try makePeer(epsilon: epsilon, sigma: sigma)
    let outcome = try fastdp(withPeers + ["--json"])
    #expect(outcome.status == 70 && outcome.errorLines.count == 1)
    #expect(outcome.errors.contains("dp_accounting 0.6.0"))
    #expect(try outcome.json()["agree"] as? Bool == false)
  }

  /// A peer that is not there is missing input, said before anything is timed.
  @Test func missingPeerIsNamed() throws {
    let none = folder.file("none")
    expectRefusal(
      try fastdp("bench", "privacy", "--peers", none, "--json"), 66,
      naming: [none, "no such folder", "--peers"])
    expectRefusal(try fastdp(withPeers), 66, naming: ["jax/bin/python", "no such program"])
    try makePeer(Self.greeting, mode: "644")
    expectRefusal(try fastdp(withPeers), 66, naming: ["jax/bin/python", "no such program"])
  }

  /// A peer of another version, or one that fails at any moment, is an unavailable service.
  @Test(arguments: [
    (#"echo '{"version": "0.5.0"}'; read question"#, "has dp_accounting 0.5.0"),
    (#"echo '{"version": null}'"#, "has no dp_accounting"),
    ("exit 3", "ended with status 3"), ("kill -9 $$", "ended with signal 9"),
    ("exec /nonexistent/interpreter", "ended with status 127"),
    ("echo hello", "printed something else"),
    (greeting, "ended with status 0"), ("\(greeting); exec <&-; exit 4", "ended with status 4"),
    ("\(greeting); read question; kill -9 $$", "ended with signal 9"),
    (#"\#(greeting); read question; echo '{"seconds": 1, "value": NaN}'"#, "something else"),
    (#"\#(greeting); read question; echo '{"seconds": 1}'"#, "no answer to 'epsilon'"),
    (
      #"\#(greeting); read question; printf '%s\n' '{"error": "MemoryError: too\nmuch"}'"#,
      "failed: MemoryError: too much"
    ),
  ])
  func failingPeerIsNamed(script: String, named: String) throws {
    try makePeer(script)
    expectRefusal(
      try fastdp(withPeers + ["--json"]), 69, naming: [folder.path, "jax/bin/python", named])
  }

  /// The peer's own program starts, and tells of a Python without dp_accounting.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/python3")))
  func programOfThePeerIsPython() throws {
    // -S leaves out every package that is not part of Python.
    try makePeer(#"exec /usr/bin/python3 -S -E "$@""#)
    expectRefusal(try fastdp(withPeers), 69, naming: ["has no dp_accounting", "0.6.0", "pip"])
  }

  /// Fewer timings than a median needs, or too many, are refused.
  @Test(arguments: ["4", "0", "-1", "1001"])
  func badRepeatIsRefused(times: String) throws {
    expectRefusal(
      try fastdp("bench", "privacy", "--repeat=\(times)"), 64,
      naming: ["repeat is \(times)", "at least 5"])
  }
}
