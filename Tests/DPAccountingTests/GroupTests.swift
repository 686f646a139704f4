import DPAccounting
import Foundation
import Testing

/// Steps whose guarantee is for the rows of a unit together.
@Suite struct GroupTests {
  private func steps(
    _ q: Double, _ sigma: Double, group: Int, count: Int = 1
  ) throws -> ComposedSteps {
    try ComposedSteps(
      of: PoissonSubsampledGaussian(
        samplingRate: q, noiseMultiplier: sigma, groupSize: group), count: count)
  }

  /// A group's step is the mixture of binomially many shifts, which agrees with other software
  /// (`PLDAccountantTests.mixturesLieInTheAcceptedRanges`).
  @Test(arguments: [1, 2, 4], [0.01, 0.2])
  func aGroupIsAMixtureOfShifts(size: Int, rate: Double) throws {
    let composed = try steps(rate, 3, group: size, count: 200)
    var history = PrivacyHistory()
    try history.append(
      MixtureOfGaussians.group(
        of: size, samplingRate: SamplingRate(rate), noiseMultiplier: NoiseMultiplier(3)),
      count: 200)
    let bounds = try PLDAccountant().epsilon(of: [composed], delta: 1e-6)
    let same = try PLDAccountant().epsilon(of: history, delta: 1e-6)
    #expect(abs(bounds.upper - same.upper) <= 2e-3 * same.upper)
    #expect(bounds.lower ?? 0 <= same.upper && same.lower ?? 0 <= bounds.upper)
  }

  /// What another program's accountant proves of binomial mixtures: an optimistic and a pessimistic ε
  /// on one grid, by the connect-the-dots and the tangent construction in Python.
  private static let reference:
    [(size: Int, q: Double, sigma: Double, steps: Int, delta: Double, low: Double, high: Double)] =
      [
        (2, 0.01, 2, 500, 1e-6, 1.0652284823249554, 1.0654865328326364),
        (4, 0.02, 3, 1000, 1e-6, 4.265686614967449, 4.266955035489721),
        (8, 0.005, 2, 300, 1e-5, 1.522255187179867, 1.5226418749268174),
        (3, 0.25, 8, 50, 1e-6, 3.184895029686475, 3.1859045020493104),
      ]

  @Test func groupsAgreeWithAnotherAccountant() throws {
    for case (let size, let q, let sigma, let count, let delta, let low, let high) in Self.reference
    {
      let composed = try steps(q, sigma, group: size, count: count)
      let bounds = try PLDAccountant().epsilon(of: [composed], delta: delta)
      #expect(bounds.upper >= low && bounds.upper <= high * 1.002, "\(bounds.upper), \(high)")
      #expect(bounds.lower ?? 0 <= high)
      #expect(try RDPAccountant().epsilon(of: [composed], delta: delta).upper >= low)
    }
  }

  /// Order 2 in closed form: ln Σ pⱼpₖ e^(jk/σ²), for the direction that removes the group.
  @Test(arguments: [2, 5, 30], [0.003, 0.3, 0.9])
  func divergencesAreThoseOfTheMixture(size: Int, rate: Double) throws {
    let sigma = 2.5
    let mechanism = try steps(rate, sigma, group: size).mechanism
    let mixture = try MixtureOfGaussians.group(
      of: size, samplingRate: SamplingRate(rate), noiseMultiplier: NoiseMultiplier(sigma))
    var excess = 0.0
    for (j, p) in zip(mixture.shifts, mixture.probabilities) {
      for (k, q) in zip(mixture.shifts, mixture.probabilities) {
        excess += p * q * expm1(j * k / (sigma * sigma))
      }
    }
    let found = try RDPAccountant(orders: [2]).divergences(of: mechanism)[0]
    #expect(found >= log1p(excess) * (1 - 1e-9))
    // Removing is the worse direction here, as for single rows.
    #expect(found <= log1p(excess) * (1 + 1e-6))
  }

  /// A group of one is a row, and the quadrature of groups agrees with the sums of single rows where
  /// hardly more than one row of a group is ever drawn.
  @Test func smallGroupsJoinSingleRows() throws {
    let one = try steps(0.01, 1, group: 1).mechanism
    #expect(one == (try PoissonSubsampledGaussian(samplingRate: 0.01, noiseMultiplier: 1)))
    let orders = [1.5, 2, 4, 8.5]
    let accountant = try RDPAccountant(orders: orders)
    let pair = accountant.divergences(of: try steps(1e-7, 2, group: 2).mechanism)
    let row = accountant.divergences(of: try steps(2e-7, 2, group: 1).mechanism)
    for (a, b) in zip(pair, row) { #expect(abs(a - b) <= 1e-4 * b) }
  }

  @Test func fullBatchesHaveAClosedForm() throws {
    for accountant in [PLDAccountant() as any PrivacyAccountant, RDPAccountant()] {
      let group = try accountant.epsilon(of: [steps(1, 8, group: 4, count: 3)], delta: 1e-6)
      let row = try accountant.epsilon(of: [steps(1, 2, group: 1, count: 3)], delta: 1e-6)
      #expect(abs(group.upper - row.upper) <= 1e-9)
    }
  }

  @Test(arguments: [0.005, 0.1], [1.5, 4])
  func largerGroupsCostMoreAndRDPIsAbovePLD(rate: Double, sigma: Double) throws {
    var last = 0.0
    for size in [1, 2, 4, 8] {
      let composed = try steps(rate, sigma, group: size, count: 300)
      let pld = try PLDAccountant().epsilon(of: [composed], delta: 1e-6)
      let rdp = try RDPAccountant().epsilon(of: [composed], delta: 1e-6).upper
      #expect(pld.upper <= rdp && pld.upper > last)
      #expect(pld.upper - (pld.lower ?? 0) <= 2e-3 * pld.upper)
      last = pld.upper
    }
  }

  @Test(arguments: [1, 4, 16])
  func calibrationHoldsForGroups(size: Int) throws {
    let target = try PrivacyTarget(epsilon: 1, delta: 1e-6)
    let accountant = PLDAccountant()
    let sigma = try Calibration.noiseMultiplier(
      for: target, steps: 500, accountant: accountant
    ) { sigma throws(PrivacyError) in
      try PoissonSubsampledGaussian(
        samplingRate: 0.01, noiseMultiplier: sigma, groupSize: size)
    }
    let spent = try accountant.epsilon(
      of: [steps(0.01, sigma, group: size, count: 500)], delta: 1e-6
    ).upper
    #expect(spent <= 1 && spent > 0.998)
  }

  @Test func groupsAreRefusedWhereNothingIsKnown() throws {
    #expect(throws: PrivacyError.self) { _ = try steps(0.1, 1, group: 0) }
    #expect(throws: PrivacyError.self) { _ = try steps(0.1, 1, group: 1001) }
    #expect(throws: PrivacyError.self) {
      _ = try PoissonSubsampledGaussian(
        samplingRate: 0.1, noiseMultiplier: 1, relation: .replace, groupSize: 2)
    }
  }
}
