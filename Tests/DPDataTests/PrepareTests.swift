import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

struct PrepareTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private let schema = """
    label: y
    columns:
      a: {type: binary}
      b: {type: numeric, bounds: [-1, 3]}
      c: {type: categorical, categories: [u, v], other: true}
      y: {type: binary}
    """

  private func prepare(
    _ table: String, schema: String? = nil, _ change: (inout PrepareOptions) -> Void = { _ in }
  ) throws -> (dataset: Dataset, report: PrepareReport) {
    var options = PrepareOptions()
    options.testFraction = 0
    change(&options)
    return try Dataset.prepare(
      tables: [folder.write(Array(table.utf8), to: "t.csv")],
      schema: Schema(text: schema ?? self.schema, file: "s.yaml"), options: options)
  }

  private func rows(_ examples: Examples) -> [[Float]] {
    (0..<examples.count).map(examples.features(of:))
  }

  private func labels(_ examples: Examples) -> [Float?] {
    (0..<examples.count).map(examples.label(of:))
  }

  @Test(arguments: [1, 5, 1 << 20])
  func rowsAreEncodedByTheSchemaAlone(chunkSize: Int) throws {
    let (data, report) = try prepare(
      "b,y, a ,extra,c\n-1,0, 1 ,x,u\n3,1,true,x,v\n1,1,FALSE,x,\"w\"\n9e9,0,0,x,u\n-7,NA,0,x,u\n"
        + "NA,1,0,x,u\n0,1,1,x,v\n"
    ) { $0.chunkSize = chunkSize }
    #expect(data.featureNames == ["a", "b", "c=u", "c=v", "c:other"])
    #expect(
      rows(data.train) == [
        [1, -1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0], [1, -0.5, 0, 1, 0],
      ])
    #expect(labels(data.train) == [0, 1, 1, 0, nil, nil, 1])
    #expect(report.rowsRead == 7 && report.rowsKept == 5 && report.rowsMissing == 2)
    #expect(report.trainRows == 7 && report.trainExamples == 5 && report.rowsRejected == 0)
    #expect(data.test.count == 0 && data.features == 5)
    #expect(data.provenance.source == "t" && data.provenance.inputs[0].name == "t.csv")
  }

  @Test func missingValuesAreImputedOrIndicated() throws {
    let (data, report) = try prepare(
      "a,b,c,d,y\n,,,,1\n1,4,v,4,0\n",
      schema: """
        label: y
        missing: impute
        columns:
          a: {type: binary, impute: 1}
          b: {type: numeric, bounds: [0, 4], impute: 1}
          c: {type: categorical, categories: [u, v], missing: indicator}
          d: {type: numeric, bounds: [0, 4], missing: indicator, impute: 3}
          y: {type: binary}
        """)
    #expect(data.featureNames == ["a", "b", "c=u", "c=v", "c:missing", "d", "d:missing"])
    #expect(rows(data.train) == [[1, -0.5, 0, 0, 1, 0.5, 1], [1, 1, 0, 1, 0, 1, 0]])
    #expect(report.rowsKept == 2)
  }

  @Test func labelsHaveTheTypeOfTheirKind() throws {
    let table = "x,y\n1,3\n0,1\n1,NA\n"
    let x = "columns: {x: {type: binary}, y: "
    let (classes, _) = try prepare(
      table, schema: "label: y\n\(x){type: categorical, categories: [1, 2, 3]}}")
    #expect(classes.schema.labelKind == .categorical(classes: 3))
    #expect(labels(classes.train) == [2, 0, nil])
    let (numbers, _) = try prepare(
      table, schema: "label: y\n\(x){type: numeric, bounds: [1, 5]}}")
    #expect(labels(numbers.train) == [0, -1, nil])
    let many = (1...300).map(String.init).joined(separator: ", ")
    let (wide, _) = try prepare(
      table, schema: "label: y\n\(x){type: categorical, categories: [\(many)]}}")
    #expect(labels(wide.train) == [2, 0, nil])
    for data in [classes, numbers, wide] {
      try data.write(to: folder.file("d"), overwrite: true)
      #expect(labels(try Dataset(contentsOf: folder.file("d")).train) == labels(data.train))
    }
  }

  /// The values that prepare encodes are those of Python's csv module.
  @Test func hardTableIsEncodedAsPythonReadsIt() throws {
    let golden = try Golden()
    let kinds = Array(Set(golden.records.map { $0[2].trimmingCharacters(in: .whitespaces) }))
      .sorted()
    let schema = try Schema(
      label: "out",
      columns: [
        .init(name: "na,me", type: .ignore),
        .init(name: "amount", type: .numeric(bounds: -400...2000)),
        .init(name: "kind", type: .categorical(categories: kinds, other: false)),
        .init(name: "flag", type: .binary(values: nil)),
        .init(name: "out", type: .binary(values: nil)),
      ])
    var options = PrepareOptions()
    options.testFraction = 0
    let (data, report) = try Dataset.prepare(
      tables: [golden.path], schema: schema, options: options)
    #expect(report.rowsKept == golden.records.count)
    for (row, record) in golden.records.enumerated() {
      let text = record[1].trimmingCharacters(in: .whitespaces)
      let amount: Double = try #require(DecimalNumber.parse(text))
      let clamped = min(max(amount, -400), 2000)
      let share: Double = (clamped + 400) / 2400
      let scaled = Float(2 * share - 1)
      let kind = record[2].trimmingCharacters(in: .whitespaces)
      let oneHot: [Float] = kinds.map { $0 == kind ? 1 : 0 }
      let flag: Float = record[3] == "1" ? 1 : 0
      let expected: [Float] = [scaled] + oneHot + [flag]
      #expect(data.train.features(of: row) == expected, "record \(row)")
      #expect(data.train.label(of: row) == (record[4] == "1" ? 1 : 0), "record \(row)")
    }
  }

  /// The promise that makes n public: making one raw row invalid, in whatever way, moves nothing but
  /// that row.
  @Test(arguments: [
    "NA,0,u,1", "1,0,u,NA", "1,x,u,1", "1,nan,u,1", "2,0,u,1", "1,0", "1,0,u,1,1", "1,0,u,\u{FF}",
  ])
  func oneInvalidRowMovesNothingElse(invalid: String) throws {
    var random = SystemRandomNumberGenerator()
    let good = (0..<60).map { row in
      "\(row % 2),\(Double.random(in: -1...3, using: &random)),\(["u", "v", "w"][row % 3]),"
        + "\(row / 2 % 2)"
    }
    let options: (inout PrepareOptions) -> Void = {
      $0.testFraction = 0.3
      $0.maxRejected = 60
    }
    let (whole, _) = try prepare(table(good), options)
    var split = RowSplit(key: 0, testFraction: 0.3)
    let isTest = (0..<60).map { split.isTest(ordinal: $0) }
    for changed in [0, 7, 20, 31, 59] {
      var lines = good
      lines[changed] = invalid
      let bytes = Array(table(lines).utf8).split(separator: Array("\u{FF}".utf8))
      let path = try folder.write(Array(bytes.joined(separator: [0xFF])), to: "changed.csv")
      var chosen = PrepareOptions()
      options(&chosen)
      let (data, report) = try Dataset.prepare(
        tables: [path], schema: whole.schema, options: chosen)
      #expect(report.rowsKept == 59)
      #expect(data.train.count == whole.train.count)
      #expect(data.provenance.trainRows == whole.provenance.trainRows)
      #expect(data.provenance.rowsRead == whole.provenance.rowsRead)
      let slot = isTest[..<changed].count { $0 == isTest[changed] }
      var train = rows(whole.train)
      var trainLabels = labels(whole.train)
      var test = rows(whole.test)
      if isTest[changed] {
        test.remove(at: slot)
      } else {
        train[slot] = Array(repeating: 0, count: whole.features)
        trainLabels[slot] = nil
      }
      #expect(rows(data.train) == train)
      #expect(labels(data.train) == trainLabels)
      #expect(rows(data.test) == test)
    }
  }

  private func table(_ lines: [String]) -> String {
    "a,b,c,y\n" + lines.joined(separator: "\n") + "\n"
  }

  @Test func unitDecidesTheSplit() throws {
    let units = ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal", "ivy", "jon"]
    let lines = units.enumerated().map { "\($0 % 2),\($1) ,\($0 % 3 == 0 ? 1 : 0)" }
    let (data, _) = try prepare(
      "x,who,y\n" + lines.joined(separator: "\n"),
      schema: "label: y\nunit: who\ncolumns: {x: {type: binary}, y: {type: binary}}"
    ) {
      $0.splitKey = 7
      $0.testFraction = 0.5
    }
    #expect(data.test.count == 5)  // bob, cid, eve, fay, hal: see RowSplitTests
    #expect(rows(data.test) == [[1], [0], [0], [1], [1]])
  }

  /// Without its unit a row is split by its ordinal, and the other rows stay where they are.
  @Test func rowWithoutItsUnitIsSplitByItsOrdinal() throws {
    let schema = "label: y\nunit: who\ncolumns: {x: {type: binary}, y: {type: binary}}"
    let lines = (0..<60).map { "\($0 % 2),unit\($0 / 2),\($0 % 3 == 0 ? 1 : 0)" }
    var byOrdinal = RowSplit(key: 0, testFraction: 0.2)
    var counts: [Int] = []
    for changed in [nil, 7, 8] as [Int?] {
      var lines = lines
      if let changed { lines[changed] = "1, ,1" }
      let (data, report) = try prepare("x,who,y\n" + lines.joined(separator: "\n"), schema: schema)
      {
        $0.testFraction = 0.2
        $0.maxRejected = 1
      }
      #expect(report.rowsRejected == (changed == nil ? 0 : 1))
      counts.append(data.train.count)
      guard let changed else { continue }
      var byUnit = RowSplit(key: 0, testFraction: 0.2)
      let was = unsafe Array("unit\(changed / 2)".utf8).withUnsafeBytes {
        unsafe byUnit.isTest(unit: $0)
      }
      let isNow = byOrdinal.isTest(ordinal: changed)
      #expect(data.train.count == counts[0] + (was ? 1 : 0) - (isNow ? 1 : 0))
    }
  }

  @Test func ordinalsRunOnOverTables() throws {
    let lines = (0..<40).map { "\($0 % 2),\($0 % 4),u,\($0 / 2 % 2)" }
    let whole = try prepare(table(lines)) { $0.testFraction = 0.4 }.dataset
    let first = try folder.write(Array(table(Array(lines[..<13])).utf8), to: "1.csv")
    let other = lines[13...].map { $0.split(separator: ",").reversed().joined(separator: ",") }
    let second = try folder.write(
      Array(("y,c,b,a\n" + other.joined(separator: "\n")).utf8), to: "2.csv")
    var options = PrepareOptions()
    options.testFraction = 0.4
    let parts = try Dataset.prepare(
      tables: [first, second], schema: whole.schema, options: options
    ).dataset
    #expect(rows(parts.train) == rows(whole.train) && rows(parts.test) == rows(whole.test))
    #expect(parts.contentHash() == whole.contentHash())
    #expect(parts.provenance.inputs.map(\.name) == ["1.csv", "2.csv"])
  }

  @Test func rejectedRowsAreListedWithoutTheirValues() throws {
    let rejects = folder.file("rejects.csv")
    let table = "a,b,c,y\n0,secret,u,1\n0,0,u,1\n1,0,\"u\n\",0,9\n\n0,0,u\n1,1,v,0\n"
    let expected = """
      file,line,column,reason
      \(folder.file("t.csv")),2,b,"column ""b"" is not a number"
      \(folder.file("t.csv")),5,,"the row has 5 fields, the header 4"
      \(folder.file("t.csv")),7,,"the row has 3 fields, the header 4"

      """
    let (_, report) = try prepare(table) {
      $0.maxRejected = 3
      $0.rejects = rejects
    }
    #expect(report.rowsRejected == 3 && report.rowsKept == 2)
    #expect(try String(contentsOfFile: rejects, encoding: .utf8) == expected)
    let attributes = try FileManager.default.attributesOfItem(atPath: rejects)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    // Asked for, it is written also when the preparation fails, and names every row.
    let error = #expect(throws: DataError.self) {
      _ = try prepare(table) {
        $0.maxRejected = 2
        $0.rejects = rejects
        $0.overwrite = true
      }
    }
    #expect(error?.location?.line == 2)
    #expect(try String(contentsOfFile: rejects, encoding: .utf8) == expected)
  }

  @Test func messagesAndProgressAreGiven() throws {
    var messages: [String] = []
    var last: PrepareProgress?
    let path = try folder.write(Array("a,z,b,c,y\n1,9,0,u,1\n1,9,0,u,0\n".utf8), to: "t.csv")
    var options = PrepareOptions()
    options.testFraction = 0
    _ = try Dataset.prepare(
      tables: [path], schema: Schema(text: schema, file: "s"), options: options,
      onMessage: { messages.append($0) }, onProgress: { last = $0 })
    #expect(messages == ["\(path): columns that the schema does not name are ignored: z"])
    #expect(last?.bytesRead == 30 && last?.totalBytes == 30 && last?.rowsRead == 2)
    #expect(throws: CancellationError.self) {
      _ = try Dataset.prepare(
        tables: [path], schema: Schema(text: schema, file: "s"), options: options,
        onProgress: { _ in throw CancellationError() })
    }
  }
}
