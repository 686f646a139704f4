internal import DPAccounting
package import DPKernels
package import DPMechanisms
package import DPModels

/// The steps of one run: sample, gradients, clipping, sum, noise, update.
///
/// The engine knows nothing of budgets or files: its owner charges a step before asking for it, and
/// never asks for a step twice under one key.
package struct StepEngine {
  /// θ, d numbers.
  package private(set) var parameters: [Float]
  /// The rule with its state.
  private(set) var optimizer: Optimizer
  /// Steps taken by this engine.
  private(set) var stepsTaken = 0
  /// Examples drawn by this engine.
  private(set) var examplesDrawn = 0
  /// What the batches since the last ``takeStatistics()`` were like.
  private var statistics = ClippedGradientSum.Statistics()

  private let table: ExampleTable
  private let batchSize: Int
  private let learningRate: Double
  private let schedule: LearningRateSchedule
  /// T.
  private let steps: Int
  private var sampler: PoissonSampler
  private var noise: (any NoiseSource)?
  private var gradientSum: ClippedGradientSum
  private var records: [UInt32] = []
  /// Noise of consecutive coordinates; zeros without privacy.
  private var noiseUnits: [Int32]

  /// Coordinates whose noise is made and used at a time, so that it stays in the nearest cache.
  private static let noiseCoordinates = 4096

  /// Prepares the steps of a plan.
  ///
  /// - Parameters:
  ///   - plan: What to do.
  ///   - table: The training split.
  ///   - key: Where sampling and noise come from; fresh for every process.
  ///   - start: Parameters and optimizer state to go on from.
  /// - Throws: ``ModelError`` or ``PrivacyError`` when the plan was changed by hand.
  package init(
    _ plan: TrainingPlan, table: ExampleTable, key: some RunKey, start: ModelState
  ) throws {
    let architecture = try plan.architecture()
    let count = architecture.parameterCount
    let grid = plan.privacy.map {
      NoiseGrid(
        noiseScale: $0.noiseMultiplier * $0.clip, clipNorm: $0.clip, parameters: count,
        kind: $0.noise)
    }
    self.table = table
    batchSize = plan.batchSize
    parameters = start.parameters
    learningRate = plan.learningRate
    schedule = plan.schedule
    steps = plan.steps
    optimizer = Optimizer(
      plan.optimizer, steps: start.optimizerSteps, state: start.optimizerState,
      weightDecay: plan.weightDecay)
    let rate = try SamplingRate(plan.samplingRate)
    sampler = try PoissonSampler(
      key, samplingRate: rate, blocks: RecordBlocks(records: table.count, samplingRate: rate))
    noise = grid.map { grid -> any NoiseSource in
      switch plan.privacy?.noise {
      case .discrete: DiscreteGaussianNoise(key, coordinates: count, grid: grid)
      case .gaussian, nil: GaussianNoise(key, coordinates: count, grid: grid)
      }
    }
    gradientSum = ClippedGradientSum(
      architecture, clipNorm: plan.privacy?.clip, unitsPerOne: grid.map { 1 / $0.spacing })
    noiseUnits = [Int32](repeating: 0, count: min(count, StepEngine.noiseCoordinates))
  }

  /// Takes a step: after it the parameters have changed by what was released, and by nothing else.
  ///
  /// - Parameter step: The step's index in the run, charged already.
  package mutating func take(step: Int) {
    sum(step: step)
    release(step: step)
  }

  /// S, in units of the grid: the clipped sum over the step's sample.
  private mutating func sum(step: Int) {
    records.removeAll(keepingCapacity: true)
    sampler.appendSample(step: step, to: &records)
    gradientSum.reset()
    let rows = records
    let start = parameters
    gradientSum.add(rows.span, of: table, parameters: start.span)
    statistics.add(gradientSum.statistics)
    examplesDrawn += gradientSum.statistics.examples
    stepsTaken += 1
  }

  /// Moves the parameters by (S + noise) / B, with B a public constant: never the drawn batch's size.
  ///
  /// S and the noise are integers in units of the grid, so their sum is exact in Double.
  private mutating func release(step: Int) {
    let rate = learningRate * schedule.factor(step: step, of: steps)
    optimizer.begin(
      learningRate: Float(rate), scale: 1 / (gradientSum.unitsPerOne ?? 1) / Double(batchSize))
    let sum = gradientSum.sum
    var moved = exchange(&parameters, with: [])
    var units = exchange(&noiseUnits, with: [])
    for first in stride(from: 0, to: moved.count, by: StepEngine.noiseCoordinates) {
      // The last part is as long as the others; the noise that it repeats is not used again.
      let start = min(first, moved.count - units.count)
      var room = units.mutableSpan
      noise?.fill(&room, step: step, from: start)
      var target = moved.mutableSpan
      optimizer.apply(
        sum.span, units.span.extracting(droppingFirst: first - start), from: first, to: &target)
    }
    noiseUnits = units
    parameters = moved
  }

  /// Parameters and optimizer state as they are, for a checkpoint.
  package var state: ModelState {
    ModelState(
      parameters: parameters, optimizerSteps: optimizer.steps, optimizerState: optimizer.state)
  }

  /// What the batches since the last call were like.
  ///
  /// - Returns: Un-noised facts, for the operator alone.
  mutating func takeStatistics() -> ClippedGradientSum.Statistics {
    defer { statistics = ClippedGradientSum.Statistics() }
    return statistics
  }
}

/// Parameters and what the optimizer remembers: made of released values only.
package struct ModelState: Hashable {
  /// θ, d numbers.
  package var parameters: [Float]
  /// Steps that the optimizer has taken.
  package var optimizerSteps: Int
  /// What the rule remembers.
  package var optimizerState: [[Float]]

  /// Where a run begins: fresh parameters, an optimizer that remembers nothing.
  ///
  /// - Parameters:
  ///   - plan: What the run is to do.
  ///   - generator: Where the parameters come from.
  /// - Throws: ``ModelError`` when the plan was changed by hand.
  package init(
    start plan: TrainingPlan, using generator: inout some RandomNumberGenerator
  ) throws(ModelError) {
    let first = try plan.architecture().initialParameters(using: &generator)
    let empty = [Float](repeating: 0, count: first.count)
    self.init(
      parameters: first, optimizerSteps: 0,
      optimizerState: Array(repeating: empty, count: plan.optimizer.stateVectors))
  }

  /// Goes on from a checkpoint.
  package init(parameters: [Float], optimizerSteps: Int, optimizerState: [[Float]]) {
    self.parameters = parameters
    self.optimizerSteps = optimizerSteps
    self.optimizerState = optimizerState
  }
}

extension ClippedGradientSum.Statistics {
  /// Adds another batch's.
  fileprivate mutating func add(_ other: ClippedGradientSum.Statistics) {
    examples += other.examples
    clipped += other.clipped
    nonFinite += other.nonFinite
    lossSum += other.lossSum
  }
}
