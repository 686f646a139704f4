import Foundation
import TestSupport
import Testing

/// What other programs rely on: with `--json` one object with exactly the promised keys.
struct ContractTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private static let plan = [
    "epsilon", "delta", "noiseMultiplier", "samplingRate", "steps", "clip", "batchSize",
    "accountant", "examples",
  ]
  private static let run =
    plan + ["trainExamples", "trainSeconds", "examplesPerSecond", "testAccuracy", "testLoss"]

  private func train(_ settings: [String], _ label: MadeTable.Label = .employed) throws -> Outcome {
    let data = try folder.dataset(label: label)
    return try succeed(
      ["train", data, "--out", folder.file("run"), "--steps", "20", "--json"] + settings)
  }

  /// `prepare` counts rows and bytes.
  @Test func prepareReports() throws {
    let made = MadeTable(rows: 500, missingEvery: 50)
    let table = try folder.write(made.csv, to: "t.csv")
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    let outcome = try succeed(
      "prepare", table, "--schema", schema, "--out", folder.file("d"), "--json")
    #expect(outcome.errors.isEmpty)
    try expectKeys(
      outcome.json(),
      [
        "rowsRead", "rowsKept", "rowsMissing", "rowsRejected", "rowsFiltered", "rowsBounded",
        "trainRows", "trainExamples", "testExamples", "features", "bytesRead", "seconds",
      ])
    #expect(try outcome.number("rowsRead") == 500)
    #expect(try outcome.number("rowsMissing") == 10)
    #expect(try outcome.number("rowsKept") == 490)
    #expect(try outcome.number("rowsRejected") == 0)
    #expect(try outcome.number("trainExamples") + outcome.number("testExamples") == 490)
    #expect(try outcome.number("trainRows") >= outcome.number("trainExamples"))
    #expect(try outcome.number("features") == 5)
    #expect(try outcome.number("bytesRead") == Double(made.csv.utf8.count))
  }

  /// A private run reports its guarantee and what it is made of.
  @Test func privateRunReports() throws {
    let outcome = try train(["--epsilon", "2", "--delta", "1e-5"])
    #expect(outcome.errors.isEmpty)
    let result = try outcome.json()
    expectKeys(result, Self.run)
    #expect(result["accountant"] as? String == "pld")
    #expect(try outcome.number("epsilon") <= 2 && outcome.number("epsilon") > 1.9)
    #expect(try outcome.number("delta") == 1e-5 && outcome.number("steps") == 20)
    #expect(try outcome.number("clip") == 1 && outcome.number("batchSize") == 256)
    let rate = try outcome.number("batchSize") / outcome.number("examples")
    #expect(try abs(outcome.number("samplingRate") - rate) < 1e-12)
    #expect(try (0...1).contains(outcome.number("testAccuracy")))
    #expect(try outcome.number("trainSeconds") > 0 && outcome.number("examplesPerSecond") > 0)
  }

  /// ε of a run is what `privacy epsilon` says of its numbers, κ's share aside.
  @Test func reportedEpsilonIsThatOfItsNumbers() throws {
    let run = try train(["--epsilon", "2", "--delta", "1e-5"])
    let asked = try succeed(
      "privacy", "epsilon", "--sampling-rate", "\(run.number("samplingRate"))",
      "--noise-multiplier", "\(run.number("noiseMultiplier"))", "--steps", "20", "--delta", "1e-5",
      "--json")
    let epsilon = try run.number("epsilon")
    #expect(try asked.number("epsilon") <= epsilon)
    #expect(try asked.number("epsilon") > epsilon * 0.99)
  }

  /// A run without privacy claims none.
  @Test func nonPrivateRunReportsNoGuarantee() throws {
    let result = try train(["--non-private"]).json()
    expectKeys(result, Self.run)
    for key in ["epsilon", "delta", "noiseMultiplier", "clip", "accountant"] {
      #expect(result[key] is NSNull, "\(key)")
    }
  }

  /// A run from an insecure seed has no ε, only a planned one, and is warned of.
  @Test func insecureRunReportsNoGuarantee() throws {
    let outcome = try train(["--insecure-seed", "7"])
    #expect(outcome.errorLines.count == 1 && outcome.errors.contains("insecure"))
    let result = try outcome.json()
    expectKeys(result, Self.run + ["plannedEpsilon"])
    #expect(result["epsilon"] is NSNull && result["plannedEpsilon"] is Double)
  }

  /// Regression reports its error in the label's units instead of classes.
  @Test func regressionRunReports() throws {
    let outcome = try train(["--steps", "200", "--hidden", "none", "--non-private"], .income)
    try expectKeys(
      outcome.json(), Self.run.filter { !$0.hasPrefix("test") } + ["testRmse"])
    // The labels spread by about 160 around 500; their noise is at most 50.
    #expect(try (10...150).contains(outcome.number("testRmse")))
  }

  /// A plan is made of public facts, without a folder and without a step.
  @Test func planReports() throws {
    let data = try folder.dataset()
    let before = try folder.contents()
    let plan = try succeed(
      "train", data, "--plan-only", "--json", "--out", folder.file("run"), "--epsilon", "1")
    try expectKeys(plan.json(), Self.plan)
    #expect(try folder.contents() == before)
    let insecure = try succeed("train", data, "--plan-only", "--json", "--insecure-seed", "1")
    try expectKeys(insecure.json(), Self.plan + ["plannedEpsilon"])
    #expect(try insecure.json()["epsilon"] is NSNull)
    let plain = try succeed("train", data, "--plan-only", "--json", "--non-private")
    try expectKeys(plain.json(), Self.plan)
    #expect(try plain.json()["epsilon"] is NSNull)
  }

  /// The defaults are those of the design: B = max(256, n/50), 20 epochs, δ below 1/(10 n).
  @Test(arguments: [(1500, 256, 1e-5), (20_000, 319, 1e-6)])
  func defaultsFollowTheNumberOfRows(rows: Int, batch: Double, delta: Double) throws {
    let data = try folder.dataset(rows: rows)
    let plan = try succeed("train", data, "--plan-only", "--json")
    let examples = try plan.number("examples")
    #expect(try plan.number("batchSize") == batch)
    #expect(try plan.number("steps") == (20 * examples / batch).rounded())
    #expect(try plan.number("delta") == delta)
    #expect(try plan.number("epsilon") <= 1 && plan.number("clip") == 1)
  }

  /// `evaluate` reports what the label's kind has.
  @Test(arguments: MadeTable.Label.allCases)
  func evaluateReports(label: MadeTable.Label) throws {
    _ = try train(["--non-private"], label)
    let outcome = try succeed(
      "evaluate", folder.file("run"), folder.file("data.safetensors"), "--json")
    #expect(outcome.errors.isEmpty)
    let result = try outcome.json()
    switch label {
    case .income: expectKeys(result, ["rmse", "mae", "examples"])
    case .employed, .region:
      expectKeys(result, ["accuracy", "logLoss", "auc", "balancedAccuracy", "examples"])
      for key in result.keys where key.hasSuffix("uc") || key.hasSuffix("ccuracy") {
        #expect(try (0...1).contains(outcome.number(key)))
      }
    }
    #expect(try outcome.number("examples") > 200)
  }

  /// `privacy epsilon` and `privacy noise` answer each other.
  @Test(arguments: ["zero-out", "add-remove", "replace"])
  func privacyQuestionsAnswerEachOther(relation: String) throws {
    let steps = [
      "--sampling-rate", "0.01", "--steps", "1000", "--delta", "1e-6", "--neighbouring", relation,
      "--json",
    ]
    let noise = try succeed(["privacy", "noise", "--epsilon", "1"] + steps)
    #expect(noise.errors.isEmpty)
    let answer = try noise.json()
    expectKeys(answer.filter { $0.key != "accountant" }, ["noiseMultiplier", "epsilon"])
    let sigma = try noise.number("noiseMultiplier")
    let epsilon = try succeed(["privacy", "epsilon", "--noise-multiplier", "\(sigma)"] + steps)
    try expectKeys(epsilon.json(), ["epsilon", "epsilonLower", "accountant", "seconds"])
    #expect(try epsilon.number("epsilon") <= 1 && epsilon.number("epsilon") > 0.999)
    #expect(try noise.number("epsilon") <= 1 && noise.number("epsilon") > 0.999)
  }

  /// Without `--json` people read the same facts on standard output.
  @Test func peopleReadTheSameFacts() throws {
    let data = try folder.dataset()
    let run = folder.file("run")
    let trained = try succeed("train", data, "--out", run, "--steps", "20")
    #expect(trained.errors.isEmpty && !trained.output.contains("{"))
    for word in ["epsilon", "delta", "noise multiplier", "steps", "test accuracy", run] {
      #expect(trained.output.contains(word), "\(word)")
    }
    let evaluated = try succeed("evaluate", run, data)
    #expect(evaluated.output.contains("accuracy") && !evaluated.output.contains("{"))
  }

  /// Progress is shown on a terminal only: elsewhere there is none of it.
  @Test func progressIsForTerminals() throws {
    let data = try folder.dataset(rows: 5000)
    let outcome = try succeed("train", data, "--out", folder.file("run"), "--steps", "2000")
    #expect(outcome.errors.isEmpty && !outcome.output.contains("\u{1B}"))
  }
}
