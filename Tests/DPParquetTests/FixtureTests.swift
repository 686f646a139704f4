import DPFiles
import DPParquet
import Foundation
import Testing

/// Files of other writers give the values that were given to those writers.
struct FixtureTests {
  @Test(arguments: Fixtures.types + Fixtures.few, [false, true])
  func everyColumnHasItsTexts(name: String, keepsIndices: Bool) throws {
    let expected = try Fixtures.expected()
    let file = try ParquetFile(path: Fixtures.path(name))
    #expect(file.rowCount == 24)
    #expect(file.columns.count >= 4)
    for column in file.columns {
      let want = try #require(expected[column.name])
      for batch in [1, 5, 1000] {
        let read = try texts(of: file, column.name, batch: batch, keepsIndices: keepsIndices)
        #expect(read == want, "\(column) in batches of \(batch)")
      }
    }
  }

  /// Rows that are passed over change nothing for those that are read before and after them.
  @Test(arguments: Fixtures.types + Fixtures.few, [false, true])
  func rowsCanBePassedOver(name: String, keepsIndices: Bool) throws {
    let expected = try Fixtures.expected()
    let file = try ParquetFile(path: Fixtures.path(name))
    for (index, column) in file.columns.enumerated() {
      let want = try #require(expected[column.name])
      let reader = try ParquetColumnReader(file, column: index, keepsIndices: keepsIndices)
      for read in [0, 1, 5] {
        for passed in [0, 1, 2, 3, 7, 24] {
          var found: [String?] = []
          var rows: [Int] = []
          var first = 0
          for group in file.rowGroups.indices {
            let count = file.rowGroups[group]
            let kept = min(read, count)
            let start = min(count, kept + passed)
            try reader.select(rowGroup: group)
            if kept > 0 { found += texts(of: try #require(try reader.read(upTo: kept))) }
            try reader.skip(start - kept)
            #expect(reader.rowsLeft == count - start)
            while let batch = try reader.read(upTo: 4) { found += texts(of: batch) }
            rows += Array(first..<first + kept) + Array(first + start..<first + count)
            first += count
          }
          #expect(found == rows.map { want[$0] }, "\(column.name): \(read) read, \(passed) passed")
        }
      }
    }
  }

  @Test func typesAreThoseOfTheTable() throws {
    let file = try ParquetFile(path: Fixtures.path("types-pyarrow"))
    let types = Dictionary(uniqueKeysWithValues: file.columns.map { ($0.name, $0.type) })
    #expect(types["flag"] == .boolean)
    #expect(types["i8"] == .integer(bits: 8, isSigned: true))
    #expect(types["u64"] == .integer(bits: 64, isSigned: false))
    #expect(types["f32"] == .float)
    #expect(types["word"] == .string)
    #expect(types["day"] == .date)
    #expect(types["ms"] == .timestamp(.milliseconds, isUTC: false))
    #expect(types["us"] == .timestamp(.microseconds, isUTC: true))
    #expect(types["clock"] == .time(.microseconds))
    #expect(types["d38"] == .decimal(precision: 38, scale: 10))
  }

  /// What depends on the value alone can be found once for each entry.
  @Test func dictionariesAreShown() throws {
    let file = try ParquetFile(path: Fixtures.path("few/pyarrow-default"))
    let reader = try ParquetColumnReader(
      file, column: try file.column(named: "word"), keepsIndices: true)
    try reader.select(rowGroup: 0)
    let batch = try #require(try reader.read(upTo: 100))
    #expect(batch.dictionary != nil)
    #expect(batch.entryCount < batch.rowCount)
    let expected = try #require(try Fixtures.expected()["word"])
    #expect(batch.entryCount == Set(expected.compactMap(\.self)).count)
    #expect(try reader.read(upTo: 1) == nil)
  }

  @Test func numbersAreWhatTheTextsStandFor() throws {
    for name in Fixtures.types {
      let file = try ParquetFile(path: Fixtures.path(name))
      for index in file.columns.indices {
        let reader = try ParquetColumnReader(file, column: index)
        try reader.select(rowGroup: 0)
        let batch = try #require(try reader.read(upTo: 100))
        for row in 0..<batch.rowCount where !batch.isNull(row) {
          guard let number = batch.number(ofEntry: row) else { continue }
          var text: [UInt8] = []
          batch.appendText(ofEntry: row, to: &text)
          #expect(Double(String(decoding: text, as: UTF8.self)) == number)
        }
      }
    }
  }

  @Test func whatIsNotReadIsRefusedByName() throws {
    let nested = try ParquetFile(path: Fixtures.path("nested"))
    #expect(nested.columns.map(\.name) == ["id", "tags", "place"])
    #expect(try texts(of: nested, "id") == ["1", "2"])
    for name in ["tags", "place"] {
      let error = try #require(throws: ParquetError.self) { _ = try texts(of: nested, name) }
      #expect(error.code == .unsupported)
      #expect(error.description.contains("\"\(name)\"") && error.message.contains("flatten"))
    }
    let brotli = try ParquetFile(path: Fixtures.path("few/pyarrow-brotli"))
    let error = try #require(throws: ParquetError.self) { _ = try texts(of: brotli, "word") }
    #expect(error.code == .unsupported)
    #expect(error.message.contains("Brotli") && error.message.contains("snappy"))
    let encrypted = try #require(throws: ParquetError.self) {
      _ = try ParquetFile(path: Fixtures.path("encrypted"))
    }
    #expect(encrypted.code == .unsupported && encrypted.message.contains("encrypted"))
  }

  @Test func otherFilesAreRefused() throws {
    for bytes in [[], Array("a,b\n1,2\n3,4\n5,6\n".utf8), Array("PAR1PAR1".utf8)] as [[UInt8]] {
      let error = try #require(throws: ParquetError.self) {
        _ = try ParquetFile(bytes: bytes, name: "x")
      }
      #expect(error.code == .notParquet)
    }
    let missing = try #require(throws: ParquetError.self) {
      _ = try ParquetFile(path: "/no/such/file.parquet")
    }
    #expect(missing.code == .file && missing.cause?.code == .missing)
  }
}
