internal import DPFiles

/// Reads a CSV table record by record, in memory bounded by a chunk or the longest record.
///
/// The dialect is that of ``CSVTokenizer``. A UTF-8 byte-order mark at the beginning is skipped.
/// Fields are lent as bytes of the buffer: no text is made for them.
///
/// Call ``next()`` until it returns false; the fields of the current record are valid in between.
@safe package final class CSVReader {
  /// Records longer than this are an error, which bounds the memory.
  package static let recordByteLimit = 1 << 28
  /// Bytes that are asked of the file at a time, unless a reader is told otherwise.
  package static let usualChunkSize = 1 << 20

  /// What error messages call the table: the path as the caller gave it.
  package let name: String
  /// Physical line, from 1, in which the current record begins.
  package private(set) var line = 1
  /// Bytes of the file that were read so far; of a compressed file, its compressed bytes.
  package var bytesRead: Int { source.rawBytesRead }

  private let tokenizer: CSVTokenizer
  private let source: ByteSource
  private let chunkSize: Int
  private let recordByteLimit: Int
  private var buffer: UnsafeMutableBufferPointer<UInt8>
  /// Where the valid bytes of the buffer end.
  private var filled = 0
  /// Where the current record begins in the buffer.
  private var recordStart = 0
  /// Where the next record begins in the buffer.
  private var position = 0
  private var isAtEnd = false
  private let current = CSVFields()
  /// The line in which the next record begins.
  private var nextLine = 1

  /// Opens a table.
  ///
  /// - Parameters:
  ///   - path: A file, or anything that can be read from front to back, or `-`.
  ///   - delimiter: An ASCII byte other than a quote or a line end.
  ///   - chunkSize: Bytes that are asked of the file at a time, at least 1.
  /// - Throws: ``FileError``, or ``DataError`` `invalidOption` for a delimiter that cannot be one.
  package convenience init(
    path: String, delimiter: UInt8, chunkSize: Int = CSVReader.usualChunkSize
  ) throws {
    try self.init(
      ByteSource(path: path), path.tableName, delimiter, chunkSize, Self.recordByteLimit)
  }

  /// Reads a table from memory.
  ///
  /// - Parameters:
  ///   - bytes: The table.
  ///   - name: What error messages call it.
  ///   - delimiter: An ASCII byte other than a quote or a line end.
  ///   - chunkSize: Bytes that are taken at a time, at least 1.
  ///   - recordByteLimit: Longer records are an error.
  /// - Throws: ``DataError`` `invalidOption` for a delimiter that cannot be one.
  package convenience init(
    bytes: [UInt8], name: String, delimiter: UInt8, chunkSize: Int = CSVReader.usualChunkSize,
    recordByteLimit: Int = CSVReader.recordByteLimit
  ) throws {
    try self.init(ByteSource(bytes), name, delimiter, chunkSize, recordByteLimit)
  }

  private init(
    _ source: ByteSource, _ name: String, _ delimiter: UInt8, _ chunkSize: Int,
    _ recordByteLimit: Int
  ) throws {
    precondition(chunkSize > 0, "chunks of \(chunkSize) bytes")
    guard delimiter < 0x80, ![0x00, 0x0A, 0x0D, 0x22].contains(delimiter) else {
      throw DataError(
        .invalidOption,
        "the delimiter is not a single ASCII character that can separate fields;"
          + " use a comma, semicolon, tab or the like")
    }
    self.source = source
    self.name = name
    self.chunkSize = chunkSize
    self.recordByteLimit = recordByteLimit
    tokenizer = CSVTokenizer(delimiter: delimiter)
    unsafe buffer = .allocate(capacity: chunkSize + 64)
    while filled < 3, !isAtEnd { try fill() }
    if filled >= 3, unsafe buffer[0] == 0xEF, unsafe buffer[1] == 0xBB, unsafe buffer[2] == 0xBF {
      position = 3
    }
  }

  deinit { unsafe buffer.deallocate() }

  /// Goes to the next record.
  ///
  /// - Returns: Whether there is one.
  /// - Throws: ``FileError`` `inputOutput`; ``DataError`` `unclosedQuote` at the opening quote where
  ///   the file ends within quotes, `malformedTable` for a record beyond the limit.
  /// - Complexity: Amortised O(bytes of the record).
  package func next() throws -> Bool {
    guard try skipBlankLines() else { return false }
    line = nextLine
    while true {
      recordStart = position
      // SAFETY: the first `filled` bytes of the buffer were read; nothing moves them in the call.
      let outcome = unsafe tokenizer.scan(
        UnsafeBufferPointer(rebasing: buffer[..<filled]), from: position, isLast: isAtEnd,
        into: current)
      switch outcome {
      case .record(let next):
        position = next
        nextLine = line + 1 + current.innerLineEnds
        return true
      case .incomplete:
        guard filled - position < recordByteLimit else {
          throw DataError(
            .malformedTable,
            "a record is longer than \(recordByteLimit) bytes; a closing quote may be missing",
            at: location())
        }
        try fill()
      case .unclosedQuote(let opening):
        throw DataError(
          .unclosedQuote, "a quote opens here and is never closed; close it",
          at: location(ofOffset: opening))
      }
    }
  }

  /// Goes back, so that the current record is the next one again.
  func unread() {
    position = recordStart
    nextLine = line
  }

  /// The physical line that the bytes of ``readRest(into:)`` begin in.
  var lineOfRest: Int { nextLine }

  /// Hands over the bytes behind the current record, for a reader of another kind to go on with.
  ///
  /// - Parameter target: Not empty; writable through the call.
  /// - Returns: How many bytes were given, at least 1, or 0 at the end of the table.
  /// - Throws: What ``next()`` throws for a table that cannot be read.
  @unsafe func readRest(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    guard position < filled else { return unsafe try source.read(into: target) }
    let count = min(target.count, filled - position)
    unsafe target.copyMemory(
      from: UnsafeRawBufferPointer(
        rebasing: UnsafeRawBufferPointer(buffer)[position..<position + count]))
    position += count
    return count
  }

  /// How many fields the current record has; at least 1.
  package var fieldCount: Int { current.count }

  /// The current record, valid until ``next()`` is called.
  var record: RecordView {
    guard let base = unsafe buffer.baseAddress else { preconditionFailure("a reader has memory") }
    return unsafe current.record(
      in: UnsafePointer(base), recordStart..<position, line: line)
  }

  /// Lends the text of a field of the current record.
  ///
  /// - Parameter index: 0 up to ``fieldCount``.
  /// - Returns: Its bytes, valid until ``next()`` is called.
  @unsafe package func field(_ index: Int) -> UnsafeRawBufferPointer {
    unsafe record.field(index)
  }

  /// Where the current record or one of its fields begins.
  ///
  /// - Parameter field: 0 up to ``fieldCount``, or nil for the record.
  /// - Returns: The place.
  /// - Complexity: O(bytes of the record before the field).
  package func location(ofField field: Int? = nil) -> DataError.Location {
    location(ofOffset: field.map { current[$0].origin } ?? recordStart)
  }

  private func location() -> DataError.Location { location(ofOffset: recordStart) }

  private func location(ofOffset offset: Int) -> DataError.Location {
    // SAFETY: the range lies within the filled part of the buffer.
    let before = unsafe UnsafeBufferPointer(buffer)[recordStart..<offset]
    let start = unsafe LineEnds.lastStart(in: before) ?? recordStart
    return .init(
      file: name, line: line + (unsafe LineEnds.count(in: before)), column: offset - start + 1)
  }

  /// Passes line ends up to the next record.
  ///
  /// Returns whether there is one.
  private func skipBlankLines() throws -> Bool {
    while true {
      if position == filled {
        if isAtEnd { return false }
        try fill()
        continue
      }
      let byte = unsafe buffer[position]
      guard byte == 0x0A || byte == 0x0D else { return true }
      if byte == 0x0D, position + 1 == filled, !isAtEnd {
        try fill()
        continue
      }
      let isPair = unsafe byte == 0x0D && position + 1 < filled && buffer[position + 1] == 0x0A
      position += isPair ? 2 : 1
      nextLine += 1
    }
  }

  /// Moves what is left to the front and reads more: at least as much again, so that scanning a
  /// record anew after each call costs O(bytes) in all.
  private func fill() throws {
    let left = filled - position
    let wanted = max(chunkSize, left)
    unsafe makeRoom(for: left + wanted)
    position = 0
    filled = left
    // SAFETY: the buffer has room for `wanted` bytes after the `left` that were moved.
    let count = unsafe try source.read(
      into: UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(buffer)[left..<left + wanted]))
    filled += count
    isAtEnd = count == 0
  }

  @unsafe private func makeRoom(for byteCount: Int) {
    let rest = unsafe UnsafeBufferPointer(rebasing: buffer[position..<filled])
    if unsafe byteCount <= buffer.count {
      guard let target = unsafe buffer.baseAddress, let from = rest.baseAddress else {
        return
      }
      // SAFETY: both lie within the buffer; update(from:) allows them to overlap.
      unsafe target.update(from: from, count: rest.count)
      return
    }
    let larger = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: byteCount)
    _ = unsafe larger.update(fromContentsOf: rest)
    unsafe buffer.deallocate()
    unsafe buffer = unsafe larger
  }
}
