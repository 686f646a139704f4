internal import DPFiles

/// An open Parquet file: its columns and row groups.
///
/// Opening reads the footer alone. Columns are read by ``ParquetColumnReader``, one for each column and
/// thread; any pair of column and row group can be read on its own.
///
/// The file is mapped into memory. It must not be changed while it is read.
public final class ParquetFile: Sendable {
  /// The path, as the caller gave it.
  public let path: String
  /// In the order of the schema; nested ones are there, with a ``ParquetColumn/refusal``.
  public let columns: [ParquetColumn]
  /// Rows of all row groups.
  public let rowCount: Int
  /// The program that wrote the file, as the file says.
  public let writer: String
  /// Rows of each row group.
  public let rowGroups: [Int]
  let groups: [FileMetadata.Group]
  let bytes: MappedBytes
  let account: MemoryAccount
  /// Where the footer begins: pages end before.
  let footerStart: Int

  /// Opens a file.
  ///
  /// - Parameter path: A regular file.
  /// - Throws: ``ParquetError`` `file`, `notParquet`, `malformed`, or `unsupported` for an encrypted one.
  /// - Complexity: O(footer).
  public convenience init(path: String) throws(ParquetError) {
    let bytes: MappedBytes
    do throws(FileError) {
      bytes = try MappedBytes(contentsOf: path)
    } catch {
      throw ParquetError(error, at: .init(file: path))
    }
    try self.init(bytes, path: path)
  }

  /// Opens a file that is in memory.
  ///
  /// - Parameters:
  ///   - bytes: All of the file.
  ///   - name: For messages.
  /// - Throws: As ``init(path:)``.
  public convenience init(bytes: [UInt8], name: String) throws(ParquetError) {
    try self.init(MappedBytes(bytes), path: name)
  }

  private init(_ bytes: MappedBytes, path: String) throws(ParquetError) {
    do throws(Fault) {
      let footer = try Self.footer(bytes)
      account = MemoryAccount(fileSize: bytes.count)
      // SAFETY: `footer` lies within the bytes, which live through the call.
      let metadata = unsafe try FileMetadata(
        UnsafeRawBufferPointer(rebasing: bytes.buffer[footer]), account: account)
      guard !metadata.isEncrypted else { throw Self.encrypted }
      columns = try ParquetColumn.columns(of: metadata.elements)
      try Self.check(metadata)
      rowCount = metadata.rows
      rowGroups = metadata.groups.map(\.rows)
      groups = metadata.groups
      writer = metadata.writer
      footerStart = footer.lowerBound
    } catch {
      throw ParquetError(error, at: .init(file: path))
    }
    self.path = path
    self.bytes = bytes
  }

  /// Bytes of the file.
  public var byteCount: Int { bytes.count }

  /// Bytes of memory that readers of this file hold now.
  ///
  /// Never more than 16 times the file's size and 64 MB.
  public var memoryInUse: Int { account.count }

  /// Bytes that some columns take in a row group before compression, as the file says.
  ///
  /// - Parameters:
  ///   - group: An index in ``rowGroups``.
  ///   - columns: Indices in ``columns`` of columns that can be read.
  /// - Returns: The sum; nil where the file says nothing sensible.
  public func uncompressedByteCount(ofRowGroup group: Int, columns: [Int]) -> Int? {
    columns.reduce(0 as Int?) { sum, column in
      let bytes = groups[group].chunks[self.columns[column].chunk].uncompressedBytes
      guard let sum, bytes >= 0, bytes <= 1 << 40 else { return nil }
      return sum + bytes
    }
  }

  /// The column of a name.
  ///
  /// - Parameter name: As in the file; case counts.
  /// - Returns: Its index in ``columns``.
  /// - Throws: ``ParquetError`` `missingColumn` where no column, or more than one, has the name.
  public func column(named name: String) throws(ParquetError) -> Int {
    let found = columns.indices.filter { columns[$0].name == name }
    guard let first = found.first else {
      throw ParquetError(
        .missingColumn, "the file has no such column; check the name",
        at: .init(file: path, column: name))
    }
    guard found.count == 1 else {
      throw ParquetError(
        .missingColumn, "\(found.count) columns have this name; rename them where they are written",
        at: .init(file: path, column: name))
    }
    return first
  }

  private static let encrypted = Fault(
    .unsupported, "the file is encrypted; have it decrypted and written again")

  /// The footer's place: before its length and the last four bytes, which name the format.
  private static func footer(_ bytes: MappedBytes) throws(Fault) -> Range<Int> {
    let buffer = unsafe bytes.buffer
    let count = bytes.count
    guard count >= 12 else {
      throw Fault(.notParquet, "\(count) bytes are no Parquet file; name a Parquet file")
    }
    // SAFETY: there are at least 12 bytes.
    let mark = unsafe buffer.loadUnaligned(fromByteOffset: count - 4, as: UInt32.self)
    let length = unsafe Int(
      UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: count - 8, as: UInt32.self)))
    switch UInt32(littleEndian: mark) {
    case 0x3152_4150: break  // PAR1
    case 0x4552_4150: throw encrypted  // PARE
    default:
      throw Fault(
        .notParquet,
        "the file does not end as Parquet files do; name a Parquet file, or have it written again")
    }
    guard length <= count - 12 else { throw .damaged("the footer is longer than the file") }
    return count - 8 - length..<count - 8
  }

  private static func check(_ metadata: FileMetadata) throws(Fault) {
    let leaves = metadata.elements.dropFirst().count { $0.children == 0 && $0.type != nil }
    var rows = 0
    for group in metadata.groups {
      guard group.rows >= 0 else { throw .damaged("a row group has no number of rows") }
      guard group.chunks.count == leaves else {
        throw .damaged("a row group has \(group.chunks.count) columns, the schema \(leaves)")
      }
      let (sum, overflows) = rows.addingReportingOverflow(group.rows)
      guard !overflows else { throw .damaged("the row groups have too many rows") }
      rows = sum
    }
    guard rows == metadata.rows else {
      throw .damaged("the row groups have \(rows) rows, the file \(metadata.rows)")
    }
  }
}
