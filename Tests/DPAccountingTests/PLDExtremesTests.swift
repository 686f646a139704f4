import DPAccounting
import Testing

/// Plans at the ends of the domain, each of which once had a wrong answer or none.
@Suite struct PLDExtremesTests {
  private func epsilon(
    _ q: Double, _ sigma: Double, _ count: Int, _ delta: Double
  ) throws -> EpsilonBounds {
    try PLDAccountant().epsilon(
      of: [PLDAccountantTests.steps(q, sigma, count)], delta: delta)
  }

  private func mixture(
    _ shifts: [Double], _ probabilities: [Double], _ sigma: Double, _ count: Int, _ delta: Double
  ) throws -> EpsilonBounds {
    var history = PrivacyHistory()
    try history.append(
      MixtureOfGaussians(
        shifts: shifts, probabilities: probabilities, noiseMultiplier: NoiseMultiplier(sigma)),
      count: count)
    return try PLDAccountant().epsilon(of: history, delta: delta)
  }

  /// A grid coarser than the whole curve around ε = 0 must not make the lower bound exceed the upper:
  /// it was up to 33 times as high, which showed as an interval without width.
  @Test(arguments: [
    (3.639733422495016e-06, 0.6831772127872057, 6_146_228, 6.726958370171441e-13),
    (1.4933921146653293e-06, 0.6574362917369422, 980_240, 7.604288119718033e-14),
    (3.932727562372527e-09, 0.6923291025354338, 71821, 1.4003837637459332e-10),
    (4.3858100819517837e-08, 0.6542594097959902, 7035, 1.9431624762873432e-08),
  ])
  func lowerBoundsOfCoarseGridsAreBelowTheUpper(
    plan: (rate: Double, sigma: Double, steps: Int, delta: Double)
  ) throws {
    let bounds = try epsilon(plan.rate, plan.sigma, plan.steps, plan.delta)
    let lower = try #require(bounds.lower)
    #expect(lower > 0 && lower < bounds.upper * (1 - 1e-9), "\(bounds)")
  }

  /// Single losses far above ε decide here: the interval once was 7 times wide.
  @Test func rareLargeLossesAreBoundedTightly() throws {
    let bounds = try epsilon(1e-5, 1, 100, 1e-15)
    #expect(try bounds.upper <= 1.25 * #require(bounds.lower))
  }

  @Test(arguments: [
    (0.056160644391575525, 140.17634829335367, 268, 6.528595544628488),
    (2.037279753874747e-07, 128.2172788397387, 3981, 0.005623181213693057),
    (1.919190789493066e-05, 849.920410403062, 774, 1.4194805156589532),
  ])
  func deltaFarBeyondEveryProbableLossIsAnswered(
    plan: (rate: Double, sigma: Double, steps: Int, epsilon: Double)
  ) throws {
    let bounds = try PLDAccountant().delta(
      of: [PLDAccountantTests.steps(plan.rate, plan.sigma, plan.steps)], epsilon: plan.epsilon)
    #expect(bounds.upper > 0 && bounds.upper < 1e-280)
  }

  @Test func deltaOfHardlyAnyPrivacyIsProvedToBeClose() throws {
    let bounds = try PLDAccountant().delta(
      of: [PLDAccountantTests.steps(0.69, 0.63, 10_000_000)], epsilon: 8.6e-6)
    #expect(bounds.upper <= 1 && bounds.lower > 0.9999)
  }

  @Test func improbableShiftsAreAnswered() throws {
    #expect(try mixture([0, 1e6], [1, 1e-300], 1, 10, 1e-6).upper == 0)
    let far = try mixture([0, 1e6], [0.999, 1e-3], 1, 10, 1e-6)
    #expect(try far.upper > 1e11 && #require(far.lower) <= far.upper)
    #expect(try epsilon(1e-300, 1, 10, 1e-15).upper == 0)
  }

  /// A group of one is a row, also where losses are so small that 1 + loss has few digits of them.
  @Test(arguments: [1e3, 1e6])
  func mixturesOfTinyLossesKeepTheirDigits(sigma: Double) throws {
    let delta = 1e-6 / sigma
    let row = try epsilon(1e-9, sigma, 10_000_000, delta)
    let one = try mixture([0, 1], [1 - 1e-9, 1e-9], sigma, 10_000_000, delta)
    #expect(abs(one.upper - row.upper) <= 1e-5 * row.upper)
    #expect(try #require(one.lower) >= 0.99 * one.upper)
  }

  /// One step at a δ far below all others.
  ///
  /// The references solve δ(ε) = δ with 60 digits.
  @Test(arguments: [
    (
      0.8186215153955623, 694.1809326097739, NeighbouringRelation.zeroOut, 6.788316049306848e-238,
      0.038610071907923027
    ),
    (
      0.9999999982304987, 0.38654961276047767, NeighbouringRelation.replace, 1.036003703214262e-272,
      114.53035015114619
    ),
    (
      0.05946187851921063, 0.3436815185400165, NeighbouringRelation.zeroOut,
      1.4139258572843726e-281, 105.24772767052724
    ),
    (
      5.147060466632731e-05, 41.78163758064339, NeighbouringRelation.zeroOut,
      4.939786707686424e-258,
      6.4116074697898433e-5
    ),
  ])
  func oneStepKeepsItsProofFarOut(
    step: (
      rate: Double, sigma: Double, relation: NeighbouringRelation, delta: Double, exact: Double
    )
  ) throws {
    let bounds = try PLDAccountant().epsilon(
      of: [PLDAccountantTests.steps(step.rate, step.sigma, 1, step.relation)], delta: step.delta)
    #expect(bounds.upper >= step.exact && bounds.upper <= step.exact * (1 + 0.02))
    #expect(try #require(bounds.lower) <= step.exact)
  }
}
