internal import CDPParquet

extension ParquetBatch {
  /// Appends the text that stands for an entry, so that a column gives what it gives as CSV.
  ///
  /// | type | text |
  /// |---|---|
  /// | boolean | `true`, `false` |
  /// | integer | digits: `-5`, `18446744073709551615` |
  /// | half, float, double | the shortest digits that stand for no other number of the type, as Python writes them: `0.1`, `1.0`, `1e+16`, `nan`, `inf` |
  /// | decimal | digits with exactly its scale behind the point: `1.50` |
  /// | string, binary | the bytes |
  /// | UUID | `00112233-4455-6677-8899-aabbccddeeff` |
  /// | date | `2024-02-29`, in the proleptic Gregorian calendar; `-0001-…`, `+10000-…` outside of 0...9999 |
  /// | time | `23:59:59`, with the fraction of the second where it is not 0: `23:59:59.5` |
  /// | timestamp | date, space, time: `2024-02-29 12:00:00.25`; of UTC where the column says so, without a mark |
  ///
  /// Timestamps and decimals are thus written as `CAST(... AS STRING)` does in Spark with the session's
  /// time zone UTC.
  ///
  /// - Parameters:
  ///   - entry: From 0; of a row that is not null.
  ///   - text: Gets the text at its end; keep it from one call to the next, and nothing is allocated.
  public func appendText(ofEntry entry: Int, to text: inout [UInt8]) {
    precondition((0..<entryCount).contains(entry), "entry \(entry) of \(entryCount)")
    var writer = ParquetText(bytes: [])
    swap(&writer.bytes, &text)
    defer { swap(&writer.bytes, &text) }
    switch column.type {
    case .boolean: writer.append(unsafe booleans[entry] == 0 ? "false" : "true")
    case .integer(_, let isSigned): appendInteger(entry, isSigned: isSigned, to: &writer)
    case .half: writer.append(half(entry))
    case .float: writer.append(unsafe floats[entry])
    case .double: writer.append(unsafe doubles[entry])
    case .decimal(_, let scale): appendDecimal(entry, scale: scale, to: &writer)
    case .string, .binary: unsafe writer.bytes.append(contentsOf: bytes(ofEntry: entry))
    case .uuid: unsafe writer.append(uuid: bytes(ofEntry: entry))
    case .date: writer.append(day: integer(entry))
    case .time(let unit): appendTime(entry, unit, to: &writer)
    case .timestamp where column.storage == .int96: appendInt96(entry, to: &writer)
    case .timestamp(let unit, _):
      writer.append(timestamp: integer(entry), perSecond: unit.perSecond)
    }
  }

  /// The number that an entry's text stands for, rounded once; nil where the text is no number.
  ///
  /// - Parameter entry: From 0; of a row that is not null.
  /// - Returns: For integers, floating point and decimals the Double nearest to what
  ///   ``appendText(ofEntry:to:)`` writes. A Float of 0.1 gives 0.1.
  public func number(ofEntry entry: Int) -> Double? {
    precondition((0..<entryCount).contains(entry), "entry \(entry) of \(entryCount)")
    switch column.type {
    case .integer(_, isSigned: true): return Double(integer(entry))
    case .integer(_, isSigned: false): return Double(unsigned(entry))
    case .half: return half(entry).asWritten
    case .float: return unsafe floats[entry].asWritten
    case .double: return unsafe doubles[entry]
    case .decimal(_, let scale): return decimal(entry, scale: scale)
    default: return nil
    }
  }

  /// A value of 32 or 64 bits.
  private func integer(_ entry: Int) -> Int {
    unsafe column.storage == .int32 ? Int(int32s[entry]) : Int(int64s[entry])
  }

  private func unsigned(_ entry: Int) -> UInt64 {
    unsafe column.storage == .int32
      ? UInt64(UInt32(bitPattern: int32s[entry])) : UInt64(bitPattern: int64s[entry])
  }

  private func half(_ entry: Int) -> Float {
    let bytes = unsafe bytes(ofEntry: entry)
    return unsafe Float(half: UInt16(bytes[0]) | UInt16(bytes[1]) << 8)
  }

  private func appendInteger(_ entry: Int, isSigned: Bool, to writer: inout ParquetText) {
    if isSigned { writer.append(Int64(integer(entry))) } else { writer.append(unsigned(entry)) }
  }

  private func appendTime(
    _ entry: Int, _ unit: ParquetType.TimeUnit, to writer: inout ParquetText
  ) {
    // A damaged file may hold a time before midnight.
    let (_, time) = integer(entry).dividedDown(by: 86_400 * unit.perSecond)
    writer.append(timeOfDay: time, perSecond: unit.perSecond)
  }

  private func appendInt96(_ entry: Int, to writer: inout ParquetText) {
    // SAFETY: the column's values have 12 bytes.
    let raw = unsafe UnsafeRawBufferPointer(bytes(ofEntry: entry))
    unsafe writer.append(
      nanoseconds: Int64(littleEndian: raw.loadUnaligned(as: Int64.self)),
      julianDay: Int32(littleEndian: raw.loadUnaligned(fromByteOffset: 8, as: Int32.self)))
  }

  private func appendDecimal(_ entry: Int, scale: Int, to writer: inout ParquetText) {
    guard column.storage.isBytes else {
      let value = UInt64(bitPattern: Int64(integer(entry)))
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
      return writer.append(decimal: bytes, scale: scale)
    }
    unsafe writer.append(decimal: bytes(ofEntry: entry), scale: scale)
  }

  private func decimal(_ entry: Int, scale: Int) -> Double? {
    // Both exact: the quotient is rounded once.
    if !column.storage.isBytes, scale <= 15, integer(entry).magnitude < 1 << 53 {
      let power = (0..<scale).reduce(1.0) { power, _ in power * 10 }
      return Double(integer(entry)) / power
    }
    var text: [UInt8] = []
    appendText(ofEntry: entry, to: &text)
    return Double(String(decoding: text, as: UTF8.self))
  }
}
