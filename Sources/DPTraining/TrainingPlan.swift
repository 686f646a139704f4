public import DPAccounting
public import DPData
public import DPKernels
internal import DPMechanisms
public import DPModels
internal import Foundation

/// Everything that decides what a run releases, fixed before its first step.
///
/// A plan depends on public facts alone: the options, the schema, n and the split. It is stored in
/// the run's folder, and a resumed run must have the same.
public struct TrainingPlan: Hashable, Sendable, Codable {
  /// What was measured and what it is compared with.
  public struct DataFacts: Hashable, Sendable, Codable {
    /// The name of the source of the data.
    public let source: String
    /// n, the raw rows of the training split.
    public let examples: Int
    /// The key that the split was made with.
    public let splitKey: Int
    /// The fraction of rows that went to the test split.
    public let testFraction: Double
    /// The column that rows were split by, which is then public too; nil for their ordinal.
    public let splitColumn: String?
    /// A hash of the schema.
    public let schemaHash: String
    /// The unit of privacy; nil where the guarantee is for single rows.
    public let unit: UnitFacts?
    /// The column that tells units apart whose rows are not bounded, so that none is protected as a
    /// whole; nil where there is none.
    public let unboundedUnit: String?
    /// σ of the release that values for missing ones were estimated from, and the columns that got
    /// them; nil where nothing was estimated.
    public let imputation: ImputationFacts?
  }

  /// Whom a guarantee is for, where it is for more than a row.
  public struct UnitFacts: Hashable, Sendable, Codable {
    /// The column that tells units apart.
    public let column: String
    /// m, how many rows of a unit may be examples.
    public let maxRows: Int
  }

  /// What the preparation of the data has spent.
  public struct ImputationFacts: Hashable, Sendable, Codable {
    /// σ of the histogram.
    public let noiseMultiplier: Double
    /// The columns whose missing values it gave.
    public let columns: [String]
  }

  /// What makes the run private.
  public struct PrivacyFacts: Hashable, Sendable, Codable {
    /// Which tables the guarantee makes indistinguishable.
    public let relation: NeighbouringRelation
    /// The ε that was asked for; nil where σ was.
    public let targetEpsilon: Double?
    /// The ε of T steps, rounded up.
    public let epsilon: Double
    /// δ.
    public let delta: Double
    /// The kind of noise.
    public let noise: NoiseKind
    /// σ: the noise's standard deviation divided by C; discrete noise has up to 2⁻²⁶ more.
    public let noiseMultiplier: Double
    /// C, the bound on the norm of an example's gradient.
    public let clip: Double
    /// How gradients are brought to C; by every rule one row moves the exact sum by at most C.
    public let clipping: Clipping
    /// κ: one row moves the sum by at most C(1 + κ); σ / (1 + κ) is what is accounted.
    public let kappa: Double
    /// t, the number of examples that are summed in Float before they are added exactly.
    public let tileExamples: Int
    /// The grid's spacing γ, in gradient units.
    public let gridSpacing: Double
    /// The accountant's name.
    public let accountant: String
  }

  /// Facts about the data that are public.
  public let data: DataFacts
  /// The number of features.
  public let features: Int
  /// The widths of the hidden layers.
  public let hidden: [Int]
  /// The nonlinearity after every hidden layer.
  public let activation: Activation
  /// The head's name.
  public let head: String
  /// The number of outputs of the last layer.
  public let outputs: Int
  /// What makes the run private; nil for a run without privacy.
  public let privacy: PrivacyFacts?
  /// q = B / n.
  public let samplingRate: Double
  /// B, the expected batch size.
  public let batchSize: Int
  /// T.
  public let steps: Int
  /// The rule that turns released gradients into steps.
  public let optimizer: OptimizerRule
  /// η, before the schedule.
  public let learningRate: Double
  /// How the learning rate changes over the T steps.
  public let schedule: LearningRateSchedule
  /// w: parameters are multiplied by 1 − η w before each step.
  public let weightDecay: Double
  /// How sums are rounded.
  public let numerics: Numerics
  /// The seed that anyone can guess, where there is one.
  public let insecureSeed: UInt64?

  /// Plans a run.
  ///
  /// - Parameters:
  ///   - options: What is asked for.
  ///   - dataset: Prepared data; only its public facts are read.
  ///   - accountant: The method that computes ε.
  /// - Throws: ``TrainingError`` or ``PrivacyError`` naming the option, the bound and the remedy.
  /// - Complexity: A calibration of σ: about 0.1 s.
  public init(
    _ options: TrainingOptions, dataset: Dataset, accountant: some PrivacyAccountant
  ) throws {
    let n = dataset.trainRows
    data = DataFacts(
      source: dataset.provenance.source, examples: n, splitKey: dataset.provenance.splitKey,
      testFraction: dataset.provenance.testFraction,
      splitColumn: dataset.schema.unit ?? dataset.schema.id,
      schemaHash: String(dataset.schema.stableHash, radix: 16), unit: dataset.schema.unitFacts,
      unboundedUnit: dataset.schema.maxRowsPerUnit == nil ? dataset.schema.unit : nil,
      imputation: dataset.provenance.imputation.map {
        ImputationFacts(noiseMultiplier: $0.noiseMultiplier, columns: $0.values.map(\.column))
      })
    let head = Head(dataset.schema.labelKind)
    let architecture = try DenseArchitecture(
      features: dataset.features, hidden: options.hidden, activation: options.activation,
      head: head)
    features = dataset.features
    hidden = options.hidden
    activation = options.activation
    self.head = head.name
    outputs = head.outputs
    batchSize = try PlanRules.batchSize(options, examples: n)
    samplingRate = Double(batchSize) / Double(n)
    steps = try PlanRules.steps(options, examples: n, batchSize: batchSize)
    optimizer = options.optimizer
    learningRate = try PlanRules.learningRate(options)
    schedule = try PlanRules.schedule(options, steps: steps)
    weightDecay = try PlanRules.weightDecay(options, learningRate: learningRate)
    numerics = options.numerics
    insecureSeed = options.insecureSeed
    privacy = try PlanRules.privacy(
      options, examples: n, unit: data.unit, samplingRate: samplingRate, steps: steps,
      parameters: architecture.parameterCount, accountant: accountant)
  }

  /// The network.
  ///
  /// - Throws: ``ModelError`` when the plan was read from a file that was changed by hand.
  public func architecture() throws(ModelError) -> DenseArchitecture {
    try DenseArchitecture(
      features: features, hidden: hidden, activation: activation,
      head: Head(name: head, outputs: outputs))
  }

  /// What one step releases, with σ against the true sensitivity; nil without privacy.
  ///
  /// - Throws: ``PrivacyError`` when the plan was read from a file that was changed by hand.
  public func mechanism() throws(PrivacyError) -> PoissonSubsampledGaussian? {
    guard let privacy else { return nil }
    return try PoissonSubsampledGaussian(
      samplingRate: samplingRate, noiseMultiplier: privacy.noiseMultiplier / (1 + privacy.kappa),
      relation: privacy.relation, groupSize: data.unit?.maxRows ?? 1)
  }

  /// The accountant of the plan's kind of noise.
  ///
  /// - Parameter base: The accountant of Gaussian steps.
  /// - Returns: `base`, or one that adds what discrete noise costs.
  /// - Throws: ``ModelError`` when the plan was read from a file that was changed by hand.
  func accountant(over base: any PrivacyAccountant) throws(ModelError) -> any PrivacyAccountant {
    guard let privacy else { return base }
    return PlanRules.accountant(
      over: base, noise: privacy.noise, parameters: try architecture().parameterCount,
      steps: steps)
  }

  /// What an operator should know before the run starts.
  public var warnings: [String] {
    var warnings: [String] = []
    if let privacy, privacy.delta >= 1 / Double(data.examples) {
      warnings.append(
        "delta is \(privacy.delta), not below 1/n = \(1 / Double(data.examples)); a mechanism that "
          + "publishes one whole row in n has such a delta; choose a smaller --delta")
    }
    if let unit = data.unboundedUnit, privacy != nil {
      warnings.append(
        "the guarantee is for single rows, not for a whole \"\(unit)\", whose rows are not bounded; "
          + "declare max_rows_per_unit in the schema, and prepare again, for a guarantee per unit")
    }
    if insecureSeed != nil {
      warnings.append(
        "with an insecure seed anyone can subtract the noise; the run claims no guarantee")
    }
    return warnings
  }

  /// The settings in which two plans differ, as the command and its settings files call them.
  ///
  /// - Parameter other: Another plan.
  /// - Returns: Names, in alphabetical order; none for equal plans.
  public func differences(from other: TrainingPlan) -> [String] {
    let mine = settings
    let others = other.settings
    let changed = Set(mine.keys).union(others.keys).filter { mine[$0] != others[$0] }.sorted()
    guard !changed.contains("non-private") else { return ["non-private"] }
    // Whatever else differs follows from no setting: the file was changed, or the program is another.
    return changed.isEmpty && self != other
      ? ["the numbers that follow from the settings"] : changed
  }

  /// What was asked for, apart from what follows from it.
  var settings: [String: String] {
    var settings = [
      "source": data.source, "rows": "\(data.examples)", "split-key": "\(data.splitKey)",
      "test-fraction": "\(data.testFraction)", "schema": data.schemaHash, "hidden": "\(hidden)",
      "activation": activation.rawValue, "batch-size": "\(batchSize)", "steps": "\(steps)",
      "optimizer": optimizer.rawValue, "learning-rate": "\(learningRate)",
      "schedule": schedule.shape.rawValue, "warmup": "\(schedule.warmup)",
      "weight-decay": "\(weightDecay)", "numerics": numerics.rawValue,
      "insecure-seed": insecureSeed.map { "\($0)" } ?? "", "non-private": "\(privacy == nil)",
    ]
    guard let privacy else { return settings }
    settings["neighbouring"] = privacy.relation.rawValue
    settings["noise"] = privacy.noise.rawValue
    settings["delta"] = "\(privacy.delta)"
    settings["clip"] = "\(privacy.clip)"
    settings["clipping"] = privacy.clipping.rawValue
    settings["accountant"] = privacy.accountant
    settings[privacy.targetEpsilon == nil ? "noise-multiplier" : "epsilon"] =
      "\(privacy.targetEpsilon ?? privacy.noiseMultiplier)"
    return settings
  }
}

extension Schema {
  /// The unit of privacy, where the schema bounds its rows.
  var unitFacts: TrainingPlan.UnitFacts? {
    guard let unit, let maxRowsPerUnit else { return nil }
    return TrainingPlan.UnitFacts(column: unit, maxRows: maxRowsPerUnit)
  }
}

extension Head {
  /// The head that a label calls for.
  ///
  /// - Parameter label: What the schema declares the label to be.
  public init(_ label: Schema.LabelKind) {
    switch label {
    case .binary: self = .binary
    case .categorical(let classes): self = .multiclass(classes)
    case .numeric: self = .regression
    }
  }
}
