import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Runs with `--ledger` share the budget of their source and never spend more than it.
struct TrainLedgerTests {
  private let folder: ScratchFolder
  private let data: String
  private let ledger: String

  init() throws {
    folder = try ScratchFolder()
    data = try folder.dataset(rows: 4000)
    ledger = folder.file("budgets")
    try succeed("ledger", "init", ledger)
  }

  private func register(_ epsilon: String = "3", _ more: [String] = []) throws {
    try succeed(
      ["ledger", "register", ledger, "table", "--epsilon", epsilon, "--delta", "1e-5"] + more)
  }

  private func train(_ run: String, _ more: [String] = []) -> [String] {
    ["train", data, "--out", folder.file(run), "--ledger", ledger] + more
  }

  private func resume(_ run: String) -> [String] {
    ["train", data, "--out", folder.file(run), "--resume", "--json"]
  }

  private static let short = ["--noise-multiplier", "2", "--steps", "100", "--json"]

  /// What the ledger knows of the source.
  private func source() throws -> [String: Any] {
    let shown = try succeed("ledger", "show", ledger, "table", "--json").json()
    return try #require((shown["sources"] as? [[String: Any]])?.first)
  }

  private func charged() throws -> Int { try #require(source()["steps"] as? Int) }

  /// A run is charged with its steps, at its effective σ, and keeps the head that verifies them.
  @Test func runIsCharged() throws {
    try register()
    let outcome = try succeed(train("run", Self.short))
    #expect(outcome.errors.isEmpty)
    let known = try source()
    #expect(known["steps"] as? Int == 100 && known["runs"] as? Int == 1)
    let mechanism = try #require((known["mechanisms"] as? [[String: Any]])?.first)
    let statement = try RunFolder(folder.file("run")).json("statement.json")
    let kappa = try #require(statement["kappa"] as? Double)
    let effective = try #require(mechanism["effectiveNoiseMultiplier"] as? Double)
    #expect(kappa > 0 && abs(effective * (1 + kappa) - 2) < 1e-12)
    #expect(mechanism["samplingRate"] as? Double == statement["samplingRate"] as? Double)
    #expect((known["contentHashes"] as? [String])?.count == 1)

    let verified = try succeed("ledger", "verify", ledger, folder.file("run"), "--json")
    #expect(try verified.number("headsChecked") == 1 && verified.errors.isEmpty)
    // Another ledger never saw the run.
    let other = folder.file("other")
    try succeed("ledger", "init", other)
    expectRefusal(
      try fastdp("ledger", "verify", other, folder.file("run")), 65, naming: [folder.file("run")])
    // A run without a ledger has no head, which is said and is no fault.
    try succeed(["train", data, "--out", folder.file("alone")] + Self.short)
    let alone = try succeed("ledger", "verify", ledger, folder.file("alone"), "--json")
    #expect(try alone.number("headsChecked") == 0 && alone.errorLines.count == 1)
  }

  /// A run that does not fit as a whole is refused with 77 before its folder is made.
  @Test func runBeyondTheBudgetIsRefused() throws {
    try register("1")
    let outcome = try fastdp(train("run", Self.short))
    expectRefusal(outcome, 77, naming: ["100 steps", "table", "1.0", "1e-05"])
    #expect(!folder.holds("run"))
    let known = try source()
    #expect(known["steps"] as? Int == 0 && known["charges"] as? Int == 0)
    #expect(known["spentShare"] as? Double == 0)
    // What is refused as a whole fits in part.
    let room = try #require(outcome.errors.firstMatch(of: /: (\d+) of this kind/)?.1)
    try #require(Int(room) ?? 0 > 0, "\(outcome.errors)")
    try succeed(train("run", Self.short + ["--steps", "\(room)"]))
    expectRefusal(try fastdp(train("more", Self.short + ["--steps", "1"])), 77, naming: ["table"])
    #expect(try charged() == Int(room))
  }

  /// Two runs at once share one budget: what one has taken the other lacks.
  @Test func runsShareTheBudget() throws {
    try register("3")
    let refused = try fastdp(train("run", Self.short + ["--steps", "1000000"]))
    let room = try #require(refused.errors.firstMatch(of: /: (\d+) of this kind/)?.1)
    let left = try #require(Int(room))
    let steps = ["--steps", "\(left * 2 / 3)"]
    let programs = try ["a", "b"].map {
      try RunningProgram(Program.path(), train($0, Self.short + steps))
    }
    let ended = try programs.map { try $0.wait() }
    let statuses = ended.map(\.status)
    #expect(statuses.contains(77) && statuses.allSatisfy { $0 == 0 || $0 == 77 }, "\(statuses)")
    #expect(try charged() <= left)
    let known = try source()
    #expect(try #require(known["spentShare"] as? Double) <= 1)
    #expect(try #require(known["epsilonIfFixed"] as? Double) <= 3)
  }

  /// A run of 8,000 steps, charged to a fresh ledger and ended by a signal once it is under way.
  ///
  /// On a busy machine a run may be over before the signal reaches it; then all is tried again.
  private func end(_ run: RunFolder, by signal: Int32) throws -> Outcome {
    let long = ["--noise-multiplier", "4", "--steps", "8000", "--checkpoint-every", "0.05s"]
    for _ in 0..<20 {
      for name in try folder.names where name.hasPrefix("budgets") {
        try FileManager.default.removeItem(atPath: folder.file(name))
      }
      try succeed("ledger", "init", ledger)
      try register("20")
      let program = try RunningProgram(Program.path(), train("run", long + ["--overwrite"]))
      try waitUntil { run.holds("checkpoints") || !program.isRunning }
      program.send(signal)
      let outcome = try program.wait()
      if outcome.status != 0 { return outcome }
    }
    throw NeverEnded()
  }

  /// Every run was over before the signal that was to end it.
  private struct NeverEnded: Error {}

  /// An interrupted run gives back what did not run; resumed, it goes on with the same charge.
  @Test func interruptedRunGivesBack() throws {
    let run = RunFolder(folder.file("run"))
    expectRefusal(try end(run, by: SIGINT), 130, naming: ["--resume"])
    let taken = try #require(run.json("run.json")["stepsTaken"] as? Int)
    #expect(taken > 0 && taken < 8000)
    #expect(try charged() == taken && run.chargedSteps() == taken)
    try succeed("ledger", "verify", ledger, run.path)

    // The run belongs to its ledger.
    expectRefusal(try fastdp(resume("run")), 64, naming: [run.path, "--ledger"])
    let other = folder.file("other")
    try succeed("ledger", "init", other)
    try succeed(
      "ledger", "register", other, "table", "--epsilon", "20", "--delta", "1e-5")
    expectRefusal(
      try fastdp(resume("run") + ["--ledger", other]), 64, naming: [run.path, "ledger"])
    #expect(try charged() == taken)

    let resumed = try succeed(resume("run") + ["--ledger", ledger])
    #expect(resumed.errors.isEmpty)
    #expect(try resumed.number("steps") == 8000 && charged() == 8000)
    #expect(try source()["runs"] as? Int == 2)
    try run.expectComplete()
    try succeed("ledger", "verify", ledger, run.path)
  }

  /// A killed run stays charged with all that may have run, and ends within its plan.
  @Test func killedRunStaysCharged() throws {
    let run = RunFolder(folder.file("run"))
    #expect(try end(run, by: SIGKILL).status == -SIGKILL)
    // The run's own file is written first, so the ledger has no more than it.
    let reserved = try charged()
    #expect(try reserved > 0 && reserved <= run.chargedSteps())
    let resumed = try succeed(resume("run") + ["--ledger", ledger])
    #expect(try resumed.number("steps") == 8000)
    #expect(try charged() >= reserved && charged() <= 8000)
    try succeed("ledger", "verify", ledger, run.path)
  }

  /// A budget that another process uses up stops the run, which its owner may then let go on.
  @Test func budgetThatShrinksStopsTheRun() throws {
    try register("3", ["--order", "30"])
    let run = RunFolder(folder.file("run"))
    let long = ["--noise-multiplier", "158", "--steps", "600000", "--checkpoint-every", "0.05s"]
    let program = try RunningProgram(Program.path(), train("run", long))
    try waitUntil { run.holds("checkpoints") || !program.isRunning }
    try register("0.3")
    expectRefusal(try program.wait(), 77, naming: ["table", "0.3"])
    try run.expectWholeFiles()
    #expect(!run.holds("model.safetensors"))
    let taken = try charged()
    #expect(taken > 0 && taken < 600_000)
    // A range that did not fit may do so in part; the rest is refused again.
    expectRefusal(try fastdp(resume("run") + ["--ledger", ledger]), 77, naming: ["table", "0.3"])
    #expect(try charged() >= taken && charged() < 600_000)
    // What was spent before the budget shrank may be more than it is now, but not than it was.
    #expect(try source()["guaranteedEpsilon"] as? Double == 3)
    try succeed("ledger", "verify", ledger, run.path)
  }

  /// A registered plan runs as registered, once.
  @Test func registeredPlanRunsOnce() throws {
    try register("3", ["--rule", "plans"])
    let registered = try succeed(
      ["train", data, "--ledger", ledger, "--register-plan", "first"] + Self.short)
    #expect(try registered.number("steps") == 100)
    #expect(registered.errorLines.count == 1 && registered.errors.contains("'first'"))
    let plans = try #require(source()["plans"] as? [[String: Any]])
    #expect(plans.count == 1 && plans[0]["steps"] as? Int == 100)
    expectRefusal(try fastdp(train("run", Self.short)), 64, naming: ["table", "plan"])
    let first = ["--ledger-plan", "first"]
    expectRefusal(
      try fastdp(train("run", Self.short + first + ["--noise-multiplier", "1.9"])), 64,
      naming: ["first", "registered"])
    #expect(!folder.holds("run"))
    try succeed(train("run", Self.short + first))
    expectRefusal(
      try fastdp(train("again", Self.short + first)), 77, naming: ["first", "0 of"])
    expectRefusal(
      try fastdp(["train", data, "--ledger", ledger, "--register-plan", "late"] + Self.short), 64,
      naming: ["charged already"])
    #expect(try !folder.holds("again") && charged() == 100)
  }

  /// What cannot be charged is refused before anything is written.
  @Test func whatCannotBeChargedIsRefused() throws {
    let none = folder.file("none")
    let base = ["train", data, "--out", folder.file("run"), "--steps", "20"]
    try expectRefusal(base + ["--ledger", none], 66, in: folder, naming: [none])
    try expectRefusal(base + ["--ledger", data], 65, in: folder, naming: [data])
    expectRefusal(try fastdp(base + ["--ledger", ledger]), 64, naming: ["'table'", "register"])
    try register()
    let refused: [([String], String)] = [
      (["--non-private"], "without privacy"), (["--insecure-seed", "1"], "insecure seed"),
      (["--plan-only"], "--plan-only"), (["--neighbouring", "replace"], "replace"),
      (["--ledger-plan", "first"], "no plans"),
      (["--ledger-plan", "a", "--register-plan", "b"], "-plan"),
    ]
    for (words, named) in refused {
      let outcome = try fastdp(base + ["--ledger", ledger] + words)
      // The seed is warned of before.
      expectRefusal(
        outcome, outcome.status, naming: [named], messages: words[0].contains("seed") ? 1 : 0)
      #expect([64, 66].contains(outcome.status) && !folder.holds("run"), "\(words)")
    }
    for words in [["--ledger-plan", "a"], ["--register-plan", "b"]] {
      expectRefusal(try fastdp(base + words), 64, naming: ["--ledger FILE"])
    }
    #expect(try charged() == 0)
  }

  /// Rows that differ from those charged before are warned of; they share the budget.
  @Test func otherRowsShareTheBudget() throws {
    try register()
    try succeed(train("first", Self.short))
    let csv = try folder.write(MadeTable(rows: 4000, seed: 2).csv, to: "table.csv")
    try succeed(
      "prepare", csv, "--schema", folder.file("schema.yaml"), "--out", data, "--overwrite")
    let second = try succeed(train("second", Self.short))
    #expect(second.errorLines.count == 1 && second.errors.contains("share"))
    #expect(try charged() == 200)
  }
}
