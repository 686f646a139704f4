import DPData
import DPFiles
import DPSpark
import Foundation
import TestSupport
import Testing

/// Both engines make the same dataset of the same tables, bit for bit.
///
/// All of it runs on one Spark, which is started once.
@Suite(.serialized) struct ParityTests {
  /// A schema, the tables that it is tried with, and how they are read.
  struct Case: CustomStringConvertible {
    let description: String
    var schema = MadeTable.schema(label: "y")
    var tables: [[UInt8]]
    var options = PrepareOptions()
    /// The size of the blocks that tasks read, in bytes.
    var blockSize: Int? = 2500
    var names: [String] = []
  }

  static func options(_ change: (inout PrepareOptions) -> Void = { _ in }) -> PrepareOptions {
    var options = PrepareOptions()
    options.maxRejected = 1 << 30
    change(&options)
    return options
  }

  static func cases() -> [Case] {
    let condition = """
      derive:
        d: {condition: "w >= 0.5 or o = 'good'", missing: drop}
        e: {condition: "c != 'a' and not n < 1", missing: indicator}
      """
    let units = "unit: unit\nid: id\nmax_rows_per_unit: 3\nwhere: w > -15 and h != Basel\n"
    return [
      Case(
        description: "rows that drop, by ordinal",
        tables: [MadeTable(rows: 300, seed: 1).bytes], options: options()),
      Case(
        description: "declared values, conditions, several tables with different headers",
        schema: MadeTable.schema(label: "z", policy: "impute", more: condition),
        tables: [
          MadeTable(rows: 120, seed: 2).bytes,
          MadeTable(rows: 90, seed: 3, order: MadeTable.names.reversed()).bytes,
          MadeTable(rows: 1, seed: 4).bytes,
        ],
        options: options {
          $0.splitKey = -7
          $0.testFraction = 0.35
        }, blockSize: 900),
      Case(
        description: "indicators, a filter and bounded units",
        schema: MadeTable.schema(label: "w", policy: "indicator", more: units),
        tables: [MadeTable(rows: 300, seed: 5, faults: 0.004).bytes], options: options()),
      Case(
        description: "line ends within quotes, an id, tabs",
        schema: MadeTable.schema(
          label: "d", policy: "indicator",
          more: "id: id\n" + condition.replacingOccurrences(of: ", missing: drop", with: "")),
        tables: [
          MadeTable(rows: 150, seed: 6, delimiter: "\t", hasInnerLineEnds: true).bytes,
          MadeTable(rows: 80, seed: 7, delimiter: "\t").bytes,
        ], options: options { $0.delimiter = 0x09 }),
      Case(
        description: "no header, a delimiter that means something to Java, one block",
        schema: MadeTable.schema(label: "y", policy: "impute", more: "unit: unit"),
        tables: [MadeTable(rows: 200, seed: 8, delimiter: "|", hasHeader: false).bytes],
        options: options {
          $0.delimiter = UInt8(ascii: "|")
          $0.columns = MadeTable.names
          $0.testFraction = 0
        }, blockSize: nil),
    ]
  }

  @Test(.enabled(if: TestSpark.isThere, TestSpark.absence)) func allOfIt() throws {
    let spark = try TestSpark()
    let parts: [(TestSpark) throws -> Void] = [
      textsComeBack, numbersAreTheSame, failuresLeaveNothing, estimatesAreCountedAlike,
      foldersOfOthersStay, outputsLieApartFromTables, tablesCountOnce, anOlderDatasetSurvives,
      aListIsTriedFirst, headersComeFirst, headersMayHoldLineEnds, typesAreReadAlike,
      namesDoNotCollide, integersMixWithDoubles, oddNumbersAreReadAlike,
      whatNativeRefusesIsRefused,
    ]
    for part in parts { #expect(throws: Never.self) { try part(spark) } }
    for (index, test) in Self.cases().enumerated() { try isSame(test, index, spark) }
  }

  /// Whatever a text holds, its literal is that text, and its name a column's.
  func textsComeBack(_ spark: TestSpark) throws {
    let texts =
      MadeTable.categories + [
        "'", "\\", "\\'", "''", "$", "{}", "\0", "\n\r\t", "\\%", "\\_", "`", "a`b",
      ]
    let list = texts.map { SQLText.literal($0) }.joined(separator: ", ")
    let rows = try spark.program.query("SELECT \(list)", title: "texts")
    #expect(rows == [texts.map { .text($0) }])
    let names = Set(texts).sorted().map { "1 AS \(SQLText.name($0))" }.joined(separator: ", ")
    let read = texts.map { SQLText.name($0) }.joined(separator: ", ")
    let ones = try spark.program.query("SELECT \(read) FROM (SELECT \(names))", title: "names")
    #expect(ones == [texts.map { _ in .integer(1) }])
  }

  /// What is a number, and which, does not depend on the engine.
  func numbersAreTheSame(_ spark: TestSpark) throws {
    var random = SeededGenerator(seed: 9)
    var texts =
      MadeTable.numbers.map { $0.trimmingCharacters(in: .whitespaces) } + MadeTable.wrongNumbers
    for _ in 0..<400 {
      let value = Double(bitPattern: UInt64.random(in: 0...UInt64.max, using: &random))
      texts.append("\(value)")
      texts.append(
        String(
          (0..<Int.random(in: 1...9, using: &random)).map { _ in
            "0123456789+-.eE dfx".randomElement(using: &random) ?? "0"
          }
        ).trimmingCharacters(in: .whitespaces))
    }
    let values = texts.map { "(\(SQLText.literal($0)))" }.joined(separator: ", ")
    let number = ColumnSQL.number(of: "t")
    let rows = try spark.program.query(
      "SELECT n, CAST(n AS STRING) FROM (SELECT \(number) AS n FROM VALUES \(values) AS v(t))",
      title: "numbers")
    #expect(rows.count == texts.count)
    for (text, row) in zip(texts, rows) {
      let value: Double? =
        switch row[1] {
        case .text(let text): Double(text).flatMap { $0.isFinite ? $0 : nil }
        default: nil
        }
      let expected = DecimalNumber.parse(text)
      #expect(value?.bitPattern == expected?.bitPattern, "\(text)")
    }
  }

  /// Prepares a case with both engines and compares.
  func isSame(_ test: Case, _ index: Int, _ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    // A name that means something to patterns, URLs and shells.
    let paths = try test.tables.enumerated().map {
      try folder.write($1, to: "table \($0) #%20'é.csv")
    }
    let schema = try Schema(text: test.schema, file: "schema")
    let native = try Dataset.prepare(tables: paths, schema: schema, options: test.options)
    var options = test.options
    options.blockSize = test.blockSize
    let out = folder.file("out'put \(index)")
    let preparation = SparkPreparation(
      tables: paths, schema: schema, to: out, options: options, executor: spark.program)
    try preparation.open()
    let report = try preparation.write()
    let dataset = try Dataset(contentsOf: out)
    #expect(dataset.schema == native.dataset.schema)
    #expect(dataset.train.count == native.dataset.train.count, "\(test)")
    #expect(difference(dataset.train, native.dataset.train) == nil, "\(test): training rows")
    #expect(difference(dataset.test, native.dataset.test) == nil, "\(test): test rows")
    #expect(dataset.contentHash() == native.dataset.contentHash(), "\(test)")
    #expect(counts(report) == counts(native.report), "\(test)")
    #expect(native.report.trainExamples > 5, "\(test): \(native.report)")
    #expect(dataset.provenance.trainRows == native.dataset.provenance.trainRows)
    #expect(dataset.provenance.inputs == native.dataset.provenance.inputs)
  }

  func counts(_ report: PrepareReport) -> [Int] {
    [
      report.rowsRead, report.rowsKept, report.rowsMissing, report.rowsRejected,
      report.rowsFiltered, report.rowsBounded, report.trainRows, report.trainExamples,
      report.testExamples, report.features, report.bytesRead,
    ]
  }

  /// The first row that is not the same.
  private func difference(_ left: Examples, _ right: Examples) -> String? {
    for row in 0..<min(left.count, right.count) {
      let (one, other) = (left.features(of: row), right.features(of: row))
      if one != other || left.label(of: row) != right.label(of: row) {
        return
          "row \(row): \(one) \(left.label(of: row) ?? -9), \(other) \(right.label(of: row) ?? -9)"
      }
    }
    return left.count == right.count ? nil : "\(left.count) rows, \(right.count)"
  }

  /// What ends a preparation leaves no folder that could be taken for a result.
  func failuresLeaveNothing(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let table = try folder.write(MadeTable(rows: 60, seed: 11, faults: 0.05).bytes, to: "t.csv")
    let schema = try Schema(text: MadeTable.schema(label: "y"), file: "schema")
    let out = folder.file("out")
    func prepare(_ tables: [String], _ change: (inout PrepareOptions) -> Void = { _ in }) throws {
      var options = PrepareOptions()
      change(&options)
      let preparation = SparkPreparation(
        tables: tables, schema: schema, to: out, options: options, executor: spark.program)
      try preparation.open()
      _ = try preparation.write()
    }
    let isThere = { FileManager.default.fileExists(atPath: out) }
    let rejects = folder.file("bad.csv")
    let error = #expect(throws: DataError.self) { try prepare([table]) { $0.rejects = rejects } }
    #expect(error?.description.contains(": row ") == true, "\(error as Any)")
    #expect(!isThere())
    var options = Self.options()
    options.rejects = folder.file("native.csv")
    let native = try Dataset.prepare(tables: [table], schema: schema, options: options)
    let lines = try folder.text("bad.csv").split(separator: "\n")
    #expect(lines.count == native.report.rowsRejected + 1)
    let reasons = { (text: String) in
      // Spark does not say which column is not UTF-8.
      text.split(separator: "\n").dropFirst().map {
        $0.contains("UTF-8") ? "" : $0.split(separator: ",", omittingEmptySubsequences: false)[2]
      }
    }
    let (found, expected) = (try folder.text("bad.csv"), try folder.text("native.csv"))
    #expect(reasons(found) == reasons(expected), "\(found)\n\(expected)")
    #expect(throws: FileError.self) { try prepare([folder.file("none.csv")]) }
    let empty = try folder.write("", to: "empty.csv")
    #expect(throws: DataError.self) { try prepare([empty]) }
    let header = try folder.write(MadeTable.names.joined(separator: ","), to: "header.csv")
    #expect(throws: DataError.self) { try prepare([header]) }
    let short = try folder.write("b,n,y\n1,2,3\n", to: "short.csv")
    #expect(throws: DataError.self) { try prepare([short]) }
    let open = try folder.write(
      MadeTable.names.joined(separator: ",") + "\n1,\"2\n", to: "open.csv")
    #expect(throws: DataError.self) { try prepare([open]) }
    #expect(!isThere())
    // What is there is replaced only where that is asked for, and where it is a dataset.
    try prepare([table]) { $0.maxRejected = 1 << 30 }
    let before = try Dataset(contentsOf: out).contentHash()
    #expect(throws: FileError.self) { try prepare([table]) { $0.maxRejected = 1 << 30 } }
    #expect(try Dataset(contentsOf: out).contentHash() == before)
    try prepare([table]) {
      $0.maxRejected = 1 << 30
      $0.overwrite = true
      $0.splitKey = 3
    }
    #expect(try Dataset(contentsOf: out).contentHash() != before)
    #expect(throws: DataError.self) { try prepare([table]) { $0.overwrite = true } }
    #expect(throws: DataError.self) { try Dataset(contentsOf: out) }
    try FileManager.default.removeItem(atPath: out)
    try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
    _ = try folder.write("mine", to: "out/mine.txt")
    #expect(throws: FileError.self) {
      try prepare([table]) {
        $0.maxRejected = 1 << 30
        $0.overwrite = true
      }
    }
    #expect(try folder.text("out/mine.txt") == "mine")
  }

  /// Estimates are made from the same counts.
  func estimatesAreCountedAlike(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let table = try folder.write(MadeTable(rows: 250, seed: 12, faults: 0).bytes, to: "t.csv")
    let text = MadeTable.schema(label: "y", policy: "impute")
      .replacingOccurrences(of: "impute: 0.1", with: "impute: mean, bins: 13")
      .replacingOccurrences(of: "impute: 2.5", with: "impute: median")
      .replacingOccurrences(of: "impute: 'no'", with: "impute: most-frequent")
      .replacingOccurrences(of: "impute: good", with: "impute: most-frequent")
    let schema = try Schema(text: text, file: "schema")
    #expect(schema.estimatedColumns.count == 4)
    var counts: [[[Int]]] = []
    for engine in [true, false] {
      let preparation = SparkPreparation(
        tables: [table], schema: schema, to: folder.file("out"), options: Self.options(),
        executor: spark.program)
      if engine { try preparation.open() }
      counts.append(
        engine
          ? try preparation.count(schema.estimatedColumns.map(EstimateBins.init))
          : try PaidImputation.count(
            schema.estimatedColumns.map(EstimateBins.init), schema, [table], Self.options()
          ) { _ in })
    }
    #expect(counts[0] == counts[1])
    #expect(counts[0].allSatisfy { $0.reduce(0, +) > 100 })
  }
}
