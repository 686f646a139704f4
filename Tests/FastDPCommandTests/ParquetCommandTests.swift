import DPParquet
import Foundation
import TestSupport
import Testing

/// Every subcommand takes Parquet where it takes CSV, and refuses what it cannot read in one line.
struct ParquetCommandTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// Writes a made table as Parquet: the whole or a part of it.
  private func write(
    _ table: MadeTable, to name: String, rows: Range<Int>? = nil, withLabel: Bool = true
  ) throws -> String {
    let cells = table.lines.dropFirst().map { $0.split(separator: ",").map(String.init) }
    let part = cells[rows ?? cells.indices]
    let path = folder.file(name)
    let columns: [ParquetWriter.Column] = [
      .init("age", .integer(bits: 32, isSigned: true)), .init("sex", .boolean),
      .init("educ", .string), .init("employed", .integer(bits: 8, isSigned: true)),
    ]
    var writer = try ParquetWriter(
      path: path, columns: withLabel ? columns : columns.dropLast(), overwrite: true)
    for start in stride(from: part.startIndex, to: part.endIndex, by: 400) {
      let group = part[start..<min(start + 400, part.endIndex)]
      let values: [ParquetValues] = [
        .int32s(group.map { Int32($0[0]) }), .booleans(group.map { $0[1] == "1" }),
        .strings(group.map { $0[2] }), .int32s(group.map { Int32($0[3]) }),
      ]
      try writer.write(withLabel ? values : values.dropLast())
    }
    try writer.finish()
    return path
  }

  private func writeSchema() throws -> String {
    try folder.write(MadeTable.schema(), to: "schema.yaml")
  }

  /// The folder of a job that ended: two part files.
  private func writeFolder(_ table: MadeTable, isWhole: Bool = true) throws -> String {
    let path = folder.file("parts")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    _ = try write(table, to: "parts/part-00000-a.c000.snappy.parquet", rows: 0..<700)
    _ = try write(
      table, to: "parts/part-00001-a.c000.snappy.parquet", rows: 700..<table.lines.count - 1)
    if isWhole { _ = try folder.write("", to: "parts/_SUCCESS") }
    return path
  }

  /// From a schema's draft to predictions, a Parquet file, a folder and a pattern give what the CSV does.
  @Test func everySubcommandGivesWhatTheCSVGives() throws {
    let made = MadeTable(rows: 1500, missingEvery: 40)
    let csv = try folder.write(made.csv, to: "table.csv")
    let parquet = try write(made, to: "table")
    let parts = try writeFolder(made)
    let schema = try writeSchema()
    let tables = [csv, parquet, parts, folder.file("parts/part-*.parquet")]
    func same(
      _ what: String, of tables: [String] = tables, _ run: (String) throws -> String
    ) throws {
      let results = try tables.map(run)
      #expect(results.allSatisfy { $0 == results[0] }, "\(what): \(results)")
    }
    try same("schema", of: [csv, parquet, parts]) {
      // The text of a truth value is no digit, and both are binary.
      try succeed("schema", $0, "--label", "employed").output
    }
    try same("inspect") { try succeed("inspect", $0, "--schema", schema, "--json").output }
    try same("prepare") { table in
      let out = folder.file("d.safetensors")
      let report = try succeed(
        "prepare", table, "--schema", schema, "--out", out, "--overwrite", "--json"
      ).json()
      let counts = ["rowsRead", "rowsKept", "rowsMissing", "trainRows", "testExamples"].map {
        "\(report[$0] ?? "")"
      }
      let bytes = try folder.data("d.safetensors")
      let header = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
      return "\(counts) \(Array(bytes.dropFirst(8 + header)))"
    }
    let out = folder.file("run")
    try same("train and predict", of: [csv, parquet, parts]) { table in
      let report = try succeed(
        "train", table, "--schema", schema, "--out", out, "--overwrite", "--steps", "20",
        "--insecure-seed", "1", "--json"
      ).json()
      let evaluation = try succeed("evaluate", out, table, "--schema", schema, "--json").output
      try succeed("predict", out, table, "--out", folder.file("p.csv"), "--overwrite")
      return "\(report["testAccuracy"] ?? "") \(evaluation) \(try folder.text("p.csv"))"
    }
    let unlabelled = try write(made, to: "unlabelled", withLabel: false)
    try succeed("predict", out, unlabelled, "--out", folder.file("q.csv"))
    #expect(try folder.data("q.csv") == folder.data("p.csv"))
  }

  /// Cleaned rows, shards and the benchmark.
  @Test func theOtherWaysOutWork() throws {
    let made = MadeTable(rows: 1000)
    let parquet = try write(made, to: "table")
    let schema = try writeSchema()
    let cleaned = try succeed("prepare", parquet, "--schema", schema, "--out", "-").output
    #expect(cleaned.split(separator: "\n").count == 1001)
    #expect(cleaned.hasPrefix("age,sex,educ,employed\n"))
    try succeed(
      "prepare", parquet, "--schema", schema, "--out", folder.file("d"), "--shards", "2",
      "--threads", "2")
    #expect(folder.holds("d-00001-of-00002.safetensors") || folder.holds("d-00001-of-00002"))
    let report = try succeed(
      "bench", "prepare", parquet, "--schema", schema, "--repeat", "1", "--json")
    #expect(try report.number("rows") == 1000)
  }

  /// Rejected rows are named by their number, in messages and in the list.
  @Test func rejectedRowsHaveNumbers() throws {
    let made = MadeTable(rows: 1000).replacing(row: 640, with: "30,1,SECRET,1")
    let parquet = try write(made, to: "table")
    let schema = try writeSchema()
    try expectRefusal(
      ["prepare", parquet, "--schema", schema, "--out", folder.file("d")], 65, in: folder,
      naming: ["\(parquet): row 641: column \"educ\" "], hiding: ["SECRET"])
    try succeed(
      "prepare", parquet, "--schema", schema, "--out", folder.file("d"), "--max-rejected", "1",
      "--rejects", folder.file("bad.csv"))
    let lines = try folder.text("bad.csv").split(separator: "\n")
    #expect(lines.count == 2 && lines[1].hasPrefix("\(parquet),641,educ,"))
  }

  /// A damaged file, and a folder whose job has not ended, in every subcommand.
  @Test(arguments: ["cut", "footer", "page", "folder"])
  func whatCannotBeReadIsRefused(kind: String) throws {
    let made = MadeTable(rows: 1000)
    let schema = try writeSchema()
    let run = folder.file("run")
    let good = try write(made, to: "good")
    try succeed(
      "train", good, "--schema", schema, "--out", run, "--steps", "2", "--insecure-seed", "1")
    let table: String
    if kind == "folder" {
      table = try writeFolder(made, isWhole: false)
    } else {
      var bytes = Array(try folder.data("good"))
      switch kind {
      case "cut": bytes.removeLast(bytes.count / 2)
      case "footer": for place in bytes.count - 90..<bytes.count - 60 { bytes[place] = 0xFF }
      default: for place in 60..<140 { bytes[place] ^= 0x55 }
      }
      table = try folder.write(bytes, to: "bad")
    }
    let out = folder.file("out")
    for arguments in [
      ["prepare", table, "--schema", schema, "--out", out],
      ["prepare", table, "--schema", schema, "--out", out, "--shards", "2"],
      ["inspect", table, "--schema", schema], ["schema", table, "--label", "employed"],
      ["train", table, "--schema", schema, "--out", out, "--plan-only"],
      ["evaluate", run, table, "--schema", schema], ["predict", run, table, "--out", out],
    ] {
      try expectRefusal(
        arguments, 65, in: folder, naming: kind == "folder" ? [table, "_SUCCESS"] : [table])
    }
    expectRefusal(
      try fastdp("bench", "prepare", table, "--schema", schema, "--repeat", "1"), 65,
      naming: [table])
  }

  /// What makes no sense together.
  @Test func unfitRequestsAreRefused() throws {
    let made = MadeTable(rows: 300)
    let csv = try folder.write(made.csv, to: "table.csv")
    let parquet = try write(made, to: "table")
    let schema = try writeSchema()
    let out = folder.file("d")
    func refuse(_ arguments: [String], _ status: Int32, _ named: String...) throws {
      try expectRefusal(arguments, status, in: folder, naming: named)
    }
    try refuse(["prepare", csv, parquet, "--schema", schema, "--out", out], 64, csv, parquet)
    try refuse(
      ["prepare", parquet, "--schema", schema, "--out", out, "--delimiter", "tab"], 64,
      "--delimiter")
    try refuse(
      ["prepare", parquet, "--schema", schema, "--out", "-", "--columns", "a,b"], 64, "--columns")
    try refuse(["inspect", parquet, "--schema", schema, "--delimiter", ";"], 64, "--delimiter")
    // A table without its schema is no dataset; a dataset has its own.
    try refuse(["train", parquet, "--out", out], 65, parquet, "schema")
    try succeed("prepare", parquet, "--schema", schema, "--out", folder.file("data"))
    try refuse(
      ["train", folder.file("data"), "--schema", schema, "--out", out], 64, "--schema")
  }
}
