import DPAccounting
import DPData
import DPKernels
import DPMechanisms
import DPModels
import DPTraining
import Foundation
import Testing

@Suite struct StepEngineTests {
  private func options(_ change: (inout TrainingOptions) -> Void) -> TrainingOptions {
    var options = TrainingOptions()
    options.optimizer = .sgd
    options.learningRate = 1
    options.privacy = .noiseMultiplier(1.5)
    options.hidden = [4]
    options.length = .steps(3)
    change(&options)
    return options
  }

  /// A step, recomputed from its definition in Double: sample, clipped sum, noise, constant divisor.
  @Test(
    arguments: [(PrivacyChoice.noiseMultiplier(1.5), 40), (.none, 300)],
    Clipping.allCases)
  func aStepIsItsDefinition(kind: (PrivacyChoice, Int), clipping: Clipping) throws {
    let (privacy, batchSize) = kind
    let dataset = try SmallTable(rows: 500).dataset()
    let plan = try TrainingPlan(
      options {
        $0.privacy = privacy
        $0.batchSize = batchSize
        $0.clipNorm = 0.3
        $0.clipping = clipping
      }, dataset)
    let key = SecureKey()
    var generator = StreamGenerator(key, domain: .initialisation)
    let start = try ModelState(start: plan, using: &generator)
    let engine = try StepEngine(plan, table: dataset.train.table, key: key, start: start)
    var sampler = try PoissonSampler(
      key, samplingRate: SamplingRate(plan.samplingRate),
      blocks: RecordBlocks(records: dataset.train.count))
    let count = start.parameters.count
    let grid = NoiseGrid(noiseScale: 1.5 * 0.3, clipNorm: 0.3, parameters: count)
    var noise = GaussianNoise(key, coordinates: count, grid: grid)
    for step in 0..<3 {
      let before = engine.parameters.map(Double.init)
      var records: [UInt32] = []
      for block in 0..<sampler.blocks.count {
        sampler.appendSample(step: step, block: block, to: &records)
      }
      let examples = records.map { record in
        (
          features: dataset.train.features(of: Int(record)).map(Double.init),
          label: Double(dataset.train.label(of: Int(record)) ?? .nan)
        )
      }
      let reference = ReferenceNetwork(try plan.architecture(), parameters: before)
      let sum = reference.clippedSum(
        examples, bound: privacy == .none ? .infinity : 0.3, by: clipping)
      var units = [Int32](repeating: 0, count: count)
      if privacy != .none {
        var span = units.mutableSpan
        noise.fill(&span, step: step, from: 0)
      }
      engine.take(step: step)
      for index in 0..<count {
        let released = (sum[index] + Double(units[index]) * grid.spacing) / Double(batchSize)
        let expected = before[index] - released
        #expect(abs(Double(engine.parameters[index]) - expected) <= 2e-6)
      }
    }
  }

  /// The noise in the released sum: mean 0, variance σ²C² once, normal, new in every step and
  /// coordinate, whatever the batch; measured on a table that contributes nothing.
  @Test func noiseIsAddedOnce() throws {
    var table = SmallTable(rows: 400)
    // A few rows hold examples, so that the table is not refused; clipped, they cannot be seen.
    for row in table.rows.indices where row > 20 { table.rows[row][3] = "" }
    let dataset = try table.dataset()
    let sigma = 800.0
    let plan = try TrainingPlan(
      options {
        $0.privacy = .noiseMultiplier(sigma)
        $0.hidden = [30]
        $0.batchSize = 100
        $0.clipNorm = 0.5
      }, dataset)
    let key = SecureKey()
    let count = try plan.architecture().parameterCount
    let zero = ModelState(
      parameters: [Float](repeating: 0, count: count), optimizerSteps: 0, optimizerState: [])
    var noise: [[Double]] = []
    for step in 0..<2000 {
      let engine = try StepEngine(plan, table: dataset.train.table, key: key, start: zero)
      engine.take(step: step)
      noise.append(engine.parameters.map { -Double($0) * 100 / (sigma * 0.5) })
    }
    let all = noise.flatMap(\.self)
    let n = Double(all.count)
    // 21 examples of norm 0.5 in a batch of 100 move a standardised value by at most 21/800.
    let mean = all.reduce(0, +) / n
    #expect(abs(mean) < 4.892 / n.squareRoot() + 0.03)
    let variance = all.reduce(0) { $0 + $1 * $1 } / n
    #expect(abs(variance - 1) < 4.892 * (2 / n).squareRoot() + 0.003)
    let steps = zip(noise, noise.dropFirst()).reduce(0.0) { sum, pair in
      sum + zip(pair.0, pair.1).reduce(0) { $0 + $1.0 * $1.1 }
    }
    #expect(abs(steps / n.squareRoot()) < 4.892 + 0.003 * n.squareRoot())
  }

  /// What is released is an integer times γ/B, whatever the sum: no low bits of S are left in it.
  ///
  /// With B a power of two such numbers are exact in Float; past 2²⁴ of them Float keeps multiples.
  @Test(arguments: [0.3, 0.1234567, 1e-3], NoiseKind.allCases)
  func whatIsReleasedLiesOnTheGrid(clip: Double, kind: NoiseKind) throws {
    let dataset = try SmallTable(rows: 500).dataset()
    let plan = try TrainingPlan(
      options {
        $0.privacy = .noiseMultiplier(0.7)
        $0.batchSize = 64
        $0.clipNorm = clip
        $0.noise = kind
      }, dataset)
    let spacing = try #require(plan.privacy?.gridSpacing)
    #expect(spacing.significand == 1)
    let count = try plan.architecture().parameterCount
    let zero = ModelState(
      parameters: [Float](repeating: 0, count: count), optimizerSteps: 0, optimizerState: [])
    var lowBits = Set<Int>()
    for step in 0..<50 {
      let engine = try StepEngine(plan, table: dataset.train.table, key: SecureKey(), start: zero)
      engine.take(step: step)
      for parameter in engine.parameters {
        let units = Double(parameter) * 64 / spacing
        #expect(units == units.rounded())
        // Above 2²⁴ units Float keeps multiples: there it is Float that hides low bits.
        if abs(units) < 0x1p24 { lowBits.insert(Int(units) & 7) }
      }
    }
    #expect(lowBits.count == 8)
  }

  /// With discrete noise a step is the same, but for the noise.
  @Test func discreteNoiseTakesTheOthersPlace() throws {
    let dataset = try SmallTable(rows: 500).dataset()
    let key = SecureKey()
    func parameters(_ kind: NoiseKind) throws -> (moved: [Float], plan: TrainingPlan) {
      let plan = try TrainingPlan(
        options {
          $0.noise = kind
          $0.batchSize = 64
        }, dataset)
      let count = try plan.architecture().parameterCount
      let zero = ModelState(
        parameters: [Float](repeating: 0, count: count), optimizerSteps: 0, optimizerState: [])
      let engine = try StepEngine(plan, table: dataset.train.table, key: key, start: zero)
      engine.take(step: 7)
      return (engine.parameters, plan)
    }
    let (gaussian, _) = try parameters(.gaussian)
    let (discrete, plan) = try parameters(.discrete)
    let count = gaussian.count
    let coarse = NoiseGrid(noiseScale: 1.5, clipNorm: 1, parameters: count)
    let fine = NoiseGrid(noiseScale: 1.5, clipNorm: 1, parameters: count, kind: .discrete)
    #expect(plan.privacy?.gridSpacing == fine.spacing && fine.spacing < coarse.spacing)
    var sources: [any NoiseSource] = [
      GaussianNoise(key, coordinates: count, grid: coarse),
      DiscreteGaussianNoise(key, coordinates: count, grid: fine),
    ]
    var noise: [[Double]] = []
    for (index, spacing) in [coarse.spacing, fine.spacing].enumerated() {
      var units = [Int32](repeating: 0, count: count)
      var span = units.mutableSpan
      sources[index].fill(&span, step: 7, from: 0)
      noise.append(units.map { Double($0) * spacing / 64 })
    }
    for index in 0..<count {
      let sums = (
        Double(gaussian[index]) + noise[0][index], Double(discrete[index]) + noise[1][index]
      )
      #expect(abs(sums.0 - sums.1) < 2e-6)
      #expect(gaussian[index] != discrete[index])
    }
  }

  /// On rows that cannot be seen, schedule and weight decay show in what noise and start become.
  ///
  /// The model has more coordinates than noise is made for at once, and a number of them that is no
  /// multiple of any lane width.
  @Test(arguments: LearningRateSchedule.Shape.allCases)
  func aStepUsesTheRateOfItsTime(shape: LearningRateSchedule.Shape) throws {
    let dataset = try SmallTable(rows: 500).dataset()
    let plan = try TrainingPlan(
      options {
        $0.privacy = .noiseMultiplier(200)
        $0.hidden = [1800]
        $0.batchSize = 2
        $0.clipNorm = 1e-3
        $0.schedule = shape
        $0.warmup = 2
        $0.weightDecay = 0.25
        $0.length = .steps(9)
      }, dataset)
    let key = SecureKey()
    let count = try plan.architecture().parameterCount
    try #require(count > 4096 && count % 16 != 0)
    let start = ModelState(
      parameters: (0..<count).map { Float($0 % 5) }, optimizerSteps: 0, optimizerState: [])
    let spacing = try #require(plan.privacy?.gridSpacing)
    let grid = NoiseGrid(noiseScale: 0.2, clipNorm: 1e-3, parameters: count)
    try #require(grid.spacing == spacing)
    var noise = GaussianNoise(key, coordinates: count, grid: grid)
    for step in [0, 2, 3, 8] {
      let engine = try StepEngine(plan, table: dataset.train.table, key: key, start: start)
      engine.take(step: step)
      var units = [Int32](repeating: 0, count: count)
      var span = units.mutableSpan
      noise.fill(&span, step: step, from: 0)
      let rate = plan.schedule.factor(step: step, of: 9)
      let differences = engine.parameters.enumerated().map { index, parameter in
        Double(parameter) - Double(index % 5) * (1 - 0.25 * rate)
          + rate * Double(units[index]) * spacing / 2
      }
      // Some rows of norm 1e-3 at most, halved.
      #expect(differences.allSatisfy { abs($0) < 0.01 * max(rate, 1e-3) })
    }
  }

  /// Every step takes place, with noise, also when nothing is drawn.
  @Test func anEmptyBatchIsSteppedLikeAnyOther() throws {
    let dataset = try SmallTable(rows: 200).dataset()
    let plan = try TrainingPlan(
      options {
        $0.batchSize = 1
        $0.length = .steps(200)
      }, dataset)
    let key = SecureKey()
    var generator = StreamGenerator(key, domain: .initialisation)
    let engine = try StepEngine(
      plan, table: dataset.train.table, key: key,
      start: ModelState(start: plan, using: &generator))
    var before = engine.parameters
    for step in 0..<200 {
      engine.take(step: step)
      #expect(zip(before, engine.parameters).count { $0 != $1 } > before.count / 2)
      before = engine.parameters
    }
    #expect(engine.state.optimizerSteps == 200)
  }

  @Test(arguments: OptimizerRule.allCases)
  func stateGoesOnWhereItWas(rule: OptimizerRule) throws {
    let dataset = try SmallTable(rows: 300).dataset()
    let plan = try TrainingPlan(options { $0.optimizer = rule }, dataset)
    let key = InsecureKey(seed: 3)
    var generator = StreamGenerator(key, domain: .initialisation)
    let start = try ModelState(start: plan, using: &generator)
    let whole = try StepEngine(plan, table: dataset.train.table, key: key, start: start)
    for step in 0..<8 { whole.take(step: step) }
    let first = try StepEngine(plan, table: dataset.train.table, key: key, start: start)
    for step in 0..<5 { first.take(step: step) }
    let second = try StepEngine(plan, table: dataset.train.table, key: key, start: first.state)
    for step in 5..<8 { second.take(step: step) }
    #expect(second.state == whole.state)
  }

  /// The number of threads shows in nothing but time.
  @Test(arguments: [PrivacyChoice.noiseMultiplier(1.5), .none], [OptimizerRule.sgd, .adam])
  func threadsLeaveNoTrace(privacy: PrivacyChoice, rule: OptimizerRule) throws {
    let dataset = try Dataset.random(examples: 5000, features: 9)
    let plan = try TrainingPlan(
      options {
        $0.privacy = privacy
        $0.optimizer = rule
        $0.hidden = [200, 100]
        $0.batchSize = 1300
        $0.length = .steps(5)
      }, dataset)
    let key = SecureKey()
    var generator = StreamGenerator(key, domain: .initialisation)
    let start = try ModelState(start: plan, using: &generator)
    let states = try [1, 2, 3, 4].map { threads in
      let engine = try StepEngine(
        plan, table: dataset.train.table, key: key, start: start, threads: threads)
      #expect(engine.threads == threads)
      for step in 0..<5 { engine.take(step: step) }
      return engine.state
    }
    for state in states.dropFirst() { #expect(state == states[0]) }
    #expect(states[0].parameters != start.parameters)
  }

  /// The promise of canonical numerics: the same model from every instruction set and number of threads.
  @Test(
    arguments: [PrivacyChoice.noiseMultiplier(0.4), .noiseMultiplier(1.5), .none],
    Activation.allCases)
  func canonicalStepsHaveTheSameBitsEverywhere(
    privacy: PrivacyChoice, activation: Activation
  ) throws {
    let dataset = try Dataset.random(examples: 4000, features: 9)
    let plan = try TrainingPlan(
      options {
        $0.privacy = privacy
        $0.activation = activation
        $0.hidden = [90, 80]
        $0.batchSize = 700
        $0.numerics = .canonical
      }, dataset)
    let key = SecureKey()
    var generator = StreamGenerator(key, domain: .initialisation)
    let start = try ModelState(start: plan, using: &generator)
    let states = try TileKernels.available(.canonical).flatMap { kernels in
      try [1, 3].map { threads in
        let engine = try StepEngine(
          plan, table: dataset.train.table, key: key, start: start, threads: threads,
          kernels: kernels)
        for step in 0..<3 { engine.take(step: step) }
        return engine.state
      }
    }
    for state in states.dropFirst() { #expect(state == states[0]) }
    #expect(states[0].parameters != start.parameters)
  }
}
