import Foundation
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Estimates that are paid for, units, conditions and `inspect`, from the command line.
struct PolicyCommandTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// Households of six persons, of whom every seventh has no age.
  private func table() throws -> String {
    let rows = (0..<3000).map { row in
      let age = 20 + row * 7 % 60
      return
        "h\(row / 6),\(row % 7 == 3 ? "NA" : "\(age)"),\(row % 2),\(age + 20 * (row % 2) > 55 ? 1 : 0)\n"
    }
    return try folder.write("home,age,sex,y\n" + rows.joined(), to: "people.csv")
  }

  private func schema(_ age: String = "missing: impute, impute: mean", _ more: String = "") throws
    -> String
  {
    try folder.write(
      """
      label: y
      \(more)
      columns:
        age: {type: numeric, bounds: [18, 90], \(age)}
        sex: {type: binary}
        y: {type: binary}

      """, to: "s.yaml")
  }

  private func ledger(epsilon: String = "5") throws -> String {
    let path = folder.file("budgets")
    if !FileManager.default.fileExists(atPath: path) {
      try succeed("ledger", "init", path)
      try succeed(
        "ledger", "register", path, "people", "--epsilon", epsilon, "--delta", "1e-5")
    }
    return path
  }

  private func charged() throws -> [[String: Any]] {
    let shown = try succeed("ledger", "show", folder.file("budgets"), "people", "--json").json()
    let source = try #require((shown["sources"] as? [[String: Any]])?.first)
    return try #require(source["mechanisms"] as? [[String: Any]])
  }

  @Test func estimatesAreChargedAndRecorded() throws {
    let (table, schema) = (try table(), try schema())
    let out = folder.file("d.safetensors")
    let base = ["prepare", table, "--schema", schema, "--out", out]
    // Without a ledger, or without noise, nothing is made.
    expectRefusal(try fastdp(base), 64, naming: ["--ledger", "\"age\""])
    let ledger = try ledger()
    expectRefusal(try fastdp(base + ["--ledger", ledger]), 64, naming: ["--imputation-noise"])
    expectRefusal(
      try fastdp(base + ["--ledger", ledger, "--imputation-noise", "0.5"]), 77,
      naming: ["people"])
    #expect(try charged().isEmpty && !FileManager.default.fileExists(atPath: out))

    let outcome = try succeed(base + ["--ledger", ledger, "--imputation-noise", "12", "--json"])
    #expect(outcome.errors.contains("noise multiplier 12"))
    #expect(try outcome.number("rowsMissing") == 0 && outcome.number("rowsKept") == 3000)
    let charge = try #require(charged().first)
    #expect(charge["samplingRate"] as? Double == 1)
    #expect(charge["effectiveNoiseMultiplier"] as? Double == 12 && charge["steps"] as? Int == 1)

    // Training on it says that more was spent, and charges the same source.
    try succeed(
      "train", out, "--out", folder.file("run"), "--ledger", ledger, "--noise-multiplier", "4",
      "--steps", "30")
    #expect(try charged().count == 2)
    let statement = try RunFolder(folder.file("run")).json("statement.json")
    #expect(statement["imputationNoiseMultiplier"] as? Double == 12)
    let notCovered = try #require(statement["notCovered"] as? [String])
    #expect(notCovered.contains { $0.contains("\"age\"") && $0.contains("multiplier 12.0") })
    // The model's schema has the value, so tables can be evaluated by the schema as it was written.
    let report = try succeed("evaluate", folder.file("run"), table, "--schema", schema, "--json")
    #expect(try report.number("examples") > 400)
    try succeed("predict", folder.file("run"), table, "--out", folder.file("p.csv"))
    // Training straight from the table would pay anew each time, and is refused.
    expectRefusal(
      try fastdp("train", table, "--schema", schema, "--out", folder.file("no")), 64,
      naming: ["fastdp prepare --ledger"])
  }

  /// A process that is killed between the charge and the release leaves the charge.
  @Test func whatWasChargedStaysCharged() throws {
    let (table, schema) = (try table(), try schema())
    let ledger = try ledger()
    // The second pass finds what the first one does not look at: labels of one class.
    let flat = try folder.write(
      "home,age,sex,y\n" + (0..<50).map { "h\($0),\($0 == 9 ? "NA" : "40"),1,1\n" }.joined(),
      to: "people.csv")
    let failed = try fastdp(
      "prepare", flat, "--schema", schema, "--out", folder.file("d"), "--ledger", ledger,
      "--imputation-noise", "20")
    #expect(failed.status == 65 && table == flat)
    #expect(try charged().first?["steps"] as? Int == 1)
    #expect(!FileManager.default.fileExists(atPath: folder.file("d")))
  }

  /// Under the rule of plans, estimates per unit are paid by a plan that is registered for units.
  @Test func estimatesPerUnitCanBePlanned() throws {
    let schema = try schema(
      "missing: impute, impute: mean", "unit: home\nmax_rows_per_unit: 3")
    let ledger = folder.file("budgets")
    let register = ["ledger", "register", ledger, "people"]
    try succeed("ledger", "init", ledger)
    try succeed(register + ["--epsilon", "5", "--delta", "1e-5", "--rule", "plans"])
    try succeed(
      register + [
        "--plan", "means", "--sampling-rate", "1", "--noise-multiplier", "36", "--steps", "1",
        "--group-size", "3",
      ])
    func prepare(_ noise: String) throws -> Outcome {
      try fastdp(
        "prepare", table(), "--schema", schema, "--out", folder.file("d"), "--overwrite",
        "--ledger", ledger, "--ledger-plan", "means", "--imputation-noise", noise)
    }
    expectRefusal(try prepare("11"), 64, naming: ["registered"])
    let outcome = try prepare("12")
    #expect(outcome.status == 0, "\(outcome.errors)")
    let charge = try #require(charged().first)
    #expect(charge["groupSize"] as? Int == 3 && charge["steps"] as? Int == 1)
    #expect(charge["effectiveNoiseMultiplier"] as? Double == 36)
    expectRefusal(try prepare("12"), 77, naming: ["means"])
  }

  /// What can be read only once is found out before it is paid for.
  @Test func estimatesFromAPipeAreRefused() throws {
    let (schema, ledger) = (try schema(), try ledger())
    let pipe = folder.file("people.csv")
    try #require(unsafe mkfifo(pipe, 0o600) == 0)
    for table in [pipe, "-"] {
      expectRefusal(
        try fastdp(
          "prepare", table, "--schema", schema, "--out", folder.file("d"), "--ledger", ledger,
          "--source", "people", "--imputation-noise", "12", timeout: 10),
        64, naming: ["twice", table])
    }
    #expect(try charged().isEmpty)
  }

  /// What cannot be written is found out before it is paid for; rejected rows are listed all the same.
  @Test func filesInTheWayOfEstimatesCostNothing() throws {
    let (table, schema, ledger) = (try table(), try schema(), try ledger())
    let prepare = [
      "prepare", table, "--schema", schema, "--out", folder.file("d"), "--ledger", ledger,
      "--imputation-noise", "12",
    ]
    let taken = try folder.write("mine", to: "bad.csv")
    expectRefusal(try fastdp(prepare + ["--rejects", taken]), 73, naming: [taken])
    let shard = try folder.write("mine", to: "d-00002-of-00003.safetensors")
    expectRefusal(try fastdp(prepare + ["--shards", "3"]), 73, naming: [shard])
    let rows = "h1,30,1,0\nh2,old,0,1\nh3,NA,1,1\nh4,40,1,2\n"
    _ = try folder.write("home,age,sex,y\n" + rows, to: "people.csv")
    let list = folder.file("list.csv")
    expectRefusal(
      try fastdp(prepare + ["--rejects", list]), 65, naming: ["people.csv:3:4", "\"age\""])
    #expect(try folder.text("list.csv").split(separator: "\n").count == 3)
    #expect(try charged().isEmpty && folder.text("bad.csv") == "mine")
  }

  @Test func aLedgerForNothingIsRefused() throws {
    let schema = try schema("missing: drop")
    expectRefusal(
      try fastdp(
        "prepare", table(), "--schema", schema, "--out", folder.file("d"), "--ledger", ledger()),
      64, naming: ["estimates nothing"])
    expectRefusal(
      try fastdp("train", table(), "--schema", self.schema(), "--out", folder.file("run")), 64,
      naming: ["\"age\""])
  }

  @Test func unitsReachTheStatement() throws {
    let schema = try schema("missing: drop", "unit: home\nmax_rows_per_unit: 2")
    let data = folder.file("d.safetensors")
    let prepared = try succeed("prepare", table(), "--schema", schema, "--out", data, "--json")
    #expect(try prepared.number("rowsBounded") > 1000)
    let run = folder.file("run")
    let outcome = try succeed(
      "train", data, "--out", run, "--epsilon", "3", "--steps", "50", "--json")
    #expect(outcome.errors.isEmpty)
    let statement = try RunFolder(run).json("statement.json")
    #expect(statement["unitOfPrivacy"] as? String == "home")
    #expect(statement["maxRowsPerUnit"] as? Int == 2)
    let text = try String(contentsOfFile: run + "/statement.txt", encoding: .utf8)
    let flat = text.split { $0.isWhitespace }.joined(separator: " ")
    #expect(flat.contains("one \"home\", at most 2 rows of each used"))
    #expect(flat.contains("all rows of one \"home\" replaced by rows that contribute nothing"))
    #expect(!flat.contains("the guarantee is for one row."))
    // The same σ and steps, asked of the accountant by hand.
    let sigma = try outcome.number("noiseMultiplier")
    let answer = try succeed(
      "privacy", "epsilon", "--sampling-rate", "\(outcome.number("samplingRate"))",
      "--noise-multiplier", "\(sigma)", "--steps", "50", "--delta", "\(outcome.number("delta"))",
      "--group-size", "2", "--json")
    #expect(try abs(answer.number("epsilon") - 3) < 0.02)

    // Charged to a ledger with the size of the unit.
    let ledger = try ledger(epsilon: "20")
    try succeed(
      "train", data, "--out", folder.file("again"), "--ledger", ledger, "--noise-multiplier", "3",
      "--steps", "20")
    let shown = try succeed("ledger", "show", ledger)
    #expect(shown.output.contains("each \"home\", with all of its rows"))
    #expect(try charged().first?["groupSize"] as? Int == 2)
    // Data of the same source that protects rows is refused, and so is another program's charge.
    let rows = folder.file("rows.safetensors")
    try succeed("prepare", table(), "--schema", self.schema("missing: drop"), "--out", rows)
    expectRefusal(
      try fastdp("train", rows, "--out", folder.file("no"), "--ledger", ledger, "--steps", "9"), 64,
      naming: ["\"home\"", "single rows"], messages: 1)
    let step = ["--sampling-rate", "0.01", "--noise-multiplier", "9", "--steps", "1"]
    expectRefusal(try fastdp(["ledger", "charge", ledger, "people"] + step), 64, naming: ["home"])
    try succeed(["ledger", "charge", ledger, "people", "--unit", "home"] + step)
    expectRefusal(
      try fastdp(
        "train", data, "--out", folder.file("no"), "--ledger", ledger, "--noise", "discrete"), 64,
      naming: ["discrete"])
    expectRefusal(
      try fastdp("train", data, "--plan-only", "--neighbouring", "replace"), 64,
      naming: ["zero-out"])
  }

  @Test func aUnitWithoutABoundIsSaidToBeNone() throws {
    let schema = try schema("missing: drop", "unit: home")
    let data = folder.file("d.safetensors")
    try succeed("prepare", table(), "--schema", schema, "--out", data)
    let outcome = try succeed(
      "train", data, "--out", folder.file("run"), "--epsilon", "3", "--steps", "20")
    #expect(outcome.errors.contains("warning: the guarantee is for single rows"))
    let statement = try RunFolder(folder.file("run")).json("statement.json")
    #expect(statement["unitOfPrivacy"] as? String == "row")
    let notCovered = try #require(statement["notCovered"] as? [String])
    #expect(notCovered.contains { $0.contains("not for all rows of one value of it") })
  }

  @Test func predictionsOfFilteredRowsAreEmpty() throws {
    let schema = try schema("missing: drop", "where: age >= 30")
    let data = folder.file("d.safetensors")
    let prepared = try succeed("prepare", table(), "--schema", schema, "--out", data, "--json")
    #expect(try prepared.number("rowsFiltered") > 700)
    try succeed("train", data, "--out", folder.file("run"), "--steps", "20")
    let some = try folder.write("sex,age\n1,20\n1,40\n0,NA\n", to: "new.csv")
    let outcome = try succeed("predict", folder.file("run"), some, "--out", folder.file("p.csv"))
    let lines = try folder.text("p.csv").split(separator: "\n")
    #expect(lines.count == 4 && lines[1] == ",," && lines[3] == ",," && lines[2] != ",,")
    #expect(outcome.errors.contains("2 rows are left out by the schema's where"))
  }

  @Test func inspectReports() throws {
    let schema = try schema("missing: impute, impute: mean", "where: age < 70")
    let outcome = try succeed("inspect", table(), "--schema", schema, "--json")
    try expectKeys(
      outcome.json(),
      [
        "note", "rowsRead", "rowsKept", "rowsMissing", "rowsRejected", "rowsFiltered",
        "rowsBounded", "trainRows", "columns", "classes", "rejected",
      ])
    let report = try outcome.json()
    #expect((report["note"] as? String)?.contains("not for release") == true)
    #expect(try outcome.number("rowsRead") == 3000 && outcome.number("rowsFiltered") > 400)
    let people = try succeed("inspect", table(), "--schema", schema)
    #expect(people.output.contains("for the operator, not for release"))
    #expect(people.output.contains("class 0"))
    expectRefusal(try fastdp("inspect", table()), 64, naming: ["--schema"])
  }
}
