/// A range cut into parts that differ by at most one element; the first parts are the longer ones.
public struct Chunks: Hashable, Sendable {
  /// What is cut.
  public let range: Range<Int>
  /// Into how many parts.
  public let parts: Int

  /// Cuts a range.
  ///
  /// - Parameters:
  ///   - range: What is cut.
  ///   - parts: Into how many parts, at least 1; parts may be empty.
  public init(_ range: Range<Int>, parts: Int) {
    precondition(parts > 0, "\(parts) parts")
    self.range = range
    self.parts = parts
  }

  /// Where a part begins; `parts` is where the last one ends.
  func start(_ part: Int) -> Int {
    range.lowerBound + part * (range.count / parts) + min(part, range.count % parts)
  }

  /// A part, counted modulo `parts`.
  public subscript(_ part: Int) -> Range<Int> {
    let part = part.modulo(parts)
    return start(part)..<start(part + 1)
  }

  /// Parts behind each other.
  func window(_ window: Range<Int>) -> Range<Int> {
    start(window.lowerBound)..<start(window.upperBound)
  }

  /// Parts behind each other where the first follows the last: one slice, or two.
  func cyclic(from part: Int, count: Int) -> ScheduleSlices {
    let first = part.modulo(parts)
    let end = first + count
    return end <= parts
      ? ScheduleSlices(.vector(window(first..<end)))
      : ScheduleSlices(.vector(window(first..<parts)), .vector(window(0..<end - parts)))
  }
}

extension Int {
  /// The remainder in 0..<divisor.
  func modulo(_ divisor: Int) -> Int {
    let remainder = self % divisor
    return remainder < 0 ? remainder + divisor : remainder
  }

  /// ⌊lg⌋ of a positive number.
  var floorLog2: Int { Int.bitWidth - 1 - leadingZeroBitCount }

  /// ⌈lg⌉ of a positive number.
  var ceilLog2: Int { self == 1 ? 0 : (self - 1).floorLog2 + 1 }

  /// The quotient, rounded up.
  func dividedUp(by divisor: Int) -> Int { (self + divisor - 1) / divisor }
}
