import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// Tables prepared into files: spools, shards, cleaned rows, patterns.
struct DatasetFileTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func table(_ rows: Int) throws -> String {
    let lines = (0..<rows).map { "\($0 % 2),\($0 % 100),\($0 / 3 % 2)\n" }
    return try folder.write(Array(("x,z,y\n" + lines.joined()).utf8), to: "t.csv")
  }

  private func schema(_ z: String = "{type: numeric, bounds: [0, 99]}") throws -> Schema {
    try Schema(
      text: "label: y\ncolumns: {x: {type: binary}, z: \(z), y: {type: binary}}", file: "s")
  }

  /// Every shard holds its range, ranges begin at multiples of the alignment, and together they are
  /// the whole, in order.
  @Test(arguments: [1, 2, 3, 7], [100, 20_000])
  func shardsAreTheWhole(count: Int, rows: Int) throws {
    let table = try table(rows)
    let whole = try Dataset.prepare(tables: [table], schema: schema()).dataset
    guard count > 1 else { return }
    let path = folder.file("d.safetensors")
    _ = try Dataset.prepare(tables: [table], schema: schema(), to: path, shards: count)
    var next = 0
    var tested = 0
    for index in 0..<count {
      let name = DatasetShard.path(path, index: index, count: count)
      let data = try Dataset(shard: name)
      let shard = try #require(data.shard)
      #expect(shard.index == index && shard.count == count && shard.firstRow == next)
      #expect(shard.trainRows == whole.train.count && data.provenance == whole.provenance)
      #expect(shard.firstRow % DatasetShard.alignment == 0 || data.train.count == 0)
      for row in 0..<data.train.count {
        try #require(data.train.features(of: row) == whole.train.features(of: next + row))
        try #require(data.train.label(of: row) == whole.train.label(of: next + row))
      }
      for row in 0..<data.test.count {
        try #require(data.test.features(of: row) == whole.test.features(of: tested + row))
      }
      next += data.train.count
      tested += data.test.count
      // A shard alone must not be taken for the whole.
      let error = #expect(throws: DataError.self) { _ = try Dataset(contentsOf: name) }
      #expect(error?.message.contains("shard \(index + 1) of \(count)") == true)
    }
    #expect(next == whole.train.count && tested == whole.test.count)
    #expect(path.hasSuffix("d.safetensors"))
    #expect(try folder.names.contains("d-00000-of-0000\(count).safetensors"))
  }

  @Test func wholeDatasetIsNoShard() throws {
    let path = folder.file("d")
    _ = try Dataset.prepare(tables: [table(100)], schema: schema(), to: path)
    let error = #expect(throws: DataError.self) { _ = try Dataset(shard: path) }
    #expect(error?.code == .malformedDataset)
  }

  /// Labels that are wider than features come first in the file, so that features are spooled; and
  /// parts that pass what is kept in memory go through a file without a name.
  @Test(arguments: [2, 300])
  func spooledPartsAreTheSame(categories: Int) throws {
    let lines = (0..<60_000).map { "\($0 % 2),\($0 % categories)\n" }
    let table = try folder.write(Array(("x,y\n" + lines.joined()).utf8), to: "t.csv")
    let values = (0..<categories).map(String.init).joined(separator: ", ")
    let wide = (0..<100).map { "v\($0)" }.joined(separator: ", ")
    let schema = try Schema(
      text: """
        label: y
        columns:
          x: {type: categorical, categories: [\(wide)], other: true}
          y: {type: categorical, categories: [\(values)]}
        """, file: "s")
    let whole = try Dataset.prepare(tables: [table], schema: schema).dataset
    try whole.write(to: folder.file("memory"))
    _ = try Dataset.prepare(tables: [table], schema: schema, to: folder.file("file"))
    #expect(
      FileManager.default.contentsEqual(
        atPath: folder.file("memory"), andPath: folder.file("file")))
    #expect(try folder.names == ["file", "memory", "t.csv"])
  }

  private func cleaned(
    _ text: String, _ schema: String, _ change: (inout PrepareOptions) -> Void = { _ in }
  ) throws -> (String, PrepareReport) {
    var options = PrepareOptions()
    change(&options)
    var bytes: [UInt8] = []
    let report = try Dataset.clean(
      tables: [folder.write(Array(text.utf8), to: "c.csv")],
      schema: Schema(text: schema, file: "s"), options: options, write: { bytes += $0 })
    return (String(decoding: bytes, as: UTF8.self), report)
  }

  private let cleanSchema = """
    label: y
    columns:
      b: {type: categorical, categories: [u], other: true}
      a: {type: numeric, bounds: [0, 9], missing: impute, impute: 5}
      skip: {type: ignore}
      y: {type: binary}
    """

  /// A column of the table that has the name of a derived one is none of the schema's.
  @Test func cleanedRowsHaveNoDerivedColumns() throws {
    let (text, report) = try cleaned(
      "d,x,y\nold,4,1\nold,2,0\n",
      """
      label: y
      columns: {x: {type: numeric, bounds: [0, 9]}, y: {type: binary}}
      derive: {d: x > 3}
      """)
    #expect(text == "x,y\n4,1\n2,0\n" && report.rowsKept == 2)
  }

  /// Kept rows come in the order of the schema, missing values as declared, quotes where needed.
  @Test(arguments: [1, 10, 1 << 17], 1...3)
  func cleanedRowsAreText(chunkSize: Int, threads: Int) throws {
    let text = """
      y,skip,a,b
      1,q, 3 ,"two, ""words""\"
      NA,q,3,u
      0,q,NA,u
      x,q,1,u
      0,q,2,NA
      1,q,2,
      1,q,9.5,plain

      """
    let (cleaned, report) = try cleaned(text, cleanSchema) {
      $0.chunkSize = chunkSize
      $0.threads = threads
      $0.maxRejected = 1
    }
    #expect(cleaned == "b,a,y\n\"two, \"\"words\"\"\",3,1\nu,5,0\nplain,9.5,1\n")
    #expect(report.rowsRead == 7 && report.rowsKept == 3 && report.rowsRejected == 1)
    #expect(throws: DataError.self) { try self.cleaned(text, cleanSchema) }
  }

  /// Pieces of a table, as a cluster cuts it, give what the whole gives, but for the header.
  ///
  /// One begins with the header, the others with a row, one is empty. Together they give what the whole gives, but for the header.
  @Test func piecesWithoutHeaderAreCleaned() throws {
    let lines = ["y,skip,a,b", "1,q,3,u", "0,q,2,w", "NA,q,2,w", "1,q,1,u"]
    let whole = try cleaned(lines.joined(separator: "\n"), cleanSchema).0
    var pieces = ""
    for piece in [lines[0...1], lines[2...2], [], lines[3...]] {
      pieces += try cleaned(piece.joined(separator: "\n"), cleanSchema) {
        $0.columns = ["y", "skip", "a", "b"]
      }.0
    }
    #expect("b,a,y\n" + pieces == whole)
  }

  @Test func tablesWithoutHeaderArePrepared() throws {
    let rows = "1,2,0\n0,3,1\n1,5,1\n"
    let bare = try folder.write(Array(rows.utf8), to: "bare.csv")
    let headed = try folder.write(Array(("x,z,y\n" + rows).utf8), to: "headed.csv")
    var options = PrepareOptions()
    options.testFraction = 0
    let expected = try Dataset.prepare(tables: [headed], schema: schema(), options: options)
    options.columns = ["x", " z", "y"]
    for table in [bare, headed] {
      let found = try Dataset.prepare(tables: [table], schema: schema(), options: options)
      #expect(found.dataset.contentHash() == expected.dataset.contentHash())
      #expect(found.report.rowsRead == 3)
    }
  }

  @Test func tabsAreKnownByTheName() throws {
    let text = "x\tz\ty\n1\t2\t0\n0\t3\t1\n1\t5\t1\n"
    for name in ["t.tsv", "T.TAB", "t.tsv.gz"] {
      let path = try folder.write(Array(text.utf8), to: name)
      var options = PrepareOptions()
      options.testFraction = 0
      #expect(
        try Dataset.prepare(tables: [path], schema: schema(), options: options).report.rowsKept == 3
      )
    }
  }

  @Test func patternsStandForFilesInOrder() throws {
    for name in ["p-10.csv", "p-2.csv", "p-1.csv", "q.csv", "odd[1].csv"] {
      _ = try folder.write([], to: name)
    }
    #expect(
      try TablePattern.files([folder.file("p-*.csv"), folder.file("q.csv"), "-"])
        == ["p-1.csv", "p-10.csv", "p-2.csv", "q.csv"].map(folder.file) + ["-"])
    #expect(try TablePattern.files([folder.file("odd[1].csv")]) == [folder.file("odd[1].csv")])
    #expect(try TablePattern.files(["no such.csv"]) == ["no such.csv"])
    let error = #expect(throws: FileError.self) {
      try TablePattern.files([folder.file("r-*.csv")])
    }
    #expect(error?.code == .missing)
  }
}
