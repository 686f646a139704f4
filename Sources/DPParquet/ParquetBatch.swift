public import CDPParquet

/// Some consecutive values of one column.
///
/// A batch is a list of entries and, for each row, the entry it has: the row's own, or, where the file
/// has a dictionary and the reader keeps indices, one that rows share. What depends on the value alone
/// need then be found once for each entry.
///
/// Null rows have an index below the number of entries wherever there is an entry at all; the entry means
/// nothing.
///
/// The pointers are valid, and the batch means what it meant, until the reader's next call.
@safe public struct ParquetBatch {
  /// The column.
  public let column: ParquetColumn
  /// Rows.
  public let rowCount: Int
  /// Rows without a value.
  public let nullCount: Int
  /// Entries: the dictionary's, or one for each row.
  public let entryCount: Int
  /// Which dictionary the entries are, if they are one: changes with every row group.
  public let dictionary: Int?

  let bitmapMemory: Memory
  let valuesMemory: Memory
  let indicesMemory: Memory?
  let dataMemory: Memory

  /// The bit of a row (lowest first) is 1 where it has a value; nil where all have.
  @unsafe public var validity: UnsafePointer<UInt8>? {
    nullCount == 0
      ? nil : unsafe UnsafePointer(bitmapMemory.start.assumingMemoryBound(to: UInt8.self))
  }

  /// The entry of each row; nil where row `i` has entry `i`.
  @unsafe public var indices: UnsafeBufferPointer<UInt32>? {
    guard let memory = indicesMemory else { return nil }
    return unsafe UnsafeBufferPointer(
      start: memory.start.assumingMemoryBound(to: UInt32.self), count: rowCount)
  }

  /// Whether a row has no value.
  ///
  /// - Parameter row: From 0.
  /// - Returns: Whether it is null.
  public func isNull(_ row: Int) -> Bool {
    precondition((0..<rowCount).contains(row), "row \(row) of \(rowCount)")
    guard let bits = unsafe validity else { return false }
    // SAFETY: the bitmap has a bit for each row.
    return unsafe bits[row >> 3] >> UInt8(row & 7) & 1 == 0
  }

  /// The entry of a row that is not null.
  ///
  /// - Parameter row: From 0.
  /// - Returns: An index of an entry.
  public func entry(ofRow row: Int) -> Int {
    precondition((0..<rowCount).contains(row), "row \(row) of \(rowCount)")
    guard let indices = unsafe indices else { return row }
    return unsafe Int(indices[row])
  }

  /// Entries of 0 and 1.
  @unsafe public var booleans: UnsafeBufferPointer<UInt8> {
    precondition(column.storage == .boolean, "\(column.storage) is not boolean")
    return unsafe entries()
  }

  /// Entries of 32 bits.
  @unsafe public var int32s: UnsafeBufferPointer<Int32> {
    precondition(column.storage == .int32, "\(column.storage) is not int32")
    return unsafe entries()
  }

  /// Entries of 64 bits.
  @unsafe public var int64s: UnsafeBufferPointer<Int64> {
    precondition(column.storage == .int64, "\(column.storage) is not int64")
    return unsafe entries()
  }

  /// Entries of binary32.
  @unsafe public var floats: UnsafeBufferPointer<Float> {
    precondition(column.storage == .float, "\(column.storage) is not float")
    return unsafe entries()
  }

  /// Entries of binary64.
  @unsafe public var doubles: UnsafeBufferPointer<Double> {
    precondition(column.storage == .double, "\(column.storage) is not double")
    return unsafe entries()
  }

  /// The places of the entries' bytes in ``data``, for columns stored as bytes.
  @unsafe public var views: UnsafeBufferPointer<cdp_view> {
    precondition(column.storage.isBytes, "\(column.storage) is not bytes")
    return unsafe entries()
  }

  /// What ``views`` point into.
  @unsafe public var data: UnsafePointer<UInt8> {
    unsafe UnsafePointer(dataMemory.start.assumingMemoryBound(to: UInt8.self))
  }

  /// The bytes of an entry of a column stored as bytes.
  ///
  /// - Parameter entry: From 0.
  /// - Returns: The bytes, valid as the batch is.
  @unsafe public func bytes(ofEntry entry: Int) -> UnsafeBufferPointer<UInt8> {
    let view = unsafe views[entry]
    // A batch that is used after the reader's next call must not lead out of its memory.
    precondition(
      Int(view.offset) + Int(view.length) <= dataMemory.capacity, "the batch is out of date")
    return unsafe UnsafeBufferPointer(start: data + Int(view.offset), count: Int(view.length))
  }

  private func entries<Value>() -> UnsafeBufferPointer<Value> {
    // SAFETY: the reader has filled `entryCount` values of the column's storage.
    unsafe UnsafeBufferPointer(
      start: valuesMemory.start.assumingMemoryBound(to: Value.self), count: entryCount)
  }
}
