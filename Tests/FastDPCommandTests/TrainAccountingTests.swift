import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Training by each accountant and with each kind of noise keeps to its ε and says whose it is.
struct TrainAccountingTests {
  private let folder: ScratchFolder
  private let data: String
  private var run: RunFolder { RunFolder(folder.file("run")) }

  init() throws {
    folder = try ScratchFolder()
    data = try folder.dataset(rows: 2000)
  }

  private func train(_ more: [String]) -> [String] {
    ["train", data, "--out", run.path, "--hidden", "4", "--json"] + more
  }

  private func plan(_ more: [String]) throws -> Outcome {
    try succeed(["train", data, "--plan-only", "--hidden", "4", "--json"] + more)
  }

  /// A run by either accountant stays within ε, and names its accountant wherever it names ε.
  @Test(arguments: ["pld", "rdp"], ["gaussian", "discrete"])
  func epsilonIsKept(accountant: String, noise: String) throws {
    let outcome = try succeed(
      train(["--steps", "12", "--accountant", accountant, "--noise", noise, "--delta", "1e-5"]))
    #expect(outcome.errors.isEmpty)
    #expect(try outcome.json()["accountant"] as? String == accountant)
    let epsilon = try outcome.number("epsilon")
    #expect(epsilon <= 1 && epsilon > 0.998)
    let statement = try run.json("statement.json")
    #expect(statement["accountant"] as? String == accountant)
    #expect(statement["epsilon"] as? Double == epsilon)
    let mechanism = try #require(statement["mechanism"] as? String)
    #expect(mechanism.lowercased().contains("discrete") == (noise == "discrete"), "\(mechanism)")
    let text = try run.text("statement.txt")
    #expect(text.lowercased().contains("discrete") == (noise == "discrete"))
    try run.expectComplete()
    // The same question, put to the accountant: κ and the exchange of noise cost a little.
    let asked = try succeed([
      "privacy", "epsilon", "--sampling-rate", "\(outcome.number("samplingRate"))",
      "--noise-multiplier", "\(outcome.number("noiseMultiplier"))", "--steps", "12", "--delta",
      "1e-5", "--accountant", accountant, "--json",
    ])
    #expect(try asked.number("epsilon") <= epsilon && asked.number("epsilon") > 0.99 * epsilon)
  }

  /// The looser bound asks for more noise; exact noise needs what Gaussian noise needs, but for its
  /// accounting and the finer grid, which makes κ smaller.
  @Test(arguments: ["zero-out", "replace"])
  func noiseFollowsTheBound(relation: String) throws {
    func sigma(_ more: [String]) throws -> Double {
      try plan(["--neighbouring", relation, "--steps", "200"] + more).number("noiseMultiplier")
    }
    let tight = try sigma([])
    #expect(try sigma(["--accountant", "pld"]) == tight)
    #expect(try sigma(["--accountant", "rdp"]) > 1.01 * tight)
    #expect(try abs(sigma(["--noise", "discrete"]) / tight - 1) < 1e-4)
    let given = try plan(["--noise-multiplier", "3", "--steps", "200"])
    let exact = try plan(["--noise-multiplier", "3", "--steps", "200", "--noise", "discrete"])
    #expect(try abs(exact.number("epsilon") / given.number("epsilon") - 1) < 1e-4)
  }

  /// A run goes on by the accountant and the noise that it was planned with, and by no other.
  @Test func resumedRunKeepsItsAccounting() throws {
    let settings = [
      "--accountant", "rdp", "--noise", "discrete", "--batch-size", "300", "--steps", "4000",
      "--checkpoint-every", "0.05s", "--hidden", "50", "--overwrite",
    ]
    var status: Int32 = 0
    // On a busy machine a run may be over before the signal reaches it.
    for _ in 0..<20 where status == 0 {
      let program = try RunningProgram(Program.path(), train(settings))
      try waitUntil { run.holds("checkpoints") || !program.isRunning }
      program.send(SIGINT)
      status = try program.wait().status
    }
    #expect(status == 130)
    let resume = ["train", data, "--out", run.path, "--resume", "--json"]
    let before = try folder.contents()
    for change in [["--accountant", "pld"], ["--noise", "gaussian"]] {
      let outcome = try fastdp(resume + change)
      expectRefusal(outcome, 64, naming: [run.path, change[0].replacing("--", with: "")])
    }
    #expect(try folder.contents() == before)
    let resumed = try succeed(resume)
    #expect(try resumed.json()["accountant"] as? String == "rdp")
    #expect(try resumed.number("epsilon") <= 1 && resumed.number("steps") == 4000)
    let mechanism = try run.json("statement.json")["mechanism"] as? String
    #expect(mechanism?.lowercased().contains("discrete") == true)
    try run.expectComplete()
  }

  /// Nothing is trained by an estimate, by an unknown method, or with noise that is none.
  @Test func otherMethodsAreRefused() throws {
    for words in [
      ["--accountant", "gdp"], ["--accountant", "prv"], ["--noise", "laplace"],
      ["--noise", "discrete", "--non-private"],
      ["--noise-multiplier", "0.01", "--noise", "discrete"],
    ] {
      try expectRefusal(train(words + ["--steps", "20"]), 64, in: folder, naming: [words[1]])
    }
  }
}
