internal import DPAccounting
internal import DPKernels
internal import DPMechanisms
internal import DPModels
internal import Foundation

/// How options become a plan's numbers, and what is refused.
enum PlanRules {
  /// B: as asked for, or n/50, at least 256 and at most n.
  static func batchSize(_ options: TrainingOptions, examples n: Int) throws(TrainingError) -> Int {
    guard n >= 1 else {
      throw TrainingError(
        .invalidOption, "the training split has no rows; give more data or a smaller test fraction")
    }
    guard let asked = options.batchSize else { return min(n, max(256, n / 50)) }
    guard asked >= 1 else {
      throw TrainingError(.invalidOption, "batch size is \(asked); it must be at least 1")
    }
    guard asked <= n else {
      throw TrainingError(
        .invalidOption,
        "batch size is \(asked), more than the \(n) rows of the training split; choose at most \(n)"
      )
    }
    return asked
  }

  /// T: as asked for, or round(epochs · n / B).
  static func steps(
    _ options: TrainingOptions, examples n: Int, batchSize: Int
  ) throws(TrainingError) -> Int {
    switch options.length {
    case .steps(let steps):
      guard steps >= 1, steps <= longestRun else {
        throw TrainingError(
          .invalidOption, "steps is \(steps); it must be at least 1 and at most 2^40")
      }
      return steps
    case .epochs(let epochs):
      guard epochs > 0, epochs.isFinite else {
        throw TrainingError(
          .invalidOption, "epochs is \(epochs); it must be finite and greater than 0")
      }
      let steps = (epochs * Double(n) / Double(batchSize)).rounded()
      guard steps >= 1, steps <= Double(longestRun) else {
        throw TrainingError(
          .invalidOption,
          "\(epochs) epochs are \(steps) steps; there must be at least 1 and at most 2^40")
      }
      return Int(steps)
    }
  }

  private static let longestRun = 1 << 40

  /// η: as asked for, or what suits the optimizer.
  static func learningRate(_ options: TrainingOptions) throws(TrainingError) -> Double {
    let rate =
      options.learningRate ?? TrainingOptions.usualLearningRate(of: options.optimizer)
    guard rate > 0, Float(rate).isFinite, Float(rate) > 0 else {
      throw TrainingError(
        .invalidOption, "learning rate is \(rate); it must be finite and greater than 0")
    }
    return rate
  }

  /// The schedule, with a warm-up that ends before the run does.
  static func schedule(
    _ options: TrainingOptions, steps: Int
  ) throws(TrainingError) -> LearningRateSchedule {
    guard options.warmup >= 0, options.warmup < steps else {
      throw TrainingError(
        .invalidOption,
        "warmup is \(options.warmup); it must be at least 0 and below the \(steps) steps of the run"
      )
    }
    return LearningRateSchedule(options.schedule, warmup: options.warmup)
  }

  /// w: what is left of a parameter after a step, 1 − η w, stays above 0.
  static func weightDecay(
    _ options: TrainingOptions, learningRate: Double
  ) throws(TrainingError) -> Double {
    let decay = options.weightDecay
    guard decay >= 0, decay * learningRate < 1 else {
      throw TrainingError(
        .invalidOption,
        "weight decay is \(decay); it must be at least 0 and below 1 / learning rate = "
          + "\(1 / learningRate)")
    }
    return decay
  }

  /// δ: as asked for, or 1/(10 n) rounded down to a power of ten; refused from 1/√n on.
  static func delta(_ options: TrainingOptions, examples n: Int) throws -> Double {
    let usual = Double("1e\(Int(floor(log10(1 / (10 * Double(n))) + 1e-12)))") ?? 1e-6
    let delta = options.delta ?? usual
    try PrivacyTarget.checkDelta(delta)
    let limit = 1 / Double(n).squareRoot()
    guard delta < limit else {
      throw TrainingError(
        .invalidOption,
        "delta is \(delta), not below 1/sqrt(n) = \(limit); choose one well below 1/n")
    }
    return delta
  }

  /// σ, κ, ε and what else makes the run private.
  static func privacy(
    _ options: TrainingOptions, examples n: Int, unit: TrainingPlan.UnitFacts?,
    samplingRate: Double, steps: Int, parameters: Int, accountant base: any PrivacyAccountant
  ) throws -> TrainingPlan.PrivacyFacts? {
    guard options.privacy != .none else { return nil }
    let clip = options.clipNorm
    guard options.relation != .addRemove else {
      throw TrainingError(
        .invalidOption,
        "training keeps every row's place, so it cannot cover a row more or less; choose zero-out, "
          + "which has the same epsilon for the same noise")
    }
    guard unit == nil || options.relation == .zeroOut else {
      throw TrainingError(
        .invalidOption,
        "the schema asks for a guarantee per \"\(unit?.column ?? "")\", which is known for zero-out "
          + "only; leave --neighbouring out, or max_rows_per_unit")
    }
    guard clip >= 1e-10, clip <= 1e10 else {
      throw TrainingError(
        .invalidOption, "clip is \(clip); it must be at least 1e-10 and at most 1e10")
    }
    let delta = try delta(options, examples: n)
    let accountant = accountant(
      over: base, noise: options.noise, parameters: parameters, steps: steps)
    try checkCost(of: accountant)
    func grid(_ sigma: Double) -> NoiseGrid {
      NoiseGrid(
        noiseScale: sigma * clip, clipNorm: clip, parameters: parameters, kind: options.noise)
    }
    func kappa(_ sigma: Double) -> Double {
      let excess = Sensitivity.excess(
        grid: grid(sigma), clipNorm: clip, parameters: parameters, numerics: options.numerics)
      return Calibration.roundedUp(excess, significantDigits: 6)
    }
    func mechanism(_ sigma: Double) throws(PrivacyError) -> PoissonSubsampledGaussian {
      try PoissonSubsampledGaussian(
        samplingRate: samplingRate,
        noiseMultiplier: NoiseMultiplier(sigma).value / (1 + kappa(sigma)),
        relation: options.relation, groupSize: unit?.maxRows ?? 1)
    }
    let (sigma, target) = try chosenNoise(
      options, delta: delta, steps: steps, accountant: accountant, mechanism: mechanism)
    let excess = kappa(sigma)
    guard excess <= Sensitivity.largestExcess else {
      throw TrainingError(
        .invalidOption,
        "rounding would cost \(excess) of the sensitivity, more than \(Sensitivity.largestExcess); "
          + "choose less noise than sigma = \(sigma), or a smaller model")
    }
    guard Sensitivity.sumsAreExact(grid: grid(sigma), clipNorm: clip, examples: n) else {
      throw TrainingError(
        .invalidOption,
        "sums of \(n) rows are too long to be exact at sigma = \(sigma); choose more noise")
    }
    let spent = try accountant.epsilon(
      of: [ComposedSteps(of: mechanism(sigma), count: steps)], delta: delta)
    guard spent.upper.isFinite else {
      throw PrivacyError(
        .unreachableTarget,
        "no finite epsilon is known for sigma = \(sigma) over \(steps) steps; choose more noise")
    }
    let epsilon = Calibration.roundedUp(spent.upper, significantDigits: 6)
    return TrainingPlan.PrivacyFacts(
      relation: options.relation, targetEpsilon: target,
      epsilon: target.map { min($0, epsilon) } ?? epsilon, delta: delta, noise: options.noise,
      noiseMultiplier: sigma, clip: clip, clipping: options.clipping, kappa: excess,
      tileExamples: ClippedGradientSum.tileExamples(options.numerics),
      gridSpacing: grid(sigma).spacing, accountant: accountant.name)
  }

  /// Checks that a plan's κ, grid and ε are what its σ, C, d and T give.
  ///
  /// - Parameters:
  ///   - plan: A plan that may have been read from anywhere.
  ///   - base: The accountant of Gaussian steps that it names.
  /// - Throws: ``TrainingError`` when they are not.
  static func check(_ plan: TrainingPlan, accountant base: any PrivacyAccountant) throws {
    guard let privacy = plan.privacy, let mechanism = try plan.mechanism() else { return }
    let accountant = try plan.accountant(over: base)
    let parameters = try plan.architecture().parameterCount
    let grid = NoiseGrid(
      noiseScale: privacy.noiseMultiplier * privacy.clip, clipNorm: privacy.clip,
      parameters: parameters, kind: privacy.noise)
    let excess = Sensitivity.excess(
      grid: grid, clipNorm: privacy.clip, parameters: parameters, numerics: plan.numerics)
    let spent = try accountant.epsilon(
      of: [ComposedSteps(of: mechanism, count: plan.steps)], delta: privacy.delta
    ).upper
    guard privacy.kappa >= excess, privacy.gridSpacing == grid.spacing,
      privacy.tileExamples == ClippedGradientSum.tileExamples(plan.numerics),
      privacy.accountant == accountant.name,
      plan.samplingRate == Double(plan.batchSize) / Double(plan.data.examples),
      spent <= privacy.epsilon * (1 + 1e-9)
    else {
      throw TrainingError(.changedPlan, "the plan contradicts itself; make a plan anew")
    }
  }

  /// The accountant of a kind of noise, from one of Gaussian steps.
  static func accountant(
    over base: any PrivacyAccountant, noise: NoiseKind, parameters: Int, steps: Int
  ) -> any PrivacyAccountant {
    switch noise {
    case .gaussian: base
    case .discrete: DiscreteNoiseAccountant(base, coordinates: parameters, steps: steps)
    }
  }

  /// The largest ε that exchanging one noise for another may cost.
  private static let largestNoiseCost = 0.01

  private static func checkCost(of accountant: any PrivacyAccountant) throws(TrainingError) {
    guard let discrete = accountant as? DiscreteNoiseAccountant,
      discrete.cost > largestNoiseCost
    else { return }
    throw TrainingError(
      .invalidOption,
      "discrete noise would cost epsilon \(discrete.cost) by itself, more than "
        + "\(largestNoiseCost); take fewer steps, a smaller model or gaussian noise")
  }

  private static func chosenNoise(
    _ options: TrainingOptions, delta: Double, steps: Int, accountant: any PrivacyAccountant,
    mechanism: (Double) throws(PrivacyError) -> PoissonSubsampledGaussian
  ) throws -> (sigma: Double, target: Double?) {
    switch options.privacy {
    case .epsilon(let epsilon):
      let target = try PrivacyTarget(epsilon: epsilon, delta: delta)
      let sigma = try Calibration.noiseMultiplier(
        for: target, steps: steps, accountant: accountant, mechanism: mechanism)
      return (sigma, epsilon)
    case .noiseMultiplier(let sigma):
      return (try NoiseMultiplier(sigma).value, nil)
    case .none:
      preconditionFailure("a run without privacy has no noise")
    }
  }
}
