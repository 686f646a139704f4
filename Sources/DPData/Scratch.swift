/// Memory of one kind that is used again and again, and grows where it must.
@safe final class Scratch<Element: BitwiseCopyable> {
  private var buffer: UnsafeMutableBufferPointer<Element>

  init(capacity: Int = 64) { unsafe buffer = .allocate(capacity: capacity) }

  deinit { unsafe buffer.deallocate() }

  /// The memory, valid until it grows.
  @unsafe var base: UnsafeMutablePointer<Element> {
    guard let base = unsafe buffer.baseAddress else { preconditionFailure("no memory") }
    return unsafe base
  }

  /// Makes room for a number of elements.
  ///
  /// - Parameters:
  ///   - count: How many.
  ///   - kept: How many of those at the front keep their values.
  func reserve(_ count: Int, keeping kept: Int = 0) {
    let capacity = unsafe buffer.count
    guard count > capacity else { return }
    let larger = UnsafeMutableBufferPointer<Element>.allocate(
      capacity: max(count, capacity + capacity / 2))
    _ = unsafe larger.update(fromContentsOf: buffer[..<kept])
    unsafe buffer.deallocate()
    unsafe buffer = unsafe larger
  }
}
