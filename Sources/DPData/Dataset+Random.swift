internal import DPFiles
internal import Foundation

extension Dataset {
  /// A table of random bits with random labels, in memory: what speed is measured on.
  ///
  /// - Parameters:
  ///   - examples: n, the rows of the training split; the test split is empty.
  ///   - features: The width of a row, at least 1.
  /// - Returns: A dataset that says what it is by its source's name, `random`.
  /// - Throws: ``DataError`` for more features than a schema may have.
  /// - Complexity: O(examples × features).
  public static func random(examples: Int, features: Int) throws -> Dataset {
    let names = (0..<features).map { "x\($0)" }
    let columns = (names + ["y"]).map { "  \($0): {type: binary}" }.joined(separator: "\n")
    let schema = try Schema(text: "label: y\ncolumns:\n\(columns)\n", file: "random")
    let provenance = Provenance(
      source: "random", inputs: [], rowsRead: examples, splitKey: 0, testFraction: 0,
      trainRows: examples, featureNames: schema.featureNames, fastdpVersion: Version.current)
    let layout = try DatasetFormat.layout(
      schema: schema, provenance: provenance, trainRows: examples, testRows: 0)
    let bytes = unsafe MappedBytes(count: layout.byteCount) { memory in
      unsafe memory.copyBytes(from: layout.header)
      for tensor in layout.tensors {
        unsafe fillWithBits(UnsafeMutableRawBufferPointer(rebasing: memory[tensor.range]))
      }
    }
    return try Dataset(bytes, name: "random")
  }

  /// Sets every byte to 0 or 1, by a generator of Marsaglia's (xorshift, 2003) from a fixed start.
  private static func fillWithBits(_ bytes: UnsafeMutableRawBufferPointer) {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for index in bytes.indices {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      unsafe bytes[index] = UInt8(truncatingIfNeeded: state >> 40) & 1
    }
  }
}
