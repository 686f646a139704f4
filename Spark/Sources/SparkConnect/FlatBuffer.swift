/// Bytes from elsewhere, in which every read is checked.
struct CheckedBytes: Sendable {
  let bytes: [UInt8]

  /// A whole number, least significant byte first.
  ///
  /// - Parameters:
  ///   - type: The number's type.
  ///   - offset: Where it begins.
  /// - Returns: The number.
  /// - Throws: ``ArrowFault`` where it does not lie within the bytes.
  func integer<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) throws(ArrowFault) -> T {
    let size = T.bitWidth / 8
    guard offset >= 0, offset <= bytes.count - size else { throw .truncated }
    var value: T = 0
    for index in (0..<size).reversed() {
      value = value << 8 | T(truncatingIfNeeded: bytes[offset + index])
    }
    return value
  }

  /// Some bytes.
  ///
  /// - Parameters:
  ///   - offset: Where they begin.
  ///   - count: How many.
  /// - Returns: The bytes.
  /// - Throws: ``ArrowFault`` where they do not lie within.
  func slice(at offset: Int, count: Int) throws(ArrowFault) -> ArraySlice<UInt8> {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw .truncated
    }
    return bytes[offset..<offset + count]
  }
}

/// Why Arrow data cannot be decoded.
package enum ArrowFault: Error, Hashable, Sendable {
  case truncated
  case unsupported(column: String, type: String)
  case compressed
  case malformed(String)
}

/// A table of a FlatBuffer, its fields found by number.
struct FlatTable {
  private let data: CheckedBytes
  private let position: Int
  private let fields: Int
  private let fieldBytes: Int

  /// The table that a buffer begins with a reference to.
  init(rootOf bytes: ArraySlice<UInt8>) throws(ArrowFault) {
    let data = CheckedBytes(bytes: Array(bytes))
    try self.init(data, at: Int(data.integer(UInt32.self, at: 0)))
  }

  private init(_ data: CheckedBytes, at position: Int) throws(ArrowFault) {
    self.data = data
    self.position = position
    fields = position - Int(try data.integer(Int32.self, at: position))
    fieldBytes = Int(try data.integer(UInt16.self, at: fields))
  }

  /// Where a field lies, or nil where the table leaves it out.
  private func place(_ field: Int) throws(ArrowFault) -> Int? {
    let entry = 4 + 2 * field
    guard entry + 2 <= fieldBytes else { return nil }
    let offset = try data.integer(UInt16.self, at: fields + entry)
    return offset == 0 ? nil : position + Int(offset)
  }

  /// A number, or what it is where the table leaves it out.
  func integer<T: FixedWidthInteger>(_ field: Int, default missing: T) throws(ArrowFault) -> T {
    guard let place = try place(field) else { return missing }
    return try data.integer(T.self, at: place)
  }

  /// The place that a field refers to.
  private func target(_ field: Int) throws(ArrowFault) -> Int? {
    guard let place = try place(field) else { return nil }
    return place + Int(try data.integer(UInt32.self, at: place))
  }

  /// A table within.
  func table(_ field: Int) throws(ArrowFault) -> FlatTable? {
    guard let target = try target(field) else { return nil }
    return try FlatTable(data, at: target)
  }

  /// A text.
  func text(_ field: Int) throws(ArrowFault) -> String? {
    guard let target = try target(field) else { return nil }
    let count = Int(try data.integer(UInt32.self, at: target))
    return String(decoding: try data.slice(at: target + 4, count: count), as: UTF8.self)
  }

  /// Tables in a row.
  func tables(_ field: Int) throws(ArrowFault) -> [FlatTable] {
    guard let target = try target(field) else { return [] }
    let count = try counted(at: target, size: 4)
    var tables: [FlatTable] = []
    for index in 0..<count {
      let place = target + 4 + 4 * index
      tables.append(try FlatTable(data, at: place + Int(data.integer(UInt32.self, at: place))))
    }
    return tables
  }

  /// Pairs of 64-bit numbers in a row.
  func pairs(_ field: Int) throws(ArrowFault) -> [(Int64, Int64)] {
    guard let target = try target(field) else { return [] }
    let count = try counted(at: target, size: 16)
    var pairs: [(Int64, Int64)] = []
    for index in 0..<count {
      let place = target + 4 + 16 * index
      pairs.append(
        (
          try data.integer(Int64.self, at: place), try data.integer(Int64.self, at: place + 8)
        ))
    }
    return pairs
  }

  private func counted(at target: Int, size: Int) throws(ArrowFault) -> Int {
    let count = Int(try data.integer(UInt32.self, at: target))
    guard count <= data.bytes.count / size else { throw .truncated }
    return count
  }
}
