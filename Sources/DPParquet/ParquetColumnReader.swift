internal import CDPParquet
internal import DPFiles

/// Reads one column, one row group after another, in batches.
///
/// Readers of one file are independent of each other: read columns and row groups on as many threads as
/// there are, with a reader for each. A reader keeps its memory from one row group to the next and
/// allocates nothing for a value.
///
///     let reader = try ParquetColumnReader(file, column: try file.column(named: "age"))
///     for group in file.rowGroups.indices {
///       try reader.select(rowGroup: group)
///       while let batch = try reader.read(upTo: 32_768) { ... }
///     }
///
/// Batches of some ten thousand rows stay in the processor's cache and bound the memory.
@safe public final class ParquetColumnReader {
  /// The file.
  public let file: ParquetFile
  /// The column.
  public let column: ParquetColumn
  /// The row group that is read, or nil before the first.
  public private(set) var rowGroup: Int?
  /// Rows of the row group that have not been read.
  public private(set) var rowsLeft = 0
  /// Whether batches show the file's dictionary.
  public let keepsIndices: Bool

  let storage: ParquetStorage
  var codec = Codec.none
  /// The chunk's pages that are left.
  var position = 0
  var end = 0
  /// The last page's number; -1 before the first.
  var pageNumber = -1
  /// Rows of the row group whose page has not been opened.
  var rowsUnpaged = 0
  var page = Page()

  /// Uncompressed pages.
  var pageMemory: GrowingMemory
  /// Lengths of strings whose encoding keeps them apart.
  var lengths: GrowingMemory
  /// The last string, where the next one builds on it.
  var lastString: GrowingMemory
  var lastStringLength = 0

  var dictionary: GrowingMemory
  var dictionaryCount = 0
  var dictionaryNumber = 0
  /// Bytes of the dictionary's strings, at the beginning of `data`.
  var dictionaryBytes = 0

  var bitmap: GrowingMemory
  var values: GrowingMemory
  var indices: GrowingMemory
  var data: GrowingMemory
  var dataCount = 0
  /// Rows of the batch with a value.
  var present = 0
  /// Whether all of the batch so far has indices.
  var isCoded = false

  /// A reader that has no row group yet.
  ///
  /// - Parameters:
  ///   - file: The file.
  ///   - column: An index in its `columns`.
  ///   - keepsIndices: Whether a batch whose rows all come from the file's dictionary shows the
  ///     dictionary's entries and the rows' indices, instead of an entry for each row.
  /// - Throws: ``ParquetError`` `unsupported` for a nested column.
  public init(_ file: ParquetFile, column: Int, keepsIndices: Bool = false) throws(ParquetError) {
    precondition(
      file.columns.indices.contains(column), "column \(column) of \(file.columns.count)")
    let column = file.columns[column]
    if let refusal = column.refusal {
      throw ParquetError(.unsupported, refusal, at: .init(file: file.path, column: column.name))
    }
    self.file = file
    self.column = column
    self.keepsIndices = keepsIndices
    storage = column.storage
    do throws(Fault) {
      let account = file.account
      pageMemory = try GrowingMemory(account: account)
      lengths = try GrowingMemory(account: account)
      lastString = try GrowingMemory(account: account)
      dictionary = try GrowingMemory(account: account)
      bitmap = try GrowingMemory(account: account)
      values = try GrowingMemory(account: account)
      indices = try GrowingMemory(account: account)
      data = try GrowingMemory(account: account)
    } catch {
      throw ParquetError(error, at: .init(file: file.path, column: column.name))
    }
  }

  /// Begins a row group.
  ///
  /// - Parameter group: An index in the file's `rowGroups`.
  /// - Throws: ``ParquetError`` `unsupported` for its compression, or `malformed`.
  public func select(rowGroup group: Int) throws(ParquetError) {
    precondition(file.groups.indices.contains(group), "row group \(group) of \(file.groups.count)")
    rowGroup = group
    rowsLeft = 0
    pageNumber = -1
    do throws(Fault) {
      try begin(file.groups[group].chunks[column.chunk], rows: file.groups[group].rows)
    } catch {
      throw placed(error)
    }
  }

  private func begin(_ chunk: FileMetadata.Chunk, rows: Int) throws(Fault) {
    guard !chunk.isEncrypted else {
      throw Fault(.unsupported, "is encrypted; have it decrypted and written again")
    }
    guard !chunk.isElsewhere else {
      throw Fault(.unsupported, "is kept in another file; have the table written in one piece")
    }
    guard chunk.type == storage.number else { throw .damaged("its type is not the schema's") }
    codec = try Codec(number: chunk.codec)
    guard chunk.values == rows else {
      throw .damaged("it has \(chunk.values) values in \(rows) rows")
    }
    guard chunk.start >= 4, chunk.compressedBytes >= 0, chunk.start <= file.footerStart,
      chunk.compressedBytes <= file.footerStart - chunk.start
    else { throw .damaged("its place is not in the file") }
    position = chunk.start
    end = chunk.start + chunk.compressedBytes
    rowsUnpaged = rows
    page = Page()
    dictionaryCount = 0
    dictionaryBytes = 0
    dataCount = 0
    dictionaryNumber += 1
    rowsLeft = rows
  }

  /// Reads the next rows of the row group.
  ///
  /// - Parameter rows: The most rows, at least 1.
  /// - Returns: That many rows, or as many as are left, or nil after the last. What it holds is valid
  ///   until the next call.
  /// - Throws: ``ParquetError`` `malformed`, `unsupported`, `missingLibrary` or `tooLarge`; the reader
  ///   then needs a row group anew.
  public func read(upTo rows: Int) throws(ParquetError) -> ParquetBatch? {
    precondition(rows > 0, "\(rows) rows asked for")
    guard rowsLeft > 0 else { return nil }
    let count = min(rows, rowsLeft)
    do throws(Fault) {
      try fill(count)
    } catch {
      rowsLeft = 0
      throw placed(error)
    }
    rowsLeft -= count
    return batch(of: count)
  }

  /// Passes over the next rows of the row group; pages that are passed over as a whole are not opened.
  ///
  /// - Parameter rows: How many, at most ``rowsLeft``.
  /// - Throws: As ``read(upTo:)``.
  public func skip(_ rows: Int) throws(ParquetError) {
    precondition(rows >= 0 && rows <= rowsLeft, "\(rows) of \(rowsLeft) rows passed over")
    rowsLeft -= rows
    var rows = rows
    do throws(Fault) {
      while rows > 0 {
        try skipPages(&rows)
        let count = min(rows, page.rowsLeft, Self.skippedAtOnce)
        if count > 0 { try fill(count) }
        rows -= count
      }
    } catch {
      rowsLeft = 0
      throw placed(error)
    }
  }

  /// Rows within a page that are passed over are read, so many at a time.
  private static let skippedAtOnce = 8192

  private func batch(of count: Int) -> ParquetBatch {
    ParquetBatch(
      column: column, rowCount: count, nullCount: count - present,
      entryCount: isCoded ? dictionaryCount : count, dictionary: isCoded ? dictionaryNumber : nil,
      bitmapMemory: bitmap.memory, valuesMemory: isCoded ? dictionary.memory : values.memory,
      indicesMemory: isCoded ? indices.memory : nil, dataMemory: data.memory)
  }

  private func placed(_ fault: Fault) -> ParquetError {
    ParquetError(
      fault,
      at: .init(
        file: file.path, column: column.name, rowGroup: rowGroup,
        page: pageNumber < 0 ? nil : pageNumber))
  }

  /// Reads exactly `count` rows.
  private func fill(_ count: Int) throws(Fault) {
    present = 0
    dataCount = dictionaryBytes
    isCoded = keepsIndices
    if column.isOptional { try bitmap.reserve(count / 8 + 16) }
    if keepsIndices { try indices.reserve(count * 4) }
    if !keepsIndices { try values.reserve(count * storage.width) }
    var filled = 0
    while filled < count {
      if page.rowsLeft == 0 { try nextPage() }
      let rows = min(count - filled, page.rowsLeft)
      let dense = column.isOptional ? try readLevels(rows, at: filled) : rows
      try readValues(dense, of: rows, at: filled, batch: count)
      page.rowsLeft -= rows
      present += dense
      filled += rows
    }
  }
}
