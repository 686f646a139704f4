import Foundation

/// Accounting by Rényi differential privacy (RDP): simple, fast, an upper bound that is not tight.
///
/// Divergences of the steps are added order by order, then converted to ε at the best order.
///
/// | case | ε |
/// |---|---|
/// | no steps, or q = 0 | 0 |
/// | no order has a known divergence: hardly any noise | infinite |
/// | δ² + e^(−R) > 1 at some order, R its divergence | 0, by Bretagnolle and Huber's inequality |
///
/// Sources: Mironov 2017, "Rényi Differential Privacy"; conversion by Canonne, Kamath, Steinke
/// 2020, "The Discrete Gaussian for Differential Privacy", Proposition 12.
public struct RDPAccountant: PrivacyAccountant {
  /// The orders at which divergences are computed: those of dp_accounting, to be comparable.
  public static let defaultOrders: [Double] = {
    let tenths = (11..<110).map { Double($0) / 10 }
    let integers = (11..<64).map { Double($0) }
    return tenths + integers + [128, 256, 512, 1024]
  }()

  /// Each greater than 1 and at most 10,000.
  public let orders: [Double]

  /// "rdp".
  public var name: String { "rdp" }

  /// Makes an accountant with the default orders.
  public init() {
    orders = RDPAccountant.defaultOrders
  }

  /// Makes an accountant with chosen orders.
  ///
  /// - Parameter orders: At least one, each greater than 1 and at most 10,000.
  /// - Throws: ``PrivacyError`` when there is none or one is outside its domain.
  public init(orders: [Double]) throws(PrivacyError) {
    guard !orders.isEmpty else {
      throw PrivacyError(.parameterOutOfRange, "orders is empty; it must name at least one order")
    }
    if let order = orders.first(where: { !($0 > 1 && $0 <= 10_000) }) {
      throw PrivacyError(
        .parameterOutOfRange, "order is \(order); it must be greater than 1 and at most 10000")
    }
    self.orders = orders
  }

  /// The divergences of one step, one for each of ``orders``, in nats.
  ///
  /// - Parameter mechanism: The step.
  /// - Returns: As many values as there are orders.
  /// - Complexity: About 20 ms for the default orders; up to 0.5 s under `replace` with little noise.
  public func divergences(of mechanism: PoissonSubsampledGaussian) -> [Double] {
    orders.map { RenyiDivergence.oneStep(of: mechanism, order: $0) }
  }

  /// The ε of composed steps at a given δ; no lower bound is proved.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order; none gives ε = 0.
  ///   - delta: δ, in (0, 1).
  /// - Returns: An upper bound on ε, rounded nowhere below it.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func epsilon(
    of composition: [ComposedSteps], delta: Double
  ) throws(PrivacyError) -> EpsilonBounds {
    try PrivacyTarget.checkDelta(delta)
    return EpsilonBounds(upper: convert(divergences(of: composition), delta: delta), lower: nil)
  }

  /// The δ of composed steps at a given ε; no lower bound is proved.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order; none gives δ = 0.
  ///   - epsilon: ε ≥ 0, finite.
  /// - Returns: An upper bound on δ; `lower` is 0.
  /// - Throws: ``PrivacyError`` when `epsilon` is negative or not finite.
  public func delta(
    of composition: [ComposedSteps], epsilon: Double
  ) throws(PrivacyError) -> DeltaBounds {
    guard epsilon >= 0, epsilon.isFinite else {
      throw PrivacyError(
        .parameterOutOfRange, "epsilon is \(epsilon); it must be finite and at least 0")
    }
    let total = divergences(of: composition)
    guard total.contains(where: { $0 > 0 }) else { return DeltaBounds(upper: 0, lower: 0) }
    let least = smallestDelta(total, epsilon: epsilon)
    return DeltaBounds(upper: max(least, Double.leastNormalMagnitude), lower: 0)
  }

  /// The divergences of composed steps, added up order by order.
  func divergences(of composition: [ComposedSteps]) -> [Double] {
    var total = [Double](repeating: 0, count: orders.count)
    for steps in composition where steps.count > 0 {
      for (index, value) in divergences(of: steps.mechanism).enumerated() {
        total[index] += value * Double(steps.count)
      }
    }
    return total
  }

  /// The ε of T steps of one mechanism as a function of T; a call costs about 5 µs.
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
    let perStep = divergences(of: mechanism)
    return { steps in convert(perStep.map { $0 * Double(steps) }, delta: delta) }
  }

  /// The smallest ε over the orders, at least 0.
  func convert(_ divergences: [Double], delta: Double) -> Double {
    var best = Double.infinity
    for (order, divergence) in zip(orders, divergences) {
      if delta * delta + expm1(-divergence) > 0 { return 0 }
      // Orders close to 1 lose their precision in the last term and never win.
      guard order > 1.01 else { continue }
      guard divergence.isFinite else { continue }
      let epsilon = divergence + log1p(-1 / order) - log(delta * order) / (order - 1)
      best = min(best, max(0, epsilon))
    }
    return best
  }
}
