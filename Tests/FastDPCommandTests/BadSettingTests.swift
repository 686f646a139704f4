import Foundation
import TestSupport
import Testing

/// Settings that make no sense, or no privacy, are refused before anything is made.
struct BadSettingTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// Every refusal has status 64 and names the setting; no folder is made.
  ///
  /// The training split has about 240 rows, so 1/√n is about 0.065.
  @Test(
    arguments: [
      (["--epsilon", "0"], "epsilon"), (["--epsilon", "-1"], "epsilon"),
      (["--epsilon", "nan"], "epsilon"), (["--epsilon", "inf"], "epsilon"),
      (["--delta", "0"], "delta"), (["--delta", "-0.1"], "delta"), (["--delta", "nan"], "delta"),
      (["--delta", "1"], "delta"), (["--delta", "1.5"], "delta"), (["--delta", "0.07"], "delta"),
      (["--noise-multiplier", "0"], "noise"), (["--noise-multiplier", "-1"], "noise"),
      (["--noise-multiplier", "nan"], "noise"), (["--noise-multiplier", "inf"], "noise"),
      (["--noise-multiplier", "1", "--delta", "1"], "delta"),
      (["--batch-size", "301"], "batch"), (["--batch-size", "0"], "batch"),
      (["--batch-size", "-5"], "batch"), (["--steps", "0"], "steps"), (["--steps", "-1"], "steps"),
      (["--epochs", "0"], "epochs"), (["--epochs", "nan"], "epochs"),
      (["--epochs", "1e-9"], "epochs"), (["--clip", "0"], "clip"), (["--clip", "-1"], "clip"),
      (["--clip", "nan"], "clip"), (["--clip", "inf"], "clip"),
      (["--learning-rate", "0"], "learning rate"), (["--learning-rate", "nan"], "learning rate"),
      (["--steps", "9", "--warmup", "9"], "warmup"), (["--warmup", "-1"], "warmup"),
      (["--weight-decay", "-1"], "weight"), (["--weight-decay", "nan"], "weight"),
      (["--weight-decay", "5", "--learning-rate", "0.2"], "weight decay"),
      (["--hidden", "0"], "hidden"), (["--hidden", "8,-4"], "hidden"),
      (["--hidden", "many"], "hidden"), (["--hidden", "8,none"], "hidden"),
      (["--threads", "0"], "threads"), (["--checkpoint-every", "0s"], "checkpoint-every"),
      (["--epsilon", "1", "--noise-multiplier", "1"], "--noise-multiplier"),
      (["--epsilon", "1", "--non-private"], "--non-private"),
      (["--steps", "5", "--epochs", "1"], "--epochs"), (["--resume", "--overwrite"], "--resume"),
      (["--epsilon", "1e-9", "--delta", "1e-30"], "epsilon"),
    ])
  func badSettingIsRefused(setting: [String], named: String) throws {
    let data = try folder.dataset(rows: 300)
    let train = ["train", data, "--out", folder.file("run"), "--json"] + setting
    try expectRefusal(train, 64, in: folder, naming: [named])
  }

  /// What is refused of a run is refused of its plan.
  @Test(
    arguments: [
      ["--epsilon", "0"], ["--delta", "0.07"], ["--batch-size", "301"],
      ["--noise-multiplier", "0"],
    ])
  func badPlanIsRefused(setting: [String]) throws {
    let data = try folder.dataset(rows: 300)
    try expectRefusal(["train", data, "--plan-only"] + setting, 64, in: folder)
  }

  /// δ is refused from 1/√n on and warned of from 1/n on, and not below.
  @Test func deltaIsComparedWithTheNumberOfRows() throws {
    let data = try folder.dataset(rows: 300)
    func plan(_ delta: Double) throws -> Outcome {
      try fastdp("train", data, "--plan-only", "--json", "--delta", "\(delta)")
    }
    let examples = try plan(1e-6).number("examples")
    let root = 1 / examples.squareRoot()
    for delta in [root * 1.0001, root * 1.5] { expectRefusal(try plan(delta), 64) }
    for delta in [root * 0.999, 1.001 / examples] {
      let warned = try plan(delta)
      #expect(warned.status == 0 && warned.errorLines.count == 1)
      #expect(warned.errors.hasPrefix("fastdp: ") && warned.errors.contains("delta"))
    }
    let quiet = try plan(0.999 / examples)
    #expect(quiet.status == 0 && quiet.errors.isEmpty)
  }

  /// The split's settings are refused outside their ranges.
  @Test(
    arguments: [
      (["--test-fraction", "1"], "test"), (["--test-fraction", "-0.1"], "test"),
      (["--test-fraction", "nan"], "test"), (["--max-rejected", "-1"], "rejected"),
    ])
  func badSplitIsRefused(setting: [String], named: String) throws {
    let table = try folder.write(MadeTable(rows: 300).csv, to: "t.csv")
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    for command in ["prepare", "train"] {
      try expectRefusal(
        [command, table, "--schema", schema, "--out", folder.file("out")] + setting, 64,
        in: folder, naming: [named])
    }
  }

  /// What has no folder, no schema or no data to work on is a matter of usage.
  @Test func missingNamesAreRefused() throws {
    let data = try folder.dataset(rows: 300)
    try expectRefusal(["train", data], 64, in: folder, naming: ["--out"])
    try expectRefusal(["train", "--out", folder.file("run")], 64, in: folder, naming: ["data"])
    try expectRefusal(
      ["prepare", folder.file("table.csv"), "--out", folder.file("d")], 64, in: folder,
      naming: ["--schema"])
  }

  /// Questions about privacy without an answer are refused.
  @Test(
    arguments: [
      ("--sampling-rate", "-0.1"), ("--sampling-rate", "1.01"), ("--sampling-rate", "nan"),
      ("--steps", "-1"), ("--delta", "1"), ("--delta", "0"), ("--delta", "-1"), ("--delta", "nan"),
      ("--noise-multiplier", "0"), ("--noise-multiplier", "-1"), ("--noise-multiplier", "nan"),
      ("--epsilon", "0"), ("--epsilon", "-1"), ("--epsilon", "nan"),
    ])
  func badPrivacyQuestionIsRefused(name: String, value: String) throws {
    let usual = ["--sampling-rate": "0.01", "--steps": "100", "--delta": "1e-6"]
    for (command, own) in [("epsilon", "--noise-multiplier"), ("noise", "--epsilon")] {
      var settings = usual
      settings[own] = "1"
      guard settings.updateValue(value, forKey: name) != nil else { continue }
      let words = settings.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
      let outcome = try fastdp(["privacy", command, "--json"] + words)
      let word = name.dropFirst(2).split(separator: "-").first.map(String.init) ?? ""
      expectRefusal(outcome, 64, naming: [word])
    }
  }
}
