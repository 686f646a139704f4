import TestSupport
import Testing

/// What the program says about itself.
struct ProgramTests {
  private static let subcommands = [
    ["schema"], ["prepare"], ["train"], ["evaluate"], ["predict"], ["demo"],
    ["privacy", "epsilon"], ["privacy", "delta"], ["privacy", "noise"], ["privacy", "steps"],
    ["privacy", "curve"], ["ledger", "init"], ["ledger", "register"], ["ledger", "show"],
    ["ledger", "charge"], ["ledger", "verify"], ["ledger", "export"], ["bench", "privacy"],
  ]

  /// The options of each subcommand by the design, those of later versions left out.
  private static let options: [String: [String]] = [
    "schema": ["--label", "--out", "--delimiter"],
    "prepare": [
      "--schema", "--out", "--delimiter", "--test-fraction", "--split-key", "--max-rejected",
      "--rejects", "--shards", "--columns", "--threads", "--overwrite", "--json",
    ],
    "train": [
      "--out", "--config", "--schema", "--test-fraction", "--split-key", "--hidden",
      "--activation", "--epsilon", "--noise-multiplier", "--non-private", "--delta", "--clip",
      "--batch-size", "--epochs", "--steps", "--learning-rate", "--schedule", "--warmup",
      "--weight-decay", "--optimizer", "--neighbouring",
      "--noise", "--accountant", "--threads", "--checkpoint-every", "--resume", "--overwrite",
      "--plan-only", "--insecure-seed", "--ledger", "--ledger-plan", "--register-plan", "--json",
    ],
    "evaluate": ["--schema", "--json"],
    "predict": ["--out", "--delimiter"],
    "demo": ["--out", "--rows", "--overwrite", "--json"],
    "epsilon": [
      "--sampling-rate", "--noise-multiplier", "--steps", "--delta", "--accountant",
      "--neighbouring", "--json",
    ],
    "noise": [
      "--sampling-rate", "--epsilon", "--steps", "--delta", "--accountant", "--neighbouring",
      "--json",
    ],
    "delta": [
      "--sampling-rate", "--noise-multiplier", "--steps", "--epsilon", "--accountant",
      "--neighbouring", "--json",
    ],
    "steps": [
      "--sampling-rate", "--noise-multiplier", "--epsilon", "--delta", "--accountant",
      "--neighbouring", "--json",
    ],
    "curve": [
      "--sampling-rate", "--noise-multiplier", "--steps", "--delta", "--points", "--csv",
      "--accountant", "--neighbouring", "--json",
    ],
    "init": ["--json"],
    "register": [
      "--epsilon", "--delta", "--rule", "--neighbouring", "--order", "--plan", "--sampling-rate",
      "--noise-multiplier", "--steps", "--accountant", "--json",
    ],
    "show": ["--accountant", "--json"],
    "charge": [
      "--sampling-rate", "--noise-multiplier", "--steps", "--neighbouring", "--plan", "--run",
      "--repeat", "--json",
    ],
    "verify": ["--head", "--json"],
    "export": ["--json"],
    "privacy": ["--peers", "--repeat", "--json"],
  ]

  /// Help names every option and shows how the subcommand is used.
  @Test(arguments: subcommands)
  func helpIsComplete(subcommand: [String]) throws {
    let help = try fastdp(subcommand + ["--help"])
    #expect(help.status == 0 && help.errors.isEmpty)
    for option in try #require(Self.options[subcommand.last ?? ""]) {
      #expect(help.output.contains("\n  \(option)"), "\(option) is not explained")
    }
    let lines = help.output.split(separator: "\n")
    let start = try #require(lines.firstIndex { $0.hasPrefix("Example") }, "no example")
    let example = "  fastdp \(subcommand.joined(separator: " "))"
    #expect(lines[start + 1].hasPrefix(example), "\(lines[start + 1])")
  }

  /// The program's own help leads to every subcommand.
  @Test func helpListsSubcommands() throws {
    let help = try fastdp("--help")
    #expect(help.status == 0 && help.errors.isEmpty)
    for subcommand in Self.subcommands {
      #expect(help.output.contains("\n  \(subcommand[0]) "), "\(subcommand)")
    }
    for status in ["64", "65", "66", "69", "70", "73", "74", "77", "130"] {
      #expect(help.output.contains(status))
    }
  }

  /// The examples of the help are command lines that the program understands.
  @Test(arguments: subcommands)
  func examplesOfHelpAreUnderstood(subcommand: [String]) throws {
    let lines = try fastdp(subcommand + ["--help"]).output.split(
      separator: "\n", omittingEmptySubsequences: false)
    var examples: [String] = []
    for line in lines.drop(while: { !$0.hasPrefix("Example") }).dropFirst() {
      if line.hasPrefix("  fastdp ") {
        examples.append(String(line.dropFirst(9)))
      } else if !line.isEmpty, !line.hasPrefix(" "), let last = examples.popLast() {
        examples.append("\(last) \(line)")  // the help wraps long lines
      } else {
        break
      }
    }
    #expect(!examples.isEmpty)
    for example in examples {
      // With help asked for, the line is parsed and nothing is done.
      let words = example.split(separator: " ").map(String.init)
      let parsed = try fastdp(words + ["--help"])
      #expect(parsed.status == 0 && parsed.errors.isEmpty, "\(example): \(parsed.errors)")
    }
  }

  /// The version is a line of its own.
  @Test func versionIsPrinted() throws {
    let version = try fastdp("--version")
    #expect(version.status == 0 && version.errors.isEmpty)
    #expect(version.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil, "\(version.output)")
  }

  /// What the program does not know is a matter of usage, said in one line.
  @Test(
    arguments: [
      (["bogus"], "bogus"), (["--bogus"], "--bogus"), (["train", "--bogus"], "--bogus"),
      (["privacy", "bogus"], "bogus"), (["prepare"], "tables"), (["predict", "run"], "table"),
      (["schema", "t.csv"], "--label"), (["prepare", "t.csv", "--out"], "--out"),
      (["train", "d", "--out", "r", "--steps", "many"], "many"),
      (["train", "d", "--out", "r", "--optimizer", "newton"], "newton"),
      (["train", "d", "--out", "r", "--activation", "sine"], "sine"),
      (["train", "d", "--out", "r", "--schedule", "sine"], "sine"),
      (["train", "d", "--out", "r", "--warmup", "0.1"], "0.1"),
      (["train", "d", "--out", "r", "--neighbouring", "next-door"], "next-door"),
      (["train", "d", "--out", "r", "--checkpoint-every", "soon"], "soon"),
      (["prepare", "t.csv", "--out", "d", "--delimiter", "::"], "::"),
      (["privacy", "epsilon", "--steps", "3"], "--noise-multiplier"),
    ])
  func unknownUsageIsRefused(arguments: [String], named: String) throws {
    let folder = try ScratchFolder()
    try expectRefusal(arguments, 64, in: folder, naming: [named])
  }
}
