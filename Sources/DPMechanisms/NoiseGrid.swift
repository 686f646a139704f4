public import DPAccounting
internal import Foundation

/// The power-of-two grid on which the clipped sum and the noise live before they are added.
///
/// Both are rounded to multiples of ``spacing`` first, so that their sum is exact and the released
/// value's low bits say nothing about the sum's (Mironov 2012, "On Significance of the Least
/// Significant Bits for Differential Privacy").
///
/// The spacing is at most σC·2⁻²⁰, finer where many parameters would otherwise let the rounding of
/// the sum cost too much sensitivity: rounding moves the difference of two sums by at most √d·γ.
/// For discrete noise it is the finest there is: then ``DiscreteNoiseAccountant`` has least to add.
public struct NoiseGrid: Hashable, Sendable {
  /// γ, a power of two, in gradient units.
  public let spacing: Double
  /// σC / γ, in [2²⁰, 2²⁷]: the noise's standard deviation in grid units.
  public let noiseScaleInUnits: Double

  /// The share of C that rounding the sum may cost before the grid is made finer.
  private static let roundingShare = 0x1p-12
  /// log2 of the range of ``noiseScaleInUnits``: 9.5 standard deviations of noise fit an Int32.
  private static let coarsest = 20
  private static let finest = 27

  /// Chooses the grid of a mechanism.
  ///
  /// - Parameters:
  ///   - noiseScale: σC > 0, in gradient units.
  ///   - clipNorm: C > 0, in gradient units.
  ///   - parameters: d ≥ 1, the length of the sum.
  ///   - kind: The noise that will lie on it.
  public init(
    noiseScale: Double, clipNorm: Double, parameters: Int, kind: NoiseKind = .gaussian
  ) {
    precondition(
      noiseScale > 0 && noiseScale.isFinite && clipNorm > 0 && clipNorm.isFinite && parameters > 0,
      "noise scale \(noiseScale), clip norm \(clipNorm), \(parameters) parameters")
    // 2^exponent ≤ σC < 2^(exponent + 1), so that γ = 2^(exponent − bits) ≤ σC·2^−bits.
    let exponent = noiseScale.exponent
    let wanted = NoiseGrid.roundingShare * clipNorm / Double(parameters).squareRoot()
    var bits = kind == .discrete ? NoiseGrid.finest - 1 : NoiseGrid.coarsest
    while bits < NoiseGrid.finest - 1, Double.power(exponent - bits) > wanted { bits += 1 }
    spacing = Double.power(exponent - bits)
    noiseScaleInUnits = noiseScale / spacing
  }

  /// The bound on what rounding two sums to the grid adds to the norm of their difference.
  ///
  /// - Parameter parameters: d, the length of the sums.
  /// - Returns: √d·γ, in gradient units.
  public func roundingBound(parameters: Int) -> Double {
    Double(parameters).squareRoot() * spacing
  }
}

extension Double {
  /// 2 to an integer power.
  fileprivate static func power(_ exponent: Int) -> Double {
    Double(sign: .plus, exponent: exponent, significand: 1)
  }
}
