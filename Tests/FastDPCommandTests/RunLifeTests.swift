import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A run may be stopped, killed, resumed and replaced; it never spends more than it was planned to.
struct RunLifeTests {
  private let folder: ScratchFolder
  private let data: String
  private var run: RunFolder { RunFolder(folder.file("run")) }

  /// T of the runs here: about two seconds of work.
  private static let steps = 6000

  init() throws {
    folder = try ScratchFolder()
    data = try folder.dataset(rows: 20_000)
  }

  private func settings(_ more: [String] = []) -> [String] {
    [
      "train", data, "--out", run.path, "--steps", "\(Self.steps)", "--batch-size", "400",
      "--checkpoint-every", "0.05s",
    ] + more
  }

  /// The least that resumes the run.
  private var resume: [String] { ["train", data, "--out", run.path, "--resume", "--json"] }

  private func start(_ more: [String] = []) throws -> RunningProgram {
    try RunningProgram(Program.path(), settings(more))
  }

  /// Starts a run, and stops it in order once it is under way.
  ///
  /// On a busy machine a run may be over before the signal reaches it; then it is tried again.
  @discardableResult
  private func interrupt(_ signal: Int32 = SIGINT, _ more: [String] = []) throws -> Outcome {
    for _ in 0..<20 {
      let program = try start(more + ["--overwrite"])
      try waitUntil { run.holds("checkpoints") || !program.isRunning }
      program.send(signal)
      let outcome = try program.wait()
      if outcome.status != 0 { return outcome }
    }
    throw NeverInterrupted()
  }

  /// Every run was over before the signal that was to stop it.
  private struct NeverInterrupted: Error {}

  private func expectInterrupted(_ outcome: Outcome) throws {
    expectRefusal(outcome, 130, naming: ["interrupted", "--resume"])
    try run.expectWholeFiles()
    #expect(!run.holds("model.safetensors") && !run.holds("statement.json"))
    #expect(try run.json("run.json")["status"] as? String == "interrupted")
  }

  /// SIGINT and SIGTERM end a run with a checkpoint; nothing that was paid for is lost.
  @Test(arguments: [SIGINT, SIGTERM])
  func interruptedRunLosesNothing(signal: Int32) throws {
    try expectInterrupted(interrupt(signal))
    let taken = try #require(run.json("run.json")["stepsTaken"] as? Int)
    #expect(taken > 0 && taken < Self.steps)
    #expect(try run.chargedSteps() == taken)
    #expect(run.holds("checkpoints/step-\(taken).safetensors"))
    for name in ["run", "run/checkpoints"] { #expect(try folder.mode(name) == 0o700) }
    #expect(try folder.mode("run/checkpoints/step-\(taken).safetensors") == 0o600)
    let checkpoint = try Safetensors(run.data("checkpoints/step-\(taken).safetensors"))
    #expect(Set(checkpoint.tensors.keys) == ["parameters", "optimizer.0"])
    #expect(Set(checkpoint.metadata.keys) == ["fastdp.plan", "steps", "optimizerSteps"])

    let resumed = try fastdp(resume)
    #expect(resumed.status == 0 && resumed.errors.isEmpty, "\(resumed.errors)")
    #expect(try resumed.number("steps") == Double(Self.steps))
    #expect(try resumed.number("epsilon") <= 1)
    try run.expectComplete()
    #expect(try run.chargedSteps() == Self.steps)
    #expect(try run.json("run.json")["stepsTaken"] as? Int == Self.steps)
  }

  /// A run that was stopped and resumed ends in the very model of one that was not.
  @Test(
    arguments: [
      ["--optimizer", "momentum"],
      ["--optimizer", "adam", "--schedule", "cosine", "--warmup", "500", "--weight-decay", "0.1"],
    ])
  func interruptionDoesNotChangeTheModel(settings more: [String]) throws {
    let more = ["--insecure-seed", "5", "--steps", "3000"] + more
    let interrupted = try interrupt(SIGINT, more)
    #expect(interrupted.status == 130, "\(interrupted.errors)")
    try succeed(resume)
    let whole = folder.file("whole")
    try succeed(settings(more) + ["--out", whole])
    #expect(
      try run.data("model.safetensors") == RunFolder(whole).data("model.safetensors"))
  }

  /// Settings that repeat those of the run are no change.
  @Test func unchangedSettingsResume() throws {
    let more = ["--epsilon", "2", "--delta", "1e-5", "--hidden", "8", "--clip", "0.5"]
    try interrupt(SIGINT, more)
    let resumed = try fastdp(settings(more) + ["--resume", "--json"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try resumed.number("steps") == Double(Self.steps))
  }

  /// Every setting that is changed is named, and the run stays as it was.
  @Test func changedSettingsAreRefused() throws {
    try interrupt()
    let changes: [([String], [String])] = [
      (["--epsilon", "2"], ["epsilon"]), (["--noise-multiplier", "9"], ["noiseMultiplier"]),
      (["--non-private"], ["private"]), (["--delta", "1e-8"], ["delta"]),
      (["--clip", "2"], ["clip"]), (["--batch-size", "500"], ["batchSize"]),
      (["--steps", "6001"], ["steps"]), (["--epochs", "3"], ["epochs", "steps"]),
      (["--learning-rate", "0.3"], ["learningRate"]), (["--optimizer", "sgd"], ["optimizer"]),
      (["--schedule", "cosine"], ["schedule"]), (["--warmup", "5"], ["warmup"]),
      (["--weight-decay", "0.1"], ["weightDecay"]),
      (["--hidden", "51"], ["hidden"]), (["--hidden", "none"], ["hidden"]),
      (["--activation", "relu"], ["activation"]),
      (["--neighbouring", "replace"], ["neighbouring", "relation"]),
      (["--insecure-seed", "1"], ["insecureSeed"]),
    ]
    for (setting, names) in changes {
      try expectChangeIsRefused(resume + setting, naming: names)
    }
    try succeed(resume)
  }

  private func expectChangeIsRefused(_ arguments: [String], naming names: [String]) throws {
    let before = try folder.contents()
    let outcome = try fastdp(arguments)
    // A warning may stand before the refusal.
    expectRefusal(
      outcome, 64, messages: outcome.errors.contains("warning") ? 1 : 0)
    let refusal = outcome.errorLines.last?.replacing("-", with: "").lowercased() ?? ""
    #expect(
      names.contains { refusal.contains($0.lowercased()) }, "\(arguments): \(outcome.errors)")
    #expect(try folder.contents() == before, "\(arguments)")
  }

  /// Other rows, be it one cell, and other splits are not what the run was started on.
  @Test func changedDataAreRefused() throws {
    try interrupt()
    let table = MadeTable(rows: 20_000)
    let schema = folder.file("schema.yaml")
    let fields = table.lines[8].split(separator: ",")
    let turned = "\(fields[0]),\(1 - (Int(fields[1]) ?? 0)),\(fields[2]),\(fields[3])"
    let variants: [(String, MadeTable, [String])] = [
      ("cell", table.replacing(row: 7, with: turned), []),
      ("split", table, ["--split-key", "1"]), ("fraction", table, ["--test-fraction", "0.3"]),
      ("rows", MadeTable(rows: 19_999), []),
    ]
    for (name, variant, options) in variants {
      let csv = try folder.write(variant.csv, to: "table.csv")
      let other = folder.file("\(name).safetensors")
      let prepare = ["prepare", csv, "--schema", schema, "--out", other, "--test-fraction"]
      try succeed(prepare + (options.first == "--test-fraction" ? ["0.3"] : ["0.2"] + options))
      try expectRefusal(
        ["train", other, "--out", run.path, "--resume"], 64, in: folder, naming: [run.path])
    }
    try succeed(resume)
  }

  /// A folder that holds a run is left alone unless one says what to do with it.
  @Test func secondRunIsRefused() throws {
    let small = ["train", data, "--out", run.path, "--steps", "20"]
    try succeed(small)
    try expectRefusal(small, 73, in: folder, naming: [run.path, "--resume", "--overwrite"])
    let first = try run.data("model.safetensors")
    try succeed(small + ["--overwrite"])
    try run.expectComplete()
    #expect(try run.data("model.safetensors") != first)
    let again = try succeed(small + ["--resume", "--json"])
    #expect(try again.number("steps") == 20)
    try run.expectComplete()
  }

  /// Files that are no part of a run are never removed.
  @Test(arguments: ["notes.txt", ".notes", "charges.bak", "checkpoints/notes.txt"])
  func foreignFilesAreKept(name: String) throws {
    let small = ["train", data, "--out", run.path, "--steps", "20"]
    try succeed(small)
    try FileManager.default.createDirectory(
      atPath: folder.file("run/checkpoints"), withIntermediateDirectories: true)
    _ = try folder.write("mine", to: "run/\(name)")
    try expectRefusal(small + ["--overwrite"], 73, in: folder, naming: [run.path])
  }

  /// A folder of other things is neither overwritten nor resumed.
  @Test func otherFoldersAreKept() throws {
    let small = ["train", data, "--out", folder.path, "--steps", "20"]
    try expectRefusal(small, 73, in: folder)
    try expectRefusal(small + ["--overwrite"], 73, in: folder)
    try expectRefusal(small + ["--resume"], 66, in: folder)
  }

  /// While one process trains into a folder, every other one is refused.
  @Test(arguments: [[], ["--non-private"]])
  func secondTrainerIsRefused(settings: [String]) throws {
    let first = try start(settings + ["--steps", "1000000"])
    try waitUntil { run.holds("checkpoints") || !first.isRunning }
    let train = ["train", data, "--out", run.path]
    let others = [train, train + ["--resume"], train + ["--overwrite", "--steps", "20"]]
    for arguments in others {
      let second = try RunningProgram(Program.path(), arguments)
      let outcome = try second.wait(timeout: 20)
      #expect(first.isRunning, "the first run ended")
      expectRefusal(outcome, 73, naming: [run.path])
    }
    first.send(SIGINT)
    try expectInterrupted(first.wait())
  }

  /// A record of charges that was edited is not believed.
  @Test func changedChargesAreRefused() throws {
    try interrupt()
    let charges = try run.text("charges")
    let lines = charges.split(separator: "\n").map { "\($0)\n" }
    let edits = [
      charges.replacing("\"to\":4", with: "\"to\":3"), lines.dropLast(2).last ?? "",
      lines[0] + lines.dropFirst(2).joined(), "",
    ]
    for edit in edits {
      _ = try folder.write(edit, to: "run/charges")
      let before = try run.data("charges")
      expectRefusal(try fastdp(resume), 65, naming: ["charges"])
      #expect(try run.data("charges") == before)
    }
  }

  /// Killed at any moment, a run leaves whole files, refuses a second start and can be resumed; in
  /// the end it has charged no more steps than planned.
  @Test func killedRunGoesOn() throws {
    var kills = 0
    while kills < 15 {
      try? FileManager.default.removeItem(atPath: run.path)
      var arguments = settings()
      while kills < 15 {
        let program = try RunningProgram(Program.path(), arguments)
        // Every third time at the very beginning of the run, else somewhere in its course.
        try waitUntil { run.holds("charges") || !program.isRunning }
        usleep(.random(in: 0...(kills % 3 == 0 ? 20_000 : 900_000)))
        program.send(SIGKILL)
        let outcome = try program.wait()
        guard outcome.status == -SIGKILL else {
          #expect(outcome.status == 0, "\(outcome.errors)")
          break
        }
        kills += 1
        try expectResumable()
        arguments = run.holds("run.json") ? resume : settings(["--overwrite"])
      }
      try expectEndsWithinBudget()
    }
  }

  /// Checks what a killed run left.
  private func expectResumable() throws {
    try run.expectWholeFiles()
    #expect(try run.chargedSteps() <= Self.steps)
    try expectRefusal(settings(), 73, in: folder, naming: [run.path])
    // Before its record is there, a run has charged nothing.
    if !run.holds("run.json") { #expect(try run.chargedSteps() == 0) }
  }

  /// Resumes the run to its end and checks what it came to.
  private func expectEndsWithinBudget() throws {
    let ended = try fastdp(run.holds("run.json") ? resume : settings(["--overwrite", "--json"]))
    try #require(ended.status == 0, "\(ended.errors)")
    let charged = try run.chargedSteps()
    #expect(charged <= Self.steps)
    #expect(try ended.number("steps") == Double(charged))
    #expect(try ended.number("epsilon") <= 1)
    let taken = try #require(run.json("run.json")["stepsTaken"] as? Int)
    #expect(taken <= charged)
    try run.expectComplete()
  }
}
