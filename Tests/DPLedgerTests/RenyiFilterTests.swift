import DPAccounting
import DPLedger
import Foundation
import Testing

/// The promise: steps that fit a filter are worth at most ε by the conversion at its order, and one
/// more would be worth more.
@Suite struct RenyiFilterTests {
  @Test(
    arguments: [(0.1, 1e-10), (0.1, 1e-5), (1, 1e-6), (8, 1e-10), (8, 1e-5)],
    [(q: 1, sigma: 4), (q: 0.01, sigma: 0.8), (q: 1e-4, sigma: 1.5)])
  func theLastStepThatFitsIsTheLastWithinEpsilon(
    budget: (epsilon: Double, delta: Double), step: (q: Double, sigma: Double)
  ) throws {
    let (epsilon, delta) = budget
    for relation in NeighbouringRelation.allCases {
      let target = try PrivacyTarget(epsilon: epsilon, delta: delta)
      let filter = try RenyiFilter(target)
      let mechanism = try PoissonSubsampledGaussian(
        samplingRate: step.q, noiseMultiplier: step.sigma, relation: relation)
      let accountant = try RDPAccountant(orders: [filter.order])
      let steps = filter.steps(of: filter.cost(of: mechanism), after: 0)
      func spent(_ count: Int) throws -> Double {
        try accountant.epsilon(of: [ComposedSteps(of: mechanism, count: count)], delta: delta).upper
      }
      #expect(try spent(steps) <= epsilon)
      #expect(try spent(steps + 1) > epsilon)
    }
  }

  /// The best integer; a fraction would have at most a twentieth more room, for usual budgets far less.
  @Test(arguments: [0.01, 0.3, 1, 3, 10], [1e-15, 1e-6, 1e-3])
  func theSuggestedOrderIsTheBestForAGaussian(epsilon: Double, delta: Double) throws {
    let target = try PrivacyTarget(epsilon: epsilon, delta: delta)
    let filter = try RenyiFilter(target)
    let mechanism = try PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: 500)
    let best = filter.steps(of: filter.cost(of: mechanism), after: 0)
    #expect(filter.order == filter.order.rounded())
    for order in RDPAccountant.defaultOrders {
      guard let other = try? RenyiFilter(target, order: order) else { continue }
      let room = other.steps(of: other.cost(of: mechanism), after: 0)
      #expect(Double(room) <= (order == order.rounded() ? 1 : 1.05) * Double(best))
    }
  }

  /// The divergence of sampled discrete noise in one dimension, summed over the grid by definition.
  private func discreteDivergence(
    _ order: Double, _ q: Double, s: Double, shift: Int, _ swapped: Bool
  )
    -> Double
  {
    let reach = Int(40 * s) + 60 * shift
    func weight(_ x: Int) -> Double { exp(-Double(x * x) / (2 * s * s)) }
    let total = (-reach...reach).reduce(0.0) { $0 + weight($1) }
    let sum = (-reach...reach).reduce(0.0) { sum, x in
      let without = weight(x) / total
      let with = (1 - q) * without + q * weight(x - shift) / total
      guard with > 0, without > 0 else { return sum }
      let (p, q) = swapped ? (without, with) : (with, without)
      return sum + exp(order * log(p) - (order - 1) * log(q))
    }
    return log(sum) / (order - 1)
  }

  /// The promise behind `covers`: at an integer order discrete noise costs at most the Gaussian's.
  @Test(arguments: [2.0, 3, 8, 16], [0.01, 0.2, 1])
  func discreteNoiseCostsAtMostTheFilters(order: Double, q: Double) throws {
    for (s, shift) in [(0.7, 1), (2, 1), (3, 2)] {
      let filter = try RenyiFilter(PrivacyTarget(epsilon: 20, delta: 1e-6), order: order)
      let step = try PoissonSubsampledGaussian(
        samplingRate: q, noiseMultiplier: s / Double(shift))
      for swapped in [false, true] {
        let found = discreteDivergence(order, q, s: s, shift: shift, swapped)
        #expect(found <= filter.cost(of: step) * (1 + 1e-9) + 1e-12)
      }
      #expect(filter.covers(.discrete, .zeroOut) && filter.covers(.discrete, .addRemove))
      #expect(!filter.covers(.discrete, .replace) && filter.covers(.gaussian, .replace))
    }
  }

  @Test func roomShrinksByWhatIsSpent() throws {
    let filter = try RenyiFilter(PrivacyTarget(epsilon: 1, delta: 1e-6), order: 20)
    let cost = filter.limit / 10.5
    #expect(filter.steps(of: cost, after: 0) == 10)
    #expect(filter.steps(of: cost, after: 4 * cost) == 6)
    #expect(filter.steps(of: cost, after: filter.limit) == 0)
    #expect(filter.steps(of: cost, after: 2 * filter.limit) == 0)
    #expect(filter.steps(of: 0, after: 0) == .max)
  }

  /// An order that is accepted for a budget must have costs when the budget is charged.
  @Test(arguments: [1e-4, 1e-3, 3e-3, 0.01], [1e-15, 1e-6, 0.01])
  func tinyBudgetsHaveACostOrAreRefused(epsilon: Double, delta: Double) throws {
    let step = try PoissonSubsampledGaussian(samplingRate: 1e-3, noiseMultiplier: 500)
    do {
      let filter = try RenyiFilter(PrivacyTarget(epsilon: epsilon, delta: delta))
      let cost = filter.cost(of: step)
      #expect(cost > 0 && cost < filter.limit)
    } catch {
      #expect(error.code == .unreachableTarget)
      #expect(epsilon * RenyiFilter.orders.upperBound < -log(delta))
    }
  }

  @Test(arguments: [0.5, 1, 1.05, .nan, .infinity, 10_001, 1e6])
  func ordersOutOfRangeAreRefused(order: Double) throws {
    let target = try PrivacyTarget(epsilon: 1, delta: 1e-6)
    #expect(throws: PrivacyError.self) { try RenyiFilter(target, order: order) }
  }

  @Test func anOrderThatCannotGiveTheBudgetIsRefused() throws {
    let target = try PrivacyTarget(epsilon: 0.1, delta: 1e-6)
    let error = #expect(throws: PrivacyError.self) { try RenyiFilter(target, order: 8) }
    #expect(error?.code == .unreachableTarget)
  }
}
