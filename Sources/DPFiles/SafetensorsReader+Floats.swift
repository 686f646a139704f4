extension SafetensorsReader {
  /// The numbers of an F32 tensor, copied.
  ///
  /// - Parameters:
  ///   - name: The tensor's name.
  ///   - shape: The shape that it must have.
  /// - Returns: Row-major values, or nil when there is no such tensor of that type and shape.
  package func floats(_ name: String, shape: [Int]) -> [Float]? {
    guard let tensor = tensor(name), tensor.type == .f32, tensor.shape == shape else { return nil }
    // SAFETY: the reader checked that the tensor's bytes lie inside the file, which lives as long
    // as `self`; the loads are unaligned ones.
    let bytes = unsafe buffer(of: tensor)
    return stride(from: 0, to: bytes.count, by: 4).map { offset in
      let bits = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
      return Float(bitPattern: UInt32(littleEndian: bits))
    }
  }
}
