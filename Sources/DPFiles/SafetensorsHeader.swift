internal import Foundation

/// The element types of a tensor that fastDP's files use, little-endian.
package enum TensorType: String, Sendable, Codable, CaseIterable {
  /// Unsigned bytes.
  case u8 = "U8"
  /// Signed 32-bit integers.
  case i32 = "I32"
  /// Signed 64-bit integers.
  case i64 = "I64"
  /// IEEE 754 single precision.
  case f32 = "F32"
  /// IEEE 754 double precision.
  case f64 = "F64"

  /// Bytes per element.
  package var byteCount: Int {
    switch self {
    case .u8: 1
    case .i32, .f32: 4
    case .i64, .f64: 8
    }
  }
}

/// A named array in a safetensors file.
package struct Tensor: Hashable, Sendable {
  /// Unique in its file.
  package let name: String
  /// Element type.
  package let type: TensorType
  /// Sizes of the dimensions, outermost first; empty for a single number.
  package let shape: [Int]
  /// Where its bytes are, counted from the beginning of the file.
  package let range: Range<Int>

  /// How many elements the shape has.
  package var count: Int { shape.reduce(1, *) }
}

/// The rules of the safetensors format that reader and writer share.
///
/// A file is: 8 bytes, the length N of the header, little-endian; N bytes of JSON; the tensors'
/// bytes, back to back. The header maps each name to `{"dtype", "shape", "data_offsets"}`, offsets
/// counted from the end of the header, and `"__metadata__"` to an object of strings.
///
/// - SeeAlso: The format's description in the README of the repository huggingface/safetensors.
enum SafetensorsHeader {
  /// The largest header that is read, as in the original implementation.
  static let byteLimit = 100_000_000
  /// The name that is not a tensor.
  static let metadataKey = "__metadata__"

  /// One tensor's entry.
  struct Entry: Codable {
    var dtype: String
    var shape: [Int]
    var offsets: [Int]

    enum CodingKeys: String, CodingKey {
      case dtype
      case shape
      case offsets = "data_offsets"
    }
  }

  /// The bytes that a shape takes.
  ///
  /// - Parameters:
  ///   - shape: Sizes of the dimensions.
  ///   - type: Element type.
  /// - Returns: The product, or nil where a size is negative or the product passes Int.
  static func byteCount(shape: [Int], type: TensorType) -> Int? {
    var product = type.byteCount
    for size in shape {
      guard size >= 0 else { return nil }
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      guard !overflow else { return nil }
      product = next
    }
    return product
  }
}

/// A JSON object whose keys are not known in advance: tensors and metadata.
struct SafetensorsIndex: Codable {
  var tensors: [String: SafetensorsHeader.Entry] = [:]
  var metadata: [String: String] = [:]

  init() {}

  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    for key in container.allKeys {
      if key.stringValue == SafetensorsHeader.metadataKey {
        metadata = try container.decode([String: String].self, forKey: key)
      } else {
        tensors[key.stringValue] = try container.decode(
          SafetensorsHeader.Entry.self, forKey: key)
      }
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    if !metadata.isEmpty {
      try container.encode(metadata, forKey: Key(SafetensorsHeader.metadataKey))
    }
    for (name, entry) in tensors {
      try container.encode(entry, forKey: Key(name))
    }
  }

  private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ text: String) { stringValue = text }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(String(intValue)) }
  }
}
