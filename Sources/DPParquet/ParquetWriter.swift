internal import CDPParquet
internal import DPFiles

/// Writes a Parquet file that every reader of Parquet takes: flat, pages of version 1, plain or with a
/// dictionary where it pays, compressed with Snappy or not at all.
///
/// The file appears under its name, complete and synced, when ``finish()`` returns, or never.
///
///     var writer = try ParquetWriter(path: "out.parquet", columns: [.init("age", .int32s)])
///     try writer.write([.int32s([40, nil, 41])])
///     try writer.finish()
public struct ParquetWriter: ~Copyable {
  /// A column to be written.
  public struct Column: Hashable, Sendable {
    /// Its name.
    public let name: String
    /// What its values mean.
    public let type: ParquetType
    /// Whether there may be nulls.
    public let isOptional: Bool

    /// A column.
    ///
    /// - Parameters:
    ///   - name: Its name.
    ///   - type: What its values mean: not half, binary or UUID; a decimal of at most 18 digits.
    ///   - isOptional: Whether there may be nulls.
    public init(_ name: String, _ type: ParquetType, isOptional: Bool = true) {
      self.name = name
      self.type = type
      self.isOptional = isOptional
    }

    /// How its values are stored.
    var storage: ParquetStorage {
      switch type {
      case .boolean: .boolean
      case .integer(let bits, _): bits <= 32 ? .int32 : .int64
      case .float: .float
      case .double: .double
      case .decimal(let precision, _): precision <= 9 ? .int32 : .int64
      case .date, .time(.milliseconds): .int32
      case .time, .timestamp: .int64
      case .string, .binary, .half, .uuid: .bytes
      }
    }
  }

  /// How pages are compressed.
  public enum Compression: Hashable, Sendable {
    /// Not at all.
    case none
    /// With Snappy.
    case snappy
  }

  private struct Chunk {
    var offset = 0
    var dictionaryOffset: Int?
    var uncompressedBytes = 0
    var compressedBytes = 0
    var values = 0
  }

  private struct Group {
    var chunks: [Chunk] = []
    var rows = 0
  }

  /// The columns, in the file's order.
  public let columns: [Column]
  private let compression: Compression
  private var file: AtomicFile
  private var position = 4
  private var groups: [Group] = []

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - path: The name it will have; its folder must exist.
  ///   - columns: At least one.
  ///   - compression: How pages are compressed.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``ParquetError`` `file`, or `unsupported` for a type that is not written.
  public init(
    path: String, columns: [Column], compression: Compression = .snappy, overwrite: Bool = false
  ) throws(ParquetError) {
    precondition(!columns.isEmpty, "a file needs at least one column")
    for column in columns {
      guard column.isWritable else {
        throw ParquetError(
          .unsupported, "is of type \(column.type), which is not written; write it as text",
          at: .init(file: path, column: column.name))
      }
    }
    file = try Self.begin(path, overwrite: overwrite)
    self.columns = columns
    self.compression = compression
  }

  /// A file that begins as every Parquet file does.
  private static func begin(_ path: String, overwrite: Bool) throws(ParquetError) -> AtomicFile {
    do throws(FileError) {
      var file = try AtomicFile(path: path, overwrite: overwrite)
      try file.write("PAR1")
      return file
    } catch {
      throw ParquetError(error, at: .init(file: path))
    }
  }

  /// Writes a row group.
  ///
  /// - Parameter values: One for each column, of equal length; some ten thousand rows or more make a good
  ///   row group.
  /// - Throws: ``ParquetError`` `schemaMismatch` where types or lengths differ from the columns', or a
  ///   required column has a null; `file`.
  /// - Complexity: O(rows), with memory for one column.
  public mutating func write(_ values: [ParquetValues]) throws(ParquetError) {
    try check(values)
    var group = Group(rows: values[0].count)
    for (column, values) in zip(columns, values) {
      group.chunks.append(try writeChunk(column, values))
    }
    groups.append(group)
  }

  /// Writes the footer and gives the file its name.
  ///
  /// - Throws: ``ParquetError`` `file`; nothing is left then.
  public consuming func finish() throws(ParquetError) {
    let place = ParquetError.Place(file: file.path)
    var footer = self.footer()
    let length = UInt32(footer.count)
    for byte in 0..<4 { footer.append(UInt8(truncatingIfNeeded: length >> UInt32(8 * byte))) }
    footer.append(contentsOf: "PAR1".utf8)
    do throws(FileError) {
      try file.write(footer)
      try file.commit()
    } catch {
      throw ParquetError(error, at: place)
    }
  }

  private func check(_ values: [ParquetValues]) throws(ParquetError) {
    guard values.count == columns.count else {
      throw ParquetError(
        .schemaMismatch,
        "\(values.count) columns of values for \(columns.count); give one for each",
        at: .init(file: file.path))
    }
    for (column, values) in zip(columns, values) {
      let place = ParquetError.Place(file: file.path, column: column.name)
      guard values.storage == column.storage else {
        throw ParquetError(
          .schemaMismatch,
          "values are \(values.storage), the column \(column.storage); convert them",
          at: place)
      }
      guard column.isOptional || !values.isPresent.contains(false) else {
        throw ParquetError(
          .schemaMismatch, "a null in a required column; declare it optional", at: place)
      }
    }
    guard values.allSatisfy({ $0.count == values[0].count }) else {
      throw ParquetError(
        .schemaMismatch, "the columns differ in length; give as many values for each",
        at: .init(file: file.path))
    }
  }

  /// Writes a column's part of a row group.
  private mutating func writeChunk(
    _ column: Column, _ values: ParquetValues
  ) throws(ParquetError) -> Chunk {
    let encoded = values.encoded
    var chunk = Chunk(offset: position, values: values.count)
    if let dictionary = encoded.dictionary {
      chunk.dictionaryOffset = position
      try writePage(dictionary, into: &chunk) { thrift in
        thrift.structure(7) {
          $0.int32(1, encoded.entryCount)
          $0.int32(2, Encoding.plain)
        }
      }
      chunk.offset = position
    }
    var body: [UInt8] = []
    if column.isOptional {
      let levels = RunEncoder.encode(values.isPresent.lazy.map { $0 ? 1 : 0 }, width: 1)
      for byte in 0..<4 { body.append(UInt8(truncatingIfNeeded: levels.count >> (8 * byte))) }
      body += levels
    }
    try writePage(body + encoded.body, into: &chunk) { thrift in
      thrift.structure(5) {
        $0.int32(1, values.count)
        $0.int32(2, encoded.dictionary == nil ? Encoding.plain : Encoding.dictionary)
        $0.int32(3, Encoding.runs)
        $0.int32(4, Encoding.runs)
      }
    }
    return chunk
  }

  /// Writes a page and its header, the part of which that depends on its kind comes from `kind`.
  private mutating func writePage(
    _ body: [UInt8], into chunk: inout Chunk, kind: (inout ThriftWriter) -> Void
  ) throws(ParquetError) {
    guard body.count < 1 << 31 else {
      throw ParquetError(
        .tooLarge, "a row group has \(body.count) bytes in one column; write fewer rows at once",
        at: .init(file: file.path))
    }
    let packed = compressed(body)
    let isDictionary = chunk.dictionaryOffset == position
    var thrift = ThriftWriter()
    thrift.structure {
      $0.int32(1, isDictionary ? PageHeader.Kind.dictionary : PageHeader.Kind.data)
      $0.int32(2, body.count)
      $0.int32(3, packed.count)
      $0.int32(4, Int(Int32(bitPattern: Self.checksum(packed))))
      kind(&$0)
    }
    chunk.uncompressedBytes += thrift.bytes.count + body.count
    chunk.compressedBytes += thrift.bytes.count + packed.count
    position += thrift.bytes.count + packed.count
    do throws(FileError) {
      try file.write(thrift.bytes)
      try file.write(packed)
    } catch {
      throw ParquetError(error, at: .init(file: file.path))
    }
  }

  private static func checksum(_ bytes: [UInt8]) -> UInt32 {
    // SAFETY: the buffer is read within the closure only.
    unsafe bytes.withUnsafeBufferPointer { unsafe cdp_crc32($0.baseAddress, $0.count) }
  }

  private func compressed(_ body: [UInt8]) -> [UInt8] {
    guard compression == .snappy else { return body }
    return unsafe [UInt8](unsafeUninitializedCapacity: cdp_snappy_bound(body.count)) {
      target, count in
      // SAFETY: the target has room for the most that the block can take.
      unsafe body.withUnsafeBufferPointer { source in
        count = unsafe cdp_snappy_compress(source.baseAddress, source.count, target.baseAddress)
      }
    }
  }
}

extension ParquetWriter {
  private func footer() -> [UInt8] {
    var thrift = ThriftWriter()
    thrift.structure { thrift in
      thrift.int32(1, 1)
      thrift.list(2, count: columns.count + 1, of: ThriftReader.Kind.structure) { thrift in
        thrift.structure {
          $0.text(4, "table")
          $0.int32(5, columns.count)
        }
        for column in columns { thrift.structure { column.describe(&$0) } }
      }
      thrift.int64(3, groups.reduce(0) { $0 + $1.rows })
      thrift.list(4, count: groups.count, of: ThriftReader.Kind.structure) { thrift in
        for group in groups { thrift.structure { describe(group, &$0) } }
      }
      thrift.text(6, "fastDP version \(Version.current)")
    }
    return thrift.bytes
  }

  private func describe(_ group: Group, _ thrift: inout ThriftWriter) {
    thrift.list(1, count: columns.count, of: ThriftReader.Kind.structure) { thrift in
      for (column, chunk) in zip(columns, group.chunks) {
        thrift.structure { thrift in
          thrift.int64(2, 0)
          thrift.structure(3) { describe(chunk, column, &$0) }
        }
      }
    }
    thrift.int64(2, group.chunks.reduce(0) { $0 + $1.uncompressedBytes })
    thrift.int64(3, group.rows)
  }

  private func describe(_ chunk: Chunk, _ column: Column, _ thrift: inout ThriftWriter) {
    let encodings = [Encoding.plain, Encoding.runs, Encoding.dictionary]
    thrift.int32(1, column.storage.number)
    thrift.list(2, count: encodings.count, of: ThriftReader.Kind.int) { thrift in
      for encoding in encodings { thrift.element(int: encoding) }
    }
    thrift.list(3, count: 1, of: ThriftReader.Kind.binary) { $0.element(text: column.name) }
    thrift.int32(4, compression == .snappy ? 1 : 0)
    thrift.int64(5, chunk.values)
    thrift.int64(6, chunk.uncompressedBytes)
    thrift.int64(7, chunk.compressedBytes)
    thrift.int64(9, chunk.offset)
    if let offset = chunk.dictionaryOffset { thrift.int64(11, offset) }
  }
}

extension ParquetWriter.Column {
  fileprivate var isWritable: Bool {
    switch type {
    case .half, .binary, .uuid: false
    case .integer(let bits, _): [8, 16, 32, 64].contains(bits)
    case .decimal(let precision, let scale):
      (1...18).contains(precision) && (0...precision).contains(scale)
    default: true
    }
  }

  /// The fields of a schema's element: with the older types as well where there are any.
  fileprivate func describe(_ thrift: inout ThriftWriter) {
    thrift.int32(1, storage.number)
    thrift.int32(3, isOptional ? 1 : 0)
    thrift.text(4, name)
    if let convertedType { thrift.int32(6, convertedType) }
    if case .decimal(let precision, let scale) = type {
      thrift.int32(7, scale)
      thrift.int32(8, precision)
    }
    if hasLogicalType { thrift.structure(10) { describeLogical(&$0) } }
  }

  private var hasLogicalType: Bool {
    switch type {
    case .boolean, .float, .double: false
    default: true
    }
  }

  private var convertedType: Int? {
    switch type {
    case .string: 0
    case .decimal: 5
    case .date: 6
    case .time(.milliseconds): 7
    case .time(.microseconds): 8
    case .timestamp(.milliseconds, isUTC: true): 9
    case .timestamp(.microseconds, isUTC: true): 10
    case .integer(let bits, let isSigned): (isSigned ? 15 : 11) + (bits / 8).trailingZeroBitCount
    default: nil
    }
  }

  private func describeLogical(_ thrift: inout ThriftWriter) {
    switch type {
    case .decimal(let precision, let scale):
      thrift.structure(5) {
        $0.int32(1, scale)
        $0.int32(2, precision)
      }
    case .date: thrift.structure(6) { _ in }
    case .time(let unit): thrift.structure(7) { Self.describe(unit, isUTC: true, &$0) }
    case .timestamp(let unit, let isUTC):
      thrift.structure(8) { Self.describe(unit, isUTC: isUTC, &$0) }
    case .integer(let bits, let isSigned):
      thrift.structure(10) {
        $0.int8(1, bits)
        $0.boolean(2, isSigned)
      }
    default: thrift.structure(1) { _ in }
    }
  }

  private static func describe(
    _ unit: ParquetType.TimeUnit, isUTC: Bool, _ thrift: inout ThriftWriter
  ) {
    let number = [
      ParquetType.TimeUnit.milliseconds: 1, .microseconds: 2, .nanoseconds: 3,
    ]
    thrift.boolean(1, isUTC)
    thrift.structure(2) { $0.structure(number[unit] ?? 0) { _ in } }
  }
}
