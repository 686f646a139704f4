import Foundation
import TestSupport
import Testing

/// What a run leaves: the promised files, for their owner only, with nothing in them that they
/// should not hold.
struct RunDirectoryTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func train(_ settings: String..., in folder: ScratchFolder) throws -> RunFolder {
    try train(settings, in: folder)
  }

  private func train(_ settings: [String], in folder: ScratchFolder) throws -> RunFolder {
    let run = folder.file("run")
    let data = folder.file("data.safetensors")
    try succeed(["train", data, "--out", run, "--steps", "40"] + settings)
    return RunFolder(run)
  }

  /// Two folders with tables of the same number of rows and quite other cells.
  private func twins() throws -> [ScratchFolder] {
    try [(1, 0), (2, 40)].map { (seed: UInt64, missingEvery: Int) in
      let folder = try ScratchFolder()
      _ = try folder.dataset(seed: seed, missingEvery: missingEvery)
      return folder
    }
  }

  /// The files of a finished run are those of the design, and nothing else.
  @Test func finishedRunHasItsFilesOnly() throws {
    _ = try folder.dataset()
    let run = try train(in: folder)
    try run.expectComplete()
    let names = try FileManager.default.contentsOfDirectory(atPath: run.path)
    #expect(
      names.sorted() == [
        "charges", "metrics.jsonl", "model.safetensors", "run.json", "statement.json",
        "statement.txt",
      ])
  }

  /// Everything that the program makes is its owner's alone, under any umask.
  @Test(arguments: ["000", "022", "077"])
  func filesAreTheOwnersAlone(umask: String) throws {
    _ = try folder.dataset(rows: 300)
    func make(_ arguments: String...) throws {
      let shell = ["-c", "umask \(umask) && exec \"$0\" \"$@\"", try Program.path()]
      let outcome = try RunningProgram("/bin/sh", shell + arguments).wait()
      try #require(outcome.status == 0, "\(outcome.errors)")
    }
    let table = folder.file("table.csv")
    let model = folder.file("run")
    try make("schema", table, "--label", "employed", "--out", folder.file("draft"))
    try make(
      "prepare", table, "--schema", folder.file("schema.yaml"), "--out", folder.file("data"),
      "--rejects", folder.file("rejects"))
    try make("train", folder.file("data"), "--out", model, "--steps", "5")
    try make("predict", model, table, "--out", folder.file("predictions"))
    for name in ["draft", "data", "rejects", "predictions"] {
      #expect(try folder.mode(name) == 0o600, "\(name)")
    }
    #expect(try folder.mode("run") == 0o700)
    for name in try FileManager.default.contentsOfDirectory(atPath: model) {
      #expect(try folder.mode("run/\(name)") == 0o600, "\(name)")
    }
  }

  /// An empty folder that others could read becomes the owner's.
  @Test func givenFolderBecomesTheOwners() throws {
    _ = try folder.dataset(rows: 300)
    try FileManager.default.createDirectory(
      atPath: folder.file("run"), withIntermediateDirectories: false,
      attributes: [.posixPermissions: 0o755])
    _ = try train(in: folder)
    #expect(try folder.mode("run") == 0o700)
  }

  /// The statement names every fact that the guarantee rests on.
  @Test func statementNamesItsFacts() throws {
    _ = try folder.dataset()
    let outcome = try succeed(
      "train", folder.file("data.safetensors"), "--out", folder.file("run"), "--steps", "40",
      "--epsilon", "2", "--delta", "1e-5", "--json")
    let run = RunFolder(folder.file("run"))
    let statement = try run.json("statement.json")
    #expect(try statement["epsilon"] as? Double == outcome.number("epsilon"))
    #expect(statement["delta"] as? Double == 1e-5)
    #expect(try statement["noiseMultiplier"] as? Double == outcome.number("noiseMultiplier"))
    #expect(try statement["samplingRate"] as? Double == outcome.number("samplingRate"))
    #expect(try statement["examples"] as? Double == outcome.number("examples"))
    #expect(statement["steps"] as? Int == 40)
    #expect(statement["neighbouringRelation"] as? String == "zero-out")
    #expect(try statement["accountant"] as? String == outcome.json()["accountant"] as? String)
    let mechanism = try #require(statement["mechanism"] as? String)
    #expect(mechanism.contains("Poisson") && mechanism.contains("Gaussian"))
    let kappa = try #require(statement["kappa"] as? Double)
    #expect(kappa > 0 && kappa <= 1e-3)
    let notCovered = try #require(statement["notCovered"] as? [String])
    #expect(notCovered.contains { $0.contains("public") })
    #expect(notCovered.contains { $0.contains("search") })
    let text = try run.text("statement.txt")
    let words = [
      mechanism, "zero-out", "What is not covered", "sigma", "kappa", "Data owner",
      try #require(outcome.json()["accountant"] as? String),
    ]
    for word in words { #expect(text.contains(word), "\(word)") }
    let numbers: [any CustomStringConvertible] = try [
      outcome.number("delta"), outcome.number("noiseMultiplier"), kappa,
      outcome.number("samplingRate"), Int(outcome.number("examples")), 40,
      outcome.number("epsilon"), Int(outcome.number("batchSize")),
    ]
    // Reading a number back may change its last digit.
    for number in numbers { #expect(text.contains("\(number)".prefix(15)), "\(number)") }
    // Line breaks may come between the words of an item.
    let flat = text.split { $0.isWhitespace }.joined(separator: " ")
    for item in notCovered { #expect(flat.contains(item), "\(item)") }
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  /// What may leave the house is the same for tables that differ in most cells.
  @Test(arguments: [["--noise-multiplier", "1.5"], ["--epsilon", "3"], ["--non-private"]])
  func statementDoesNotDependOnTheCells(settings: [String]) throws {
    let folders = try twins()
    defer { withExtendedLifetime(folders) {} }
    let runs = try folders.map { try train(settings, in: $0) }
    for name in ["statement.json", "statement.txt"] {
      #expect(try runs[0].data(name) == runs[1].data(name), "\(name)")
    }
    let models = try runs.map { try $0.data("model.safetensors") }
    #expect(models[0] != models[1])
    let lengths = models.map { Int($0[0]) + Int($0[1]) << 8 }
    #expect(lengths[0] == lengths[1])
    #expect(models[0].prefix(8 + lengths[0]) == models[1].prefix(8 + lengths[1]))
  }

  /// The model file says what the network is and which rows it reads, and nothing measured.
  @Test func modelHoldsNoMetrics() throws {
    _ = try folder.dataset()
    let run = try train("--hidden", "8,4", in: folder)
    let model = try Safetensors(run.data("model.safetensors"))
    #expect(Set(model.metadata.keys) == ["fastdp.model", "architecture", "schema"])
    let shapes = model.tensors.compactMapValues { $0["shape"] as? [Int] }
    #expect(
      shapes == [
        "layers.0.weight": [8, 5], "layers.0.bias": [8], "layers.1.weight": [4, 8],
        "layers.1.bias": [4], "layers.2.weight": [1, 4], "layers.2.bias": [1],
      ])
    let words = model.metadata.values.joined(separator: " ").lowercased()
    for word in ["accuracy", "loss", "auc", "rows", "seconds", "seed"] {
      #expect(!words.contains(word), "\(word)")
    }
  }

  /// The operator's record keeps exact facts apart from the rest, and says what they are.
  @Test func recordMarksExactFacts() throws {
    let records = try twins().map { folder in
      try train("--insecure-seed", "1", in: folder).json("run.json")
    }
    let exact = try records.map { try #require($0["exact"] as? [String: Any]) }
    #expect((exact[0]["note"] as? String)?.contains("not for release") == true)
    #expect(exact[0]["testAccuracy"] is Double && exact[0]["trainExamples"] is Int)
    #expect(exact[0] as NSDictionary != exact[1] as NSDictionary)
    // Times differ; all the rest is public.
    let apart = ["exact", "started", "ended"]
    let rest = records.map { $0.filter { !apart.contains($0.key) } as NSDictionary }
    #expect(rest[0] == rest[1])
    let plan = try #require(records[0]["plan"] as? [String: Any])
    #expect(plan["steps"] as? Int == 40 && plan["learningRate"] is Double)
    #expect(records[0]["environment"] is [String: Any])
    #expect(exact[0]["trainSeconds"] is Double && exact[0]["contentHash"] is String)
  }

  /// The operator's measurements begin with a line that says what they are.
  @Test func metricsAreMarked() throws {
    _ = try folder.dataset()
    let lines = try train(in: folder).text("metrics.jsonl").split(separator: "\n")
    #expect(lines.count > 2 && lines[0].contains("not for release"))
    let last = try jsonObject(Data(try #require(lines.last).utf8))
    #expect(last["step"] as? Int == 40 && last["trainLoss"] is Double)
  }

  /// No key and no seed is in any file: nothing of 128 bits or more but the hashes that belong there.
  @Test func noFileHoldsAKey() throws {
    _ = try folder.dataset()
    let run = try train(in: folder)
    let digest = try #require(run.json("run.json")["planDigest"] as? String)
    for name in ["run.json", "statement.json", "statement.txt", "metrics.jsonl"] {
      let text = try run.text(name).replacing(digest, with: "")
      #expect(text.firstMatch(of: /[0-9A-Fa-f]{32,}|[0-9A-Za-z+\/=]{40,}/) == nil, "\(name)")
      #expect(!text.lowercased().contains("seed"), "\(name)")
      #expect(text.replacing("splitKey", with: "").firstMatch(of: /(?i)"\w*key\w*"/) == nil)
    }
    for line in try run.text("charges").split(separator: "\n") {
      let entry = try jsonObject(Data(line.dropFirst(65).utf8))
      #expect(Set(entry.keys).isSubset(of: ["kind", "plan", "from", "to", "time"]))
      #expect(entry["plan"] == nil || entry["plan"] as? String == digest)
    }
  }

  /// An insecure run says so in every file that speaks of privacy, and claims nothing.
  @Test func insecureRunIsStamped() throws {
    _ = try folder.dataset()
    let run = try train("--insecure-seed", "77", in: folder)
    let statement = try run.json("statement.json")
    #expect(statement["epsilon"] is NSNull && statement["guarantee"] as? Bool == false)
    #expect(try run.text("statement.txt").contains("NO guarantee"))
    #expect(try !run.text("statement.txt").contains("epsilon ="))
    let plan = try #require(run.json("run.json")["plan"] as? [String: Any])
    #expect(plan["insecureSeed"] as? Int == 77)
    #expect(try !run.text("metrics.jsonl").contains("\"epsilon\": 0"))
  }

  /// A run without privacy says so, and claims nothing.
  @Test func nonPrivateRunIsStamped() throws {
    _ = try folder.dataset()
    let run = try train("--non-private", in: folder)
    let statement = try run.json("statement.json")
    #expect(statement["epsilon"] is NSNull && statement["guarantee"] as? Bool == false)
    #expect(try run.text("statement.txt").contains("WITHOUT differential privacy"))
  }
}
