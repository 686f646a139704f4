internal import CDPKernels

/// Normal values from uniform bytes, rounded to integers: the loop under Gaussian noise.
///
/// Each group of ``groupBytes`` bytes gives ``groupValues`` values by Box and Muller's transform in
/// Double: 64 bits for each pair's radius and 44 for its angle, of which 12 are shared.
///
/// Slowest first, on one core with bytes in the cache (see `Benchmarks`):
///
/// | variant | idea |
/// |---|---|
/// | ``reference(_:scale:into:)`` | the C library's logarithm, sine and cosine |
/// | SSE2, NEON | polynomials instead, elementwise on a group's 8 pairs |
/// | AVX2 | four pairs in a register |
/// | AVX-512 | eight pairs in a register |
///
/// The compiled variants give the same bits on every machine: IEEE 754's own operations in a fixed
/// order, none of them fused. Before rounding they are within `scale` · 2⁻³⁸ of the exact transform
/// of the bytes, as the reference is within `scale` · 2⁻⁴⁸.
package struct NormalUnits: Sendable {
  /// Bytes that make a group.
  package static let groupBytes = Int(CDP_NORMAL_GROUP_BYTES)
  /// Values in a group.
  package static let groupValues = Int(CDP_NORMAL_GROUP_VALUES)
  /// The largest scale: 9.42 standard deviations still fit an Int32.
  package static let largestScale = 0x1p27

  /// The instruction set.
  package let name: String
  private let variant: Int32

  /// A compiled variant; nil where this processor lacks the instructions.
  private init?(variant: Int32) {
    guard unsafe cdp_normal_units_variant(variant) != nil,
      let name = unsafe cdp_instruction_set_name(variant)
    else { return nil }
    self.variant = variant
    self.name = unsafe String(cString: name)
  }

  /// The variants that this processor can run, slowest first; at least one.
  package static let available = (0..<4).compactMap { NormalUnits(variant: $0) }

  /// The fastest variant that this processor can run.
  package static let fastest: NormalUnits = {
    guard let last = available.last else { preconditionFailure("no baseline variant") }
    return last
  }()

  /// Makes normal values.
  ///
  /// - Parameters:
  ///   - bytes: Uniform and independent; a multiple of ``groupBytes``.
  ///   - scale: The standard deviation, in (0, ``largestScale``].
  ///   - units: Receives ``groupValues`` values for each group.
  ///   - start: Where the first value goes.
  package func fill(
    _ bytes: RawSpan, scale: Double, into units: inout MutableSpan<Int32>, at start: Int = 0
  ) {
    let groups = bytes.byteCount / NormalUnits.groupBytes
    precondition(
      bytes.byteCount == groups * NormalUnits.groupBytes && start >= 0
        && start + groups * NormalUnits.groupValues <= units.count,
      "\(bytes.byteCount) bytes for \(units.count) values from \(start)")
    precondition(scale > 0 && scale <= NormalUnits.largestScale, "scale \(scale)")
    guard groups > 0, let function = unsafe cdp_normal_units_variant(variant) else { return }
    // SAFETY: both spans stay alive through the call and cannot overlap; the function reads `groups`
    // groups and writes their values, which lie within the spans. A variant that was found stays.
    unsafe bytes.withUnsafeBytes { source in
      unsafe units.withUnsafeMutableBufferPointer { target in
        guard let from = source.baseAddress, let to = target.baseAddress else { return }
        unsafe function(
          from.assumingMemoryBound(to: UInt8.self), groups, scale, to + start)
      }
    }
  }
}
