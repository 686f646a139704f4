import TestSupport

/// Vectors whose sums show the order of their terms: magnitudes differ, so every addition rounds.
struct Inputs {
  private var generator: SeededGenerator

  init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

  /// Numbers of both signs between 2⁻¹⁰ and 2¹⁰.
  mutating func floats(_ count: Int) -> [Float] { doubles(count).map(Float.init) }

  /// Numbers of both signs between 2⁻¹⁰ and 2¹⁰.
  mutating func doubles(_ count: Int) -> [Double] {
    (0..<count).map { _ in
      let fraction = Double.random(in: 1..<2, using: &generator)
      let sign: Double = Bool.random(using: &generator) ? 1 : -1
      return sign
        * Double(
          sign: .plus, exponent: Int.random(in: -10..<10, using: &generator), significand: fraction)
    }
  }

  /// Integers of all sizes: their sums wrap.
  mutating func integers(_ count: Int) -> [Int64] {
    (0..<count).map { _ in Int64.random(in: .min ... .max, using: &generator) }
  }
}
