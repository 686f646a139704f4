/// Writes Thrift's compact protocol.
///
/// - SeeAlso: ``ThriftReader``.
package struct ThriftWriter {
  package private(set) var bytes: [UInt8] = []
  /// The last field of each structure that is open.
  private var last = [0]

  /// Nothing written yet.
  package init() {}

  private mutating func header(_ id: Int, _ type: UInt8) {
    let step = id - last[last.count - 1]
    precondition((1...15).contains(step), "field \(id) after \(last[last.count - 1])")
    bytes.append(UInt8(step) << 4 | type)
    last[last.count - 1] = id
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 128 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 128)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func zigzag(_ value: Int) {
    varint(UInt64(bitPattern: Int64(value << 1 ^ value >> 63)))
  }

  /// A field of 32 bits.
  package mutating func int32(_ id: Int, _ value: Int) {
    header(id, ThriftReader.Kind.int)
    zigzag(value)
  }

  /// A field of 64 bits.
  package mutating func int64(_ id: Int, _ value: Int) {
    header(id, ThriftReader.Kind.long)
    zigzag(value)
  }

  /// A field of 8 bits.
  package mutating func int8(_ id: Int, _ value: Int) {
    header(id, ThriftReader.Kind.byte)
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  /// A truth value.
  package mutating func boolean(_ id: Int, _ value: Bool) {
    header(id, value ? ThriftReader.Kind.yes : ThriftReader.Kind.no)
  }

  /// A text.
  package mutating func text(_ id: Int, _ value: String) {
    header(id, ThriftReader.Kind.binary)
    element(text: value)
  }

  /// A text in a list.
  package mutating func element(text: String) {
    varint(UInt64(text.utf8.count))
    bytes.append(contentsOf: text.utf8)
  }

  /// A number in a list.
  package mutating func element(int: Int) { zigzag(int) }

  /// A structure in a field.
  package mutating func structure(_ id: Int, _ body: (inout ThriftWriter) -> Void) {
    header(id, ThriftReader.Kind.structure)
    structure(body)
  }

  /// A structure on its own, or in a list.
  package mutating func structure(_ body: (inout ThriftWriter) -> Void) {
    last.append(0)
    body(&self)
    last.removeLast()
    bytes.append(0)
  }

  /// A list; `body` writes its elements.
  package mutating func list(
    _ id: Int, count: Int, of type: UInt8, _ body: (inout ThriftWriter) -> Void
  ) {
    header(id, ThriftReader.Kind.list)
    if count < 15 {
      bytes.append(UInt8(count) << 4 | type)
    } else {
      bytes.append(0xF0 | type)
      varint(UInt64(count))
    }
    body(&self)
  }
}
