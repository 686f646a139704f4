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
