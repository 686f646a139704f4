import DPData
import DPFiles
import DPSpark
import Foundation
import TestSupport
import Testing

/// What happens to the folder that is made, and to what is near it.
extension ParityTests {
  static let smallSchema = """
    label: y
    columns:
      a: {type: numeric, bounds: [0, 100]}
      y: {type: binary}

    """

  /// A small table in the form of `smallSchema`.
  static func smallTable(rows: Int, from first: Int = 0) -> String {
    "a,y\n" + (first..<first + rows).map { "\($0 % 101),\($0 / 3 % 2)\n" }.joined()
  }

  /// Prepares tables on Spark.
  @discardableResult func prepare(
    _ executor: any SparkExecutor, _ tables: [String], _ schema: String = smallSchema,
    to out: String, _ change: (inout PrepareOptions) -> Void = { _ in }
  ) throws -> PrepareReport {
    var options = PrepareOptions()
    change(&options)
    let preparation = SparkPreparation(
      tables: tables, schema: try Schema(text: schema, file: "schema"), to: out, options: options,
      executor: executor)
    try preparation.open()
    return try preparation.write()
  }

  /// Nothing that a job does not leave is ever erased, wherever it lies in the folder.
  func foldersOfOthersStay(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let table = try folder.write(Self.smallTable(rows: 60), to: "t.csv")
    let foreign = [
      ["in/deep/p.csv"], [".git/config"], ["notes"], ["_SUCCESSES"], ["part"], ["part-00000/x"],
      ["part-00000"], ["_SUCCESS", "_fastdp/part-00000", "in/p.csv"],
      ["_fastdp/part-0", ".hidden"],
    ]
    for (index, names) in foreign.enumerated() {
      let out = "out\(index)"
      for name in names {
        let path = folder.file("\(out)/\(name)")
        try FileManager.default.createDirectory(
          atPath: URL(fileURLWithPath: path).deletingLastPathComponent().path,
          withIntermediateDirectories: true)
        // An empty file counts, but for a part: a job that failed has left it.
        _ = try folder.write(name == "notes" ? "" : "mine", to: "\(out)/\(name)")
      }
      for overwrite in [false, true] {
        #expect(throws: FileError.self, "\(names)") {
          try prepare(spark.program, [table], to: folder.file(out)) { $0.overwrite = overwrite }
        }
      }
      for name in names {
        #expect(try folder.text("\(out)/\(name)") == (name == "notes" ? "" : "mine"), "\(name)")
      }
    }
    for name in ["_temporary/0", "_SUCCESS", "._SUCCESS.crc", "part-00000", ".part-00000.crc"] {
      try FileManager.default.createDirectory(
        atPath: folder.file("left" + (name.contains("/") ? "/_temporary" : "")),
        withIntermediateDirectories: true)
      _ = try folder.write("", to: "left/\(name)")
    }
    try prepare(spark.program, [table], to: folder.file("left")) { $0.overwrite = true }
    #expect(try Dataset(contentsOf: folder.file("left")).train.count > 0)
  }

  /// An output that is a table, or above one, is refused before anything else.
  func outputsLieApartFromTables(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    try FileManager.default.createDirectory(
      atPath: folder.file("data/in"), withIntermediateDirectories: true)
    let text = Self.smallTable(rows: 60)
    let table = try folder.write(text, to: "data/in/t.csv")
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("link"), withDestinationPath: folder.file("data"))
    for tables in [[table], [folder.file("data/in")]] {
      for out in ["data", "data/in", "data/in/t.csv", "data/in/../in", "link", "link/in"] {
        for overwrite in [false, true] where out != "data/in/t.csv" || tables == [table] {
          let error = #expect(throws: DataError.self, "\(tables) \(out)") {
            try prepare(spark.program, tables, to: folder.file(out)) { $0.overwrite = overwrite }
          }
          #expect(error?.code == .invalidOption, "\(error as Any)")
        }
        #expect(try folder.text("data/in/t.csv") == text)
      }
    }
    let out = folder.file("data/in/t.csv.prepared")
    try prepare(spark.program, [table], to: out)
    // What a pattern fits is known once it is listed.
    let error = #expect(throws: DataError.self) {
      try prepare(spark.program, ["\(out)/p*.parquet"], to: out) { $0.overwrite = true }
    }
    #expect(error?.code == .invalidOption, "\(error as Any)")
    #expect(try Dataset(contentsOf: out).train.count > 0)
  }

  /// Rows of a file that is named twice would count twice.
  func tablesCountOnce(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    try FileManager.default.createDirectory(
      atPath: folder.file("in"), withIntermediateDirectories: true)
    let table = try folder.write(Self.smallTable(rows: 60), to: "in/t.csv")
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("link.csv"), withDestinationPath: table)
    for second in ["in/t.csv", "in/../in/t.csv", "in", "in/*.csv", "link.csv"] {
      let error = #expect(throws: DataError.self, "\(second)") {
        try prepare(spark.program, [table, folder.file(second)], to: folder.file("out"))
      }
      #expect(error?.code == .invalidOption, "\(error as Any)")
      #expect(error?.description.contains("rows would count twice") == true, "\(error as Any)")
    }
  }

  /// What fails before the new rows are written leaves the older dataset.
  func anOlderDatasetSurvives(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let table = try folder.write(Self.smallTable(rows: 60), to: "t.csv")
    let out = folder.file("out")
    try prepare(spark.program, [table], to: out)
    let before = try Dataset(contentsOf: out).contentHash()
    let broken = ChangedExecutor(spark.program) { sql, title in
      title == "encoding the rows" ? "\(sql) WHERE no_such_column" : sql
    }
    #expect(throws: SparkError.self) {
      try prepare(broken, [table], to: out) { $0.overwrite = true }
    }
    #expect(try Dataset(contentsOf: out).contentHash() == before)
    // Where nothing was there before, nothing is there afterwards.
    #expect(throws: SparkError.self) { try prepare(broken, [table], to: folder.file("new")) }
    #expect(!FileManager.default.fileExists(atPath: folder.file("new")))
    // Another job has made the folder since it was looked at.
    let other = folder.file("other")
    let slow = ChangedExecutor(spark.program) { sql, title in
      if title == "counting the rows" {
        try? FileManager.default.createDirectory(
          atPath: other, withIntermediateDirectories: true)
        try? Data("x".utf8).write(to: URL(fileURLWithPath: "\(other)/part-00000"))
      }
      return sql
    }
    for overwrite in [false, true] {
      #expect(throws: FileError.self) {
        try prepare(slow, [table], to: other) { $0.overwrite = overwrite }
      }
      #expect(try folder.text("other/part-00000") == "x")
      if !overwrite { try FileManager.default.removeItem(atPath: other) }
    }
    // A job that fails once it has begun to write takes away what it has written.
    let late = ChangedExecutor(spark.program) { sql, title in
      title == "marking the result as whole" ? "SELECT no_such_column" : sql
    }
    #expect(throws: SparkError.self) { try prepare(late, [table], to: out) { $0.overwrite = true } }
    #expect(throws: DataError.self) { try Dataset(contentsOf: out) }
  }

  /// A list of rejected rows that cannot be written is found out before anything is read.
  func aListIsTriedFirst(_ spark: TestSpark) throws {
    let folder = try ScratchFolder()
    let table = try folder.write(Self.smallTable(rows: 60), to: "t.csv")
    _ = try folder.write("mine", to: "bad.csv")
    var statements = 0
    let counting = ChangedExecutor(spark.program) { sql, _ in
      statements += 1
      return sql
    }
    for name in ["bad.csv", "no/folder/bad.csv"] {
      #expect(throws: FileError.self) {
        try prepare(counting, [table], to: folder.file("out")) { $0.rejects = folder.file(name) }
      }
    }
    #expect(statements == 0)
    #expect(try folder.text("bad.csv") == "mine")
  }
}
