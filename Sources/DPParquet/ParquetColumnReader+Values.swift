internal import CDPParquet

extension ParquetColumnReader {
  /// Reads which of the next rows have a value; returns how many.
  func readLevels(_ rows: Int, at filled: Int) throws(Fault) -> Int {
    // SAFETY: the bitmap has room for the batch's rows and to spare.
    let bits = unsafe bitmap.start.assumingMemoryBound(to: UInt8.self)
    if let source = unsafe page.levelBits {
      guard let start = source.baseAddress else { return 0 }
      defer { page.levelBitsUsed += rows }
      // SAFETY: there is a bit for each of the page's rows.
      return unsafe cdp_copy_reversed_bits(
        start.assumingMemoryBound(to: UInt8.self), page.levelBitsUsed, bits, filled, rows)
    }
    var ones = 0
    guard unsafe cdp_runs_bits(&page.levels, bits, filled, rows, &ones) == rows else {
      throw .damaged("the page's nulls end early or are nested")
    }
    return ones
  }

  /// Reads the values of the next rows, `dense` of which have one.
  func readValues(_ dense: Int, of rows: Int, at filled: Int, batch: Int) throws(Fault) {
    if page.encoding == Encoding.dictionary && isCoded {
      return try readIndices(dense, of: rows, at: filled)
    }
    if isCoded { try leaveIndices(filled, batch: batch) }
    let target = unsafe values.start + filled * storage.width
    unsafe try readDense(dense, into: target)
    guard dense < rows else { return }
    let bits = unsafe bitmap.start.assumingMemoryBound(to: UInt8.self)
    // SAFETY: the values have room for `rows` from the target, the bitmap a bit for each.
    switch storage.width {
    case 1: unsafe cdp_spread1(target.bound(), dense, bits, filled, rows)
    case 4: unsafe cdp_spread4(target.bound(), dense, bits, filled, rows)
    default: unsafe cdp_spread8(target.bound(), dense, bits, filled, rows)
    }
  }

  private func readIndices(_ dense: Int, of rows: Int, at filled: Int) throws(Fault) {
    let target = unsafe indices.start.assumingMemoryBound(to: UInt32.self) + filled
    var highest: UInt32 = 0
    // SAFETY: the indices have room for `rows` from the target.
    guard unsafe cdp_runs_next(&page.runs, target, dense, &highest) == dense,
      dense == 0 || Int(highest) < dictionaryCount
    else { throw Self.wrongIndices }
    guard dense < rows else { return }
    let bits = unsafe bitmap.start.assumingMemoryBound(to: UInt8.self)
    unsafe cdp_spread4(target, dense, bits, filled, rows)
  }

  private static let wrongIndices = Fault.damaged(
    "the page's indices end early or are not in the dictionary")

  /// Replaces the batch's indices so far by the values, since a page without indices follows.
  private func leaveIndices(_ filled: Int, batch: Int) throws(Fault) {
    isCoded = false
    try values.reserve(batch * storage.width)
    guard filled > 0 else { return }
    let source = unsafe indices.start.assumingMemoryBound(to: UInt32.self)
    // SAFETY: every index is of an entry, or 0 without any: the rows are null then.
    if dictionaryCount == 0 {
      unsafe values.start.initializeMemory(
        as: UInt8.self, repeating: 0, count: filled * storage.width)
    } else if storage.width == 4 {
      unsafe cdp_gather4(source, dictionary.start.bound(), values.start.bound(), filled)
    } else {
      unsafe cdp_gather8(source, dictionary.start.bound(), values.start.bound(), filled)
    }
  }

  /// Reads the next values, one after another.
  @unsafe private func readDense(
    _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    switch page.encoding {
    case Encoding.plain: unsafe try readPlain(&page, count, into: target)
    case Encoding.dictionary: unsafe try readDictionaryValues(count, into: target)
    case Encoding.runs:
      guard unsafe cdp_runs_next1(&page.runs, target.bound(), count) == count else {
        throw .damaged("the page's truth values end early")
      }
    case Encoding.deltas:
      let read =
        storage == .int32
        ? unsafe cdp_deltas_next4(&page.deltas, target.bound(), count)
        : unsafe cdp_deltas_next8(&page.deltas, target.bound(), count)
      guard read == count else { throw .damaged("the page's deltas end early") }
    case Encoding.streams: unsafe try readStreams(count, into: target)
    case Encoding.deltaLengths: unsafe try readLengthStrings(count, into: target)
    default: unsafe try readFrontStrings(count, into: target)
    }
  }

  @unsafe private func readDictionaryValues(
    _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    // SAFETY: the dictionary has `dictionaryCount` entries of the storage's width.
    let read =
      storage.width == 4
      ? unsafe cdp_runs_gather4(
        &page.runs, dictionary.start.bound(), dictionaryCount, target.bound(), count)
      : unsafe cdp_runs_gather8(
        &page.runs, dictionary.start.bound(), dictionaryCount, target.bound(), count)
    guard read == count else { throw Self.wrongIndices }
  }

  /// Reads values that are stored as they are.
  @unsafe func readPlain(
    _ page: inout Page, _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    guard count > 0 else { return }
    guard let at = unsafe page.at else { throw Self.valuesEnd }
    let left = unsafe page.bytesLeft
    if storage == .boolean {
      guard (page.used + count + 7) / 8 <= left else { throw Self.valuesEnd }
      unsafe cdp_unpack_bits(at, page.used, target.bound(), count)
      page.used += count
    } else if storage.isBytes {
      unsafe try readPlainStrings(&page, count, into: target.bound())
    } else {
      guard count <= left / storage.width else { throw Self.valuesEnd }
      unsafe target.copyMemory(from: at, byteCount: count * storage.width)
      unsafe page.at = at + count * storage.width
    }
  }

  private static let valuesEnd = Fault.damaged("the page's values end early")

  @unsafe private func readPlainStrings(
    _ page: inout Page, _ count: Int, into views: UnsafeMutablePointer<cdp_view>
  ) throws(Fault) {
    guard let from = unsafe page.at, let end = unsafe page.end else { throw Self.valuesEnd }
    if let length = storage.fixedLength {
      guard unsafe count <= page.bytesLeft / length else { throw Self.valuesEnd }
      unsafe cdp_fixed_views(UInt64(dataCount), UInt32(length), views, count)
      unsafe try appendData(from, count * length)
      unsafe page.at = from + count * length
      return
    }
    var at: UnsafePointer<UInt8>? = unsafe from
    let bytes = unsafe cdp_plain_views(&at, end, UInt64(dataCount), views, count)
    guard bytes >= 0 else { throw Self.valuesEnd }
    try reserveData(Int(bytes))
    unsafe cdp_copy_views(from, views, count, data.start.bound() + dataCount)
    dataCount += Int(bytes)
    unsafe page.at = unsafe at
  }

  /// Makes room for more bytes of strings.
  private func reserveData(_ count: Int) throws(Fault) {
    guard dataCount + count <= UInt32.max else {
      throw Fault(.tooLarge, "the texts of a batch have more than 4 GiB; read fewer rows at once")
    }
    try data.reserve(dataCount + count, keeping: dataCount)
  }

  @unsafe private func appendData(_ from: UnsafePointer<UInt8>, _ count: Int) throws(Fault) {
    try reserveData(count)
    unsafe (data.start + dataCount).copyMemory(from: from, byteCount: count)
    dataCount += count
  }

  @unsafe private func readStreams(
    _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    guard count > 0 else { return }
    guard let at = unsafe page.at, count <= page.count - page.used else { throw Self.valuesEnd }
    defer { page.used += count }
    guard let length = storage.fixedLength else {
      unsafe cdp_join_streams(
        at, page.count, storage.width, page.used, target.bound(), count)
      return
    }
    unsafe cdp_fixed_views(UInt64(dataCount), UInt32(length), target.bound(), count)
    try reserveData(count * length)
    unsafe cdp_join_streams(
      at, page.count, length, page.used, data.start.bound() + dataCount, count)
    dataCount += count * length
  }

  /// The next lengths of a list.
  @unsafe private func nextLengths(list: Int, _ count: Int) throws(Fault) -> UnsafePointer<UInt32> {
    guard count <= page.count - page.used else { throw Self.valuesEnd }
    let start = unsafe lengths.start.assumingMemoryBound(to: UInt32.self)
    return unsafe UnsafePointer(start + list * page.count + page.used)
  }

  @unsafe private func readLengthStrings(
    _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    guard count > 0 else { return }
    let lengths = unsafe try nextLengths(list: 0, count)
    let bytes = unsafe cdp_length_views(lengths, UInt64(dataCount), target.bound(), count)
    guard bytes >= 0, unsafe bytes <= page.bytesLeft else { throw Self.valuesEnd }
    if let at = unsafe page.at {
      unsafe try appendData(at, Int(bytes))
      unsafe page.at = at + Int(bytes)
    }
    page.used += count
  }

  @unsafe private func readFrontStrings(
    _ count: Int, into target: UnsafeMutableRawPointer
  ) throws(Fault) {
    guard count > 0 else { return }
    let (prefixes, suffixes) = unsafe (
      try nextLengths(list: 0, count), try nextLengths(list: 1, count)
    )
    let views: UnsafeMutablePointer<cdp_view> = unsafe target.bound()
    var suffixBytes: UInt64 = 0
    let bytes = unsafe cdp_front_views(
      prefixes, suffixes, UInt64(lastStringLength), UInt32(storage.fixedLength ?? 0),
      UInt64(dataCount), views, count, &suffixBytes)
    guard bytes >= 0, unsafe suffixBytes <= page.bytesLeft, let at = unsafe page.at else {
      throw Self.valuesEnd
    }
    try reserveData(Int(bytes))
    // SAFETY: the lengths were checked against the suffixes' bytes and the room made.
    unsafe cdp_copy_fronts(
      prefixes, at, lastString.start.bound(), views, count, data.start.bound() + dataCount)
    unsafe page.at = at + Int(suffixBytes)
    page.used += count
    dataCount += Int(bytes)
    unsafe try keepLast(views[count - 1])
  }

  @unsafe private func keepLast(_ view: cdp_view) throws(Fault) {
    lastStringLength = Int(view.length)
    try lastString.reserve(lastStringLength)
    unsafe lastString.start.copyMemory(
      from: data.start + Int(view.offset), byteCount: lastStringLength)
  }
}

extension UnsafeMutableRawPointer {
  /// The memory as values of the type that the context asks for.
  @unsafe func bound<Value>() -> UnsafeMutablePointer<Value> {
    unsafe assumingMemoryBound(to: Value.self)
  }

  /// The memory as values of the type that the context asks for, to be read.
  @unsafe func bound<Value>() -> UnsafePointer<Value> {
    unsafe UnsafePointer(assumingMemoryBound(to: Value.self))
  }
}
