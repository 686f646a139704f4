internal import DPFiles

/// The bytes of a table, from front to back: a file, standard input or memory; plain, gzip or zstd.
///
/// Compressed data are known by their first bytes, whatever the file is called.
final class ByteSource {
  /// The name that stands for standard input on a command line.
  static let standardInput = "-"

  /// Bytes of the file that were read so far, before any decompression.
  private(set) var rawBytesRead = 0
  private let name: String
  private let file: InputFile?
  /// The table itself, or the first bytes of the file, which told how to read the rest.
  private var front: [UInt8]
  private var frontPosition = 0
  private var decompressor: Decompressor?
  private var input: [UInt8] = []
  private var inputRange = 0..<0
  private static let inputSize = 1 << 18

  /// Opens a table.
  ///
  /// - Parameter path: A file, anything else that can be read, or `-`.
  /// - Throws: ``FileError``; ``DataError`` `malformedTable` where its compression cannot be undone.
  init(path: String) throws {
    let file =
      path == Self.standardInput
      ? try InputFile(standardInputAs: path.tableName) : try InputFile(path: path)
    name = path.tableName
    self.file = consume file
    front = []
    try lookAtFront()
  }

  /// Reads memory.
  init(_ bytes: [UInt8]) {
    name = ""
    file = nil
    front = bytes
    rawBytesRead = bytes.count
  }

  /// Reads the next bytes.
  ///
  /// - Parameter target: Not empty; writable through the call.
  /// - Returns: How many were read, at least 1, or 0 at the end.
  /// - Throws: ``FileError`` `inputOutput`; ``DataError`` `malformedTable` for damaged compressed data.
  @unsafe func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    if decompressor != nil { return unsafe try decompress(into: target) }
    if frontPosition < front.count {
      let count = min(target.count, front.count - frontPosition)
      unsafe target.copyBytes(from: front[frontPosition..<frontPosition + count])
      frontPosition += count
      return count
    }
    return unsafe try readRaw(into: target)
  }

  @unsafe private func readRaw(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    guard file != nil else { return 0 }
    let count = unsafe try file?.read(into: target) ?? 0
    rawBytesRead += count
    return count
  }

  /// Reads enough to know how the file is compressed, if it is.
  private func lookAtFront() throws {
    var bytes = [UInt8](repeating: 0, count: 4)
    var count = 0
    while count < 4 {
      // SAFETY: the buffer is written within the closure only.
      let more = unsafe try bytes.withUnsafeMutableBytes {
        unsafe try readRaw(into: UnsafeMutableRawBufferPointer(rebasing: $0[count...]))
      }
      if more == 0 { break }
      count += more
    }
    front = Array(bytes[..<count])
    guard front != Array("PAR1".utf8) else {
      throw DataError(
        .malformedTable, "is Parquet, which is not read from a pipe; name the file itself",
        at: .init(file: name))
    }
    guard let format = Decompressor.Format(front: front) else { return }
    decompressor = try Decompressor(format, table: name)
    input = front + [UInt8](repeating: 0, count: Self.inputSize - front.count)
    inputRange = 0..<front.count
  }

  @unsafe private func decompress(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    guard let decompressor else { return 0 }
    var isAtEnd = false
    while true {
      let (consumed, produced) = unsafe try input.withUnsafeBytes {
        unsafe try decompressor.decompress(
          UnsafeRawBufferPointer(rebasing: $0[inputRange]), into: target)
      }
      inputRange = inputRange.lowerBound + consumed..<inputRange.upperBound
      if produced > 0 { return produced }
      if consumed > 0 && !inputRange.isEmpty { continue }
      if isAtEnd {
        guard decompressor.isBetweenParts else {
          throw DataError(
            .malformedTable, "its compressed data end too early; copy or make the file again",
            at: .init(file: name))
        }
        return 0
      }
      let count = unsafe try input.withUnsafeMutableBytes { unsafe try readRaw(into: $0) }
      inputRange = 0..<count
      isAtEnd = count == 0
    }
  }
}

extension String {
  /// What messages and provenance call a table of this path.
  var tableName: String { self == ByteSource.standardInput ? "standard input" : self }

  /// Whether a table of this path is taken to be separated by tabs: `.tsv` or `.tab`, compressed or
  /// not.
  var namesTabs: Bool {
    var name = lowercased()
    for ending in [".gz", ".zst"] where name.hasSuffix(ending) {
      name.removeLast(ending.utf8.count)
    }
    return name.hasSuffix(".tsv") || name.hasSuffix(".tab")
  }

  /// The delimiter of a table of this path, unless one is given.
  ///
  /// - Parameter given: What was asked for, or nil.
  /// - Returns: That, or what the name says.
  package func delimiter(given: UInt8?) -> UInt8 {
    given ?? (namesTabs ? UInt8(ascii: "\t") : UInt8(ascii: ","))
  }
}
