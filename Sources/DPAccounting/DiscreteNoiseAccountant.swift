internal import Foundation

/// An accountant of steps whose noise is the discrete Gaussian, made from one of Gaussian steps.
///
/// ε is that of the same steps with Gaussian noise of the same standard deviation, at a δ smaller by
/// a factor e^(−c), plus c. The cost c = 2dT · 225/(8s²) is what it takes to exchange one noise for
/// the other: 2.5e-7 for 551 coordinates and 38,250 steps. It holds for any accountant, sampling rate
/// and neighbouring relation, as no property of the subsampled discrete Gaussian is used.
///
/// *Proof.* Let s ≥ 2²⁶ be the standard deviation in units of the grid, on which the sum lies in
/// both tables. Rounding Gaussian noise to the grid is post-processing of sum + noise, so with it
/// the accountant's (ε′, δ′) holds. Its probability of x is the normal density's integral over
/// [x − ½, x + ½], the discrete Gaussian's is the density at x, normalised by 1 + 2e^(−2π²s²) or
/// less (Poisson's summation formula: 1 for every purpose). The former divided by the latter is
/// ∫ e^(−u²/2s²) cosh(xu/s²) du over |u| ≤ ½, which lies between e^(−1/8s²) and e^(225/8s²) for
/// |x| ≤ 15s, since cosh v ≤ e^(v²/2). So, apart from events of probability dTτ, in which one of dT
/// values is beyond 15s, probabilities of anything that T steps release differ by a factor of at
/// most e^(c/2) between the two kinds of noise, on either table. Hence
///
///     P(E) ≤ e^(ε′+c) P′(E) + e^(c/2) (δ′ + e^ε′ dTτ) + dTτ.
///
/// Both noises are sub-Gaussian, so τ ≤ 2e^(−15²/2) < 3e-49, what an Int32 cannot hold included.
/// With δ′ = δe^(−c) and c ≤ 1 the first term is at most δ(1 − c/4); the others fit into δc/4 where
/// 1 + e^(ε′+c/2) ≤ δ · 225/(16s²) / τ, which is checked.
///
/// | case | ε |
/// |---|---|
/// | no steps | 0 |
/// | c > 1, more than T steps, or the condition does not hold (ε′ beyond about 40) | +∞: no guarantee |
///
/// Where every row takes part in every step there would be nothing to pay: the discrete Gaussian's
/// divergences are at most the Gaussian's (Canonne, Kamath, Steinke 2020, Proposition 5). For
/// sampled rows that is proved at integer orders only, which not every accountant uses.
public struct DiscreteNoiseAccountant: PrivacyAccountant {
  /// s, the least standard deviation of the noise in units of the grid.
  public static let leastScaleInUnits = 0x1p26
  /// ln of the bound on τ.
  private static let logTail = -111.7

  /// The bound on ln of the ratio of a value's two probabilities: 225/(8s²).
  private static let exchangeCost = 225 / (8 * leastScaleInUnits * leastScaleInUnits)

  private let base: any PrivacyAccountant
  /// The T that the cost is for; shorter runs pay as much, longer ones have no guarantee.
  private let steps: Int
  /// c.
  public let cost: Double

  /// Makes an accountant.
  ///
  /// - Parameters:
  ///   - base: The accountant of Gaussian steps.
  ///   - coordinates: d, at least 1.
  ///   - steps: T, at least 1: the largest number of steps that will be asked about.
  public init(_ base: any PrivacyAccountant, coordinates: Int, steps: Int) {
    precondition(coordinates > 0 && steps > 0, "\(coordinates) coordinates, \(steps) steps")
    self.base = base
    self.steps = steps
    cost = 2 * Double(coordinates) * Double(steps) * DiscreteNoiseAccountant.exchangeCost
  }

  /// The name of the accountant of Gaussian steps.
  public var name: String { base.name }

  /// The ε of composed steps at a given δ; no lower bound is proved.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order; none gives ε = 0.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An upper bound on ε.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func epsilon(
    of composition: [ComposedSteps], delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try PrivacyTarget.checkDelta(delta)
    let bounds = try base.epsilon(of: composition, delta: delta * exp(-cost))
    let count = composition.reduce(0) { $0 + $1.count }
    return EpsilonBounds(upper: total(bounds.upper, steps: count, delta: delta), lower: nil)
  }

  /// The ε of T steps of one mechanism as a function of T.
  ///
  /// - Parameters:
  ///   - mechanism: What each step releases.
  ///   - delta: δ, in (0, 1).
  /// - Returns: A function from T ≥ 0 to the upper bound on ε.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func spending(
    of mechanism: PoissonSubsampledGaussian, delta: Double
  ) throws(PrivacyError) -> @Sendable (_ steps: Int) -> Double {
    try PrivacyTarget.checkDelta(delta)
    let spent = try base.spending(of: mechanism, delta: delta * exp(-cost))
    return { total(spent($0), steps: $0, delta: delta) }
  }

  /// ε′ + c, or +∞ where the conditions do not hold.
  private func total(_ epsilon: Double, steps: Int, delta: Double) -> Double {
    guard steps > 0 else { return 0 }
    // 1 + e^x ≤ 2e^x for x ≥ 0.
    let needed = epsilon + cost / 2 + 0.7
    let room =
      log(delta) + log(DiscreteNoiseAccountant.exchangeCost / 2) - DiscreteNoiseAccountant.logTail
    guard steps <= self.steps, cost <= 1, needed <= room else { return .infinity }
    return epsilon + cost
  }
}
