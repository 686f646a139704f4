/// Vectors of up to a tile of examples, as the loops over tiles read them: 16 examples to a panel, and
/// in a panel unit by unit, so that the 16 values of a unit fill a SIMD register.
///
/// A panel has room for a few more units than asked for, which hold zeros, or a unit of ones first.
@safe package final class Panels {
  /// The number of units of a vector.
  package let units: Int
  /// The number of panels.
  package let count: Int
  /// Floats from one panel to the next.
  package let stride: Int
  @unsafe let base: UnsafeMutablePointer<Float>

  /// Allocates panels of zeros.
  ///
  /// - Parameters:
  ///   - units: The length of a vector, at least 1.
  ///   - count: How many panels, at least 1.
  ///   - withOne: Whether unit `units` is 1 in every lane: the input that a bias is the weight of.
  package init(units: Int, count: Int, withOne: Bool) {
    precondition(units > 0 && count > 0, "\(count) panels of \(units) units")
    self.units = units
    self.count = count
    stride = (units + 1 + slackUnits) * Lanes.examples
    // SAFETY: the block has room for all panels and is initialised whole; it lives until deinit. Its
    // alignment is that of a lane, which a float's is a divisor of.
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: count * stride * MemoryLayout<Float>.stride, alignment: 64)
    unsafe base = memory.bindMemory(to: Float.self, capacity: count * stride)
    unsafe base.initialize(repeating: 0, count: count * stride)
    guard withOne else { return }
    for panel in 0..<count { self[panel, units] = Lanes(repeating: 1) }
  }

  deinit { unsafe base.deallocate() }

  /// The values of a unit in the lanes of a panel; unit ``units`` is that of ones, where there is one.
  package subscript(panel: Int, unit: Int) -> Lanes {
    get {
      // SAFETY: the place lies within the block, and is aligned to 64 bytes.
      unsafe UnsafeRawPointer(place(panel, unit)).load(as: Lanes.self)
    }
    set {
      // SAFETY: as for reading.
      unsafe UnsafeMutableRawPointer(place(panel, unit)).storeBytes(of: newValue, as: Lanes.self)
    }
  }

  private func place(_ panel: Int, _ unit: Int) -> UnsafeMutablePointer<Float> {
    precondition(
      panel >= 0 && panel < count && unit >= 0 && unit <= units,
      "unit \(unit) of panel \(panel), of \(units) and \(count)")
    return unsafe base + panel * stride + unit * Lanes.examples
  }
}
