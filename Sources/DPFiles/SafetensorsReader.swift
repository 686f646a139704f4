internal import Foundation

/// A safetensors file, checked from end to end before anything in it is used.
///
/// After `init` every tensor's range lies within the file, holds exactly the elements of its shape,
/// overlaps no other, and no byte of the data belongs to none.
package struct SafetensorsReader: Sendable {
  /// The file's bytes; the tensors' ranges count from its beginning.
  package let bytes: MappedBytes
  /// The tensors, in the order of their bytes.
  package let tensors: [Tensor]
  /// The strings of `__metadata__`.
  package let metadata: [String: String]
  /// Where the tensors' bytes are, together.
  package let dataRange: Range<Int>

  /// Maps and checks a file.
  ///
  /// - Parameter path: A safetensors file.
  /// - Throws: ``FileError`` as ``MappedBytes/init(contentsOf:)`` does, or `malformed`.
  /// - Complexity: O(header).
  package init(contentsOf path: String) throws(FileError) {
    try self.init(MappedBytes(contentsOf: path), name: path)
  }

  /// Checks bytes.
  ///
  /// - Parameters:
  ///   - bytes: A whole safetensors file.
  ///   - name: What error messages call it.
  /// - Throws: ``FileError`` `malformed`.
  /// - Complexity: O(header).
  package init(_ bytes: MappedBytes, name: String) throws(FileError) {
    let (index, dataRange) = try Self.index(of: bytes, name: name)
    self.bytes = bytes
    self.dataRange = dataRange
    metadata = index.metadata
    tensors = try Self.tensors(of: index, in: dataRange, name: name)
  }

  /// Finds a tensor.
  ///
  /// - Parameter name: As in the header.
  /// - Returns: The tensor, or nil.
  package func tensor(_ name: String) -> Tensor? {
    tensors.first { $0.name == name }
  }

  /// The bytes of a tensor of this file.
  ///
  /// - Parameter tensor: One of ``tensors``.
  /// - Returns: Its bytes, valid while ``bytes`` lives. They are aligned to the element where the
  ///   writer took care (ours does); `loadUnaligned` reads them wherever they are.
  @unsafe package func buffer(of tensor: Tensor) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: bytes.buffer[tensor.range])
  }

  /// The header, decoded, and the range of what follows it.
  private static func index(
    of bytes: MappedBytes, name: String
  ) throws(FileError) -> (SafetensorsIndex, Range<Int>) {
    guard bytes.count >= 8 else {
      throw malformed(name, "has \(bytes.count) bytes, fewer than the 8 of a header's length")
    }
    // SAFETY: the 8 bytes were checked to be there.
    let length = unsafe UInt64(
      littleEndian: bytes.buffer.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    guard length <= UInt64(SafetensorsHeader.byteLimit), length <= UInt64(bytes.count - 8) else {
      throw malformed(name, "its first 8 bytes are not the length of a header")
    }
    let end = 8 + Int(length)
    // SAFETY: the range was checked to be within the bytes.
    let header = unsafe Data(bytes.buffer[8..<end])
    guard header.first == UInt8(ascii: "{") else {
      throw malformed(name, "its header is not a JSON object")
    }
    guard let index = try? JSONDecoder().decode(SafetensorsIndex.self, from: header) else {
      throw malformed(name, "its header is not the JSON of tensors")
    }
    return (index, end..<bytes.count)
  }

  /// The tensors in the order of their bytes, each checked, without a gap between them.
  private static func tensors(
    of index: SafetensorsIndex, in data: Range<Int>, name: String
  ) throws(FileError) -> [Tensor] {
    var found: [Tensor] = []
    for (tensor, entry) in index.tensors {
      found.append(try check(tensor, entry, in: data, name: name))
    }
    found.sort {
      ($0.range.lowerBound, $0.range.upperBound, $0.name)
        < ($1.range.lowerBound, $1.range.upperBound, $1.name)
    }
    var end = data.lowerBound
    for tensor in found {
      guard tensor.range.lowerBound == end else {
        throw malformed(name, "tensor \"\(tensor.name)\" overlaps another or leaves a gap")
      }
      end = tensor.range.upperBound
    }
    guard end == data.upperBound else {
      throw malformed(name, "has \(data.upperBound - end) bytes after its last tensor")
    }
    return found
  }

  private static func check(
    _ tensor: String, _ entry: SafetensorsHeader.Entry, in data: Range<Int>, name: String
  ) throws(FileError) -> Tensor {
    guard let type = TensorType(rawValue: entry.dtype) else {
      throw malformed(name, "tensor \"\(tensor)\" has an element type that is not supported")
    }
    guard entry.offsets.count == 2, entry.offsets[0] >= 0, entry.offsets[0] <= entry.offsets[1],
      entry.offsets[1] <= data.count
    else {
      throw malformed(name, "tensor \"\(tensor)\" lies outside the file")
    }
    guard let size = SafetensorsHeader.byteCount(shape: entry.shape, type: type),
      size == entry.offsets[1] - entry.offsets[0]
    else {
      throw malformed(name, "tensor \"\(tensor)\" does not have the bytes its shape needs")
    }
    let start = data.lowerBound + entry.offsets[0]
    return Tensor(name: tensor, type: type, shape: entry.shape, range: start..<start + size)
  }

  private static func malformed(_ name: String, _ problem: String) -> FileError {
    FileError(.malformed, "\(name): \(problem); it is no safetensors file or is damaged")
  }
}
