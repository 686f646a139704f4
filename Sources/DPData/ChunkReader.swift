internal import DPFiles
internal import DPParquet

/// Hands tables out one after another: texts in chunks, cut where records end, Parquet files in row
/// groups, the long ones in parts.
///
/// A file's header is read, and checked, with its first chunk.
final class ChunkReader {
  private let context: PreparationContext
  private let shape: RowShape
  private let chunkSize: Int
  private let parts: [TablePart]
  private var table: TableContext?
  private var reader: CSVReader?
  private var file: ParquetFile?
  /// The row group that is next, the first of its rows that is, and the number of that row in the file.
  private var nextGroup = (index: 0, row: 0, firstRow: 0)
  private var nextPart = 0
  private var nextTicket = 0
  /// Bytes behind the last chunk's end, with which the next one begins.
  private var rest: [UInt8] = []
  private var isAtEnd = false
  private var hasFailed = false

  init(_ context: PreparationContext, _ parts: [TablePart], shape: RowShape) {
    self.context = context
    self.parts = parts
    self.shape = shape
    chunkSize = context.options.chunkSize
  }

  /// Fills a chunk.
  ///
  /// - Parameter chunk: Gets the next piece of the tables (of a Parquet file which row group that is), or
  ///   what went wrong; then it is the last.
  /// - Returns: Whether there is one.
  func next(_ chunk: TableChunk) -> Bool {
    guard !hasFailed else { return false }
    chunk.clear()
    do {
      guard try fill(chunk) else { return false }
    } catch {
      chunk.failure = .error(error)
      // Records before the failure still count: one of them may be the first that is wrong.
      if reader != nil { chunk.cut(at: chunk.lastRecordEnd(isWhole: false).cut, &rest) }
    }
    hasFailed = chunk.failure != nil
    chunk.ticket = nextTicket
    nextTicket += 1
    return true
  }

  private func fill(_ chunk: TableChunk) throws -> Bool {
    chunk.table = nil
    if reader == nil, file == nil {
      guard nextPart < parts.count else { return false }
      try open()
    }
    if let file {
      handOut(file, chunk)
      return true
    }
    guard let reader else { return false }
    chunk.table = table
    take(rest, into: chunk)
    rest.removeAll(keepingCapacity: true)
    var (cut, openQuote): (Int, Int?) = (0, nil)
    while true {
      try readMore(into: chunk, reader)
      (cut, openQuote) = chunk.lastRecordEnd(isWhole: isAtEnd)
      if cut > 0 || isAtEnd { break }
      guard chunk.count < CSVReader.recordByteLimit else {
        chunk.failure = .text(
          .malformedTable,
          "a record is longer than \(CSVReader.recordByteLimit) bytes; a closing quote may be missing",
          line: 0, column: 1)
        break
      }
    }
    if isAtEnd, let openQuote {
      let place = chunk.place(of: openQuote)
      chunk.failure = .text(
        .unclosedQuote, "a quote opens here and is never closed; close it", line: place.line,
        column: place.column)
    }
    chunk.cut(at: cut, &rest)
    chunk.rawBytesRead = reader.bytesRead
    chunk.isLast = isAtEnd
    if isAtEnd { self.reader = nil }
    return true
  }

  private func open() throws {
    let part = parts[nextPart]
    if part.isParquet { return try openParquet(part) }
    let delimiter = part.path.delimiter(given: context.options.delimiter)
    let reader = try CSVReader(path: part.path, delimiter: delimiter, chunkSize: chunkSize)
    let header = try TableHeader(
      reader, schema: context.schema, purpose: .preparation, columns: context.options.columns,
      onMessage: context.onMessage)
    begin(part, header, delimiter: delimiter, firstLine: reader.lineOfRest)
    self.reader = reader
    isAtEnd = false
  }

  private func openParquet(_ part: TablePart) throws {
    let file = try ParquetFailure.rethrown { () throws(ParquetError) in
      try ParquetFile(path: part.path)
    }
    // What is ignored in one part file of a folder is ignored in the others.
    let isFirst = nextPart == 0 || parts[nextPart - 1].input != part.input
    let header = try TableHeader(
      file, schema: context.schema, purpose: .preparation,
      onMessage: isFirst ? context.onMessage : { _ in })
    begin(part, header, delimiter: UInt8(ascii: ","), firstLine: 0)
    self.file = file
    nextGroup = (0, 0, 0)
  }

  private func begin(
    _ part: TablePart, _ header: TableHeader, delimiter: UInt8, firstLine: Int
  ) {
    table = TableContext(
      index: nextPart, part: part, header: header, schema: context.schema, shape: shape,
      delimiter: delimiter, firstLine: firstLine, usesPlan: context.options.usesRowPlan)
    nextPart += 1
  }

  /// Hands out the next row group, or part of one; a file without any gives one piece without rows.
  private func handOut(_ file: ParquetFile, _ chunk: TableChunk) {
    let groups = file.rowGroups
    let group = nextGroup.index < groups.count ? nextGroup.index : nil
    let count = group.map { groups[$0] } ?? 0
    let first = nextGroup.row
    let rows = first..<min(count, group.map { first + partRows(of: file, group: $0) } ?? 0)
    let isGroupEnd = rows.upperBound == count
    let part = RowGroupPart(
      file: file, group: group, rows: rows, firstRow: nextGroup.firstRow,
      isLast: isGroupEnd && nextGroup.index + 1 >= groups.count)
    chunk.table = table
    chunk.group = part
    nextGroup.index += isGroupEnd ? 1 : 0
    nextGroup.row = isGroupEnd ? 0 : rows.upperBound
    nextGroup.firstRow += rows.count
    if part.isLast { self.file = nil }
  }

  /// How many rows of a row group one thread reads: all, unless others can read the rest.
  ///
  /// Every thread passes over the pages that others read, and has pages of its own in memory; where these
  /// could be more than readers of the file may have, a row group is read by one.
  private func partRows(of file: ParquetFile, group: Int) -> Int {
    let columns = table?.header.columns ?? []
    let room = 8 * file.byteCount + 32_000_000
    guard context.threads > 1,
      let bytes = file.uncompressedByteCount(ofRowGroup: group, columns: columns),
      bytes <= room / context.threads
    else { return file.rowGroups[group] }
    return Self.partBatches * context.options.batchRows
  }

  /// Batches of a part.
  private static let partBatches = 16

  private func take(_ bytes: [UInt8], into chunk: TableChunk) {
    guard !bytes.isEmpty else { return }
    _ = unsafe chunk.append(upTo: bytes.count) {
      unsafe $0.copyBytes(from: bytes)
      return bytes.count
    }
  }

  /// Reads a chunk's worth of bytes, or at least as many as there are, so that looking for a record's
  /// end anew each time costs O(bytes) in all.
  private func readMore(into chunk: TableChunk, _ reader: CSVReader) throws {
    let wanted = max(targetSize - chunk.count, chunk.count, 1)
    var done = 0
    while done < wanted {
      let count = unsafe try chunk.append(upTo: wanted - done) {
        unsafe try reader.readRest(into: $0)
      }
      if count == 0 {
        isAtEnd = true
        return
      }
      done += count
    }
  }

  /// Bytes of a chunk: fewer where a record of few bytes makes many features, which bounds memory.
  private var targetSize: Int {
    let leastRecord = max(2, table?.header.names.count ?? 0)
    return min(chunkSize, max(1024, Self.rowBytesLimit / max(1, shape.rowBytes) * leastRecord))
  }

  /// About how many bytes the encoded rows of a chunk may take.
  private static let rowBytesLimit = 8 << 20
}
