import Foundation
import TestSupport
import Testing

/// A table with a schema, and the dataset prepared from them, are the same data.
struct SamePathTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func model(_ run: String) throws -> Data { try folder.data("\(run)/model.safetensors") }

  /// `train TABLE --schema` is `prepare` and `train DATASET`, to the last bit.
  @Test(
    arguments: MadeTable.Label.allCases,
    [[], ["--split-key", "3", "--test-fraction", "0.35"]])
  func tableAndDatasetGiveTheSameModel(label: MadeTable.Label, split: [String]) throws {
    let made = MadeTable(rows: 1200, label: label, missingEvery: 30)
    let table = try folder.write(made.csv, to: "t.csv")
    let schema = try folder.write(MadeTable.schema(label), to: "s.yaml")
    let dataset = folder.file("d.safetensors")
    try succeed(["prepare", table, "--schema", schema, "--out", dataset] + split)
    let settings = ["--insecure-seed", "11", "--steps", "60", "--json"]
    let direct = try succeed(
      ["train", table, "--schema", schema, "--out", folder.file("direct")] + split + settings)
    let prepared = try succeed(["train", dataset, "--out", folder.file("prepared")] + settings)
    #expect(try model("direct") == model("prepared"))
    let apart = ["trainSeconds", "examplesPerSecond"]
    let facts = try [direct, prepared].map { outcome in
      try outcome.json().filter { !apart.contains($0.key) } as NSDictionary
    }
    #expect(facts[0] == facts[1])

    let evaluations = try [[table, "--schema", schema] + split, [dataset]].map {
      try succeed(["evaluate", folder.file("direct"), "--json"] + $0).output
    }
    #expect(evaluations[0] == evaluations[1])
    let others = try succeed(
      "evaluate", folder.file("direct"), table, "--schema", schema, "--split-key", "4", "--json")
    #expect(others.output != evaluations[0])
  }

  /// A schema in JSON is the schema in YAML.
  @Test func schemaMayBeJSON() throws {
    let table = try folder.write(MadeTable(rows: 600).csv, to: "t.csv")
    let yaml = try folder.write(MadeTable.schema(), to: "s.yaml")
    let json = try folder.write(
      """
      {"label": "employed", "columns": {
        "age": {"type": "numeric", "bounds": [18, 90]}, "sex": {"type": "binary"},
        "educ": {"type": "categorical", "categories": ["low", "middle", "high"]},
        "employed": {"type": "binary"}}}
      """, to: "s.json")
    for (schema, name) in [(yaml, "a"), (json, "b")] {
      try succeed("prepare", table, "--schema", schema, "--out", folder.file(name))
    }
    #expect(try folder.data("a") == folder.data("b"))
  }

  /// A run is a function of its insecure seed; without one no two runs are alike.
  @Test func onlyInsecureRunsRepeat() throws {
    let data = try folder.dataset()
    let train = ["train", data, "--steps", "40"]
    for (name, settings) in [
      ("a", ["--insecure-seed", "3"]), ("b", ["--insecure-seed", "3", "--threads", "1"]),
      ("c", ["--insecure-seed", "4"]), ("d", []), ("e", []),
    ] {
      try succeed(train + ["--out", folder.file(name)] + settings)
    }
    #expect(try model("a") == model("b"))
    #expect(try Set(["a", "c", "d", "e"].map { try model($0) }).count == 4)
  }

  /// A table may use another delimiter, and its columns any order.
  @Test func formOfTheTableDoesNotMatter() throws {
    let made = MadeTable(rows: 600)
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    let turned = made.lines.map { line -> String in
      line.split(separator: ",").reversed().joined(separator: "\t") + "\r\n"
    }
    let plain = try folder.write(made.csv, to: "t.csv")
    let tabbed = try folder.write("\u{FEFF}" + turned.joined(), to: "t.tsv")
    let train = ["train", "--schema", schema, "--insecure-seed", "1", "--steps", "20"]
    try succeed(train + [plain, "--out", folder.file("plain")])
    try succeed(train + [tabbed, "--delimiter", "tab", "--out", folder.file("tabbed")])
    #expect(try model("plain") == model("tabbed"))
    let predict = ["predict", folder.file("plain")]
    try succeed(predict + [plain, "--out", folder.file("a")])
    try succeed(predict + [tabbed, "--delimiter", "tab", "--out", folder.file("b")])
    #expect(try folder.data("a") == folder.data("b"))
  }

  /// Several tables are one: rows are counted on from one to the next.
  @Test func tablesAreReadOneAfterTheOther() throws {
    let made = MadeTable(rows: 600)
    let schema = try folder.write(MadeTable.schema(), to: "s.yaml")
    let whole = try folder.write(made.csv, to: "t.csv")
    let parts = [made.lines[...400], made.lines[0...0] + made.lines[401...]].map {
      $0.map { "\($0)\n" }.joined()
    }
    let first = try folder.write(parts[0], to: "1.csv")
    let second = try folder.write(parts[1], to: "2.csv")
    for (tables, name) in [([whole], "a"), ([first, second], "b")] {
      let prepare = ["prepare"] + tables + ["--schema", schema, "--out", folder.file("\(name).d")]
      try succeed(prepare)
      let train = ["train", folder.file("\(name).d"), "--insecure-seed", "1", "--steps", "20"]
      try succeed(train + ["--out", folder.file(name)])
    }
    #expect(try model("a") == model("b"))
  }
}

/// Settings may come from a file, those of the 2020 project too.
struct ConfigTests {
  private let folder: ScratchFolder
  private let data: String

  init() throws {
    folder = try ScratchFolder()
    data = try folder.dataset()
  }

  private func plan(_ config: String, _ more: String...) throws -> Outcome {
    try fastdp(["train", data, "--plan-only", "--json", "--config", config] + more)
  }

  /// YAML and JSON give the same plan as the command line.
  @Test(
    arguments: [
      "epsilon: 2\ndelta: 1e-5\nclip: 0.5\nbatch-size: 300\nepochs: 7\nhidden: [8, 4]\n",
      "# settings\nepsilon: 2.0\ndelta: 0.00001\nclip: 0.5\nbatch-size: 300\nepochs: 7\n"
        + "hidden: 8,4\n",
      #"{"epsilon": 2, "delta": 1e-5, "clip": 0.5, "batch-size": 300, "epochs": 7, "#
        + #""hidden": [8, 4]}"#,
    ])
  func fileIsTheCommandLine(text: String) throws {
    let flags = try succeed(
      "train", data, "--plan-only", "--json", "--epsilon", "2", "--delta", "1e-5", "--clip",
      "0.5", "--batch-size", "300", "--epochs", "7", "--hidden", "8,4")
    let config = try folder.write(text, to: "settings")
    let planned = try plan(config)
    #expect(planned.status == 0 && planned.errors.isEmpty)
    #expect(planned.output == flags.output)
    try succeed(
      "train", data, "--config", config, "--out", folder.file("run"), "--steps", "10")
    let model = try Safetensors(folder.data("run/model.safetensors"))
    #expect(model.tensors["layers.1.weight"]?["shape"] as? [Int] == [4, 8])
  }

  /// The 2020 project's settings are understood; what has no meaning any more is warned of.
  @Test func oldSettingsAreUnderstood() throws {
    let settings: [String: Any] = [
      "num_epoch": 6, "path": data, "l2_norm_clip": 0.5, "noise_multiplier": 2.5,
      "batch_size": 300, "minibatch_size": 10, "lr": 0.125, "world_size": 1,
      "master_ip": "127.0.0.1", "master_port": "23456",
    ]
    let config = try folder.write(
      JSONSerialization.data(withJSONObject: settings, options: .sortedKeys), to: "old.json")
    let outcome = try fastdp(
      "train", "--config", config, "--out", folder.file("run"), "--json")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errorLines.allSatisfy { $0.hasPrefix("fastdp: ") })
    #expect(
      outcome.errorLines.contains {
        $0.contains("minibatch_size") && $0.contains("per example") && $0.contains("old.json:1:")
      })
    let examples = try outcome.number("examples")
    #expect(try outcome.number("steps") == (6 * examples / 300).rounded())
    #expect(try outcome.number("clip") == 0.5 && outcome.number("batchSize") == 300)
    #expect(try outcome.number("noiseMultiplier") == 2.5)
    let plan = try #require(folder.json("run/run.json")["plan"] as? [String: Any])
    #expect(plan["learningRate"] as? Double == 0.125)
  }

  /// The command line wins over the file, for settings that exclude each other too.
  @Test func commandLineWins() throws {
    let config = try folder.write(
      "epsilon: 2\nclip: 0.5\nepochs: 7\nbatch-size: 300\noptimizer: adam\n", to: "c.yaml")
    let sigma = try plan(config, "--noise-multiplier", "3", "--steps", "11", "--clip", "0.25")
    #expect(sigma.status == 0, "\(sigma.errors)")
    #expect(try sigma.number("noiseMultiplier") == 3 && sigma.number("steps") == 11)
    #expect(try sigma.number("clip") == 0.25 && sigma.number("batchSize") == 300)
    let plain = try plan(config, "--non-private")
    #expect(try plain.json()["epsilon"] is NSNull)
    let epsilon = try plan(config, "--epsilon", "0.5")
    #expect(try epsilon.number("epsilon") <= 0.5)
    let secret = try folder.write("non-private: true\n", to: "plain.yaml")
    #expect(try plan(secret, "--epsilon", "0.5").number("epsilon") <= 0.5)
  }

  /// A file's fault is said with its line.
  @Test(
    arguments: [
      ("epsilon: 1\nepsilonn: 2\n", ":2:", "epsilonn"),
      ("epsilon: 1\n\nnum_epochs: 2\n", ":3:", "num_epochs"),
      ("{\"epsilon\": 1,\n \"colour\": \"red\"}", ":2:", "colour"),
      ("clip: 1\nepsilon: much\n", ":2:", "much"), ("optimizer: newton\n", ":1:", "newton"),
      ("non-private: perhaps\n", ":1:", "non-private"), ("world_size: 4\n", ":1:", "world_size"),
      ("clip: 1\nbatch-size:\n", ":2:", "batch-size"),
      ("epsilon: {much: 1}\n", ":1:", "epsilon"),
      ("out: elsewhere\n", ":1:", "out"), ("resume: true\n", ":1:", "resume"),
    ])
  func badSettingIsRefusedAtItsLine(text: String, line: String, named: String) throws {
    let config = try folder.write(text, to: "c.yaml")
    let train = ["train", data, "--out", folder.file("run"), "--config", config]
    try expectRefusal(train, 64, in: folder, naming: [config + line, named])
  }

  /// Settings that exclude each other do so in a file too.
  @Test(arguments: ["epsilon: 1\nnoise-multiplier: 2\n", "steps: 5\nepochs: 2\n", "epsilon: 0\n"])
  func contradictionIsRefused(text: String) throws {
    let config = try folder.write(text, to: "c.yaml")
    let train = ["train", data, "--out", folder.file("run"), "--config", config]
    try expectRefusal(train, 64, in: folder)
  }

  /// A file that holds no settings is refused.
  @Test(
    arguments: [
      "- epsilon\n- delta\n", "epsilon\n", "{\"epsilon\": ", ": :\n\t", "clip: 1\nclip: 2\n",
    ])
  func otherFileIsRefused(text: String) throws {
    let config = try folder.write(text, to: "c.yaml")
    let train = ["train", data, "--out", folder.file("run"), "--config", config]
    try expectRefusal(train, 65, in: folder, naming: [config])
  }
}
