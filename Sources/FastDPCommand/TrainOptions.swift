import ArgumentParser
import FastDP

/// The settings of a run, from the command line or from a file of settings; nil where not given.
struct TrainOptions: ParsableArguments {
  @OptionGroup var table: TableOptions

  @Option(help: "Widths of the hidden layers, as in 50 or 256,128, or 'none'. (default: 50)")
  var hidden: String?

  @Option(help: "Nonlinearity: tanh, relu. (default: tanh)")
  var activation: Activation?

  @Option(help: "ε of the whole run: noise is calibrated to it. (default: 1)")
  var epsilon: Double?

  @Option(name: .customLong("noise-multiplier"), help: "σ instead of ε.")
  var noiseMultiplier: Double?

  @Flag(name: .customLong("non-private"), help: "No clipping and no noise, for comparison.")
  var nonPrivate = false

  @Option(help: "δ. (default: 1/(10 n), rounded down to a power of ten)")
  var delta: Double?

  @Option(help: "C, the bound on the norm of a row's gradient. (default: 1)")
  var clip: Double?

  @Option(
    help: """
      flat; per-layer, each of L layers to C/√L; automatic, every gradient g to C/(‖g‖ + 0.01) of \
      itself. (default: flat)
      """)
  var clipping: Clipping?

  @Option(
    name: .customLong("batch-size"),
    help: "B, the expected batch size. (default: n/50, at least 256)")
  var batchSize: Int?

  @Option(help: "Passes over the data in expectation. (default: 20)")
  var epochs: Double?

  @Option(help: "T, the number of steps, instead of epochs.")
  var steps: Int?

  @Option(
    name: .customLong("learning-rate"),
    help: "(default: momentum 0.25, sgd 2.5, adam and rmsprop 0.01, adagrad 0.05)")
  var learningRate: Double?

  @Option(
    help: """
      How the learning rate changes: constant, linear or cosine to 0, step (a tenth after each \
      third). (default: constant)
      """)
  var schedule: LearningRateSchedule.Shape?

  @Option(help: "Steps at the start over which the learning rate rises. (default: 0)")
  var warmup: Int?

  @Option(
    name: .customLong("weight-decay"),
    help: "w: parameters are multiplied by 1 - learning rate * w in each step. (default: 0)")
  var weightDecay: Double?

  @Option(help: "momentum, sgd, adam, adagrad, rmsprop. (default: momentum)")
  var optimizer: OptimizerRule?

  @Option(help: "Which tables are compared: zero-out, replace. (default: zero-out)")
  var neighbouring: NeighbouringRelation?

  @Option(help: "The kind of noise: gaussian, discrete (exact, slower). (default: gaussian)")
  var noise: NoiseKind?

  @Option(help: "The method that computes ε: pld, rdp. (default: pld)")
  var accountant: AccountantName?

  @Option(
    help: """
      fast, or canonical: slower, and the same model bit for bit on every processor. (default: fast)
      """)
  var numerics: Numerics?

  @Option(help: "At most so many threads. (default: one for each processor)")
  var threads: Int?

  @Option(
    name: .customLong("checkpoint-every"),
    help: "Longest time between checkpoints: 90s, 5m. (default: 60s)")
  var checkpointEvery: Seconds?

  @Option(
    name: .customLong("insecure-seed"),
    help: "INSECURE: make all randomness from this number, for tests; the run has no guarantee.")
  var insecureSeed: UInt64?

  /// What is given here, and elsewhere what `other` gives.
  ///
  /// Settings that exclude each other are taken together: an ε here hides a σ there.
  func over(_ other: TrainOptions) -> TrainOptions {
    var merged = other
    merged.table.schema = table.schema ?? other.table.schema
    merged.table.delimiter = table.delimiter ?? other.table.delimiter
    merged.table.testFraction = table.testFraction ?? other.table.testFraction
    merged.table.splitKey = table.splitKey ?? other.table.splitKey
    merged.table.maxRejected = table.maxRejected ?? other.table.maxRejected
    merged.table.source = table.source ?? other.table.source
    merged.hidden = hidden ?? other.hidden
    merged.activation = activation ?? other.activation
    if epsilon != nil || noiseMultiplier != nil || nonPrivate {
      merged.epsilon = epsilon
      merged.noiseMultiplier = noiseMultiplier
      merged.nonPrivate = nonPrivate
    }
    if epochs != nil || steps != nil {
      merged.epochs = epochs
      merged.steps = steps
    }
    merged.delta = delta ?? other.delta
    merged.clip = clip ?? other.clip
    merged.clipping = clipping ?? other.clipping
    merged.batchSize = batchSize ?? other.batchSize
    merged.learningRate = learningRate ?? other.learningRate
    merged.schedule = schedule ?? other.schedule
    merged.warmup = warmup ?? other.warmup
    merged.weightDecay = weightDecay ?? other.weightDecay
    merged.optimizer = optimizer ?? other.optimizer
    merged.neighbouring = neighbouring ?? other.neighbouring
    merged.noise = noise ?? other.noise
    merged.accountant = accountant ?? other.accountant
    merged.numerics = numerics ?? other.numerics
    merged.threads = threads ?? other.threads
    merged.checkpointEvery = checkpointEvery ?? other.checkpointEvery
    merged.insecureSeed = insecureSeed ?? other.insecureSeed
    return merged
  }

  /// The options for the training module.
  func trainingOptions() throws -> TrainingOptions {
    try checkThreads(threads)
    var options = TrainingOptions()
    if let hidden { options.hidden = try layerWidths(hidden) }
    if let activation { options.activation = activation }
    switch (epsilon, noiseMultiplier, nonPrivate) {
    case (nil, nil, false): break
    case (let epsilon?, nil, false): options.privacy = .epsilon(epsilon)
    case (nil, let sigma?, false): options.privacy = .noiseMultiplier(sigma)
    case (nil, nil, true): options.privacy = .none
    default:
      throw CommandError.usage(
        "--epsilon, --noise-multiplier and --non-private exclude each other; give one of them")
    }
    guard !(nonPrivate && noise == .discrete) else {
      throw CommandError.usage(
        "--non-private adds no noise; leave --noise discrete out, or --non-private")
    }
    switch (epochs, steps) {
    case (nil, nil): break
    case (let epochs?, nil): options.length = .epochs(epochs)
    case (nil, let steps?): options.length = .steps(steps)
    default: throw CommandError.usage("--epochs and --steps exclude each other; give one of them")
    }
    options.delta = delta
    options.clipNorm = clip ?? options.clipNorm
    options.clipping = clipping ?? options.clipping
    options.batchSize = batchSize
    options.learningRate = learningRate
    options.schedule = schedule ?? options.schedule
    options.warmup = warmup ?? options.warmup
    options.weightDecay = weightDecay ?? options.weightDecay
    options.optimizer = optimizer ?? options.optimizer
    options.relation = neighbouring ?? options.relation
    options.noise = noise ?? options.noise
    options.numerics = numerics ?? options.numerics
    options.insecureSeed = insecureSeed
    return options
  }
}

/// Reads the widths of hidden layers.
func layerWidths(_ hidden: String) throws -> [Int] {
  if hidden == "none" { return [] }
  return try hidden.split(separator: ",", omittingEmptySubsequences: false).map { word in
    guard let width = Int(word.filter { $0 != " " }), width >= 1 else {
      throw CommandError.usage(
        "hidden is '\(hidden)'; give widths of at least 1, such as 50 or 50,20, or 'none'")
    }
    return width
  }
}

/// A length of time on the command line.
struct Seconds: ExpressibleByArgument {
  let duration: Duration

  init?(argument: String) {
    let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600]
    let unit = argument.last.flatMap { units[$0] }
    let number = Double(unit == nil ? argument : String(argument.dropLast()))
    guard let number, number > 0, number.isFinite, number * (unit ?? 1) < 1e9 else { return nil }
    duration = .seconds(number * (unit ?? 1))
  }
}
