internal import CDPKernels

/// Whole numbers in Double, as integers of 4 bytes on their way between ranks.
///
/// Exact, so that it leaves no trace in a sum. Loops compiled for SSE2 and AVX2 give the same.
package enum PackedNumbers {
  /// Packs numbers.
  ///
  /// - Parameters:
  ///   - numbers: The numbers.
  ///   - packed: Overwritten; of the same length.
  /// - Returns: Whether all are whole and fit; `packed` is of no use otherwise.
  package static func pack(
    _ numbers: Span<Double>, into packed: inout MutableSpan<Int32>
  ) -> Bool {
    precondition(numbers.count == packed.count, "\(numbers.count) into \(packed.count)")
    // SAFETY: both spans stay alive through the call, are of one length and, one being borrowed
    // exclusively, do not overlap.
    return unsafe numbers.withUnsafeBufferPointer { from in
      unsafe packed.withUnsafeMutableBufferPointer { to in
        guard let from = from.baseAddress, let target = to.baseAddress else { return true }
        return unsafe cdp_pack(from, target, to.count) != 0
      }
    }
  }

  /// Asks for memory that numbers will be packed into: while other work is done it comes from the caches of
  /// processors that have read it.
  ///
  /// - Parameter memory: As much as fits the nearest cache beside that work.
  package static func claim(_ memory: inout MutableSpan<Int32>) {
    // SAFETY: a request for memory that the span has; nothing is read or written.
    unsafe memory.withUnsafeMutableBufferPointer { unsafe cdp_claim($0.baseAddress, 4 * $0.count) }
  }

  /// Adds packed numbers to others.
  ///
  /// - Parameters:
  ///   - packed: What ``pack(_:into:)`` has made.
  ///   - sum: As many numbers, or more.
  package static func add(_ packed: Span<Int32>, to sum: inout MutableSpan<Double>) {
    precondition(packed.count <= sum.count, "\(packed.count) to \(sum.count)")
    // SAFETY: as above; the sum is at least as long.
    unsafe packed.withUnsafeBufferPointer { from in
      unsafe sum.withUnsafeMutableBufferPointer { to in
        guard let start = from.baseAddress, let target = to.baseAddress else { return }
        unsafe cdp_add_packed(target, start, from.count)
      }
    }
  }
}
