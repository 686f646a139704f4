public import DPAccounting
public import DPKernels
public import DPModels

/// How much privacy a run is to have.
public enum PrivacyChoice: Hashable, Sendable {
  /// Noise is calibrated so that the whole run stays within ε.
  case epsilon(Double)
  /// Noise is given as σ, and ε follows.
  case noiseMultiplier(Double)
  /// No clipping and no noise: for comparison, without any guarantee.
  case none
}

/// How long a run is to be.
public enum TrainingLength: Hashable, Sendable {
  /// Passes over the data in expectation: T = round(epochs · n / B).
  case epochs(Double)
  /// T itself.
  case steps(Int)
}

/// What a user asks of a run; nil means: choose by the data's public facts.
public struct TrainingOptions: Hashable, Sendable {
  /// The widths of the hidden layers; none trains a (generalised) linear model.
  public var hidden: [Int] = [50]
  /// The nonlinearity after every hidden layer.
  public var activation = Activation.tanh
  /// How much privacy.
  public var privacy = PrivacyChoice.epsilon(1)
  /// δ; by default 1/(10 n), rounded down to a power of ten.
  public var delta: Double?
  /// C, the bound on the norm of an example's gradient.
  public var clipNorm = 1.0
  /// How gradients are brought to C.
  public var clipping = Clipping.flat
  /// B, the expected batch size; by default n/50, at least 256 and at most n.
  public var batchSize: Int?
  /// How long.
  public var length = TrainingLength.epochs(20)
  /// η; by default what suits the optimizer.
  public var learningRate: Double?
  /// How the learning rate changes over the run.
  public var schedule = LearningRateSchedule.Shape.constant
  /// W, the steps at the start over which the learning rate rises.
  public var warmup = 0
  /// w: parameters are multiplied by 1 − η w before each step.
  public var weightDecay = 0.0
  /// The rule that turns released gradients into steps.
  public var optimizer = OptimizerRule.momentum
  /// Which tables the guarantee makes indistinguishable.
  public var relation = NeighbouringRelation.zeroOut
  /// What is added to clipped sums.
  public var noise = NoiseKind.gaussian
  /// How sums are rounded.
  public var numerics = Numerics.fast
  /// Makes all randomness from a number that anyone can guess: for tests; no guarantee is claimed.
  public var insecureSeed: UInt64?

  /// The defaults.
  public init() {}

  /// The learning rate that suits an optimizer where none is asked for.
  ///
  /// - Parameter rule: The optimizer.
  /// - Returns: η, found by trying private runs on census records with C = 1.
  public static func usualLearningRate(of rule: OptimizerRule) -> Double {
    switch rule {
    case .sgd: 2.5
    case .momentum: 0.25
    case .adam, .rmsprop: 0.01
    case .adagrad: 0.05
    }
  }
}
