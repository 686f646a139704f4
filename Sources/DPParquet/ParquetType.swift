/// What the values of a column mean.
public enum ParquetType: Hashable, Sendable {
  /// The unit of a time or timestamp.
  public enum TimeUnit: Hashable, Sendable {
    /// 1e-3 s.
    case milliseconds
    /// 1e-6 s.
    case microseconds
    /// 1e-9 s.
    case nanoseconds

    /// Units in a second.
    public var perSecond: Int {
      switch self {
      case .milliseconds: 1_000
      case .microseconds: 1_000_000
      case .nanoseconds: 1_000_000_000
      }
    }
  }

  /// True or false.
  case boolean
  /// A whole number of 8, 16, 32 or 64 bits.
  case integer(bits: Int, isSigned: Bool)
  /// Binary floating point of 16 bits.
  case half
  /// Binary floating point of 32 bits.
  case float
  /// Binary floating point of 64 bits.
  case double
  /// A whole number of at most `precision` digits, of which `scale` stand behind the point.
  case decimal(precision: Int, scale: Int)
  /// Text in UTF-8; it is not checked.
  case string
  /// Bytes of no declared meaning.
  case binary
  /// 16 bytes.
  case uuid
  /// Days since 1970-01-01.
  case date
  /// Time since midnight.
  case time(TimeUnit)
  /// Time since 1970-01-01 00:00:00, of UTC or of a local clock.
  case timestamp(TimeUnit, isUTC: Bool)
}

/// How the values of a column are stored.
public enum ParquetStorage: Hashable, Sendable {
  /// One bit.
  case boolean
  /// 32 bits, two's complement.
  case int32
  /// 64 bits, two's complement.
  case int64
  /// 12 bytes: nanoseconds of the day (64 bits) and the Julian day (32 bits).
  case int96
  /// IEEE 754 binary32.
  case float
  /// IEEE 754 binary64.
  case double
  /// Bytes of any length.
  case bytes
  /// Bytes of one length.
  case fixed(Int)

  /// Bytes of a value in a batch: of the value itself, or of the place of its bytes.
  var width: Int {
    switch self {
    case .boolean: 1
    case .int32, .float: 4
    case .int64, .double, .int96, .bytes, .fixed: 8
    }
  }

  /// The bytes of a value that is stored as bytes of one length.
  var fixedLength: Int? {
    switch self {
    case .int96: 12
    case .fixed(let length): length
    default: nil
    }
  }

  /// Whether batches hold places of bytes.
  var isBytes: Bool {
    switch self {
    case .bytes, .fixed, .int96: true
    default: false
    }
  }
}

/// A column of a Parquet file.
public struct ParquetColumn: Hashable, Sendable {
  /// Its name.
  public let name: String
  /// What its values mean.
  public let type: ParquetType
  /// How they are stored.
  public let storage: ParquetStorage
  /// Whether there may be nulls.
  public let isOptional: Bool
  /// Why it cannot be read and what to do, if so; a table with such a column can be read without it.
  public let refusal: String?
  /// Its place among the chunks of a row group.
  let chunk: Int
}

extension ParquetColumn {
  /// The columns of a schema's tree.
  ///
  /// - Parameter elements: In depth-first order, the root first.
  /// - Returns: One for each child of the root.
  /// - Throws: ``Fault`` `malformed`.
  static func columns(of elements: [FileMetadata.Element]) throws(Fault) -> [ParquetColumn] {
    guard let root = elements.first else { throw .damaged("its schema is empty") }
    var columns: [ParquetColumn] = []
    var next = 1
    var chunk = 0
    while next < elements.count {
      let element = elements[next]
      let first = (next, chunk)
      try pass(elements, &next, &chunk)
      columns.append(
        element.children > 0 || element.type == nil
          ? nested(element, chunk: first.1) : flat(element, chunk: first.1))
    }
    guard columns.count == root.children else {
      throw .damaged("its schema has \(columns.count) columns and declares \(root.children)")
    }
    return columns
  }

  /// Passes over a node and all below it.
  private static func pass(
    _ elements: [FileMetadata.Element], _ next: inout Int, _ chunk: inout Int
  ) throws(Fault) {
    var left = 1
    while left > 0 {
      guard next < elements.count, elements[next].children >= 0 else {
        throw .damaged("its schema is no tree")
      }
      let children = elements[next].children
      if children == 0 && elements[next].type != nil { chunk += 1 }
      guard children <= elements.count else { throw .damaged("its schema is no tree") }
      left += children - 1
      next += 1
    }
  }

  private static func nested(_ element: FileMetadata.Element, chunk: Int) -> ParquetColumn {
    ParquetColumn(
      name: element.name, type: .binary, storage: .bytes, isOptional: true,
      refusal: "is nested (a structure, list or map); flatten it where it is written "
        + "(SELECT its.field AS name in Spark or DuckDB), or leave it out", chunk: chunk)
  }

  private static func flat(_ element: FileMetadata.Element, chunk: Int) -> ParquetColumn {
    let storage = ParquetStorage(element)
    let type = storage.flatMap { ParquetType(element, $0) }
    var refusal: String?
    if element.repetition == 2 {
      refusal = "is repeated (a list); flatten it where it is written, or leave it out"
    } else if type == nil {
      refusal = "has a type that is not read; cast it where it is written, or leave it out"
    }
    return ParquetColumn(
      name: element.name, type: type ?? .binary, storage: storage ?? .bytes,
      isOptional: element.repetition != 0, refusal: refusal, chunk: chunk)
  }
}

extension ParquetStorage {
  /// The storage that a schema declares; nil for none that there is.
  fileprivate init?(_ element: FileMetadata.Element) {
    switch element.type {
    case 0: self = .boolean
    case 1: self = .int32
    case 2: self = .int64
    case 3: self = .int96
    case 4: self = .float
    case 5: self = .double
    case 6: self = .bytes
    case 7 where (1...(1 << 20)).contains(element.typeLength): self = .fixed(element.typeLength)
    default: return nil
    }
  }

  /// The format's number.
  var number: Int {
    switch self {
    case .boolean: 0
    case .int32: 1
    case .int64: 2
    case .int96: 3
    case .float: 4
    case .double: 5
    case .bytes: 6
    case .fixed: 7
    }
  }

  /// What values mean that have no logical type.
  fileprivate var plainType: ParquetType {
    switch self {
    case .boolean: .boolean
    case .int32: .integer(bits: 32, isSigned: true)
    case .int64: .integer(bits: 64, isSigned: true)
    case .int96: .timestamp(.nanoseconds, isUTC: true)
    case .float: .float
    case .double: .double
    case .bytes, .fixed: .binary
    }
  }

  fileprivate func holds(_ type: ParquetType) -> Bool {
    switch (type, self) {
    case (.integer(let bits, _), .int32): bits <= 32
    case (.integer(64, _), .int64), (.date, .int32), (.time(.milliseconds), .int32): true
    case (.time(.microseconds), .int64), (.time(.nanoseconds), .int64), (.timestamp, .int64): true
    case (.string, .bytes), (.string, .fixed), (.binary, .bytes), (.binary, .fixed): true
    case (.uuid, .fixed(16)), (.half, .fixed(2)): true
    case (.decimal(let precision, let scale), _): holds(precision: precision, scale: scale)
    default: false
    }
  }

  private func holds(precision: Int, scale: Int) -> Bool {
    guard scale >= 0, scale <= precision else { return false }
    switch self {
    case .int32: return precision <= 9
    case .int64: return precision <= 18
    // Text is made of at most 32 bytes: 76 digits.
    case .bytes, .fixed: return precision <= 76
    default: return false
    }
  }
}

extension ParquetType {
  /// The meaning that a schema declares; nil for one that is not read.
  fileprivate init?(_ element: FileMetadata.Element, _ storage: ParquetStorage) {
    guard storage != .int96 else {
      self = storage.plainType
      return
    }
    switch (element.logical, element.converted) {
    case (let logical?, _) where logical.kind > 0:
      guard let type = ParquetType(logical) else {
        // A column of nulls has a logical type that fits any storage.
        guard logical.kind == 11 else { return nil }
        self = storage.plainType
        return
      }
      self = type
    case (_, let converted?):
      guard let type = ParquetType(converted: converted, element) else { return nil }
      self = type
    default:
      self = storage.plainType
      return
    }
    guard storage.holds(self) else { return nil }
  }

  /// By the union of logical types.
  private init?(_ logical: FileMetadata.Logical) {
    let unit: TimeUnit? = [1: .milliseconds, 2: .microseconds, 3: .nanoseconds][logical.unit]
    switch logical.kind {
    case 1, 4, 12: self = .string
    case 5: self = .decimal(precision: logical.precision, scale: logical.scale)
    case 6: self = .date
    case 7:
      guard let unit else { return nil }
      self = .time(unit)
    case 8:
      guard let unit else { return nil }
      self = .timestamp(unit, isUTC: logical.isUTC)
    case 10 where [8, 16, 32, 64].contains(logical.bits):
      self = .integer(bits: logical.bits, isSigned: logical.isSigned)
    case 13: self = .binary
    case 14: self = .uuid
    case 15: self = .half
    default: return nil
    }
  }

  /// By the older list of types.
  private init?(converted: Int, _ element: FileMetadata.Element) {
    switch converted {
    case 0, 4, 19: self = .string
    case 5: self = .decimal(precision: element.precision, scale: element.scale)
    case 6: self = .date
    case 7: self = .time(.milliseconds)
    case 8: self = .time(.microseconds)
    case 9: self = .timestamp(.milliseconds, isUTC: true)
    case 10: self = .timestamp(.microseconds, isUTC: true)
    case 11...14: self = .integer(bits: 8 << (converted - 11), isSigned: false)
    case 15...18: self = .integer(bits: 8 << (converted - 15), isSigned: true)
    case 20: self = .binary
    default: return nil
    }
  }
}
