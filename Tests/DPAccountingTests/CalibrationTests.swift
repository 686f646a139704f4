import DPAccounting
import Testing

@Suite struct CalibrationTests {
  @Test(
    arguments: [(1.0, 0.02, 1000), (0.1, 0.001, 10), (8, 0.5, 50), (3, 1, 1), (50, 0.01, 100)],
    NeighbouringRelation.allCases)
  func noiseIsEnoughAndHardlyMore(
    plan: (epsilon: Double, rate: Double, steps: Int), relation: NeighbouringRelation
  ) throws {
    let target = try PrivacyTarget(epsilon: plan.epsilon, delta: 1e-6)
    func mechanism(_ sigma: Double) throws(PrivacyError) -> PoissonSubsampledGaussian {
      try PoissonSubsampledGaussian(
        samplingRate: plan.rate, noiseMultiplier: sigma, relation: relation)
    }
    func epsilon(_ sigma: Double) throws -> Double {
      let steps = try ComposedSteps(of: mechanism(sigma), count: plan.steps)
      return try RDPAccountant().epsilon(of: [steps], delta: 1e-6).upper
    }
    let sigma = try Calibration.noiseMultiplier(
      for: target, steps: plan.steps, accountant: RDPAccountant(), mechanism: mechanism)
    #expect(try epsilon(sigma) <= plan.epsilon)
    #expect(try epsilon(sigma * (1 - 3e-6)) > plan.epsilon)
  }

  @Test func agreesWithOtherImplementations() throws {
    for golden in try GoldenCase.group("calibrate_sigma") {
      guard let expected = golden.part("sigma").number("rdp"), let q = golden.number("q"),
        let steps = golden.fields["steps"] as? Int, let delta = golden.number("delta"),
        let epsilon = golden.number("target_epsilon")
      else { continue }
      let sigma = try Calibration.noiseMultiplier(
        for: PrivacyTarget(epsilon: epsilon, delta: delta), steps: steps,
        accountant: RDPAccountant()
      ) { sigma throws(PrivacyError) in
        try PoissonSubsampledGaussian(samplingRate: q, noiseMultiplier: sigma)
      }
      // The other program's fractional orders are looser, by up to a few per cent.
      #expect(sigma <= expected * (1 + 1e-5) && sigma >= expected * 0.97, "\(golden.id)")
    }
  }

  @Test func tightNoiseLiesInTheAcceptedRanges() throws {
    for golden in try GoldenCase.group("calibrate_sigma") {
      let q = try #require(golden.number("q"))
      let sigma = try Calibration.noiseMultiplier(
        for: PrivacyTarget(
          epsilon: #require(golden.number("target_epsilon")),
          delta: #require(golden.number("delta"))),
        steps: #require(golden.fields["steps"] as? Int), accountant: PLDAccountant()
      ) { sigma throws(PrivacyError) in
        try PoissonSubsampledGaussian(samplingRate: q, noiseMultiplier: sigma)
      }
      let accept = golden.part("accept")
      #expect(
        try sigma >= #require(accept.number("min")) && sigma <= #require(accept.number("max")),
        "\(golden.id): \(sigma)")
    }
  }

  @Test(arguments: [(1.0, 0.01, 1.2), (0.2, 0.001, 0.8), (5, 0.3, 4), (2, 1, 30)])
  func stepsAndRateAreAllowedAndHardlyMoreIs(
    plan: (epsilon: Double, rate: Double, sigma: Double)
  ) throws {
    let target = try PrivacyTarget(epsilon: plan.epsilon, delta: 1e-6)
    let accountant = PLDAccountant()
    let mechanism = try PoissonSubsampledGaussian(
      samplingRate: plan.rate, noiseMultiplier: plan.sigma)
    func spent(_ mechanism: PoissonSubsampledGaussian, _ count: Int) throws -> EpsilonBounds {
      try accountant.epsilon(of: [ComposedSteps(of: mechanism, count: count)], delta: 1e-6)
    }
    let steps = try Calibration.steps(for: target, mechanism: mechanism, accountant: accountant)
    #expect(try spent(mechanism, steps).upper <= plan.epsilon)
    #expect(try spent(mechanism, steps + steps / 100 + 1).upper > plan.epsilon)
    let rate = try Calibration.samplingRate(
      for: target, steps: steps, noiseMultiplier: mechanism.noiseMultiplier,
      accountant: accountant)
    #expect(abs(rate - plan.rate) <= 0.02 * plan.rate)
    let reached = try PoissonSubsampledGaussian(
      samplingRate: rate, noiseMultiplier: plan.sigma)
    #expect(try spent(reached, steps).upper <= plan.epsilon)
    let stated = try Calibration.epsilon(
      of: [ComposedSteps(of: mechanism, count: steps)], delta: 1e-6, accountant: accountant)
    #expect(try stated >= spent(mechanism, steps).upper)
  }

  @Test func targetsOutOfReachAreErrors() throws {
    let target = try PrivacyTarget(epsilon: 0.01, delta: 1e-9)
    let loud = try PoissonSubsampledGaussian(samplingRate: 0.5, noiseMultiplier: 0.5)
    func code(_ body: () throws -> Void) -> PrivacyError.Code? {
      do { try body() } catch { return (error as? PrivacyError)?.code }
      return nil
    }
    #expect(
      code {
        _ = try Calibration.steps(for: target, mechanism: loud, accountant: PLDAccountant())
      } == .unreachableTarget)
    #expect(
      code {
        _ = try Calibration.samplingRate(
          for: PrivacyTarget(epsilon: 1e-9, delta: 1e-15), steps: 1_000_000,
          noiseMultiplier: NoiseMultiplier(0.3), accountant: RDPAccountant())
      } == .unreachableTarget)
  }

  @Test func anUnreachableTargetIsAnError() throws {
    let target = try PrivacyTarget(epsilon: 1e-12, delta: 1e-15)
    #expect(throws: PrivacyError.self) {
      _ = try Calibration.noiseMultiplier(
        for: target, steps: 10_000_000, accountant: RDPAccountant()
      ) { sigma throws(PrivacyError) in
        try PoissonSubsampledGaussian(samplingRate: 1, noiseMultiplier: sigma)
      }
    }
  }

  @Test(arguments: [1.0, 0.123456789, 9.9999999, 1e-8, 12345.6789, 1e300])
  func roundingUpNeverRoundsDown(value: Double) {
    for digits in 1...8 {
      let rounded = Calibration.roundedUp(value, significantDigits: digits)
      #expect(rounded >= value)
      #expect(rounded <= value * (1 + 1.0000001 * exponent10(1 - digits)))
    }
  }

  private func exponent10(_ power: Int) -> Double {
    (0..<abs(power)).reduce(1) { value, _ in power < 0 ? value / 10 : value * 10 }
  }
}
