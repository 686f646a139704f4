#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// One field of a record: where its text lies, and where it began in the file.
struct CSVField: BitwiseCopyable {
  /// Where the text begins, in the record's buffer or, unless ``isInBuffer``, the scratch bytes.
  var lower: Int
  /// Where the text ends.
  var upper: Int
  /// Where the field begins in the record's buffer: its first byte after skipped spaces, which is
  /// the opening quote of a quoted field.
  var origin: Int
  /// Where the field ends in the record's buffer.
  var end: Int
  /// Whether the text is a plain part of the buffer.
  ///
  /// A quoted field that needed no change is, too.
  var isInBuffer: Bool

  /// A field that holds nothing, not even an empty text: a null of a Parquet table.
  static let null = CSVField(lower: 0, upper: -1, origin: 0, end: 0, isInBuffer: true)
}

/// The fields of one record, in memory that the next record uses again.
@safe final class CSVFields {
  /// How many fields there are.
  private(set) var count = 0
  /// How many bytes of texts that are not parts of the buffer there are.
  private(set) var scratchCount = 0
  /// How many line ends lie between quotes.
  var innerLineEnds = 0
  private var fields: UnsafeMutableBufferPointer<CSVField>
  private var scratch: UnsafeMutableBufferPointer<UInt8>

  /// No fields.
  init() {
    unsafe fields = .allocate(capacity: 64)
    unsafe scratch = .allocate(capacity: 64)
  }

  deinit {
    unsafe fields.deallocate()
    unsafe scratch.deallocate()
  }

  /// A field.
  ///
  /// - Parameter index: 0 up to ``count``.
  subscript(index: Int) -> CSVField {
    precondition(index >= 0 && index < count, "field \(index) of \(count)")
    return unsafe fields[index]
  }

  func removeAll() {
    count = 0
    scratchCount = 0
    innerLineEnds = 0
  }

  /// Adds a field.
  @inline(__always) func append(_ field: CSVField) {
    if unsafe count == fields.count { unsafe Self.grow(&fields, count, by: 1) }
    unsafe fields.initializeElement(at: count, to: field)
    count += 1
  }

  /// Adds bytes to a text that is no part of the buffer.
  @unsafe func appendScratch(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) {
    if unsafe scratchCount + bytes.count > scratch.count {
      unsafe Self.grow(&scratch, scratchCount, by: bytes.count)
    }
    let target = unsafe UnsafeMutableBufferPointer(rebasing: scratch[scratchCount...])
    _ = unsafe target.update(fromContentsOf: bytes)
    unsafe scratchCount += bytes.count
  }

  /// Lends the record.
  ///
  /// - Parameters:
  ///   - base: The buffer that the fields were found in.
  ///   - range: The record's bytes in it, with its line end.
  ///   - line: The physical line in which it begins, or the row's number.
  ///   - hasLines: Whether it is a line.
  /// - Returns: A view, valid until the fields or the buffer change.
  @unsafe func record(
    in base: UnsafePointer<UInt8>, _ range: Range<Int>, line: Int, hasLines: Bool = true
  ) -> RecordView {
    guard let fields = unsafe fields.baseAddress, let scratch = unsafe scratch.baseAddress else {
      preconditionFailure("the fields have memory")
    }
    return unsafe RecordView(
      base: base, scratch: scratch, fields: fields, fieldCount: count, range: range, line: line,
      hasLines: hasLines)
  }

  @unsafe private static func grow<Element: BitwiseCopyable>(
    _ buffer: inout UnsafeMutableBufferPointer<Element>, _ used: Int, by extra: Int
  ) {
    let larger = UnsafeMutableBufferPointer<Element>.allocate(
      capacity: 2 * buffer.count + extra)
    _ = unsafe larger.update(fromContentsOf: buffer[..<used])
    unsafe buffer.deallocate()
    unsafe buffer = unsafe larger
  }
}

/// The rules of CSV, over bytes in memory.
///
/// RFC 4180, and what real files add to it, exactly as Python's `csv.reader(skipinitialspace=True)`
/// over a file opened with `newline=''` reads them:
///
/// | in the file | read as |
/// |---|---|
/// | LF, CRLF or a lone CR outside quotes | the end of the record |
/// | spaces (not tabs) at the start of a field | nothing, also before an opening quote |
/// | `"a ""b"", c"` | `a "b", c`; quoted fields may hold delimiters and line ends |
/// | `"ab"c` | `abc` |
/// | `a"b"` | `a"b"`: a quote that does not open the field is a character |
/// | a blank line | nothing: it is no record |
/// | a line of spaces only | a record of one empty field |
///
/// This is the whole of what a faster engine has to replace: it knows nothing of files.
struct CSVTokenizer {
  /// What lies at a position.
  enum Outcome {
    /// A record, whose line end is passed at `next`.
    case record(next: Int)
    /// The buffer ends before the record does; nothing was decided.
    case incomplete
    /// The file ends within a quoted field, which opened at this offset.
    case unclosedQuote(at: Int)
  }

  let delimiter: UInt8
  private let skipsSpaces: Bool
  private static let quote = UInt8(ascii: "\"")
  private static let lineFeed = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  /// A reader of records.
  ///
  /// - Parameter delimiter: An ASCII byte other than a quote or a line end. If it is a space, spaces
  ///   are not skipped.
  init(delimiter: UInt8) {
    self.delimiter = delimiter
    skipsSpaces = delimiter != 0x20
  }

  /// Finds the fields of the record that begins at `start`.
  ///
  /// - Parameters:
  ///   - bytes: The buffer; read within the call only.
  ///   - start: Where the record begins: not at a line end, and before the end of the buffer.
  ///   - isLast: Whether the file ends where the buffer does.
  ///   - fields: Gets the fields; overwritten.
  /// - Returns: Where the next record begins, or why there is none.
  /// - Complexity: O(bytes of the record).
  @unsafe func scan(
    _ bytes: UnsafeBufferPointer<UInt8>, from start: Int, isLast: Bool,
    into fields: CSVFields
  ) -> Outcome {
    fields.removeAll()
    var position = start
    while true {
      if skipsSpaces {
        while position < bytes.count, unsafe bytes[position] == 0x20 { position += 1 }
      }
      if position < bytes.count, unsafe bytes[position] == Self.quote {
        switch unsafe scanQuoted(bytes, from: position, isLast: isLast, into: fields) {
        case .record(let next): position = next
        case let other: return other
        }
      } else {
        let origin = position
        while position < bytes.count, unsafe !endsField(bytes[position]) { position += 1 }
        fields.append(
          CSVField(
            lower: origin, upper: position, origin: origin, end: position, isInBuffer: true))
      }
      guard position < bytes.count else {
        return isLast ? .record(next: position) : .incomplete
      }
      let byte = unsafe bytes[position]
      position += 1
      if byte == delimiter { continue }
      guard byte == Self.carriageReturn else { return .record(next: position) }
      guard position < bytes.count else {
        return isLast ? .record(next: position) : .incomplete
      }
      return .record(
        next: unsafe bytes[position] == Self.lineFeed ? position + 1 : position)
    }
  }

  @inline(__always) private func endsField(_ byte: UInt8) -> Bool {
    byte == delimiter || byte == Self.lineFeed || byte == Self.carriageReturn
  }

  /// Reads a field from its opening quote; `.record(next:)` is where the field ends.
  @unsafe private func scanQuoted(
    _ bytes: UnsafeBufferPointer<UInt8>, from origin: Int, isLast: Bool,
    into fields: CSVFields
  ) -> Outcome {
    let scratchStart = fields.scratchCount
    var segment = origin + 1
    while true {
      guard let quote = unsafe firstQuote(in: bytes, from: segment) else {
        return isLast ? .unclosedQuote(at: origin) : .incomplete
      }
      let after = quote + 1
      if after == bytes.count, !isLast { return .incomplete }
      if after < bytes.count, unsafe bytes[after] == Self.quote {
        unsafe fields.appendScratch(bytes[segment...quote])
        segment = after + 1
        continue
      }
      var end = after
      while end < bytes.count, unsafe !endsField(bytes[end]) { end += 1 }
      if end == bytes.count, !isLast { return .incomplete }
      fields.innerLineEnds += unsafe LineEnds.count(in: bytes[origin..<end])
      if scratchStart == fields.scratchCount, end == after {
        fields.append(
          CSVField(lower: segment, upper: quote, origin: origin, end: end, isInBuffer: true))
      } else {
        unsafe fields.appendScratch(bytes[segment..<quote])
        unsafe fields.appendScratch(bytes[after..<end])
        fields.append(
          CSVField(
            lower: scratchStart, upper: fields.scratchCount, origin: origin, end: end,
            isInBuffer: false))
      }
      return .record(next: end)
    }
  }

  @unsafe private func firstQuote(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    guard start < bytes.count, let base = bytes.baseAddress else { return nil }
    // SAFETY: the range from start to the end lies within the buffer.
    guard let found = unsafe memchr(base + start, Int32(Self.quote), bytes.count - start) else {
      return nil
    }
    return unsafe UnsafeRawPointer(found) - UnsafeRawPointer(base)
  }
}

/// Physical line ends: LF, CRLF and a lone CR each count as one.
enum LineEnds {
  /// Counts them in whole text, where a CR at the very end counts.
  ///
  /// - Parameter bytes: Read within the call only.
  /// - Returns: The number of line ends.
  /// - Complexity: O(count).
  @unsafe static func count(in bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Int {
    var lines = 0
    var previous: UInt8 = 0
    for index in unsafe bytes.startIndex..<bytes.endIndex {
      let byte = unsafe bytes[index]
      if byte == 0x0D || (byte == 0x0A && previous != 0x0D) { lines += 1 }
      previous = byte
    }
    return lines
  }

  /// The offset after the last line end in a text, or nil where it has none.
  @unsafe static func lastStart(in bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Int? {
    unsafe bytes.lastIndex { $0 == 0x0A || $0 == 0x0D }.map { $0 + 1 }
  }
}
