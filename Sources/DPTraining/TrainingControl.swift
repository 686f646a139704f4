/// How far a run is.
public struct TrainingProgress: Sendable {
  /// Steps of the run that were taken or given up.
  public let step: Int
  /// T.
  public let steps: Int
  /// Examples drawn per second, of late: an exact fact about the data, for the operator.
  public let examplesPerSecond: Double
  /// ε spent so far; nil where the run has no guarantee.
  public let epsilon: Double?
  /// Seconds left at the present pace.
  public let secondsLeft: Double
}

/// How a run is watched and stopped.
public struct TrainingControl {
  /// The longest time between two checkpoints.
  public var checkpointInterval: Duration = .seconds(60)
  /// At most so many threads; fewer where a step is too small to share.
  ///
  /// The model is the same, bit for bit, for any number.
  public var threads = 1
  /// Asked before every step; true ends the run with a checkpoint.
  public var shouldStop: () -> Bool = { false }
  /// Told about five times a second.
  public var onProgress: (TrainingProgress) -> Void = { _ in }
  /// Told once whatever an operator should know.
  public var onMessage: (String) -> Void = { _ in }

  /// No watching, a checkpoint every minute.
  public init() {}
}
