internal import DPFiles

/// Reads tables one after another and cuts them into chunks where records end.
///
/// A table's header is read, and checked, with its first chunk.
final class ChunkReader {
  private let context: PreparationContext
  private let shape: RowShape
  private let chunkSize: Int
  private var table: TableContext?
  private var reader: CSVReader?
  private var nextTable = 0
  private var nextTicket = 0
  /// Bytes behind the last chunk's end, with which the next one begins.
  private var rest: [UInt8] = []
  private var isAtEnd = false
  private var hasFailed = false

  init(_ context: PreparationContext, shape: RowShape) {
    self.context = context
    self.shape = shape
    chunkSize = context.options.chunkSize
  }

  /// Fills a chunk.
  ///
  /// - Parameter chunk: Gets the next piece of the tables, or what went wrong; then it is the last.
  /// - Returns: Whether there is one.
  func next(_ chunk: TableChunk) -> Bool {
    guard !hasFailed else { return false }
    chunk.clear()
    do {
      guard try fill(chunk) else { return false }
    } catch {
      chunk.failure = .error(error)
      // Records before the failure still count: one of them may be the first that is wrong.
      if chunk.table != nil { chunk.cut(at: chunk.lastRecordEnd(isWhole: false).cut, &rest) }
    }
    hasFailed = chunk.failure != nil
    chunk.ticket = nextTicket
    nextTicket += 1
    return true
  }

  private func fill(_ chunk: TableChunk) throws -> Bool {
    chunk.table = nil
    if reader == nil {
      guard nextTable < context.tables.count else { return false }
      try open()
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
    let path = context.tables[nextTable]
    let delimiter = path.delimiter(given: context.options.delimiter)
    let reader = try CSVReader(path: path, delimiter: delimiter, chunkSize: chunkSize)
    let header = try TableHeader(
      reader, schema: context.schema, purpose: .preparation, columns: context.options.columns,
      onMessage: context.onMessage)
    table = TableContext(
      index: nextTable, header: header, schema: context.schema, shape: shape,
      delimiter: delimiter, firstLine: reader.lineOfRest, usesPlan: context.options.usesRowPlan)
    self.reader = reader
    nextTable += 1
    isAtEnd = false
  }

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
