internal import DPParquet

/// The rows of a Parquet file: batches of the columns that are read, side by side.
///
/// One thread has it at a time. The batch's rows are lent as records, like those of a text: a field's
/// text is that of docs/parquet.md, a null has none.
@safe final class ParquetRows {
  let file: ParquetFile
  /// The batch of each field.
  private(set) var batches: [ParquetBatch] = []
  /// Rows of the batch.
  private(set) var count = 0
  /// The number of the batch's first row, from 0, in the order of the file.
  private(set) var firstRow = 0
  private let readers: [ParquetColumnReader]
  /// Rows of the part that have not been read.
  private var rowsLeft = 0
  /// The row group that readers are in, and how many of its rows they have left.
  private var group: Int?
  private var groupRowsLeft = 0
  private let fields = CSVFields()
  private let text = Scratch<UInt8>(capacity: 256)
  private var textCount = 0
  private var piece: [UInt8] = []

  /// Opens the columns.
  ///
  /// - Parameters:
  ///   - file: An open file.
  ///   - header: Says which columns are read.
  /// - Throws: ``DataError`` `malformedTable` for a column of a kind that is not read.
  init(_ file: ParquetFile, _ header: TableHeader) throws {
    self.file = file
    readers = try header.columns.map { column in
      try ParquetFailure.rethrown { () throws(ParquetError) in
        try ParquetColumnReader(file, column: column, keepsIndices: true)
      }
    }
  }

  /// How many rows a batch has: fewer where there are many columns or threads, so that all batches of a
  /// file together take some 32 MB, which any file's reader may have.
  ///
  /// - Parameters:
  ///   - limit: The most rows.
  ///   - columns: How many are read.
  ///   - threads: How many read the file at once.
  /// - Returns: At least 1.
  static func batchRows(_ limit: Int, columns: Int, threads: Int) -> Int {
    min(limit, max(16, (1 << 21) / max(1, columns * threads)))
  }

  /// Goes to some rows of a row group; on from where it is, where they follow.
  ///
  /// - Parameters:
  ///   - group: An index in the file's row groups.
  ///   - rows: Rows of it.
  ///   - firstRow: The number of the first of them in the file.
  /// - Throws: ``DataError`` `malformedTable`.
  func select(rowGroup group: Int, rows: Range<Int>, firstRow: Int) throws {
    let left = file.rowGroups[group] - rows.lowerBound
    let isAhead = self.group == group && groupRowsLeft >= left
    let passed = isAhead ? groupRowsLeft - left : rows.lowerBound
    self.group = nil
    for reader in readers {
      try ParquetFailure.rethrown { () throws(ParquetError) in
        if !isAhead { try reader.select(rowGroup: group) }
        try reader.skip(passed)
      }
    }
    self.group = group
    groupRowsLeft = left
    self.firstRow = firstRow
    count = 0
    rowsLeft = rows.count
  }

  /// Reads the next of these rows.
  ///
  /// - Parameter limit: The most rows.
  /// - Returns: Whether there are any.
  /// - Throws: ``DataError`` `malformedTable`.
  func next(upTo limit: Int) throws -> Bool {
    firstRow += count
    count = min(limit, rowsLeft)
    rowsLeft -= count
    groupRowsLeft -= count
    guard count > 0 else { return false }
    batches.removeAll(keepingCapacity: true)
    for reader in readers {
      let batch = try ParquetFailure.rethrown { () throws(ParquetError) in
        try reader.read(upTo: count)
      }
      guard let batch, batch.rowCount == count else {
        preconditionFailure("a column has fewer rows than its row group")
      }
      batches.append(batch)
    }
    return true
  }

  /// Lends a row of the batch.
  ///
  /// - Parameters:
  ///   - row: 0 up to ``count``.
  ///   - isNeeded: Fields that are not are nulls in the record; nil for all.
  /// - Returns: A view, valid until the next call. Its line is the row's number, from 1, in the file.
  func record(_ row: Int, only isNeeded: [Bool]? = nil) -> RecordView {
    fields.removeAll()
    textCount = 0
    for field in batches.indices {
      guard isNeeded?[field] ?? true, !batches[field].isNull(row) else {
        fields.append(.null)
        continue
      }
      let start = textCount
      appendText(of: batches[field], row)
      fields.append(
        CSVField(lower: start, upper: textCount, origin: start, end: textCount, isInBuffer: true))
    }
    return unsafe fields.record(
      in: UnsafePointer(text.base), 0..<textCount, line: firstRow + row + 1, hasLines: false)
  }

  private func appendText(of batch: ParquetBatch, _ row: Int) {
    let entry = batch.entry(ofRow: row)
    if batch.column.isText {
      // SAFETY: the batch is the reader's last one.
      unsafe append(UnsafeRawBufferPointer(batch.bytes(ofEntry: entry)))
      return
    }
    piece.removeAll(keepingCapacity: true)
    batch.appendText(ofEntry: entry, to: &piece)
    // SAFETY: the buffer is read within the closure only.
    unsafe piece.withUnsafeBytes { unsafe append($0) }
  }

  @unsafe private func append(_ bytes: UnsafeRawBufferPointer) {
    text.reserve(textCount + bytes.count, keeping: textCount)
    if let start = bytes.baseAddress {
      unsafe UnsafeMutableRawPointer(text.base + textCount).copyMemory(
        from: start, byteCount: bytes.count)
    }
    textCount += bytes.count
  }
}

extension ParquetColumn {
  /// Whether values are stored as their texts.
  var isText: Bool { type == .string || type == .binary }
}

/// Reads a Parquet file row by row.
final class ParquetRecordReader: RecordReader {
  private let rows: ParquetRows
  private let batchRows: Int
  private var nextGroup = 0
  private var firstRow = 0
  private var row = -1

  /// A reader before the first row.
  ///
  /// - Parameters:
  ///   - file: An open file.
  ///   - header: Says which columns are read.
  ///   - batchRows: Rows that are read at a time at most.
  /// - Throws: ``DataError`` `malformedTable` for a column of a kind that is not read.
  init(_ file: ParquetFile, _ header: TableHeader, batchRows: Int) throws {
    rows = try ParquetRows(file, header)
    self.batchRows = ParquetRows.batchRows(
      batchRows, columns: header.columns.count, threads: 1)
  }

  /// Of the whole file, the share of its rows that were read.
  var bytesRead: Int {
    rows.file.byteCount(ofRows: rows.firstRow + rows.count)
  }

  var record: RecordView { rows.record(row) }

  func next() throws -> Bool {
    row += 1
    while row >= rows.count {
      row = 0
      if try rows.next(upTo: batchRows) { break }
      guard nextGroup < rows.file.rowGroups.count else {
        row = -1
        return false
      }
      let count = rows.file.rowGroups[nextGroup]
      try rows.select(rowGroup: nextGroup, rows: 0..<count, firstRow: firstRow)
      firstRow += count
      nextGroup += 1
    }
    return true
  }
}

extension ParquetFile {
  /// The share of the file's bytes that its first rows have.
  func byteCount(ofRows rows: Int) -> Int {
    rowCount == 0 ? byteCount : Int(Double(byteCount) * Double(rows) / Double(rowCount))
  }
}
