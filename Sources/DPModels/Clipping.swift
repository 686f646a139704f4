/// How an example's gradient g is brought to an L2 norm of at most C.
///
/// | rule | contribution | bound on its norm |
/// |---|---|---|
/// | ``flat`` | g · min(1, C/‖g‖) | C |
/// | ``perLayer`` | for each of L layers gₗ · min(1, cₗ/‖gₗ‖), cₗ = C/√L | √(Σ cₗ²) = C |
/// | ``automatic`` | g · C/(‖g‖ + 0.01) | below C |
///
/// A layer is its weights and biases. Whatever the rule, a gradient that is not finite contributes
/// nothing, and one example moves a sum by at most C(1 + κ): see ``ClippedGradientSum``.
///
/// - SeeAlso: Abadi et al. 2016, "Deep Learning with Differential Privacy"; McMahan et al. 2018,
///   "Learning Differentially Private Recurrent Language Models", 3.1, for layers; Bu et al. 2022,
///   arXiv 2206.07136, "Automatic Clipping", for the last, with its γ = 0.01.
public enum Clipping: String, Hashable, Sendable, Codable, CaseIterable {
  /// One norm of all parameters.
  case flat
  /// Each layer by itself.
  case perLayer = "per-layer"
  /// Every gradient to about C, short ones too.
  case automatic

  /// What ``automatic`` adds to a norm, in gradient units.
  package static let stability = 0.01

  /// Whether each layer has a factor of its own.
  var isPerLayer: Bool { self == .perLayer }

  /// What is added to norms.
  var offset: Double { self == .automatic ? Clipping.stability : 0 }

  /// The bound on what shares a factor: cₗ, or C.
  ///
  /// - Parameters:
  ///   - clipNorm: C.
  ///   - layers: L.
  /// - Returns: A number whose square, L times for ``perLayer``, is at most C².
  func bound(clipNorm: Double, layers: Int) -> Double {
    guard isPerLayer, layers > 1 else { return clipNorm }
    // The root and the division are rounded once each.
    return clipNorm / Double(layers).squareRoot() * (1 - 0x1p-51)
  }

  /// The longest norm, or addition to one, beside which 2⁻¹⁹ of it may be lost.
  func scale(of bound: Double) -> Double {
    self == .automatic ? min(bound, Clipping.stability) : bound
  }
}
