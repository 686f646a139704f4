import DPParquet
import Foundation
import TestSupport
import Testing

/// Damaged files end in a typed error or in values, within the memory that is promised.
struct DamageTests {
  /// Reads everything there is.
  private func readAll(_ bytes: [UInt8], batch: Int) throws {
    let file = try ParquetFile(bytes: bytes, name: "damaged")
    let limit = 16 * bytes.count + 64_000_000
    for index in file.columns.indices where file.columns[index].refusal == nil {
      let reader = try ParquetColumnReader(file, column: index, keepsIndices: index % 2 == 0)
      for group in file.rowGroups.indices {
        try reader.select(rowGroup: group)
        var batches = 0
        while let part = try reader.read(upTo: batch) {
          var text: [UInt8] = []
          for row in 0..<min(part.rowCount, 50) where !part.isNull(row) {
            part.appendText(ofEntry: part.entry(ofRow: row), to: &text)
          }
          #expect(file.memoryInUse <= limit)
          batches += 1
          // A run of a few bytes can stand for any number of rows.
          if batches > 20 { break }
        }
      }
    }
  }

  @Test(arguments: Fixtures.types + Fixtures.few)
  func changedBytesEndInErrorsOrValues(name: String) throws {
    let bytes = try Fixtures.bytes(name)
    var generator = SeededGenerator(seed: name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
    var refused = 0
    for round in 0..<150 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0..<changed.count, using: &generator)
        changed[place] = UInt8.random(in: 0...255, using: &generator)
      }
      if round % 10 == 0 {
        let place = Int.random(in: 4..<changed.count, using: &generator)
        changed.remove(at: place)
      }
      do {
        try readAll(changed, batch: [3, 100_000][round % 2])
      } catch let error as ParquetError {
        refused += 1
        #expect(error.description.hasPrefix("damaged"))
      }
    }
    // Most bytes matter.
    #expect(refused > 30)
  }

  @Test func everyTruncationIsRefused() throws {
    let bytes = try Fixtures.bytes("few/pyarrow-default")
    for count in 0..<bytes.count {
      #expect(throws: ParquetError.self) { try readAll(Array(bytes[..<count]), batch: 100) }
    }
  }

  @Test func aWrongChecksumNamesThePage() throws {
    var bytes = try Fixtures.bytes("few/pyarrow-crc")
    // The first page is in bytes 4 to 39, its header before byte 28.
    let file = try ParquetFile(bytes: bytes, name: "x")
    _ = try texts(of: file, "flag")
    bytes[38] ^= 255
    let damaged = try ParquetFile(bytes: bytes, name: "people.parquet")
    let error = try #require(throws: ParquetError.self) { _ = try texts(of: damaged, "flag") }
    #expect(error.code == .malformed)
    #expect(error.place.column == "flag" && error.place.rowGroup == 0 && error.place.page == 0)
    #expect(
      error.description.hasPrefix("people.parquet: column \"flag\", row group 0, page 0: "))
  }

  /// A file of a hundred bytes with two thousand million rows, all equal: one run.
  private func hugeRun(rows: Int) -> [UInt8] {
    var bytes = Array("PAR1".utf8)
    var dictionary = ThriftWriter()
    dictionary.structure {
      $0.int32(1, 2)
      $0.int32(2, 8)
      $0.int32(3, 8)
      $0.structure(7) {
        $0.int32(1, 1)
        $0.int32(2, 0)
      }
    }
    bytes += dictionary.bytes + [7, 0, 0, 0, 0, 0, 0, 0]
    let body = [1] + RunEncoder.encode(repeatElement(0, count: 8), width: 1)
    var run = Array(body[..<1])
    var rest = rows << 1
    while rest >= 128 {
      run.append(UInt8(rest & 127) | 128)
      rest >>= 7
    }
    run += [UInt8(rest), 0]
    var page = ThriftWriter()
    page.structure {
      $0.int32(1, 0)
      $0.int32(2, run.count)
      $0.int32(3, run.count)
      $0.structure(5) {
        $0.int32(1, rows)
        $0.int32(2, 8)
        $0.int32(3, 3)
        $0.int32(4, 3)
      }
    }
    bytes += page.bytes + run
    let end = bytes.count
    var footer = ThriftWriter()
    footer.structure {
      $0.int32(1, 1)
      $0.list(2, count: 2, of: 12) {
        $0.structure {
          $0.text(4, "root")
          $0.int32(5, 1)
        }
        $0.structure {
          $0.int32(1, 2)
          $0.int32(3, 0)
          $0.text(4, "x")
        }
      }
      $0.int64(3, rows)
      $0.list(4, count: 1, of: 12) {
        $0.structure {
          $0.list(1, count: 1, of: 12) {
            $0.structure {
              $0.int64(2, 4)
              $0.structure(3) {
                $0.int32(1, 2)
                $0.int32(4, 0)
                $0.int64(5, rows)
                $0.int64(6, end - 4)
                $0.int64(7, end - 4)
                $0.int64(9, 4)
              }
            }
          }
          $0.int64(3, rows)
        }
      }
    }
    bytes += footer.bytes
    for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: footer.bytes.count >> (8 * byte))) }
    return bytes + Array("PAR1".utf8)
  }

  @Test func memoryIsBoundedByTheFileAndNotByItsClaims() throws {
    let bytes = hugeRun(rows: 2_000_000_000)
    let file = try ParquetFile(bytes: bytes, name: "huge")
    #expect(file.rowCount == 2_000_000_000)
    let reader = try ParquetColumnReader(file, column: 0)
    try reader.select(rowGroup: 0)
    let error = try #require(throws: ParquetError.self) { _ = try reader.read(upTo: Int.max) }
    #expect(error.code == .tooLarge)
    // In batches the same file can be read.
    try reader.select(rowGroup: 0)
    for _ in 0..<10 {
      let batch = try #require(try reader.read(upTo: 10_000))
      #expect(batch.rowCount == 10_000)
      #expect(batch.number(ofEntry: 9_999) == 7)
      #expect(file.memoryInUse <= 16 * bytes.count + 64_000_000)
    }
  }
}
