import DPAccounting
import DPData
import DPKernels
import DPModels
import DPTraining
import Foundation
import Testing

@Suite struct TrainingPlanTests {
  private func plan(_ change: (inout TrainingOptions) -> Void, rows: Int = 3000) throws
    -> TrainingPlan
  {
    var options = TrainingOptions()
    change(&options)
    return try TrainingPlan(options, SmallTable(rows: rows).dataset())
  }

  private func refusal(_ change: (inout TrainingOptions) -> Void) -> String {
    do {
      _ = try plan(change)
      return "planned"
    } catch {
      return "\(error)"
    }
  }

  @Test func defaultsFollowFromN() throws {
    let plan = try plan { _ in }
    let n = plan.data.examples
    #expect((2300...2500).contains(n))
    #expect(plan.batchSize == 256)
    #expect(plan.samplingRate == 256 / Double(n))
    #expect(plan.steps == Int((20 * Double(n) / 256).rounded()))
    // 1/(10 n) is a little above 4e-5.
    #expect(plan.privacy?.delta == 1e-5)
    #expect(plan.privacy?.clip == 1)
    #expect(plan.privacy?.targetEpsilon == 1)
    #expect(plan.warnings.isEmpty)
  }

  /// The noise that is calibrated covers the sensitivity with its rounding, and hardly more.
  @Test(arguments: [0.1, 1, 8], [1e-3, 1, 300])
  func epsilonHoldsForTheSensitivityWithRounding(epsilon: Double, clip: Double) throws {
    let plan = try plan {
      $0.privacy = .epsilon(epsilon)
      $0.clipNorm = clip
    }
    let privacy = try #require(plan.privacy)
    #expect(privacy.kappa > 3e-5 && privacy.kappa <= 1e-3)
    let effective = try PoissonSubsampledGaussian(
      samplingRate: plan.samplingRate,
      noiseMultiplier: privacy.noiseMultiplier / (1 + privacy.kappa))
    let spent = try RDPAccountant().epsilon(
      of: [ComposedSteps(of: effective, count: plan.steps)], delta: privacy.delta
    ).upper
    #expect(spent <= epsilon && privacy.epsilon <= epsilon && privacy.epsilon >= spent)
    #expect(spent > epsilon * 0.999)
  }

  /// What canonical sums are charged: one contribution's rounding, no tile's.
  @Test func canonicalNumericsCostLess() throws {
    let fast = try plan { $0.privacy = .noiseMultiplier(1) }
    let canonical = try plan {
      $0.privacy = .noiseMultiplier(1)
      $0.numerics = .canonical
    }
    let privacy = try #require(canonical.privacy)
    let count = Double(try canonical.architecture().parameterCount)
    let contribution = 2 * 0x1p-24 + count.squareRoot() * privacy.gridSpacing / 2 / privacy.clip
    #expect(privacy.kappa >= contribution && privacy.kappa <= contribution + 1e-6)
    #expect(privacy.tileExamples == 1)
    #expect(try privacy.epsilon < #require(fast.privacy).epsilon)
    #expect(fast.differences(from: canonical) == ["numerics"])
  }

  /// The rule of clipping is part of a plan and changes nothing that is accounted.
  @Test(arguments: Clipping.allCases)
  func everyRuleOfClippingHasTheSameSensitivity(clipping: Clipping) throws {
    let flat = try plan { _ in }
    let other = try plan { $0.clipping = clipping }
    #expect(other.privacy?.clipping == clipping)
    #expect(other.privacy?.noiseMultiplier == flat.privacy?.noiseMultiplier)
    #expect(flat.differences(from: other) == (clipping == .flat ? [] : ["clipping"]))
  }

  @Test(arguments: [NeighbouringRelation.zeroOut, .replace])
  func replaceNeedsMoreNoise(relation: NeighbouringRelation) throws {
    let usual = try #require(try plan { _ in }.privacy)
    let other = try #require(try plan { $0.relation = relation }.privacy)
    #expect(other.relation == relation)
    if relation == .replace {
      #expect(other.noiseMultiplier > usual.noiseMultiplier * 1.5)
    } else {
      #expect(other.noiseMultiplier == usual.noiseMultiplier)
    }
  }

  @Test func givenNoiseIsKeptAndEpsilonFollows() throws {
    let privacy = try #require(try plan { $0.privacy = .noiseMultiplier(2) }.privacy)
    #expect(privacy.noiseMultiplier == 2 && privacy.targetEpsilon == nil)
    let calibrated = try plan { $0.privacy = .epsilon(privacy.epsilon) }
    let sigma = try #require(calibrated.privacy?.noiseMultiplier)
    #expect(abs(sigma - 2) < 1e-4)
  }

  /// Discrete noise costs a little more ε, never less, and keeps within the target.
  @Test(arguments: [0.1, 1, 8], [NeighbouringRelation.zeroOut, .replace])
  func discreteNoiseIsAccountedFor(epsilon: Double, relation: NeighbouringRelation) throws {
    func privacy(_ kind: NoiseKind) throws -> TrainingPlan.PrivacyFacts {
      try #require(
        try plan {
          $0.privacy = .epsilon(epsilon)
          $0.relation = relation
          $0.noise = kind
        }.privacy)
    }
    let (gaussian, discrete) = (try privacy(.gaussian), try privacy(.discrete))
    #expect(gaussian.noise == .gaussian && discrete.noise == .discrete)
    #expect(discrete.epsilon <= epsilon)
    #expect(discrete.gridSpacing < gaussian.gridSpacing && discrete.kappa <= gaussian.kappa)
    #expect(discrete.noiseMultiplier < gaussian.noiseMultiplier * 1.0001)
    #expect(discrete.noiseMultiplier > gaussian.noiseMultiplier * 0.999)
    let epsilons = try NoiseKind.allCases.map { kind in
      let plan = try plan {
        $0.privacy = .noiseMultiplier(1)
        $0.relation = relation
        $0.noise = kind
      }
      return try #require(plan.privacy?.epsilon)
    }
    #expect(abs(epsilons[1] - epsilons[0]) < 1e-3 * epsilons[0])
  }

  @Test func discreteNoiseWithoutAProofIsRefused() {
    #expect(
      refusal {
        $0.noise = .discrete
        $0.length = .steps(1 << 40)
      }.contains("discrete noise would cost"))
    #expect(
      refusal {
        $0.noise = .discrete
        $0.privacy = .noiseMultiplier(0.01)
      }.contains("no finite epsilon"))
  }

  @Test func requestsWithoutAGuaranteeAreRefused() {
    #expect(refusal { $0.privacy = .epsilon(0) }.contains("epsilon is 0"))
    #expect(refusal { $0.privacy = .epsilon(-1) }.contains("epsilon is -1"))
    #expect(refusal { $0.privacy = .epsilon(.nan) }.contains("epsilon is nan"))
    #expect(refusal { $0.privacy = .epsilon(.infinity) }.contains("epsilon is inf"))
    #expect(refusal { $0.privacy = .noiseMultiplier(0) }.contains("noise multiplier is 0"))
    #expect(refusal { $0.delta = 0 }.contains("delta is 0"))
    #expect(refusal { $0.delta = 1 }.contains("delta is 1"))
    #expect(refusal { $0.delta = 0.03 }.contains("1/sqrt(n)"))
    #expect(refusal { $0.batchSize = 0 }.contains("batch size is 0"))
    #expect(refusal { $0.batchSize = 3000 }.contains("batch size is 3000"))
    #expect(refusal { $0.length = .epochs(0) }.contains("epochs is 0"))
    #expect(refusal { $0.length = .steps(0) }.contains("steps is 0"))
    #expect(refusal { $0.length = .steps(.max) }.contains("steps is"))
    #expect(refusal { $0.clipNorm = 0 }.contains("clip is 0"))
    #expect(refusal { $0.clipNorm = .nan }.contains("clip is nan"))
    #expect(refusal { $0.learningRate = 0 }.contains("learning rate is 0"))
    #expect(refusal { $0.learningRate = 1e60 }.contains("learning rate is 1e+60"))
    #expect(refusal { $0.warmup = -1 }.contains("warmup is -1"))
    #expect(
      refusal {
        $0.length = .steps(5)
        $0.warmup = 5
      }.contains("below the 5 steps"))
    #expect(refusal { $0.weightDecay = -0.1 }.contains("weight decay is -0.1"))
    #expect(refusal { $0.weightDecay = .nan }.contains("weight decay is nan"))
    #expect(
      refusal {
        $0.weightDecay = 2
        $0.learningRate = 0.5
      }.contains("below 1 / learning rate = 2.0"))
    #expect(refusal { $0.hidden = [0] }.contains("width 0"))
    #expect(refusal { $0.relation = .addRemove }.contains("choose zero-out"))
    #expect(refusal { $0.privacy = .noiseMultiplier(1e-300) }.contains("noise multiplier is"))
    #expect(refusal { $0.privacy = .noiseMultiplier(.infinity) }.contains("noise multiplier is"))
    #expect(refusal { $0.privacy = .noiseMultiplier(1e6) }.contains("rounding would cost"))
  }

  @Test func aDeltaAboveOneInNIsWarnedOf() throws {
    #expect(try plan { $0.delta = 1e-3 }.warnings.count == 1)
    #expect(try plan { $0.insecureSeed = 1 }.warnings.count == 1)
  }

  /// A row that becomes missing, in training or in testing, changes nothing that a plan tells.
  @Test(arguments: [0, 1, 17, 999])
  func plansDoNotDependOnAnyCell(row: Int) throws {
    var table = SmallTable(rows: 1000)
    let before = try TrainingPlan(TrainingOptions(), table.dataset())
    table.rows[row][0] = "NA"
    table.rows[row][3] = ""
    let after = try TrainingPlan(TrainingOptions(), table.dataset())
    #expect(before == after)
    #expect(before.differences(from: after).isEmpty)
  }

  /// A plan that was read from a file and changed claims nothing: it is computed again.
  @Test(arguments: ["kappa", "epsilon", "gridSpacing", "noiseMultiplier", "samplingRate", "steps"])
  func aChangedPlanIsRefused(field: String) throws {
    let dataset = try SmallTable(rows: 1000).dataset()
    let plan = try TrainingPlan(TrainingOptions(), dataset)
    _ = try Trainer(plan, dataset: dataset, accountant: RDPAccountant())
    let text = String(decoding: try JSONEncoder().encode(plan), as: UTF8.self)
    let range = try #require(text.range(of: "\"\(field)\":[-0-9.e]+", options: .regularExpression))
    let value = field == "steps" ? "100000" : field == "noiseMultiplier" ? "0.7" : "1e-9"
    let changed = text.replacingCharacters(in: range, with: "\"\(field)\":\(value)")
    let other = try JSONDecoder().decode(TrainingPlan.self, from: Data(changed.utf8))
    #expect(throws: TrainingError.self) {
      _ = try Trainer(other, dataset: dataset, accountant: RDPAccountant())
    }
  }

  @Test func differencesAreNamed() throws {
    let one = try plan { _ in }
    let two = try plan {
      $0.clipNorm = 2
      $0.optimizer = .adam
    }
    #expect(
      one.differences(from: two) == ["clip", "learning-rate", "optimizer"])
    let five = try plan {
      $0.schedule = .cosine
      $0.warmup = 3
      $0.weightDecay = 0.01
    }
    #expect(one.differences(from: five) == ["schedule", "warmup", "weight-decay"])
    let three = try plan { $0.privacy = .none }
    #expect(one.differences(from: three) == ["non-private"])
    let four = try plan { $0.privacy = .noiseMultiplier(2) }
    #expect(one.differences(from: four) == ["epsilon", "noise-multiplier"])
  }
}
