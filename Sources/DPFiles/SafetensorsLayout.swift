internal import Foundation

/// Where everything goes in a safetensors file that is about to be made.
///
/// Tensors of wider elements come first and the header is padded with spaces to a multiple of 8
/// bytes, so every tensor is aligned to its element. The header's text depends on its contents
/// alone: same tensors and metadata, same bytes.
package struct SafetensorsLayout: Sendable {
  /// What is asked for: a name, a type and a shape.
  package struct Request: Sendable {
    let name: String
    let type: TensorType
    let shape: [Int]

    /// Asks for a tensor.
    ///
    /// - Parameters:
    ///   - name: Unique in the file; not `__metadata__`.
    ///   - type: Element type.
    ///   - shape: Sizes of the dimensions, each at least 0.
    package init(_ name: String, _ type: TensorType, shape: [Int]) {
      self.name = name
      self.type = type
      self.shape = shape
    }
  }

  /// The tensors in the order in which their bytes must be written.
  package let tensors: [Tensor]
  /// The length and the header, padded: the file's first bytes.
  package let header: [UInt8]
  /// The size of the whole file.
  package let byteCount: Int

  /// Lays out a file.
  ///
  /// - Parameters:
  ///   - requests: Names must differ; a broken promise traps.
  ///   - metadata: Strings for `__metadata__`.
  ///   - headerByteCount: How long ``header`` is to be at least, a multiple of 8: a file whose tensors
  ///     are written before their sizes are known keeps room for its header.
  /// - Complexity: O(tensors log tensors + metadata).
  package init(
    _ requests: [Request], metadata: [String: String], headerByteCount: Int = 0
  ) {
    precondition(headerByteCount % 8 == 0, "\(headerByteCount) bytes for a header")
    precondition(
      Set(requests.map(\.name)).count == requests.count, "two tensors have the same name")
    // Sorted is stable here by the second key: the order of the requests.
    let ordered = requests.enumerated().sorted {
      (-$0.element.type.byteCount, $0.offset) < (-$1.element.type.byteCount, $1.offset)
    }
    var index = SafetensorsIndex()
    index.metadata = metadata
    var offset = 0
    var placed: [(Request, Range<Int>)] = []
    for (_, request) in ordered {
      precondition(request.name != SafetensorsHeader.metadataKey, "a tensor may not be named so")
      guard
        let size = SafetensorsHeader.byteCount(shape: request.shape, type: request.type)
      else {
        preconditionFailure("the shape \(request.shape) of \(request.name) is no shape")
      }
      index.tensors[request.name] = SafetensorsHeader.Entry(
        dtype: request.type.rawValue, shape: request.shape, offsets: [offset, offset + size])
      placed.append((request, offset..<offset + size))
      offset += size
    }
    let header = Self.header(index, byteCount: headerByteCount)
    self.header = header
    byteCount = header.count + offset
    tensors = placed.map { request, range in
      Tensor(
        name: request.name, type: request.type, shape: request.shape,
        range: header.count + range.lowerBound..<header.count + range.upperBound)
    }
  }

  private static func header(_ index: SafetensorsIndex, byteCount: Int) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard var json = try? Array(encoder.encode(index)) else {
      preconditionFailure("a header of strings and integers cannot be encoded")
    }
    while json.count % 8 != 0 || json.count + 8 < byteCount { json.append(UInt8(ascii: " ")) }
    let length = UInt64(json.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + json
  }
}

/// Writes a safetensors file tensor by tensor.
///
/// Nothing appears under the file's name before ``commit()``; see ``AtomicFile``.
package struct SafetensorsWriter: ~Copyable {
  /// Where everything goes.
  package let layout: SafetensorsLayout
  private var file: AtomicFile
  private var written: Int

  /// Begins a file with its header.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - layout: What will be in it.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``FileError`` as ``AtomicFile`` does.
  package init(path: String, layout: SafetensorsLayout, overwrite: Bool) throws(FileError) {
    var file = try AtomicFile(path: path, overwrite: overwrite)
    try file.write(layout.header)
    self.layout = layout
    self.file = file
    written = layout.header.count
  }

  /// Appends the next bytes of the tensors, in the order of ``SafetensorsLayout/tensors``.
  ///
  /// A call may hold part of a tensor or several of them.
  ///
  /// - Parameter bytes: Little-endian elements, row-major; readable through the call.
  /// - Throws: ``FileError`` `inputOutput`.
  @unsafe package mutating func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    written += bytes.count
    precondition(written <= layout.byteCount, "\(written) bytes, \(layout.byteCount) laid out")
    try unsafe file.write(bytes)
  }

  /// Appends the next elements, as ``write(_:)-(UnsafeRawBufferPointer)`` does.
  ///
  /// - Parameter elements: Of the type that the layout has next.
  /// - Throws: ``FileError`` `inputOutput`.
  package mutating func write<Element: BitwiseCopyable>(
    _ elements: [Element]
  ) throws(FileError) {
    // SAFETY: the bytes are copied within the closure.
    let bytes = unsafe elements.withUnsafeBytes { unsafe [UInt8]($0) }
    written += bytes.count
    precondition(written <= layout.byteCount, "\(written) bytes, \(layout.byteCount) laid out")
    try file.write(bytes)
  }

  /// Gives the file its name, durably.
  ///
  /// - Throws: ``FileError`` as ``AtomicFile/commit()`` does.
  package consuming func commit() throws(FileError) {
    precondition(written == layout.byteCount, "\(written) of \(layout.byteCount) bytes written")
    try file.commit()
  }
}
