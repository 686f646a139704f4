/// Reads Thrift's compact protocol, in which Parquet's footer and page headers are written.
///
/// Every length is checked against the bytes that are left, so that what a damaged file claims costs no
/// memory.
///
/// - SeeAlso: apache/thrift, doc/specs/thrift-compact-protocol.md.
@safe struct ThriftReader {
  /// A field's number and type in a structure.
  struct Field {
    let id: Int
    let type: UInt8
  }

  /// The protocol's numbers for types.
  enum Kind {
    static let yes: UInt8 = 1
    static let no: UInt8 = 2
    static let byte: UInt8 = 3
    static let short: UInt8 = 4
    static let int: UInt8 = 5
    static let long: UInt8 = 6
    static let double: UInt8 = 7
    static let binary: UInt8 = 8
    static let list: UInt8 = 9
    static let set: UInt8 = 10
    static let map: UInt8 = 11
    static let structure: UInt8 = 12
  }

  private let bytes: UnsafeRawBufferPointer
  /// The bytes read.
  private(set) var position = 0
  /// Structures within structures; a damaged file could make a reader recurse without end.
  private var depth = 0
  private static let depthLimit = 32

  /// Begins at the first byte.
  ///
  /// - Parameter bytes: Must stay readable while this value is used.
  @unsafe init(_ bytes: UnsafeRawBufferPointer) {
    unsafe self.bytes = unsafe bytes
  }

  private var left: Int { unsafe bytes.count - position }

  /// One byte.
  mutating func byte() throws(Fault) -> UInt8 {
    guard left > 0 else { throw .damaged("its description ends early") }
    defer { position += 1 }
    // SAFETY: the position is before the end.
    return unsafe bytes[position]
  }

  private mutating func varint() throws(Fault) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 127) << UInt64(shift)
      if byte < 128 { return value }
    }
    throw .damaged("its description holds a number without an end")
  }

  /// A signed number of any of the integer types.
  mutating func integer(_ field: Field) throws(Fault) -> Int {
    switch field.type {
    case Kind.byte: return Int(Int8(bitPattern: try byte()))
    case Kind.short, Kind.int, Kind.long: return try zigzag()
    default: throw wrongType(field)
    }
  }

  private mutating func zigzag() throws(Fault) -> Int {
    let raw = try varint()
    return Int(bitPattern: UInt(raw >> 1)) ^ -Int(raw & 1)
  }

  /// A truth value, which its field's type holds.
  func boolean(_ field: Field) throws(Fault) -> Bool {
    guard field.type == Kind.yes || field.type == Kind.no else { throw wrongType(field) }
    return field.type == Kind.yes
  }

  /// A text; bytes that are not UTF-8 are replaced.
  mutating func text(_ field: Field) throws(Fault) -> String {
    guard field.type == Kind.binary else { throw wrongType(field) }
    let count = try length()
    defer { position += count }
    // SAFETY: `length` has checked that the bytes are there.
    let slice = unsafe UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    return unsafe String(decoding: slice, as: UTF8.self)
  }

  /// A number of bytes or elements, each of at least one byte, that are still there.
  private mutating func length() throws(Fault) -> Int {
    let count = try varint()
    guard count <= UInt64(left) else { throw .damaged("its description ends early") }
    return Int(count)
  }

  /// Reads the fields of a structure; `body` must read or skip each.
  mutating func structure(
    _ body: (inout ThriftReader, Field) throws(Fault) -> Void
  ) throws(Fault) {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw .damaged("its description is nested too deeply") }
    var last = 0
    while true {
      let header = try byte()
      guard header & 15 != 0 else { return }
      let step = Int(header >> 4)
      last = step == 0 ? try zigzag() : last + step
      guard (0...0x7FFF).contains(last) else { throw .damaged("its description has wrong fields") }
      try body(&self, Field(id: last, type: header & 15))
    }
  }

  /// Reads the fields of a structure in a field.
  mutating func structure(
    _ field: Field, _ body: (inout ThriftReader, Field) throws(Fault) -> Void
  ) throws(Fault) {
    guard field.type == Kind.structure else { throw wrongType(field) }
    try structure(body)
  }

  /// Reads a list of structures; `element` reads one.
  mutating func list(
    _ field: Field, _ element: (inout ThriftReader) throws(Fault) -> Void
  ) throws(Fault) {
    guard field.type == Kind.list else { throw wrongType(field) }
    let (count, type) = try listHeader()
    guard count == 0 || type == Kind.structure else { throw wrongType(field) }
    for _ in 0..<count { try element(&self) }
  }

  private mutating func listHeader() throws(Fault) -> (count: Int, type: UInt8) {
    let header = try byte()
    let count = header >> 4 == 15 ? try length() : Int(header >> 4)
    guard count <= left else { throw .damaged("its description ends early") }
    return (count, header & 15)
  }

  /// Passes over a field's value.
  mutating func skip(_ field: Field) throws(Fault) {
    guard field.type != Kind.yes, field.type != Kind.no else { return }
    try skipValue(field.type)
  }

  /// Passes over a value; truth values in lists take a byte each.
  private mutating func skipValue(_ type: UInt8) throws(Fault) {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthLimit else { throw .damaged("its description is nested too deeply") }
    switch type {
    case Kind.yes, Kind.no, Kind.byte: _ = try byte()
    case Kind.short, Kind.int, Kind.long: _ = try varint()
    case Kind.double: try skipBytes(8)
    case Kind.binary: try skipBytes(try length())
    case Kind.list, Kind.set:
      let (count, element) = try listHeader()
      for _ in 0..<count { try skipValue(element) }
    case Kind.map: try skipMap()
    case Kind.structure:
      try structure { (reader, field) throws(Fault) in try reader.skip(field) }
    default: throw .damaged("its description holds an unknown type")
    }
  }

  private mutating func skipMap() throws(Fault) {
    let count = try length()
    guard count > 0 else { return }
    let types = try byte()
    for _ in 0..<count {
      try skipValue(types >> 4)
      try skipValue(types & 15)
    }
  }

  private mutating func skipBytes(_ count: Int) throws(Fault) {
    guard count <= left else { throw .damaged("its description ends early") }
    position += count
  }

  private func wrongType(_ field: Field) -> Fault {
    .damaged("field \(field.id) of its description has type \(field.type)")
  }
}
