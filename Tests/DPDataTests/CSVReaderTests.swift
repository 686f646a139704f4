import DPData
import Foundation
import Testing

/// What a reader gives for a table: texts and places, then how it ended.
private struct Reading {
  var records: [[ReferenceCSV.Field]] = []
  var ending = ReferenceCSV.Ending.whole

  init(_ bytes: [UInt8], delimiter: UInt8 = 0x2C, chunkSize: Int) throws {
    let reader = try CSVReader(
      bytes: bytes, name: "t.csv", delimiter: delimiter, chunkSize: chunkSize)
    do {
      while try reader.next() {
        records.append(
          (0..<reader.fieldCount).map { field in
            let place = reader.location(ofField: field)
            return .init(
              text: unsafe Array(reader.field(field)), line: place.line ?? 0,
              column: place.column ?? 0)
          })
      }
    } catch let error as DataError {
      #expect(error.code == .unclosedQuote)
      ending = .unclosedQuote(
        line: error.location?.line ?? 0, column: error.location?.column ?? 0)
    }
  }
}

struct CSVReaderTests {
  /// Any text of the dialect's own characters, cut into chunks anywhere, reads as the plain state
  /// machine reads it: values, places, and the quote that is not closed.
  @Test(arguments: [1, 2, 3, 5, 16, 1 << 16], [0x2C, 0x3B, 0x20] as [UInt8])
  func anyChunkSizeReadsAsTheReference(chunkSize: Int, delimiter: UInt8) throws {
    var random = SystemRandomNumberGenerator()
    let alphabet = ["a", "1", ",", ",", ";", "\"", "\"", " ", "\n", "\r", "\r\n", "\u{E9}"]
      .map { Array($0.utf8) }
    for _ in 0..<3000 {
      let bytes = (0..<Int.random(in: 0..<40, using: &random)).flatMap { _ in
        alphabet.randomElement(using: &random) ?? []
      }
      let expected = ReferenceCSV(bytes, delimiter: delimiter)
      let found = try Reading(bytes, delimiter: delimiter, chunkSize: chunkSize)
      try #require(found.records == expected.records, "\(bytes)")
      try #require(found.ending == expected.ending, "\(bytes)")
    }
  }

  /// Places count from the byte after a byte-order mark, in any chunks.
  @Test(arguments: [1, 2, 3, 4, 100])
  func byteOrderMarkIsSkipped(chunkSize: Int) throws {
    let found = try Reading([0xEF, 0xBB, 0xBF] + Array("a,b\n".utf8), chunkSize: chunkSize)
    #expect(
      found.records == [
        [.init(text: [0x61], line: 1, column: 1), .init(text: [0x62], line: 1, column: 3)]
      ])
  }

  /// The file and what Python's csv module reads from it are made by scripts/golden_csv.py.
  @Test(arguments: [1, 7, 1 << 20])
  func hardTableReadsAsPythonReadsIt(chunkSize: Int) throws {
    let golden = try Golden()
    let found = try Reading(golden.bytes, chunkSize: chunkSize)
    let texts = found.records.map { $0.map { String(decoding: $0.text, as: UTF8.self) } }
    #expect(texts == [golden.header] + golden.records)
  }

  @Test func endlessRecordIsRefusedInBoundedMemory() throws {
    let bytes = Array("a\n\"".utf8) + [UInt8](repeating: 0x61, count: 5000)
    let reader = try CSVReader(
      bytes: bytes, name: "t.csv", delimiter: 0x2C, chunkSize: 16, recordByteLimit: 1000)
    #expect(try reader.next())
    let error = #expect(throws: DataError.self) { _ = try reader.next() }
    #expect(error?.code == .malformedTable)
    #expect(error?.location == .init(file: "t.csv", line: 2, column: 1))
  }

  @Test(arguments: [0x22, 0x0A, 0x0D, 0x00, 0x80, 0xFF] as [UInt8])
  func delimitersThatCannotSeparateAreRefused(delimiter: UInt8) {
    let error = #expect(throws: DataError.self) {
      _ = try CSVReader(bytes: [], name: "t.csv", delimiter: delimiter)
    }
    #expect(error?.code == .invalidOption)
  }
}

/// The hard table and the values that Python read from it.
struct Golden {
  let bytes: [UInt8]
  let header: [String]
  let records: [[String]]
  let path: String

  private struct Values: Decodable {
    let header: [String]
    let records: [[String]]
  }

  init() throws {
    let folder = try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil))
    path = folder.appendingPathComponent("hard.csv").path
    bytes = try Data(contentsOf: folder.appendingPathComponent("hard.csv")).map(\.self)
    let values = try JSONDecoder().decode(
      Values.self, from: Data(contentsOf: folder.appendingPathComponent("hard.json")))
    header = values.header
    records = values.records
  }
}
