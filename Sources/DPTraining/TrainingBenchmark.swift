internal import DPAccounting
internal import DPData
public import DPKernels
internal import DPMechanisms
public import DPModels
internal import Foundation

/// How fast runs of one kind are on this machine, measured on a table of random bits.
public struct TrainingBenchmark {
  /// What is trained.
  public struct Settings: Sendable {
    /// Features of a row.
    public var features = 9
    /// Widths of the hidden layers.
    public var hidden = [50]
    /// The nonlinearity; relu is what the systems that this one is compared with use.
    public var activation = Activation.relu
    /// B.
    public var batchSize = 256
    /// n.
    public var examples = 979_200
    /// Whether gradients are clipped and noise is added.
    public var isPrivate = true
    /// How sums are rounded.
    public var numerics = Numerics.fast
    /// At most so many threads.
    public var threads = 1

    /// The model and table of the project that fastDP began from.
    public init() {}
  }

  /// What was measured.
  public struct Result: Sendable {
    /// Examples drawn per second, in a whole run: sampling, noise, charges and files included.
    public let examplesPerSecond: Double
    /// Multiply-adds per second, as a share of what one thread's registers reach.
    public let peakFraction: Double
    /// Seconds per example of each part of a step, over all threads: sample, compute, noiseUpdate.
    public let phases: [(name: String, seconds: Double)]
    /// The threads that worked.
    public let threads: Int
    /// The instruction set that was used.
    public let instructionSet: String
    /// What each rank did, where several trained together.
    public let ranks: [RankReport]
  }

  /// The instruction set that steps are taken with here.
  public static var instructionSet: String { TileKernels.fastest().name }

  private let settings: Settings
  private let ranks: TrainingRanks?
  private let dataset: Dataset
  private let plan: TrainingPlan

  /// Makes the table.
  ///
  /// - Parameters:
  ///   - settings: What is trained.
  ///   - ranks: The ranks that train together, all of which do the same; nil for this process alone.
  /// - Throws: ``TrainingError``, ``ModelError`` or ``DataError`` for settings that no run can have.
  public init(_ settings: Settings, ranks: TrainingRanks? = nil) throws {
    self.settings = settings
    self.ranks = ranks
    dataset = try Dataset.random(examples: settings.examples, features: settings.features)
    plan = try TrainingBenchmark.plan(settings, dataset, steps: 1)
  }

  private static func plan(
    _ settings: Settings, _ dataset: Dataset, steps: Int
  ) throws -> TrainingPlan {
    var options = TrainingOptions()
    options.hidden = settings.hidden
    options.activation = settings.activation
    options.batchSize = settings.batchSize
    options.privacy = settings.isPrivate ? .noiseMultiplier(0.9) : .none
    options.clipNorm = 3
    options.numerics = settings.numerics
    options.optimizer = .sgd
    options.learningRate = 0.01
    options.length = .steps(steps)
    return try TrainingPlan(options, dataset: dataset, accountant: PLDAccountant())
  }

  /// Trains for about so long, and takes the run apart.
  ///
  /// - Parameter seconds: How long, above 0.
  /// - Returns: The speed.
  /// - Throws: What ``Trainer`` throws.
  public func run(seconds: Double) throws -> Result {
    let engine = try engine()
    let pace = try measure(engine, seconds: min(1, seconds / 5))
    let own = max(1, Int(seconds / pace))
    let steps = try ranks?.fromLeader { own } ?? own
    let outcome = try train(steps: steps)
    engine.measurePhases()
    let before = engine.examplesDrawn
    _ = try measure(engine, seconds: min(1, seconds / 5))
    let drawn = Double(max(1, engine.examplesDrawn - before))
    let rate = Double(outcome.examplesDrawn) / outcome.seconds
    let architecture = try plan.architecture()
    let kernels = TileKernels.fastest(settings.numerics)
    return Result(
      examplesPerSecond: rate,
      peakFraction: rate * architecture.multiplyAdds / kernels.peakMultiplyAddsPerSecond(),
      phases: TrainingPhase.allCases.map { ($0.rawValue, (engine.phases[$0] ?? 0) / drawn) },
      threads: engine.threads, instructionSet: kernels.name, ranks: outcome.ranks)
  }

  /// Takes a number of steps whose samples and noise are always the same, for counting instructions.
  ///
  /// - Parameter steps: How many, at least 1.
  /// - Returns: The examples that were drawn.
  /// - Throws: What ``Trainer`` throws.
  public func take(steps: Int) throws -> Int {
    let engine = try engine(InsecureKey(seed: 1))
    for step in 0..<steps { engine.take(step: step) }
    return engine.examplesDrawn
  }

  private func engine() throws -> StepEngine {
    let drawn = SecureKey()
    return try engine(ranks?.share(drawn) ?? drawn)
  }

  private func engine(_ key: some RunKey) throws -> StepEngine {
    var generator = StreamGenerator(key, domain: .initialisation)
    let share = RowShare(
      of: dataset.train.count, rank: ranks?.rank ?? 0, ranks: ranks?.count ?? 1)
    return try StepEngine(
      plan, table: dataset.train.table.rows(share.rows), key: key,
      start: ModelState(start: plan, using: &generator), threads: settings.threads, share: share,
      communicator: ranks?.communicator)
  }

  /// Takes steps for a while and returns the seconds that one takes; rank 0's clock ends it.
  private func measure(_ engine: StepEngine, seconds: Double) throws -> Double {
    let clock = ContinuousClock()
    let start = clock.now
    var steps = 0
    var requests = StepRequests()
    while try !engine.take(step: engine.stepsTaken, asking: requests).stop {
      steps += 1
      requests.stop =
        ranks?.leads ?? true && steps >= 2 && (clock.now - start) / .seconds(1) >= seconds
    }
    steps += 1
    return (clock.now - start) / .seconds(1) / Double(steps)
  }

  /// A run as `fastdp train` does it, in a folder of its own that is removed.
  private func train(steps: Int) throws -> TrainingOutcome {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "fastdp-bench-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    var control = TrainingControl()
    control.threads = settings.threads
    let trainer = try Trainer(
      TrainingBenchmark.plan(settings, dataset, steps: steps), dataset: dataset,
      accountant: PLDAccountant(), ranks: ranks)
    return try trainer.start(in: RunDirectory(path: folder.path), control: control)
  }
}

extension DenseArchitecture {
  /// Useful multiply-adds for an example: forward, weights' gradients, and back through inner layers.
  fileprivate var multiplyAdds: Double {
    let weights = layers.map { Double($0.inputs * $0.outputs) }
    return 2 * weights.reduce(0, +) + weights.dropFirst().reduce(0, +)
  }
}
