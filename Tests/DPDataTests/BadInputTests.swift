import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// Every bad input gives one line with its place, and nothing is made.
struct BadInputTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private static let schema = """
    label: y
    columns:
      a: {type: binary}
      age: {type: numeric, bounds: [0, 100]}
      kind: {type: categorical, categories: [u, v]}
      y: {type: binary}
    """

  private func prepare(
    _ bytes: [UInt8], schema: String = schema, chunkSize: Int = 1 << 17, threads: Int = 1
  ) throws {
    var options = PrepareOptions()
    options.testFraction = 0
    options.chunkSize = chunkSize
    options.threads = threads
    _ = try Dataset.prepare(
      tables: [folder.write(bytes, to: "t.csv")], schema: Schema(text: schema, file: "s.yaml"),
      options: options)
  }

  @Test(
    arguments: [
      ("", "1:1: the table is empty; it needs a header and rows", .emptyFile),
      ("\n\r\n", "1:1: the table is empty; it needs a header and rows", .emptyFile),
      ("a,age,kind,y\n", "1:1: the table has a header and no rows; add rows", .noRows),
      (
        "a,age,kind\n1,2,u\n",
        "1:1: the label \"y\" is not in the header; name another label or add it", .missingLabel
      ),
      (
        "a,y\n1,2\n",
        "1:1: columns of the schema are not in the header: \"age\", \"kind\";"
          + " correct the schema or the table", .missingColumn
      ),
      (
        "a,age,\"kind\",age,y\n", "1:14: column \"age\" is in the header twice; rename one of them",
        .duplicateColumn
      ),
      (
        "a,age,kind,y\n1,2,u,0\n1, old,u,0\n",
        "3:4: column \"age\" is not a number; correct it", .notANumber
      ),
      (
        "a,age,kind,y\r\n1,\"\r2\r\n\",u,0\r1,0x2,u,0\n",
        "5:3: column \"age\" is not a number; correct it", .notANumber
      ),
      (
        "a,age,kind,y\n1,\"a\nb\",x,0\n",
        "2:3: column \"age\" is not a number; correct it", .notANumber
      ),
      (
        "a,age,kind,y\n1,\"1\n\",x,0\n",
        "3:3: column \"kind\" is not one of its declared categories;"
          + " declare it, declare other: true", .undeclaredValue
      ),
      (
        "a,age,kind,y\n1,NaN,u,0\n",
        "2:3: column \"age\" is NaN or infinite; correct it", .notFinite
      ),
      (
        "a,age,kind,y\n1,-inf,u,0\n",
        "2:3: column \"age\" is NaN or infinite; correct it", .notFinite
      ),
      (
        "a,age,kind,y\n1,2,u,yes\n",
        "2:7: column \"y\" is neither of its two values; correct it",
        .undeclaredValue
      ),
      (
        "a,age,kind,y\n1,2,u,0\n1,2,u\n",
        "3:1: the row has 3 fields, the header 4; correct the row",
        .raggedRow
      ),
      (
        "a,age,kind,y\n1,2,u,0,7\n",
        "2:9: the row has 5 fields, the header 4; correct the row",
        .raggedRow
      ),
      (
        "a,age,kind,y\n1,2,u,0\n1,2, \"u,0\n1,2,u,0\n",
        "3:6: a quote opens here and is never closed; close it", .unclosedQuote
      ),
      (
        "a,age,kind,y\n1,2,u,0\n1,2,u\u{FF},0\n",
        "3:5: column \"kind\" is not UTF-8; correct the row",
        .invalidText
      ),
      (
        "a,\u{FF},kind,y\n1,2,u,0\n", "1:3: the header is not UTF-8; save the table as UTF-8",
        .invalidText
      ),
    ] as [(String, String, DataError.Code)])
  func tableIsRefusedAtItsPlace(table: String, message: String, code: DataError.Code) throws {
    // U+00FF stands for the byte FF, which is in no UTF-8 text.
    let bytes = table.unicodeScalars.map { UInt8($0.value) }
    // In one piece, and at the borders of pieces of every size.
    for chunkSize in [1 << 17] + Array(1...bytes.count + 1) {
      let error = #expect(throws: DataError.self) {
        try prepare(bytes, chunkSize: chunkSize, threads: 1 + chunkSize % 3)
      }
      #expect(error?.code == code)
      #expect(error?.description == "\(folder.file("t.csv")):\(message)")
    }
    #expect(try folder.names == ["t.csv"])
  }

  @Test(arguments: ["1,2,u,1\n1,2,v,1\n", "1,NA,u,1\n1,NA,v,0\n", "1,2,v,1\n1,NA,v,0\n"])
  func oneClassOnlyIsRefused(rows: String) throws {
    let error = #expect(throws: DataError.self) { try prepare(Array("a,age,kind,y\n\(rows)".utf8)) }
    #expect(error?.code == .degenerateLabel)
    #expect(error?.description.hasPrefix(folder.file("t.csv") + ": ") == true)
  }

  @Test(arguments: [" ", "NA"])
  func rowWithoutItsIdIsRefused(id: String) throws {
    let schema = Self.schema + "\nid: who"
    let error = #expect(throws: DataError.self) {
      try prepare(Array("a,age,who,kind,y\n1,2,w,u,0\n1,2,\(id),u,0\n".utf8), schema: schema)
    }
    #expect(error?.code == .missingIdentifier)
    #expect(error?.location?.line == 3)
    #expect(error?.message.hasPrefix("column \"who\" is missing, but tells rows apart") == true)
  }

  @Test func missingFileAndFolderAreRefused() throws {
    let schema = try Schema(text: Self.schema, file: "s.yaml")
    for (path, code) in [
      (folder.file("no.csv"), FileError.Code.missing), (folder.path, .cannotRead),
    ] {
      let error = #expect(throws: FileError.self) {
        _ = try Dataset.prepare(tables: [path], schema: schema)
      }
      #expect(error?.code == code)
      #expect(error?.message.hasPrefix(path + ": ") == true)
    }
    #expect(throws: FileError.self) { _ = try Schema(contentsOf: folder.file("no.yaml")) }
  }

  @Test(arguments: [-0.1, 1, 2, .nan])
  func testFractionOutsideItsRangeIsRefused(fraction: Double) throws {
    var options = PrepareOptions()
    options.testFraction = fraction
    let schema = try Schema(text: Self.schema, file: "s.yaml")
    let error = #expect(throws: DataError.self) {
      _ = try Dataset.prepare(tables: [folder.file("t.csv")], schema: schema, options: options)
    }
    #expect(error?.code == .invalidOption)
  }

  @Test func outputThatCannotBeMadeIsRefused() throws {
    let table = try folder.write(Array("x,y\n1,0\n0,1\n".utf8), to: "t.csv")
    var options = PrepareOptions()
    options.testFraction = 0
    let data = try Dataset.prepare(
      tables: [table],
      schema: Schema(text: "label: y\ncolumns: {x: {type: binary}, y: {type: binary}}", file: "s"),
      options: options
    ).dataset
    let taken = try folder.write([], to: "taken")
    for (path, code) in [
      (folder.file("no/d"), FileError.Code.cannotCreate), (folder.path, .cannotCreate),
      (taken, .alreadyExists),
    ] {
      let error = #expect(throws: FileError.self) { try data.write(to: path) }
      #expect(error?.code == code)
    }
    #expect(try folder.names == ["t.csv", "taken"])
  }

  @Test(.enabled(if: TinyDisk.isAvailable, "only the superuser can mount a small disk"))
  func fullDiskLeavesNothing() throws {
    let table = folder.file("t.csv")
    try DemoTable.write(to: table, rows: 20_000)
    let data = try Dataset.prepare(
      tables: [table], schema: Schema(text: DemoTable.schemaText, file: "demo")
    ).dataset
    let disk = try #require(try TinyDisk(kilobytes: 64))
    let error = #expect(throws: FileError.self) { try data.write(to: disk.path + "/d") }
    #expect(error?.code == .inputOutput)
    #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).isEmpty)
  }
}
