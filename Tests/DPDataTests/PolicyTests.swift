import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// Filters, derived columns, encoders and unit bounds, through a preparation.
struct PolicyTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func prepare(
    _ table: String, _ schema: String, testFraction: Double = 0, maxRejected: Int = 0,
    chunkSize: Int = 1 << 17, threads: Int = 1
  ) throws -> (dataset: Dataset, report: PrepareReport) {
    var options = PrepareOptions()
    options.testFraction = testFraction
    options.maxRejected = maxRejected
    options.chunkSize = chunkSize
    options.threads = threads
    return try Dataset.prepare(
      tables: [folder.write(table, to: "t.csv")], schema: Schema(text: schema, file: "s.yaml"),
      options: options)
  }

  private func labels(_ data: Dataset) -> [Float?] {
    (0..<data.train.count).map(data.train.label(of:))
  }

  @Test func filteredRowsKeepTheirSlots() throws {
    let (data, report) = try prepare(
      "age,x,y\n20,1,0\n17,1,1\nNA,1,1\n40,0,1\n10,not looked at,0\n",
      "label: y\nwhere: age >= 18\ncolumns: {x: {type: binary}, y: {type: binary}}")
    #expect(labels(data) == [0, nil, nil, 1, nil])
    #expect((0..<5).map { data.train.features(of: $0) } == [[1], [0], [0], [0], [0]])
    #expect(report.rowsFiltered == 3 && report.rowsKept == 2 && report.rowsRejected == 0)
    #expect(report.trainRows == 5 && report.trainExamples == 2)
  }

  /// What a condition cannot read is a fault of the row, at its field; of several the first counts.
  @Test(arguments: [
    ("where: age >= 18", "2,a,0\nx,1,0\n", "3:1"),
    ("where: age >= 18", "20,1,0\nx,2,0\n", "3:1"),
    ("derive: {d: age > 3}", "20,1,0\ninf,2,0\n", "3:1"),
    ("derive: {d: age > 3}", "20,1,7\n", "2:6"),
    ("derive: {d: y > 3}", "20,2,x\n", "2:4"),
  ])
  func faultsOfConditionsHaveAPlace(fact: String, rows: String, place: String) throws {
    let error = #expect(throws: DataError.self) {
      _ = try prepare(
        "age,x,y\n" + rows, "label: y\n\(fact)\ncolumns: {x: {type: binary}, y: {type: binary}}")
    }
    #expect(error?.location.map { "\($0.line ?? 0):\($0.column ?? 0)" } == place)
  }

  @Test func aDerivedLabelIsAClass() throws {
    let (data, report) = try prepare(
      "educ,x\n9,1\n13,0\nNA,0\n16,1\n",
      "label: college\ncolumns: {x: {type: binary}}\nderive: {college: educ >= 13}")
    #expect(labels(data) == [0, 1, nil, 1])
    #expect(data.featureNames == ["x"] && report.rowsMissing == 1)
  }

  @Test func encodersAreTheirDefinitions() throws {
    let (data, _) = try prepare(
      "o,s,h,y\nlow,45,Paris,0\nmiddle,1000,,1\nhigh,-5,\u{E9},1\n",
      """
      label: y
      columns:
        o: {type: categorical, categories: [low, middle, high], encoding: ordinal}
        s: {type: numeric, bounds: [0, 100], scaling: standard, mean: 45, std: 10}
        h: {type: hashed, buckets: 5, missing: indicator}
        y: {type: binary}
      """)
    func bucket(_ text: String) -> [Float] {
      let bucket = Int((XXH64.hash(text, seed: 42) >> 11) % 5)
      return (0..<5).map { $0 == bucket ? 1 : 0 }
    }
    #expect(data.train.features(of: 0) == [-1, 0] + bucket("Paris") + [0])
    #expect(data.train.features(of: 1) == [0, 5.5] + [0, 0, 0, 0, 0, 1])
    #expect(data.train.features(of: 2) == [1, -4.5] + bucket("\u{E9}") + [0])
  }

  private static let unitSchema = """
    label: y
    unit: home
    max_rows_per_unit: 2
    where: x != 9
    columns: {x: {type: numeric, bounds: [0, 9]}, y: {type: binary}}
    """

  /// The first two rows of each home that could be examples are; all others contribute nothing, for any
  /// number of threads and any size of chunk.
  @Test(arguments: [1, 40, 1 << 17], [1, 3])
  func theFirstRowsOfEachUnitAreKept(chunkSize: Int, threads: Int) throws {
    var random = SeededGenerator(seed: 3)
    let rows = (0..<400).map { row in
      let home = "h\(Int.random(in: 0..<90, using: &random))"
      let x = ["1", "2", "9", "NA", "bad"].randomElement(using: &random) ?? "1"
      return (home: row % 50 == 0 ? "NA" : home, x: x, y: row % 2)
    }
    let table = "home,x,y\n" + rows.map { "\($0.home),\($0.x),\($0.y)\n" }.joined()
    let (data, report) = try prepare(
      table, Self.unitSchema, maxRejected: 400, chunkSize: chunkSize, threads: threads)
    var seen: [String: Int] = [:]
    var bounded = 0
    let expected = rows.map { row -> Float? in
      guard row.home != "NA", ["1", "2"].contains(row.x) else { return nil }
      seen[row.home, default: 0] += 1
      guard seen[row.home, default: 0] <= 2 else {
        bounded += 1
        return nil
      }
      return Float(row.y)
    }
    #expect(labels(data) == expected)
    #expect(bounded > 20 && report.rowsBounded == bounded)
    #expect(report.trainRows == 400)
    #expect(
      report.rowsKept + report.rowsMissing + report.rowsRejected + report.rowsFiltered + bounded
        == 400)
    #expect(data.schema.maxRowsPerUnit == 2)
  }

  /// The promise that the guarantee rests on: whatever one unit's rows are, at most m slots change, and
  /// all of them are its own.
  @Test(arguments: 0..<20)
  func oneUnitMovesAtMostItsOwnSlots(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    func cells() -> String {
      ["1,0", "2,1", "9,1", "NA,0", "bad,1"].randomElement(using: &random) ?? ""
    }
    var rows = (0..<60).map { _ in (home: Int.random(in: 0..<12, using: &random), cells: cells()) }
    rows += [(20, "1,0"), (21, "1,1")]
    func dataset() throws -> Dataset {
      let table = "home,x,y\n" + rows.map { "h\($0.home),\($0.cells)\n" }.joined()
      return try prepare(table, Self.unitSchema, maxRejected: 60).dataset
    }
    let before = try dataset()
    let unit = rows[Int.random(in: 0..<60, using: &random)].home
    for index in rows.indices where rows[index].home == unit { rows[index].cells = cells() }
    let after = try dataset()
    var used = [0, 0]
    for index in rows.indices {
      let isSame =
        before.train.features(of: index) == after.train.features(of: index)
        && before.train.label(of: index) == after.train.label(of: index)
      #expect(isSame || rows[index].home == unit)
      guard rows[index].home == unit else { continue }
      for (which, data) in [before, after].enumerated() where data.train.label(of: index) != nil {
        used[which] += 1
      }
    }
    #expect(used.allSatisfy { $0 <= 2 })
  }

  /// The test split holds every row of its units.
  @Test func unitsOfTheTestSplitAreNotBounded() throws {
    let rows = (0..<300).map { "h\($0 % 30),1,\($0 / 30 % 2)\n" }.joined()
    let (data, report) = try prepare("home,x,y\n" + rows, Self.unitSchema, testFraction: 0.5)
    #expect(report.testExamples + report.trainRows == 300 && report.testExamples % 10 == 0)
    #expect(report.trainExamples * 5 == report.trainRows)
    #expect(data.test.count == report.testExamples)
  }

  @Test func predictingReadsConditionsToo() throws {
    let schema = try Schema(
      text: "label: y\nwhere: age >= 18\ncolumns: {y: {type: binary}}\nderive: {d: educ > 3}",
      file: "s.yaml")
    let table = try folder.write("educ,age\n4,20\n2,30\n4,17\nNA,40\nx,40\n", to: "p.csv")
    let scan = try TableScan(table: table, schema: schema)
    var row: [Float] = [0]
    var seen: [String] = []
    while true {
      var span = row.mutableSpan
      guard let outcome = try scan.next(into: &span) else { break }
      switch outcome {
      case .features: seen.append("\(row[0])")
      case .missing: seen.append("missing")
      case .filtered: seen.append("filtered")
      case .rejected(let error): seen.append("\(error.location?.line ?? 0)")
      }
    }
    #expect(seen == ["1.0", "0.0", "filtered", "missing", "6"])
    #expect(throws: DataError.self) {
      _ = try TableScan(table: folder.write("educ\n4\n", to: "q.csv"), schema: schema)
    }
  }
}
