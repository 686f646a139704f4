internal import CDPKernels

/// Sums of vectors of one kind of element: the arithmetic of collectives.
///
/// Elementwise, so all variants give the same bits as the plain loop. Integers wrap: a caller that
/// needs exact sums bounds them.
@safe package struct VectorSum: Sendable {
  /// The elements that can be summed.
  package enum Element: UInt8, Sendable, CaseIterable {
    case float32 = 0
    case float64 = 1
    case int32 = 2
    case int64 = 3

    /// Bytes of one element.
    package var byteCount: Int { self == .float32 || self == .int32 ? 4 : 8 }
  }

  /// The elements.
  package let element: Element
  // SAFETY: constants of the C library's own; what they touch is the caller's promise.
  private let addFunction: cdp_add
  private let foldFunction: cdp_fold

  /// The fastest sums that this processor can run.
  package init(of element: Element) {
    guard let add = unsafe cdp_add_function(Int32(element.rawValue)),
      let fold = unsafe cdp_fold_function(Int32(element.rawValue))
    else { preconditionFailure("no sum of \(element)") }
    self.element = element
    unsafe addFunction = add
    unsafe foldFunction = fold
  }

  /// Adds `count` elements at `source` to those at `target`; the two do not overlap.
  package func add(
    _ source: UnsafeRawPointer, into target: UnsafeMutableRawPointer, count: Int
  ) {
    unsafe addFunction(target, source, count)
  }

  /// Folds `count` elements of each source from left to right, and writes the sums to each target.
  ///
  /// A target may be one of the sources; nothing else overlaps.
  package func fold(
    _ sources: UnsafeBufferPointer<UnsafeRawPointer?>,
    into targets: UnsafeBufferPointer<UnsafeMutableRawPointer?>, count: Int
  ) {
    guard let from = sources.baseAddress else { return }
    unsafe foldFunction(from, sources.count, targets.baseAddress, targets.count, count)
  }
}
