package import DPAccounting
internal import Foundation

/// A rule for when to stop that holds although each step is chosen after seeing all before it: a
/// Rényi filter at a fixed order.
///
/// With the order α fixed beforehand, steps go on while the sum of their Rényi divergences of order α
/// is at most ``limit``. All of them together then satisfy Rényi differential privacy (α, limit),
/// hence (ε, δ). The limit is the divergence R that the conversion takes to ε:
/// R = ε − ln(1 − 1/α) + ln(δα) / (α − 1).
///
/// | case | answer |
/// |---|---|
/// | steps without cost (q = 0) | always fit |
/// | an order whose limit is not above 0 | refused |
///
/// - SeeAlso: Feldman and Zrnic 2021, "Individual Privacy Accounting via a Rényi Filter", used here
///   with one bound for all individuals; the conversion of ``RDPAccountant``.
package struct RenyiFilter: Hashable, Sendable {
  /// What all steps together may cost.
  package let target: PrivacyTarget
  /// α.
  package let order: Double
  /// What the divergences of order α may add up to, in nats, rounded down.
  package let limit: Double

  /// The orders there can be: below, the conversion is worthless; above, ``RDPAccountant`` has none.
  package static let orders = 1.1...10_000.0

  /// Makes the filter of a budget.
  ///
  /// - Parameters:
  ///   - target: (ε, δ).
  ///   - order: α; nil for ``suggestedOrder(for:)``.
  /// - Throws: ``PrivacyError`` when the order is out of range or cannot give the budget.
  package init(_ target: PrivacyTarget, order: Double? = nil) throws(PrivacyError) {
    let order = order ?? RenyiFilter.suggestedOrder(for: target)
    guard RenyiFilter.orders.contains(order) else {
      throw PrivacyError(
        .parameterOutOfRange,
        "order is \(order); it must be at least \(RenyiFilter.orders.lowerBound) and at most "
          + "\(Int(RenyiFilter.orders.upperBound))")
    }
    self.target = target
    self.order = order
    limit = RenyiFilter.limit(target, order: order)
    guard limit > 0 else {
      throw PrivacyError(
        .unreachableTarget,
        "epsilon \(target.epsilon) at delta \(target.delta) is out of reach of order \(order); "
          + "leave the order out, or choose a larger one or a larger budget")
    }
  }

  /// The integer order at which a budget has room for most steps of a Gaussian mechanism, whose
  /// divergence grows as α.
  ///
  /// At integers discrete noise has the Gaussian's divergences too: see ``covers(_:_:)``.
  ///
  /// - Parameter target: (ε, δ).
  /// - Returns: α; steps of small q and σ may fit better at a smaller one.
  package static func suggestedOrder(for target: PrivacyTarget) -> Double {
    var candidates = (2..<64).map { Double($0) }
    var large = 64.0
    while large < orders.upperBound {
      candidates.append(large)
      large = (large * 1.1).rounded()
    }
    func room(_ order: Double) -> Double { limit(target, order: order) / order }
    return candidates.max { room($0) < room($1) } ?? 2
  }

  private static func limit(_ target: PrivacyTarget, order: Double) -> Double {
    let atInfinity = target.epsilon - log1p(-1 / order)
    let price = log(target.delta * order) / (order - 1)
    // Each of the terms is exact to a few ulps; the allowance is larger.
    return atInfinity + price - 1e-14 * (atInfinity + abs(price))
  }

  /// The divergence of order α of one step, in nats.
  ///
  /// - Parameter mechanism: The step.
  /// - Returns: An upper bound.
  /// - Complexity: O(α).
  package func cost(of mechanism: PoissonSubsampledGaussian) -> Double {
    guard let accountant = try? RDPAccountant(orders: [order]) else {
      preconditionFailure("order is \(order)")
    }
    return accountant.divergences(of: mechanism)[0]
  }

  /// Whether ``cost(of:)`` bounds the divergence of steps with a kind of noise.
  ///
  /// Discrete noise is covered at integer orders, where one row is replaced by one that contributes
  /// nothing, or is added or removed. With P the noise moved by a grid vector Δ and Q the noise,
  /// E_Q[(1 − q + qP/Q)^α] is a sum over k = 0 ... α of multiples of e^(k(k−1)‖Δ‖²/2s²), the
  /// Gaussian's bound on E_Q[(P/Q)^k], which the discrete Gaussian keeps (Canonne, Kamath, Steinke
  /// 2020, Proposition 5). The other direction is not worse by Theorem 5 of Mironov, Talwar, Zhang
  /// 2019, for x ↦ Δ − x maps the grid to itself and exchanges P and Q.
  ///
  /// - Parameters:
  ///   - noise: The kind.
  ///   - relation: Which two tables are compared.
  /// - Returns: False where that is not proved.
  package func covers(_ noise: NoiseKind, _ relation: NeighbouringRelation) -> Bool {
    switch noise {
    case .gaussian: true
    case .discrete: relation != .replace && order == order.rounded()
    }
  }

  /// How many steps of a cost fit beside what is spent.
  ///
  /// - Parameters:
  ///   - cost: The divergence of each, from ``cost(of:)``.
  ///   - spent: The sum of the divergences before.
  /// - Returns: The largest T with `spent + T · cost ≤ limit`; `Int.max` without a cost.
  package func steps(of cost: Double, after spent: Double) -> Int {
    guard cost > 0 else { return .max }
    guard spent <= limit else { return 0 }
    let estimate = (limit - spent) / cost
    guard estimate < 1e15 else { return 1_000_000_000_000_000 }
    var steps = Int(estimate)
    while steps > 0, spent + Double(steps) * cost > limit { steps -= 1 }
    while spent + Double(steps + 1) * cost <= limit { steps += 1 }
    return steps
  }
}
