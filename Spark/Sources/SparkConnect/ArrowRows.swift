/// One cell of a small result.
package enum Cell: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case float(Float)
  case double(Double)
  case text(String)
  case binary([UInt8])
}

/// A small result: named columns of cells.
package struct ArrowRows: Hashable, Sendable {
  /// The columns' names, in the statement's order; two may be equal.
  package var columns: [String] = []
  /// Their types, as the protocol calls them.
  package var types: [String] = []
  /// Row by row.
  package var values: [[Cell]] = []

  package init() {}

  /// Appends the rows of an Arrow IPC stream: a schema and any number of batches, uncompressed.
  ///
  /// | Arrow | cell |
  /// |---|---|
  /// | null, bool, int 8 to 64, float 32 and 64, utf8 and binary (also large) | the same |
  /// | decimal 128 | text with all decimals |
  /// | date, timestamp | text by ISO 8601, in UTC |
  /// | lists, structs, maps, intervals, dictionaries, unsigned 64 | refused by the column's name |
  ///
  /// - Parameters:
  ///   - stream: The bytes, from anywhere: every offset in them is checked.
  ///   - limit: How many rows there may be in all.
  /// - Returns: Whether the rows stayed within the limit; where not, none of the batch that passed it are taken.
  /// - Throws: ``ArrowFault``.
  /// - Complexity: O(rows × columns).
  package mutating func append(_ stream: [UInt8], limit: Int) throws(ArrowFault) -> Bool {
    let data = CheckedBytes(bytes: stream)
    var offset = 0
    var fields: [ArrowField] = []
    while let message = try ArrowMessage(data, at: &offset) {
      switch message.kind {
      case 1:
        fields = try ArrowField.schema(message.header)
        try agree(fields)
      case 3:
        let batch = try ArrowBatch(message, fields: fields)
        guard batch.rows <= limit - values.count else { return false }
        values += try batch.cells(data)
      default:
        throw .malformed("a message of kind \(message.kind)")
      }
    }
    return true
  }

  /// Takes the first schema, and checks that all later ones are the same.
  private mutating func agree(_ fields: [ArrowField]) throws(ArrowFault) {
    let (names, kinds) = (fields.map(\.name), fields.map(\.type.name))
    if columns.isEmpty { (columns, types) = (names, kinds) }
    guard columns == names, types == kinds else { throw .malformed("batches of two schemas") }
  }
}

/// A message of an IPC stream: its description and where its buffers lie.
private struct ArrowMessage {
  let kind: UInt8
  let header: FlatTable
  let body: Range<Int>

  /// The message at an offset, which moves behind it; nil at the stream's end.
  init?(_ data: CheckedBytes, at offset: inout Int) throws(ArrowFault) {
    guard offset < data.bytes.count else { return nil }
    guard try data.integer(UInt32.self, at: offset) == .max else {
      throw .malformed("a message without its mark")
    }
    let length = Int(try data.integer(Int32.self, at: offset + 4))
    if length == 0 { return nil }
    let message = try FlatTable(rootOf: data.slice(at: offset + 8, count: length))
    kind = try message.integer(1, default: UInt8(0))
    guard let header = try message.table(2) else { throw .malformed("a message without content") }
    self.header = header
    let bytes = Int(try message.integer(3, default: Int64(0)))
    let start = offset + 8 + length
    _ = try data.slice(at: start, count: bytes)
    body = start..<start + bytes
    offset = body.upperBound
  }
}

/// A column as the schema describes it.
private struct ArrowField {
  let name: String
  let type: ArrowType

  static func schema(_ header: FlatTable) throws(ArrowFault) -> [ArrowField] {
    guard try header.integer(0, default: Int16(0)) == 0 else {
      throw .malformed("numbers most significant byte first")
    }
    var fields: [ArrowField] = []
    for field in try header.tables(1) {
      let name = try field.text(0) ?? ""
      guard try field.table(4) == nil else {
        throw .unsupported(column: name, type: "dictionary")
      }
      fields.append(ArrowField(name: name, type: try ArrowType(field, column: name)))
    }
    return fields
  }
}

/// The types whose cells can be read.
private enum ArrowType: Hashable {
  case null, bool
  case integer(bytes: Int, signed: Bool)
  case float, double
  case text(isLarge: Bool)
  case binary(isLarge: Bool)
  case decimal(scale: Int)
  case days, milliseconds
  /// Ticks since 1970, so many in a second.
  case timestamp(perSecond: Int64, isZoned: Bool)

  init(_ field: FlatTable, column: String) throws(ArrowFault) {
    let tag = try field.integer(2, default: UInt8(0))
    let type = try field.table(3)
    switch (tag, type) {
    case (1, _): self = .null
    case (6, _): self = .bool
    case (2, let type?): self = try Self.integer(type, column)
    case (3, let type?): self = try Self.floating(type, column)
    case (4, _): self = .binary(isLarge: false)
    case (5, _): self = .text(isLarge: false)
    case (19, _): self = .binary(isLarge: true)
    case (20, _): self = .text(isLarge: true)
    case (7, let type?): self = try Self.decimal(type, column)
    case (8, let type?): self = try type.integer(0, default: Int16(1)) == 0 ? .days : .milliseconds
    case (10, let type?): self = try Self.timestamp(type)
    default: throw .unsupported(column: column, type: Self.names[Int(tag)] ?? "type \(tag)")
    }
  }

  private static let names = [
    9: "time", 11: "interval", 12: "array", 13: "struct", 14: "union", 15: "fixed binary",
    16: "fixed array", 17: "map", 18: "duration",
  ]

  private static func integer(_ type: FlatTable, _ column: String) throws(ArrowFault) -> Self {
    let bits = try type.integer(0, default: Int32(0))
    let isSigned = try type.integer(1, default: UInt8(0)) != 0
    guard [8, 16, 32, 64].contains(bits), isSigned || bits < 64 else {
      throw .unsupported(column: column, type: "\(isSigned ? "" : "unsigned ")\(bits)-bit integer")
    }
    return .integer(bytes: Int(bits) / 8, signed: isSigned)
  }

  private static func floating(_ type: FlatTable, _ column: String) throws(ArrowFault) -> Self {
    switch try type.integer(0, default: Int16(0)) {
    case 1: return .float
    case 2: return .double
    default: throw .unsupported(column: column, type: "16-bit float")
    }
  }

  private static func decimal(_ type: FlatTable, _ column: String) throws(ArrowFault) -> Self {
    let scale = try type.integer(1, default: Int32(0))
    guard try type.integer(2, default: Int32(128)) == 128, (0...38).contains(scale) else {
      throw .unsupported(column: column, type: "decimal that is not of 128 bits")
    }
    return .decimal(scale: Int(scale))
  }

  private static func timestamp(_ type: FlatTable) throws(ArrowFault) -> Self {
    let units: [Int64] = [1, 1_000, 1_000_000, 1_000_000_000]
    let unit = Int(try type.integer(0, default: Int16(0)))
    guard units.indices.contains(unit) else { throw .malformed("a timestamp of unit \(unit)") }
    return .timestamp(perSecond: units[unit], isZoned: try type.text(1)?.isEmpty == false)
  }

  /// What the protocol calls it.
  var name: String {
    switch self {
    case .null: "null"
    case .bool: "bool"
    case .integer(let bytes, let isSigned): "\(isSigned ? "" : "u")int\(8 * bytes)"
    case .float: "float32"
    case .double: "float64"
    case .text: "string"
    case .binary: "binary"
    case .decimal: "decimal"
    case .days, .milliseconds: "date"
    case .timestamp(_, let isZoned): isZoned ? "timestamp" : "timestamp_ntz"
    }
  }

  /// How many buffers a column has in a batch.
  var bufferCount: Int {
    switch self {
    case .null: 0
    case .text, .binary: 3
    default: 2
    }
  }
}

/// A batch of rows, before its cells are read.
private struct ArrowBatch {
  let rows: Int
  private let fields: [ArrowField]
  private let nodes: [(Int64, Int64)]
  private let buffers: [Range<Int>]

  init(_ message: ArrowMessage, fields: [ArrowField]) throws(ArrowFault) {
    guard try message.header.table(3) == nil else { throw .compressed }
    let length = try message.header.integer(0, default: Int64(0))
    nodes = try message.header.pairs(1)
    var buffers: [Range<Int>] = []
    for (offset, count) in try message.header.pairs(2) {
      let body = Int64(message.body.count)
      guard offset >= 0, count >= 0, offset <= body, count <= body - offset else {
        throw .truncated
      }
      let start = message.body.lowerBound + Int(offset)
      buffers.append(start..<start + Int(count))
    }
    self.buffers = buffers
    self.fields = fields
    guard nodes.count == fields.count, nodes.allSatisfy({ $0.0 == length }),
      buffers.count == fields.reduce(0, { $0 + $1.type.bufferCount }), length >= 0
    else { throw .malformed("a batch whose columns are not the schema's") }
    // A batch of nulls alone has no buffers that would bound it.
    guard length <= 1 << 24 else { throw .malformed("a batch of \(length) rows") }
    rows = Int(length)
  }

  func cells(_ data: CheckedBytes) throws(ArrowFault) -> [[Cell]] {
    var cells = [[Cell]](repeating: [], count: rows)
    for row in 0..<rows { cells[row].reserveCapacity(fields.count) }
    var next = 0
    for field in fields {
      let own = Array(buffers[next..<next + field.type.bufferCount])
      next += own.count
      let column = ArrowColumn(data: data, type: field.type, buffers: own)
      for row in 0..<rows { cells[row].append(try column.cell(row)) }
    }
    return cells
  }
}

/// One column's buffers.
private struct ArrowColumn {
  let data: CheckedBytes
  let type: ArrowType
  let buffers: [Range<Int>]

  func cell(_ row: Int) throws(ArrowFault) -> Cell {
    if buffers.isEmpty { return .null }
    if !buffers[0].isEmpty, try !bit(row, buffer: 0) { return .null }
    switch type {
    case .null: return .null
    case .bool: return .bool(try bit(row, buffer: 1))
    case .integer(let bytes, let isSigned): return .integer(try number(row, bytes, isSigned))
    case .float: return .float(Float(bitPattern: try fixed(row, UInt32.self)))
    case .double: return .double(Double(bitPattern: try fixed(row, UInt64.self)))
    case .text(let isLarge):
      return .text(String(decoding: try bytes(row, isLarge), as: UTF8.self))
    case .binary(let isLarge): return .binary(Array(try bytes(row, isLarge)))
    case .decimal(let scale): return .text(Calendar.decimal(try fixed(row, Int128.self), scale))
    case .days: return .text(Calendar.date(Int64(try fixed(row, Int32.self))))
    case .milliseconds:
      return .text(Calendar.date(try fixed(row, Int64.self).flooredQuotient(86_400_000).quotient))
    case .timestamp(let perSecond, let isZoned):
      let time = Calendar.time(try fixed(row, Int64.self), perSecond: perSecond)
      return .text(isZoned ? time + "Z" : time)
    }
  }

  private func bit(_ row: Int, buffer: Int) throws(ArrowFault) -> Bool {
    try part(buffer, at: row >> 3, UInt8.self) >> (row & 7) & 1 == 1
  }

  /// A number that lies wholly within one of the column's buffers.
  private func part<T: FixedWidthInteger>(
    _ buffer: Int, at offset: Int, _ type: T.Type
  ) throws(ArrowFault) -> T {
    guard offset + T.bitWidth / 8 <= buffers[buffer].count else { throw .truncated }
    return try data.integer(type, at: buffers[buffer].lowerBound + offset)
  }

  private func fixed<T: FixedWidthInteger>(_ row: Int, _ type: T.Type) throws(ArrowFault) -> T {
    try part(1, at: row * (T.bitWidth / 8), type)
  }

  private func number(_ row: Int, _ bytes: Int, _ isSigned: Bool) throws(ArrowFault) -> Int64 {
    switch (bytes, isSigned) {
    case (1, true): Int64(try fixed(row, Int8.self))
    case (2, true): Int64(try fixed(row, Int16.self))
    case (4, true): Int64(try fixed(row, Int32.self))
    case (1, false): Int64(try fixed(row, UInt8.self))
    case (2, false): Int64(try fixed(row, UInt16.self))
    case (4, false): Int64(try fixed(row, UInt32.self))
    default: try fixed(row, Int64.self)
    }
  }

  private func bytes(_ row: Int, _ isLarge: Bool) throws(ArrowFault) -> ArraySlice<UInt8> {
    let (start, end) = try isLarge ? ends(row, Int64.self) : ends(row, Int32.self)
    guard start >= 0, start <= end, end <= buffers[2].count else { throw .truncated }
    return try data.slice(at: buffers[2].lowerBound + start, count: end - start)
  }

  private func ends<T: FixedWidthInteger>(
    _ row: Int, _ type: T.Type
  ) throws(ArrowFault) -> (Int, Int) {
    let size = T.bitWidth / 8
    return (
      Int(try part(1, at: row * size, type)), Int(try part(1, at: (row + 1) * size, type))
    )
  }
}
