import DPAccounting
import Testing

@Suite struct SamplingSchemeTests {
  @Test func shuffledEpochsAreNotAmplified() throws {
    let noise = try NoiseMultiplier(0.9)
    let epochs = try ShuffledEpochs(count: 1, noiseMultiplier: noise)
    // One release of the row with this noise, in closed form (another program's value).
    #expect(abs(try epochs.epsilon(delta: 1e-6).upper - 5.511463681361805) <= 1e-9)
    let four = try ShuffledEpochs(count: 4, noiseMultiplier: NoiseMultiplier(1.8))
    #expect(abs(try four.epsilon(delta: 1e-6).upper - 5.511463681361805) <= 1e-9)
    let replaced = try ShuffledEpochs(
      count: 1, noiseMultiplier: NoiseMultiplier(1.8), relation: .replace)
    #expect(abs(try replaced.epsilon(delta: 1e-6).upper - 5.511463681361805) <= 1e-9)
    // Poisson sampling with the same batches would claim a fraction of it.
    let poisson = try PLDAccountantTests.steps(1 / 3825, 0.9, 3825)
    #expect(try PLDAccountant().epsilon(of: [poisson], delta: 1e-6).upper < 0.11)
  }

  @Test func aSchemeEntersOnlyAHistoryOfItsRelation() throws {
    let noise = try NoiseMultiplier(1)
    var history = PrivacyHistory(relation: .addRemove)
    #expect(throws: PrivacyError.self) {
      try history.append(ShuffledEpochs(count: 1, noiseMultiplier: noise))
    }
    var replaced = PrivacyHistory(relation: .replace)
    #expect(throws: PrivacyError.self) {
      try replaced.append(
        MixtureOfGaussians(shifts: [1], probabilities: [1], noiseMultiplier: noise), count: 1)
    }
    #expect(throws: PrivacyError.self) {
      _ = try FixedSizeWithoutReplacement(
        populationSize: 10, batchSize: 11, noiseMultiplier: noise)
    }
  }

  @Test func phasesOfDifferentSchemesAddUp() throws {
    var history = PrivacyHistory()
    try history.append(PLDAccountantTests.steps(0.01, 1, 1).mechanism, count: 1000)
    let before = try PLDAccountant().epsilon(of: history, delta: 1e-6)
    try history.append(ShuffledEpochs(count: 2, noiseMultiplier: NoiseMultiplier(3)))
    let after = try PLDAccountant().epsilon(of: history, delta: 1e-6)
    let alone = try ShuffledEpochs(count: 2, noiseMultiplier: NoiseMultiplier(3))
      .epsilon(delta: 1e-6)
    #expect(after.upper - (after.lower ?? 0) <= 2e-3 * after.upper)
    #expect(after.lower ?? 0 > max(before.upper, alone.upper))
    #expect(after.upper < before.upper + alone.upper)
  }

  /// The values of the other program count σ against 2C, this one against C.
  @Test func fixedSizeBatchesAgreeWithOtherSoftware() throws {
    for golden in try GoldenCase.group("without_replacement_rdp") {
      let mechanism = try FixedSizeWithoutReplacement(
        populationSize: #require(golden.fields["N"] as? Int),
        batchSize: #require(golden.fields["B"] as? Int),
        noiseMultiplier: NoiseMultiplier(2 * #require(golden.number("sigma"))))
      let answer = try RDPAccountant().epsilon(
        of: mechanism, steps: #require(golden.fields["steps"] as? Int),
        delta: #require(golden.number("delta")))
      let expected = try #require(golden.part("epsilon").number("rdp"))
      #expect(
        answer.upper >= expected * (1 - 1e-6) && answer.upper <= expected * 1.01,
        "\(golden.id): \(answer.upper), \(expected)")
    }
  }

  @Test func aSearchCostsWhatTheTheoremsSay() throws {
    for golden in try GoldenCase.group("tuning_repeat_and_select_rdp") {
      let mean = try #require(golden.number("mean_trials"))
      let trials: TrialCount =
        switch golden.fields["shape"] {
        case let shape as Int where shape == 1: .geometric(mean: mean)
        case let shape as Int where shape == 0: .logarithmic(mean: mean)
        default: .poisson(mean: mean)
        }
      let composed = try PLDAccountantTests.steps(
        #require(golden.number("q")), #require(golden.number("sigma")),
        #require(golden.fields["steps"] as? Int))
      let delta = try #require(golden.number("delta"))
      let answer = try RDPAccountant().epsilon(ofBestRun: [composed], trials: trials, delta: delta)
      let expected = try #require(golden.part("epsilon").number("rdp"))
      // The other program's fractional orders are a little looser.
      #expect(
        answer.upper <= expected * (1 + 1e-6) && answer.upper >= expected * 0.98,
        "\(golden.id): \(answer.upper), \(expected)")
      let one = try RDPAccountant().epsilon(of: [composed], delta: delta)
      #expect(answer.upper > one.upper)
    }
    let composed = try PLDAccountantTests.steps(0.01, 1, 100)
    #expect(throws: PrivacyError.self) {
      _ = try RDPAccountant().epsilon(
        ofBestRun: [composed], trials: .poisson(mean: 0.5), delta: 1e-6)
    }
  }

  @Test func theCentralLimitErrsBothWays() throws {
    let optimistic = [try PLDAccountantTests.steps(0.001, 0.5, 1000)]
    let truth = try PLDAccountant().epsilon(of: optimistic, delta: 1e-6)
    let estimate = try GaussianApproximation().epsilon(of: optimistic, delta: 1e-6)
    #expect(estimate < 0.3 * (truth.lower ?? 0))
    let full = [try PLDAccountantTests.steps(1, 10, 100)]
    let exact = try PLDAccountant().epsilon(of: full, delta: 1e-5)
    #expect(abs(try GaussianApproximation().epsilon(of: full, delta: 1e-5) - exact.upper) <= 1e-9)
    let tiny = [try PLDAccountantTests.steps(0.01, 0.3, 100)]
    let rare = try PLDAccountant().epsilon(of: tiny, delta: 1e-5)
    #expect(try GaussianApproximation().epsilon(of: tiny, delta: 1e-5) > 10 * rare.upper)
    #expect(try GaussianApproximation().delta(of: full, epsilon: 4) > 0)
  }

  @Test func divergencesProveADelta() throws {
    let composed = [try PLDAccountantTests.steps(0.01, 1, 1000)]
    let tight = try PLDAccountant().delta(of: composed, epsilon: 2)
    let loose = try RDPAccountant().delta(of: composed, epsilon: 2)
    #expect(loose.upper >= tight.lower && loose.upper <= 20 * tight.upper)
  }
}
