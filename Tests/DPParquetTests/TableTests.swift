import DPParquet
import Foundation
import TestSupport
import Testing

/// Folders of part files.
struct TableTests {
  private func write(
    _ path: String, _ name: String, _ values: [Int32?],
    type: ParquetType = .integer(bits: 32, isSigned: true)
  ) throws {
    var writer = try ParquetWriter(path: path, columns: [.init(name, type)])
    try writer.write([.int32s(values)])
    try writer.finish()
  }

  @Test func partsComeInTheOrderOfTheirNames() throws {
    let folder = try ScratchFolder()
    try write(folder.file("part-00001-x.parquet"), "a", [3])
    try write(folder.file("part-00000-x.parquet"), "a", [1, nil])
    _ = try folder.write("not Parquet", to: "_committed_1")
    _ = try folder.write("not Parquet", to: ".part-00000-x.parquet.crc")
    let error = try #require(throws: ParquetError.self) {
      _ = try ParquetTable(paths: [folder.path])
    }
    #expect(error.code == .incompleteFolder && error.message.contains("_SUCCESS"))
    _ = try folder.write("", to: "_SUCCESS")
    let table = try ParquetTable(paths: [folder.path])
    #expect(table.rowCount == 3)
    #expect(table.units.map(\.firstRow) == [0, 2] && table.units.map(\.rowCount) == [2, 1])
    var rows: [String?] = []
    for file in table.files { rows += try texts(of: file, "a") }
    #expect(rows == ["1", nil, "3"])
    try FileManager.default.createDirectory(
      atPath: folder.file("_temporary"), withIntermediateDirectories: false)
    #expect(throws: ParquetError.self) { _ = try ParquetTable(paths: [folder.path]) }
  }

  @Test func otherFoldersNeedNoMark() throws {
    let folder = try ScratchFolder()
    #expect(throws: ParquetError.self) { _ = try ParquetTable(paths: [folder.path]) }
    try write(folder.file("part-0.parquet"), "a", [1])
    try write(folder.file("b.parquet"), "a", [2])
    #expect(try ParquetTable(paths: [folder.path]).rowCount == 2)
    #expect(ParquetTable.isParquet(path: folder.path))
    #expect(ParquetTable.isParquet(path: folder.file("b.parquet")))
    #expect(!ParquetTable.isParquet(path: try folder.write("a,b\n", to: "c.csv")))
    #expect(!ParquetTable.isParquet(path: folder.file("absent")))
  }

  @Test func filesOfOneTableHaveOneSchema() throws {
    let folder = try ScratchFolder()
    let paths = ["a", "b", "c"].map { folder.file($0) }
    try write(paths[0], "x", [1])
    try write(paths[1], "y", [1])
    try write(paths[2], "x", [1], type: .date)
    let missing = try #require(throws: ParquetError.self) {
      _ = try ParquetTable(paths: [paths[0], paths[1]])
    }
    #expect(missing.code == .missingColumn && missing.place.column == "x")
    let other = try #require(throws: ParquetError.self) {
      _ = try ParquetTable(paths: [paths[0], paths[2]])
    }
    #expect(other.code == .schemaMismatch && other.place.file == paths[2])
  }

  /// Columns and row groups are read on threads of their own.
  @Test func readersAreIndependent() async throws {
    let names = ["flag", "i64", "f64", "word"]
    let file = try ParquetFile(path: Fixtures.path("few/pyarrow-groups"))
    let expected = try Fixtures.expected()
    try await withThrowingTaskGroup(of: (String, [String?]).self) { group in
      for round in 0..<32 {
        let name = names[round % names.count]
        group.addTask { (name, try texts(of: file, name, batch: 3)) }
      }
      for try await (name, read) in group { #expect(read == expected[name]) }
    }
  }
}
