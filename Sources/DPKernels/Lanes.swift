/// One value for each of the 16 examples of a tile: examples lie in SIMD lanes, so that every
/// operation on them is elementwise and no example's value depends on its neighbours'.
package typealias Lanes = SIMD16<Float>

extension Lanes {
  /// The number t of examples in a tile.
  package static let examples = Lanes.scalarCount
}

/// e^x in every lane.
///
/// | x | result |
/// |---|---|
/// | above 88 | e^88 |
/// | below −87 | e^−87 |
/// | NaN | NaN |
///
/// - Parameter x: Any values.
/// - Returns: Values within 2 ulps of e^x on [−87, 88].
/// - SeeAlso: Cody and Waite 1980, "Software Manual for the Elementary Functions", chapter 6, for
///   the reduction of the argument; the polynomial is Taylor's of degree 7 on |r| ≤ ln(2)/2.
package func exponential(_ x: Lanes) -> Lanes {
  let clamped = x.replacing(with: 88, where: x .> 88).replacing(with: -87, where: x .< -87)
  // Adding 1.5·2²³ leaves the nearest integer in the low bits of the sum.
  let shift = Lanes(repeating: 0x1.8p23)
  let shifted = clamped * Lanes(repeating: 1.442_695_04) + shift
  let count = shifted - shift
  let high = clamped - count * Lanes(repeating: 0x1.62e4p-1)
  let r = high - count * Lanes(repeating: 1.428_606_8e-6)
  var p = Lanes(repeating: 1 / 5040)
  p = p * r + Lanes(repeating: 1 / 720)
  p = p * r + Lanes(repeating: 1 / 120)
  p = p * r + Lanes(repeating: 1 / 24)
  p = p * r + Lanes(repeating: 1 / 6)
  p = p * r + Lanes(repeating: 0.5)
  p = p * r * r + r + Lanes(repeating: 1)
  // SAFETY: both types are sixteen 32-bit values; every bit pattern is a value of either.
  let bits = unsafe unsafeBitCast(shifted, to: SIMD16<Int32>.self)
  let exponent = (bits &- SIMD16<Int32>(repeating: 0x4B40_0000) &+ 127) &<< 23
  let scaled = p * (unsafe unsafeBitCast(exponent, to: Lanes.self))
  return scaled.replacing(with: x, where: x .!= x)
}

/// ln(x) in every lane.
///
/// - Parameter x: Normal numbers above 0; NaN gives NaN.
/// - Returns: Values within 4 ulps of ln(x), and within 2⁻²⁴ near 1.
package func logarithm(_ x: Lanes) -> Lanes {
  // x = m 2^k with m in [√½, √2); ln m = 2 artanh(s), s = (m − 1) / (m + 1).
  // SAFETY: both types are sixteen 32-bit values; every bit pattern is a value of either.
  let bits = unsafe unsafeBitCast(x, to: SIMD16<Int32>.self)
  let k = (bits &- 0x3F35_04F3) &>> 23
  let m = unsafe unsafeBitCast(bits &- (k &<< 23), to: Lanes.self)
  let one = Lanes(repeating: 1)
  let s = (m - one) / (m + one)
  let z = s * s
  var p = Lanes(repeating: 2.0 / 9)
  p = p * z + Lanes(repeating: 2.0 / 7)
  p = p * z + Lanes(repeating: 2.0 / 5)
  p = p * z + Lanes(repeating: 2.0 / 3)
  let small = s + s + s * z * p
  let sum = Lanes(k) * Lanes(repeating: 0.693_147_2) + small
  return sum.replacing(with: x, where: x .!= x)
}
