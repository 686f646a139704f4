/// A vector in the memory that ranks of a host share, where sums need no copies.
///
/// It lives as long as its communicator.
@safe public struct SharedVector<Element: CollectiveElement>: ~Copyable {
  // SAFETY: `count` elements that no other vector has, in the region that is kept alive here.
  private let elements: UnsafeMutableBufferPointer<Element>
  private let region: SharedRegion?

  /// Takes memory of a region, or of the process where there is none.
  init(_ elements: UnsafeMutableBufferPointer<Element>, in region: SharedRegion?) {
    unsafe self.elements = unsafe elements
    self.region = region
  }

  /// Makes a vector of zeros in memory of the process, for what no rank is to reach.
  package init(inProcess count: Int) {
    precondition(count >= 0, "\(count) elements")
    let elements = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
    unsafe elements.withMemoryRebound(to: UInt8.self) { unsafe $0.initialize(repeating: 0) }
    unsafe self.init(elements, in: nil)
  }

  deinit {
    if region == nil { unsafe elements.deallocate() }
  }

  /// How many elements there are.
  public var count: Int { unsafe elements.count }

  /// Lends the elements.
  ///
  /// - Parameter body: What is done with them.
  /// - Returns: What the body returns.
  /// - Throws: What the body throws.
  public borrowing func withMutableSpan<Result, Failure: Error>(
    _ body: (inout MutableSpan<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = unsafe elements.mutableSpan
    return try body(&span)
  }
}

extension Communicator {
  /// Makes a vector of zeros where this rank's peers can reach it.
  ///
  /// - Parameters:
  ///   - element: The kind of number.
  ///   - count: How many.
  /// - Returns: The vector; in memory of the process where the group shares none, or has no room left: its
  ///   sums then take copies.
  public func makeVector<Element: CollectiveElement>(
    of element: Element.Type, count: Int
  ) -> SharedVector<Element> {
    precondition(count >= 0, "\(count) elements")
    guard let place = unsafe reserve(count * Element.kind.byteCount) else {
      return SharedVector(inProcess: count)
    }
    // SAFETY: the place is this vector's alone, on a line of its own; any bits are a number.
    let elements = unsafe UnsafeMutableBufferPointer(
      start: place.address.bindMemory(to: Element.self, capacity: count), count: count)
    return unsafe SharedVector(elements, in: place.region)
  }
}
