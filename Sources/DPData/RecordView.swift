/// One record of a table, lent by whoever read it: its bytes and where its fields are.
///
/// Encoding sees records only through this type, so it knows nothing of files, chunks or threads. A
/// view is a few words, copied freely, and valid until its reader goes on.
@safe struct RecordView {
  /// How many fields the record has; at least 1.
  let fieldCount: Int
  /// The physical line in which the record begins, counted as its reader does.
  let line: Int
  /// Whether places in it are lines of a text; else ``line`` is a row's number.
  private let hasLines: Bool
  private let range: Range<Int>
  private let base: UnsafePointer<UInt8>
  private let scratch: UnsafePointer<UInt8>
  private let fields: UnsafePointer<CSVField>

  // SAFETY: the caller promises `fieldCount` fields whose ranges lie in the buffer at `base` (or in
  // the scratch bytes), and that all of them stay as they are while the view is used.
  @unsafe init(
    base: UnsafePointer<UInt8>, scratch: UnsafePointer<UInt8>, fields: UnsafePointer<CSVField>,
    fieldCount: Int, range: Range<Int>, line: Int, hasLines: Bool = true
  ) {
    self.hasLines = hasLines
    unsafe self.base = base
    unsafe self.scratch = scratch
    unsafe self.fields = fields
    self.fieldCount = fieldCount
    self.range = range
    self.line = line
  }

  /// Lends the text of a field.
  ///
  /// - Parameter index: 0 up to ``fieldCount``.
  /// - Returns: Its bytes, valid as long as the view; a null has no address.
  @unsafe @inline(__always) func field(_ index: Int) -> UnsafeRawBufferPointer {
    precondition(index >= 0 && index < fieldCount, "field \(index) of \(fieldCount)")
    let field = unsafe fields[index]
    guard field.upper >= 0 else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    let start = unsafe field.isInBuffer ? base : scratch
    return unsafe UnsafeRawBufferPointer(
      start: start + field.lower, count: field.upper - field.lower)
  }

  /// Lends the text of a field, without ASCII whitespace at either end.
  ///
  /// - Parameter index: 0 up to ``fieldCount``.
  /// - Returns: Its bytes, valid as long as the view; a null has no address.
  @unsafe @inline(__always) func trimmedField(_ index: Int) -> UnsafeRawBufferPointer {
    unsafe field(index).trimmed
  }

  /// A copy of a field's trimmed text, for headers and messages.
  ///
  /// - Parameter index: 0 up to ``fieldCount``.
  /// - Returns: The text; invalid UTF-8 is repaired.
  func text(_ index: Int) -> String {
    unsafe String(decoding: trimmedField(index), as: UTF8.self)
  }

  /// The first field that holds invalid UTF-8, or nil.
  ///
  /// - Complexity: O(bytes of the record); eight at a time where all are ASCII.
  func firstInvalidField() -> Int? {
    let record = unsafe UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    if unsafe record.isASCII { return nil }
    return (0..<fieldCount).first { index in
      let field = unsafe fields[index]
      let bytes = unsafe UnsafeRawBufferPointer(
        start: base + field.origin, count: field.end - field.origin)
      return unsafe !bytes.isValidUTF8
    }
  }

  /// The physical line in which the record or one of its fields begins, and the position in it.
  ///
  /// - Parameter index: 0 up to ``fieldCount``, or nil for the record.
  /// - Returns: The line, counted on from ``line``, and the byte in it, from 1.
  /// - Complexity: O(bytes of the record before the field).
  func place(ofField index: Int?) -> (line: Int, column: Int) {
    guard let index, hasLines else { return (line, 1) }
    let offset = unsafe fields[index].origin - range.lowerBound
    let before = unsafe UnsafeBufferPointer(start: base + range.lowerBound, count: offset)[...]
    let start = unsafe LineEnds.lastStart(in: before) ?? 0
    return (line + (unsafe LineEnds.count(in: before)), offset - start + 1)
  }
}

extension UnsafeRawBufferPointer {
  /// The bytes without ASCII whitespace at either end.
  @unsafe @inline(__always) var trimmed: UnsafeRawBufferPointer {
    var lower = 0
    var upper = count
    while lower < upper, unsafe self[lower].isASCIISpace { lower += 1 }
    while lower < upper, unsafe self[upper - 1].isASCIISpace { upper -= 1 }
    return unsafe UnsafeRawBufferPointer(rebasing: self[lower..<upper])
  }

  /// Whether every byte is below 128.
  fileprivate var isASCII: Bool {
    var offset = 0
    var bits: UInt64 = 0
    while offset + 8 <= count {
      bits |= unsafe loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      offset += 8
    }
    while offset < count {
      bits |= UInt64(unsafe self[offset])
      offset += 1
    }
    return bits & 0x8080_8080_8080_8080 == 0
  }

  /// Whether the bytes are whole, shortest-form UTF-8.
  var isValidUTF8: Bool {
    unsafe String(validating: self, as: UTF8.self) != nil
  }
}
