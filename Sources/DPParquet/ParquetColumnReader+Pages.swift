internal import CDPParquet
internal import DPFiles

/// The data page that is being read.
@safe struct Page {
  var rowsLeft = 0
  /// Which nulls there are, as runs; or as bits, in files of the first years.
  var levels = unsafe cdp_runs()
  var levelBits: UnsafeRawBufferPointer?
  var levelBitsUsed = 0
  var encoding = Encoding.plain
  /// The values' bytes that are left.
  var at: UnsafePointer<UInt8>?
  var end: UnsafePointer<UInt8>?
  /// Indices or truth values.
  var runs = unsafe cdp_runs()
  var deltas = unsafe cdp_deltas()
  /// Values used: of bits, of streams, of lengths.
  var used = 0
  /// Values there are: of streams, of lengths.
  var count = 0
}

extension ParquetColumnReader {
  /// Opens the next data page, reading dictionaries on the way.
  func nextPage() throws(Fault) {
    var none = 0
    while page.rowsLeft == 0 { try takePage(passingOver: &none) }
  }

  /// Passes over data pages that have no more than so many rows, and opens the one that has more, unless
  /// a page is open.
  ///
  /// - Parameter rows: Those that are passed over are taken off.
  /// - Throws: ``Fault``.
  func skipPages(_ rows: inout Int) throws(Fault) {
    while rows > 0, page.rowsLeft == 0 { try takePage(passingOver: &rows) }
  }

  private func takePage(passingOver rows: inout Int) throws(Fault) {
    pageNumber += 1
    // SAFETY: position and end lie within the file's bytes.
    let rest = unsafe UnsafeRawBufferPointer(rebasing: file.bytes.buffer[position..<end])
    let header = unsafe try PageHeader(rest)
    guard header.compressedBytes <= rest.count - header.byteCount else {
      throw .damaged("the page is longer than its column")
    }
    let body = header.byteCount..<header.byteCount + header.compressedBytes
    position += body.upperBound
    let isData = [PageHeader.Kind.data, PageHeader.Kind.dataV2].contains(header.kind)
    if isData, rows > 0, header.values <= rows {
      try takeRows(header)
      rows -= header.values
      return
    }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: rest[body])
    unsafe try check(bytes, header)
    switch header.kind {
    case PageHeader.Kind.data: unsafe try openPage(bytes, header)
    case PageHeader.Kind.dataV2: unsafe try openPageV2(bytes, header)
    case PageHeader.Kind.dictionary: unsafe try readDictionary(bytes, header)
    default: break
    }
  }

  @unsafe private func check(_ bytes: UnsafeRawBufferPointer, _ header: PageHeader) throws(Fault) {
    guard let checksum = header.checksum, let start = bytes.baseAddress else { return }
    let found = unsafe cdp_crc32(start.assumingMemoryBound(to: UInt8.self), bytes.count)
    guard found == checksum else { throw .damaged("the page's checksum is wrong") }
  }

  /// The bytes of a page, or part of one, as they were before compression.
  ///
  /// They lie in the file or in `pageMemory`.
  @unsafe private func uncompressed(
    _ bytes: UnsafeRawBufferPointer, count: Int, isCompressed: Bool = true
  ) throws(Fault) -> UnsafeRawBufferPointer {
    guard isCompressed, codec != .none else {
      guard bytes.count == count else {
        throw .damaged("the page has \(bytes.count) bytes and declares \(count)")
      }
      return unsafe bytes
    }
    try pageMemory.reserve(count)
    let target = unsafe UnsafeMutableRawBufferPointer(start: pageMemory.start, count: count)
    unsafe try codec.uncompress(bytes, into: target)
    return UnsafeRawBufferPointer(target)
  }

  private func takeRows(_ header: PageHeader) throws(Fault) {
    guard header.values >= 0, header.values <= rowsUnpaged else {
      throw .damaged("its pages have more values than the row group has rows")
    }
    page = Page()
    rowsUnpaged -= header.values
  }

  /// Begins a page of version 1, in which levels and values are compressed together.
  @unsafe private func openPage(
    _ bytes: UnsafeRawBufferPointer, _ header: PageHeader
  ) throws(Fault) {
    try takeRows(header)
    var body = unsafe try uncompressed(bytes, count: header.uncompressedBytes)
    if column.isOptional {
      let count = unsafe try openLevels(body, header)
      unsafe body = UnsafeRawBufferPointer(rebasing: body[count...])
    }
    unsafe try openValues(body, header)
  }

  /// Begins the levels; returns their bytes.
  @unsafe private func openLevels(
    _ body: UnsafeRawBufferPointer, _ header: PageHeader
  ) throws(Fault) -> Int {
    switch header.levelEncoding {
    case Encoding.runs:
      let (runs, count) = unsafe try lengthAndRuns(body)
      unsafe page.levels = unsafe runs
      return count
    case Encoding.bitPacked:
      let count = (header.values + 7) / 8
      guard count <= body.count else { throw .damaged("the page's nulls end early") }
      unsafe page.levelBits = UnsafeRawBufferPointer(rebasing: body[..<count])
      return count
    default: throw .damaged("the page's nulls have the encoding \(header.levelEncoding)")
    }
  }

  /// Runs of one bit with their length in bytes before them; and the bytes of both.
  @unsafe private func lengthAndRuns(
    _ body: UnsafeRawBufferPointer
  ) throws(Fault) -> (cdp_runs, Int) {
    guard body.count >= 4 else { throw .damaged("the page's runs end early") }
    let length = unsafe Int(UInt32(littleEndian: body.loadUnaligned(as: UInt32.self)))
    guard length <= body.count - 4 else { throw .damaged("the page's runs end early") }
    let runs = unsafe Self.runs(UnsafeRawBufferPointer(rebasing: body[4..<4 + length]), width: 1)
    return unsafe (runs, 4 + length)
  }

  @unsafe private static func runs(_ bytes: UnsafeRawBufferPointer, width: UInt32) -> cdp_runs {
    var runs = unsafe cdp_runs()
    let start = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe cdp_runs_begin(&runs, start, bytes.count, width)
    return unsafe runs
  }

  /// Begins a page of version 2, in which levels stand before the compressed values.
  @unsafe private func openPageV2(
    _ bytes: UnsafeRawBufferPointer, _ header: PageHeader
  ) throws(Fault) {
    try takeRows(header)
    let (levels, repetitions) = (header.definitionBytes, header.repetitionBytes)
    guard levels >= 0, repetitions >= 0, levels <= bytes.count, repetitions <= bytes.count - levels,
      levels + repetitions <= header.uncompressedBytes
    else { throw .damaged("the page's nulls are longer than the page") }
    unsafe page.levels = Self.runs(
      UnsafeRawBufferPointer(rebasing: bytes[repetitions..<repetitions + levels]), width: 1)
    let body = unsafe try uncompressed(
      UnsafeRawBufferPointer(rebasing: bytes[(repetitions + levels)...]),
      count: header.uncompressedBytes - levels - repetitions, isCompressed: header.isCompressed)
    unsafe try openValues(body, header)
  }

  /// Reads the dictionary.
  @unsafe private func readDictionary(
    _ bytes: UnsafeRawBufferPointer, _ header: PageHeader
  ) throws(Fault) {
    guard header.encoding == Encoding.plain || header.encoding == Encoding.plainDictionary,
      dictionaryCount == 0, dataCount == 0, header.values >= 0, storage != .boolean
    else { throw .damaged("it has a dictionary where none can be") }
    let body = unsafe try uncompressed(bytes, count: header.uncompressedBytes)
    // No string takes less than 4 bytes, no value less than its width.
    let least = storage.fixedLength ?? (storage.isBytes ? 4 : storage.width)
    guard header.values <= body.count / least else { throw .damaged("the dictionary ends early") }
    try dictionary.reserve(header.values * storage.width)
    var page = Page()
    unsafe page.setBytes(body)
    unsafe try readPlain(&page, header.values, into: dictionary.start)
    dictionaryCount = header.values
    dictionaryBytes = dataCount
  }

  /// Begins a page's values.
  @unsafe private func openValues(
    _ body: UnsafeRawBufferPointer, _ header: PageHeader
  ) throws(Fault) {
    page.encoding = header.encoding
    unsafe page.setBytes(body)
    switch (header.encoding, storage) {
    case (Encoding.plain, _): break
    case (Encoding.plainDictionary, _) where storage != .boolean,
      (Encoding.dictionary, _) where storage != .boolean:
      page.encoding = Encoding.dictionary
      unsafe try openIndices(body)
    case (Encoding.runs, .boolean):
      unsafe page.runs = unsafe try lengthAndRuns(body).0
    case (Encoding.deltas, .int32), (Encoding.deltas, .int64):
      guard unsafe cdp_deltas_begin(&page.deltas, page.at, body.count) == 0 else {
        throw .damaged("the page's deltas are wrong")
      }
    case (Encoding.deltaLengths, .bytes): try openLengths(lists: 1, header)
    case (Encoding.deltaStrings, _) where storage.isBytes:
      try openLengths(lists: 2, header)
      lastStringLength = 0
    case (Encoding.streams, _) where storage != .boolean && storage != .bytes:
      let width = storage.fixedLength ?? storage.width
      page.count = body.count / width
      guard page.count * width == body.count else { throw .damaged("the page's streams differ") }
    default:
      throw Fault(
        .unsupported,
        "the page has the encoding \(header.encoding), which is not read for this type; "
          + "have it written with the writer's default encodings")
    }
    page.rowsLeft = header.values
  }

  @unsafe private func openIndices(_ body: UnsafeRawBufferPointer) throws(Fault) {
    // A page of nulls may have no bytes at all.
    guard let width = unsafe body.first else { return }
    guard width <= 32 else { throw .damaged("the page's indices have \(width) bits") }
    unsafe page.runs = Self.runs(UnsafeRawBufferPointer(rebasing: body[1...]), width: UInt32(width))
  }

  /// Reads the lists of lengths that stand before strings: of the strings, or of what each has in common
  /// with the one before and of what follows that.
  private func openLengths(lists: Int, _ header: PageHeader) throws(Fault) {
    for list in 0..<lists {
      let rest = unsafe page.bytesLeft
      guard unsafe cdp_deltas_begin(&page.deltas, page.at, rest) == 0,
        unsafe page.deltas.total <= UInt64(header.values)
      else { throw .damaged("the page's lengths are wrong") }
      let count = unsafe Int(page.deltas.total)
      guard list == 0 || count == page.count else {
        throw .damaged("the page's lengths are wrong")
      }
      page.count = count
      try lengths.reserve(lists * count * 4, keeping: list * count * 4)
      // SAFETY: there is room for `count` more after the lists before.
      let target = unsafe lengths.start.assumingMemoryBound(to: UInt32.self) + list * count
      guard unsafe cdp_deltas_next4(&page.deltas, target, count) == count else {
        throw .damaged("the page's lengths end early")
      }
      unsafe page.at = cdp_deltas_end(&page.deltas)
    }
  }
}

extension Page {
  /// The values' bytes that are left.
  @unsafe var bytesLeft: Int {
    guard let at = unsafe at, let end = unsafe end else { return 0 }
    return unsafe end - at
  }

  @unsafe mutating func setBytes(_ bytes: UnsafeRawBufferPointer) {
    unsafe at = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe end = unsafe at.map { unsafe $0 + bytes.count }
  }
}
