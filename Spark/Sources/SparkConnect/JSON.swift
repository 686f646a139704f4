#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// A JSON value; an object's members keep their order when written.
package enum JSON: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  case float(Float)
  case double(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A name and a value.
  package struct Member: Hashable, Sendable {
    package let name: String
    package let value: JSON

    package init(_ name: String, _ value: JSON) {
      self.name = name
      self.value = value
    }
  }

  /// Reads a text.
  ///
  /// - Parameter text: One JSON value in UTF-8.
  /// - Returns: Nil where it is none.
  package static func parse(_ text: [UInt8]) -> JSON? {
    try? JSONDecoder().decode(JSON.self, from: Data(text))
  }

  /// The members of an object by name; nil for any other value.
  package var members: [String: JSON]? {
    guard case .object(let members) = self else { return nil }
    return Dictionary(members.map { ($0.name, $0.value) }) { $1 }
  }

  /// The text of a string.
  package var text: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The value on one line.
  package var line: String {
    var bytes: [UInt8] = []
    write(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Appends the value's text.
  package func write(to bytes: inout [UInt8]) {
    switch self {
    case .null: bytes += "null".utf8
    case .bool(let value): bytes += (value ? "true" : "false").utf8
    case .integer(let value): bytes += String(value).utf8
    case .float(let value): Self.number("\(value)", Double(value), &bytes)
    case .double(let value): Self.number("\(value)", value, &bytes)
    case .string(let text): Self.quote(text, &bytes)
    case .array(let values): Self.list(values, "[", "]", &bytes) { $0.write(to: &$1) }
    case .object(let members):
      Self.list(members, "{", "}", &bytes) { member, bytes in
        Self.quote(member.name, &bytes)
        bytes += ":".utf8
        member.value.write(to: &bytes)
      }
    }
  }

  /// A number's shortest text, or the name of what JSON has no number for.
  private static func number(_ text: String, _ value: Double, _ bytes: inout [UInt8]) {
    guard !value.isFinite else {
      bytes += text.utf8
      return
    }
    quote(value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity", &bytes)
  }

  private static func list<T>(
    _ values: [T], _ open: String, _ close: String, _ bytes: inout [UInt8],
    _ write: (T, inout [UInt8]) -> Void
  ) {
    bytes += open.utf8
    for (index, value) in values.enumerated() {
      if index > 0 { bytes += ",".utf8 }
      write(value, &bytes)
    }
    bytes += close.utf8
  }

  private static func quote(_ text: String, _ bytes: inout [UInt8]) {
    bytes.append(0x22)
    for byte in text.utf8 {
      switch byte {
      case 0x22, 0x5c: bytes += [0x5c, byte]
      case 0x0a: bytes += #"\n"#.utf8
      case 0x00..<0x20, 0x7f:
        bytes += (#"\u00"# + (byte < 16 ? "0" : "") + String(byte, radix: 16)).utf8
      default: bytes.append(byte)
      }
    }
    bytes.append(0x22)
  }
}

extension JSON: Decodable {
  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  package init(from decoder: any Decoder) throws {
    if let object = try? decoder.container(keyedBy: Key.self) {
      self = .object(
        try object.allKeys.map { Member($0.stringValue, try object.decode(JSON.self, forKey: $0)) })
    } else if var list = try? decoder.unkeyedContainer() {
      var values: [JSON] = []
      while !list.isAtEnd { values.append(try list.decode(JSON.self)) }
      self = .array(values)
    } else {
      self = try Self.scalar(decoder.singleValueContainer())
    }
  }

  private static func scalar(_ value: any SingleValueDecodingContainer) throws -> JSON {
    if value.decodeNil() { return .null }
    if let bool = try? value.decode(Bool.self) { return .bool(bool) }
    if let integer = try? value.decode(Int64.self) { return .integer(integer) }
    if let double = try? value.decode(Double.self) { return .double(double) }
    return .string(try value.decode(String.self))
  }
}
