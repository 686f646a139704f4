import DPAccounting
import DPData
import DPFiles
import DPMechanisms
import DPParquet
import Foundation
import TestSupport
import Testing

/// The same table gives the same dataset, as CSV and as Parquet.
struct ParquetTableTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// Schemas that use every type of column, every policy and every rule on rows.
  private static let schemas = [
    """
    label: y
    na: ["", NA, "3", nan]
    columns:
      level: {type: categorical, categories: [0, 1, 2, 4]}
      flag: {type: binary}
      age: {type: numeric, bounds: [0, 100], missing: impute, impute: 40}
      income: {type: numeric, bounds: [-5, 5], missing: indicator}
      ratio: {type: numeric, bounds: [-1, 2], missing: indicator, impute: 0.5}
      town: {type: hashed, buckets: 7}
      kind: {type: categorical, categories: [red, green], missing: indicator, impute: red}
      born: {type: ignore}
      y: {type: binary}
    """,
    """
    label: y
    id: person
    missing: impute
    columns:
      kind: {type: binary, values: [red, green], impute: red}
      level: {type: categorical, categories: [0, 1, 2], other: true, impute: 1}
      flag: {type: binary, impute: "TRUE"}
      town: {type: categorical, categories: [Ulm, Köln, 'a, "b"'], other: true, missing: indicator}
      y: {type: binary}
    """,
    """
    label: late
    unit: person
    max_rows_per_unit: 5
    where: age >= 18 and not (kind = green and flag = true)
    columns:
      age: {type: numeric, bounds: [0, 100], scaling: standard, mean: 50, std: 20}
      level: {type: categorical, categories: [4, 3, 2, 1, 0], encoding: ordinal}
      income: {type: numeric, bounds: [-9, 9], missing: indicator}
      born: {type: hashed, buckets: 5, missing: drop}
    derive:
      rich: {condition: "income > 3 or town = Ulm", missing: indicator}
      late: born >= '2000-01-01'
    """,
    """
    label: income
    na: ["", NA, "0.1", "1.0", "7", "true"]
    columns:
      ratio: {type: numeric, bounds: [-2, 2]}
      flag: {type: hashed, buckets: 3, missing: indicator}
      age: {type: categorical, categories: [8, 9], other: true, missing: indicator}
      income: {type: numeric, bounds: [-10, 10]}
    """,
  ]

  private func options(_ change: (inout PrepareOptions) -> Void = { _ in }) -> PrepareOptions {
    var options = PrepareOptions()
    options.testFraction = 0.3
    options.splitKey = 5
    options.maxRejected = .max
    options.source = "t"
    options.overwrite = true
    change(&options)
    return options
  }

  /// What a preparation made: the dataset's tensors, counts, and the rejects' rows, columns and reasons.
  private struct Made: Equatable {
    var hash: UInt64
    var counts: [Int]
    var rejects: [String]
  }

  private func prepare(
    _ tables: [String], _ schema: Schema, lineOfFirstRow: Int, _ options: PrepareOptions
  ) throws -> Made {
    var options = options
    options.rejects = folder.file("rejects.csv")
    let path = folder.file("d.safetensors")
    let report = try Dataset.prepare(tables: tables, schema: schema, to: path, options: options)
    let rejects = try folder.text("rejects.csv").split(separator: "\n").dropFirst().map { line in
      let fields = line.split(separator: ",", maxSplits: 2)
      return "\((Int(fields[1]) ?? -1) - lineOfFirstRow),\(fields[2])"
    }
    let dataset = try Dataset(contentsOf: path)
    #expect(dataset.provenance.source == "t" && dataset.provenance.inputs.count == tables.count)
    #expect(dataset.provenance.inputs.map(\.bytes).reduce(0, +) == report.bytesRead)
    return Made(
      hash: dataset.contentHash(),
      counts: [
        report.rowsRead, report.rowsKept, report.rowsMissing, report.rowsRejected,
        report.rowsFiltered, report.rowsBounded, report.trainRows, report.trainExamples,
        report.testExamples, dataset.provenance.trainRows, dataset.provenance.rowsRead,
      ], rejects: rejects)
  }

  /// Random tables of several row groups, with nulls and odd values, dictionaries and none, for any
  /// number of threads, batches of any size and little memory to wait in.
  @Test(arguments: schemas.indices, 0..<6)
  func parquetGivesTheDatasetOfTheCSV(schema index: Int, seed: Int) throws {
    let schema = try Schema(text: Self.schemas[index], file: "s")
    let table = MadeColumns(
      rows: [1, 40, 700, 3000][seed % 4], seed: UInt64(index * 100 + seed), isClean: seed == 3)
    let csv = try folder.write(table.csv, to: "t.csv")
    let parquet = folder.file("t.parquet")
    try table.write(parquet, groupRows: [1, 9, 300, 4000][seed % 4])
    guard
      let expected = try? prepare([csv], schema, lineOfFirstRow: 2, options())
    else {
      // Tables of a few rows may have one class only, in both forms.
      #expect(throws: DataError.self) {
        try prepare([parquet], schema, lineOfFirstRow: 1, options())
      }
      return
    }
    for (threads, batchRows, waitingBytes) in [
      (1, 8192, 1 << 20), (2, 7, 0), (3, 64, 2000), (4, 1, 1 << 20), (2, 500, 1 << 20),
    ] {
      let made = try prepare(
        [parquet], schema, lineOfFirstRow: 1,
        options {
          $0.threads = threads
          $0.batchRows = batchRows
          $0.waitingBytes = waitingBytes
          $0.usesRowPlan = batchRows != 500
        })
      try #require(made == expected, "\(threads) threads, \(batchRows) rows")
    }
  }

  /// Part files in a folder, of unlike sizes and with an empty one among them, are one table: rows are
  /// counted on, and the provenance names the folder.
  @Test(arguments: schemas.indices)
  func foldersAreOneTable(schema index: Int) throws {
    let schema = try Schema(text: Self.schemas[index], file: "s")
    let table = MadeColumns(rows: 900, seed: 77)
    let csv = try folder.write(table.csv, to: "t.csv")
    let parts = folder.file("people")
    try FileManager.default.createDirectory(atPath: parts, withIntermediateDirectories: false)
    let bounds = [0, 1, 250, 250, 600, 900]
    for (place, (start, end)) in zip(bounds, bounds.dropFirst()).enumerated() {
      try table.write("\(parts)/part-0000\(place)-x.snappy.parquet", start..<end, groupRows: 100)
    }
    _ = try folder.write("", to: "people/_SUCCESS")
    var expected = try prepare([csv], schema, lineOfFirstRow: 2, options())
    var made = try prepare([parts + "/"], schema, lineOfFirstRow: 1, options { $0.threads = 3 })
    #expect(made.rejects.count == expected.rejects.count)
    (made.rejects, expected.rejects) = ([], [])
    #expect(made == expected)
    let dataset = try Dataset(contentsOf: folder.file("d.safetensors"))
    #expect(dataset.provenance.inputs.map(\.name) == ["people"])
    // The same files one by one.
    let files = (0..<5).filter { $0 != 2 }.map { "\(parts)/part-0000\($0)-x.snappy.parquet" }
    made = try prepare(files, schema, lineOfFirstRow: 1, options())
    made.rejects = []
    #expect(made == expected)
  }

  /// Rejected rows are named by their number in their file, and messages hold no line.
  @Test func rejectedRowsAreNamedByNumber() throws {
    let schema = try Schema(text: Self.schemas[0], file: "s")
    let table = MadeColumns(rows: 700, seed: 3)
    let parquet = folder.file("t.parquet")
    try table.write(parquet, groupRows: 100)
    let csv = try folder.write(table.csv, to: "t.csv")
    for threads in [1, 4] {
      let rules = options {
        $0.maxRejected = 0
        $0.threads = threads
        $0.batchRows = 9
      }
      let inText = #expect(throws: DataError.self) {
        _ = try Dataset.prepare(tables: [csv], schema: schema, options: rules)
      }
      let inParquet = #expect(throws: DataError.self) {
        _ = try Dataset.prepare(tables: [parquet], schema: schema, options: rules)
      }
      let row = try #require(inText?.location?.line) - 1
      #expect(inParquet?.code == inText?.code && inParquet?.message == inText?.message)
      #expect(inParquet?.location == .init(file: parquet, row: row))
      #expect(inParquet?.description.hasPrefix("\(parquet): row \(row): column \"") == true)
    }
  }

  /// Everything else that reads tables reads the same from both.
  @Test(arguments: schemas.indices)
  func otherReadersAgree(schema index: Int) throws {
    let schema = try Schema(text: Self.schemas[index], file: "s")
    let table = MadeColumns(rows: 600, seed: 12)
    let csv = try folder.write(table.csv, to: "t.csv")
    let parquet = folder.file("t.parquet")
    try table.write(parquet, groupRows: 77)
    // Cleaned rows.
    func cleaned(_ path: String) throws -> [UInt8] {
      var bytes: [UInt8] = []
      _ = try Dataset.clean(
        tables: [path], schema: schema, options: options { $0.threads = 2 }, write: { bytes += $0 })
      return bytes
    }
    #expect(try cleaned(parquet) == cleaned(csv))
    // An inspection.
    func inspected(_ path: String) throws -> [String] {
      let found = try TableInspection(of: [path], schema: schema, options: options())
      return found.columns.map { "\($0)" } + found.classes.map { "\($0)" }
        + found.rejections.map { "\($0.problem) \($0.rows)" }
        + ["\(found.rowsKept) \(found.rowsMissing) \(found.rowsBounded) \(found.rowsFiltered)"]
    }
    #expect(try inspected(parquet) == inspected(csv))
    // A scan for predictions.
    func scanned(_ path: String) throws -> [String] {
      let scan = try TableScan(table: path, schema: schema)
      var features = [Float](repeating: 0, count: scan.features)
      var outcomes: [String] = []
      while true {
        var span = features.mutableSpan
        guard let outcome = try scan.next(into: &span) else { return outcomes }
        if case .rejected(let error) = outcome {
          outcomes.append(error.message)
        } else {
          outcomes.append("\(outcome) \(features)")
        }
      }
    }
    #expect(try scanned(parquet) == scanned(csv))
    // A draft of a schema, but for the columns' order in it.
    #expect(
      try SchemaDraft.draft(table: parquet, label: "y")
        == SchemaDraft.draft(table: csv, label: "y"))
  }

  /// Estimates count the same rows.
  @Test func estimatesAgree() throws {
    let schema = try Schema(
      text: """
        label: y
        imputation: {noise_multiplier: 2}
        columns:
          age: {type: numeric, bounds: [0, 100], missing: impute, impute: mean}
          kind: {type: categorical, categories: [red, green], missing: impute, impute: most-frequent}
          y: {type: binary}
        """, file: "s")
    let table = MadeColumns(rows: 800, seed: 21, isClean: true)
    let csv = try folder.write(table.csv, to: "t.csv")
    let parquet = folder.file("t.parquet")
    try table.write(parquet, groupRows: 300)
    let values = try [csv, parquet].map { path in
      try PaidImputation.resolve(
        schema, tables: [path], options: options(), noiseMultiplier: 2, relation: .zeroOut,
        ledger: FreeLedger(), key: InsecureKey(seed: 4)
      ).released.values
    }
    #expect(values[0] == values[1] && values[0].count == 2)
  }

  /// A null is missing whatever `na` says; an empty text is what `na` says it is.
  @Test func nullsAreMissingAndEmptyTextsAreTexts() throws {
    let schema = try Schema(
      text: """
        label: y
        na: [NA]
        columns:
          a: {type: categorical, categories: [u], other: true, missing: indicator}
          y: {type: binary}
        """, file: "s")
    let path = folder.file("t.parquet")
    var writer = try ParquetWriter(
      path: path, columns: [.init("a", .string), .init("y", .integer(bits: 32, isSigned: true))])
    try writer.write([.strings(["u", nil, "", "NA", "w", "u"]), .int32s([0, 1, 1, 0, 1, nil])])
    try writer.finish()
    let (dataset, report) = try Dataset.prepare(
      tables: [path], schema: schema, options: options { $0.testFraction = 0 })
    #expect(report.rowsRejected == 0 && report.rowsMissing == 1)
    #expect(
      (0..<6).map(dataset.train.features(of:)) == [
        [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0],
      ])
    #expect((0..<6).map(dataset.train.label(of:)) == [0, 1, 1, 0, 1, nil])
  }

  // MARK: Files of other writers

  private static let fixtures = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("DPParquetTests/Fixtures")

  private static let facts = [
    "flag": "{type: binary}", "i8": "{type: numeric, bounds: [-100, 100]}",
    "u8": "{type: hashed, buckets: 5}",
    "i16": "{type: categorical, categories: [0, 1], other: true}",
    "u16": "{type: numeric, bounds: [0, 9]}", "i32": "{type: numeric, bounds: [-9, 9]}",
    "u32": "{type: hashed, buckets: 4}", "i64": "{type: numeric, bounds: [-1e18, 1e18]}",
    "u64": "{type: numeric, bounds: [0, 2e19]}", "f32": "{type: numeric, bounds: [-1000, 1000]}",
    "f64": "{type: hashed, buckets: 3}", "word": "{type: hashed, buckets: 6}",
    "name": "{type: hashed, buckets: 3}", "day": "{type: hashed, buckets: 3}",
    "ms": "{type: hashed, buckets: 3}", "us": "{type: hashed, buckets: 3}",
    "ns": "{type: hashed, buckets: 3}", "clock": "{type: hashed, buckets: 3}",
    "d9": "{type: numeric, bounds: [-1e6, 1e6]}", "d18": "{type: numeric, bounds: [-1e9, 1e9]}",
    "d38": "{type: numeric, bounds: [-1e20, 1e20]}", "none": "{type: hashed, buckets: 2}",
  ]

  private static let files = ["", "few"].flatMap { part in
    let path = fixtures.appendingPathComponent(part).path
    return ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [])
      .filter { $0.hasSuffix(".parquet") && !["nested.parquet", "encrypted.parquet"].contains($0) }
      .filter { !$0.contains("brotli") }
      .map { part.isEmpty ? $0 : "\(part)/\($0)" }.sorted()
  }

  /// Files of pyarrow, Polars, DuckDB and Spark, with default and optional settings, give the dataset of
  /// the texts that stand for their values.
  @Test(arguments: files)
  func filesOfOtherWritersGiveTheDatasetOfTheirTexts(_ name: String) throws {
    let path = Self.fixtures.appendingPathComponent(name).path
    let columns = try ParquetFile(path: path).columns.map(\.name)
    let texts = try JSONDecoder().decode(
      [String: [String?]].self,
      from: Data(contentsOf: Self.fixtures.appendingPathComponent("texts.json")))
    let lines = try (0..<24).map { row in
      try columns.map { column in
        let text = try #require(texts[column])[row]
        return text.map { "\"\($0.replacing("\"", with: "\"\""))\"" } ?? ""
      }.joined(separator: ",")
    }
    let csv = try folder.write(
      ([columns.joined(separator: ",")] + lines).joined(separator: "\n") + "\n", to: "t.csv")
    let label = columns.contains("f64") ? "f64" : "i32"
    let facts = try columns.map { name in
      name == label
        ? "  \(name): {type: numeric, bounds: [-9, 9]}\n"
        : "  \(name): \(try #require(Self.facts[name]))\n"
    }
    let schema = try Schema(
      text: "label: \(label)\nmissing: indicator\ncolumns:\n" + facts.joined(), file: "s")
    for usesPlan in [true, false] {
      let rules = options {
        $0.usesRowPlan = usesPlan
        $0.batchRows = 5
      }
      let expected = try prepare([csv], schema, lineOfFirstRow: 2, rules)
      #expect(expected.counts[1] > 3)
      #expect(try prepare([path], schema, lineOfFirstRow: 1, rules) == expected)
    }
  }

  // MARK: What cannot be read

  private func error(
    _ tables: [String], _ change: (inout PrepareOptions) -> Void = { _ in }
  ) throws -> DataError? {
    #expect(throws: DataError.self) {
      _ = try Dataset.prepare(
        tables: tables, schema: Schema(text: Self.schemas[0], file: "s"), options: options(change))
    }
  }

  /// Tables of two kinds, a file twice, and options that are for texts.
  @Test func unfitRequestsAreRefused() throws {
    let table = MadeColumns(rows: 50, seed: 1, isClean: true)
    let csv = try folder.write(table.csv, to: "t.csv")
    let parquet = folder.file("t")
    try table.write(parquet, groupRows: 50)
    #expect(try error([csv, parquet])?.code == .invalidOption)
    #expect(try error([parquet, folder.path + "/./t"])?.code == .invalidOption)
    #expect(try error([parquet]) { $0.delimiter = 0x2C }?.message.contains("--delimiter") == true)
    #expect(try error([parquet]) { $0.columns = ["a"] }?.message.contains("--columns") == true)
  }

  /// Tables without rows, without a column, with a nested one where it is needed.
  @Test func unfitTablesAreRefused() throws {
    let table = MadeColumns(rows: 50, seed: 1, isClean: true)
    let path = folder.file("t")
    try table.write(path, 0..<0, groupRows: 50)
    #expect(try error([path])?.code == .noRows)
    var short = table
    short.columns.removeAll { $0.name == "age" }
    try short.write(path, groupRows: 50)
    let missing = try error([path])
    #expect(missing?.code == .missingColumn && missing?.message.contains("\"age\"") == true)
    short = table
    short.columns += table.columns.filter { $0.name == "age" }
    try short.write(path, groupRows: 50)
    #expect(try error([path])?.code == .duplicateColumn)
    let nested = Self.fixtures.appendingPathComponent("nested.parquet").path
    let schema = try Schema(
      text: """
        label: id
        columns: {id: {type: numeric, bounds: [0, 3]}, tags: {type: hashed, buckets: 2}}
        """, file: "s")
    let refused = #expect(throws: DataError.self) {
      _ = try Dataset.prepare(tables: [nested], schema: schema)
    }
    #expect(refused?.code == .malformedTable && refused?.message.contains("nested") == true)
    // Where the schema ignores it, it is in nobody's way.
    let other = try Schema(
      text: """
        label: late
        columns: {id: {type: numeric, bounds: [0, 3]}, tags: {type: ignore}}
        derive: {late: id > 1}
        """, file: "s")
    let (data, _) = try Dataset.prepare(
      tables: [nested], schema: other, options: options { $0.testFraction = 0 })
    #expect(data.train.count == 2)
  }

  /// A damaged file ends in an error that names it, wherever the damage is, or is read as it is; never in
  /// half a dataset.
  @Test(arguments: 0..<4)
  func damagedFilesAreRefused(seed: Int) throws {
    let table = MadeColumns(rows: 300, seed: 9, isClean: true)
    let whole = folder.file("whole")
    try table.write(whole, groupRows: 70)
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: whole)))
    let schema = try Schema(text: Self.schemas[0], file: "s")
    var random = SeededGenerator(seed: UInt64(seed))
    var refused = 0
    for _ in 0..<60 {
      var damaged = bytes
      for _ in 0..<3 {
        damaged[.random(in: 4..<bytes.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      if seed == 0 { damaged.removeLast(.random(in: 1..<bytes.count - 4, using: &random)) }
      let path = try folder.write(damaged, to: "damaged")
      let out = folder.file("d.safetensors")
      do {
        _ = try Dataset.prepare(
          tables: [path], schema: schema, to: out, options: options { $0.threads = 2 })
        try FileManager.default.removeItem(atPath: out)
      } catch let error as DataError {
        refused += 1
        #expect(error.location?.file == path)
        #expect(!folder.holds("d.safetensors"))
      }
    }
    #expect(refused > 30)
  }

  /// Memory stays bounded where threads are ahead of their turn in wide tables.
  @Test func waitingRowsAreBounded() throws {
    let schema = try Schema(
      text: """
        label: y
        columns:
          town: {type: hashed, buckets: 3000}
          income: {type: numeric, bounds: [-9, 9]}
          y: {type: binary}
        """, file: "s")
    let table = MadeColumns(rows: 6000, seed: 5, isClean: true)
    let parquet = folder.file("t")
    try table.write(parquet, groupRows: 1500)
    let csv = try folder.write(table.csv, to: "t.csv")
    let rules = options {
      $0.threads = 4
      $0.waitingBytes = 1 << 20
    }
    let made = try prepare([parquet], schema, lineOfFirstRow: 1, rules)
    #expect(try made == prepare([csv], schema, lineOfFirstRow: 2, rules))
  }
}

/// A ledger in which everything has room.
private final class FreeLedger: PrivacyLedger, Sendable {
  func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) throws {}
  func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws {}
  func release(_ steps: Range<Int>) throws {}
}
