import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// Tables that are compressed are the tables that they hold.
struct CompressedTableTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// What the compressed tables hold.
  private static let table =
    "x,y\n" + (0..<300).map { "\($0 % 2),\($0 / 2 % 2)\n" }.joined()

  /// Two members, made by Python's gzip module (level 9, no time).
  static let gzip = base64(
    """
    H4sIAAAAAAACA6vQqeQy0DHgMgRiAx1DIG04yh/mfAApto6s9AEAAB+LCAAAAAAAAgMz0DHgMgRiAx1D
    IG0IpEf5o/yhwwcAfCGV/MACAAA=
    """)

  /// Two frames, made by libzstd (level 19).
  static let zstandard = base64(
    """
    KLUv/QRo1QAAmHgseQowLDAKMSwwCjAsMQoxLDEBAL1HnWG5TqYpKLUv/QRovQAAgDAsMAoxLDAKMCwx
    CjEsMQoBAFpNNZfZNIKN
    """)

  private static func base64(_ text: String) -> [UInt8] {
    Data(base64Encoded: text, options: .ignoreUnknownCharacters).map(Array.init) ?? []
  }

  private func prepare(_ bytes: [UInt8], _ name: String, chunkSize: Int = 1 << 17) throws -> Dataset
  {
    var options = PrepareOptions()
    options.chunkSize = chunkSize
    return try Dataset.prepare(
      tables: [folder.write(bytes, to: name)],
      schema: Schema(text: "label: y\ncolumns: {x: {type: binary}, y: {type: binary}}", file: "s"),
      options: options
    ).dataset
  }

  /// Also under a name that does not tell, and in any chunks.
  @Test(arguments: ["t.csv.gz", "t.csv"], [1, 100, 1 << 17])
  func compressedTablesAreRead(name: String, chunkSize: Int) throws {
    let plain = try prepare(Array(Self.table.utf8), "plain.csv")
    for bytes in [Self.gzip, Self.zstandard] {
      let data = try prepare(bytes, name, chunkSize: chunkSize)
      #expect(data.contentHash() == plain.contentHash())
      #expect(data.provenance.inputs == [.init(name: name, bytes: bytes.count)])
    }
  }

  /// A file that ends early, at any place, is an error, unless it ends between two members.
  @Test func cutFilesAreRefused() throws {
    for bytes in [Self.gzip, Self.zstandard] {
      for length in 5..<bytes.count {
        do {
          let data = try prepare(Array(bytes[..<length]), "t.gz")
          #expect(data.provenance.rowsRead < 300)
        } catch let error as DataError {
          let isExpected = error.message.contains("end too early")
          #expect(isExpected || error.code == .degenerateLabel, "\(error)")
          #expect(error.location?.file == folder.file("t.gz"))
        }
      }
    }
  }

  /// Damage never crashes, and what gzip's checksum finds is an error.
  @Test func damagedFilesAreRefused() throws {
    var random = SeededGenerator(seed: 1)
    for bytes in [Self.gzip, Self.zstandard] {
      for _ in 0..<200 {
        var damaged = bytes
        let place = Int.random(in: 4..<bytes.count, using: &random)
        damaged[place] ^= UInt8.random(in: 1...255, using: &random)
        _ = try? prepare(damaged, "t.gz")
      }
    }
    var damaged = Self.gzip
    damaged[40] ^= 0x10
    let error = #expect(throws: DataError.self) { try prepare(damaged, "t.gz") }
    #expect(error?.code == .malformedTable)
  }
}
