/// The probability q with which a record takes part in a step: a number in [0, 1].
public struct SamplingRate: Hashable, Sendable {
  /// q, in [0, 1].
  public let value: Double

  /// Checks that a number is a probability.
  ///
  /// - Parameter value: q.
  /// - Throws: ``PrivacyError`` when `value` is NaN or outside [0, 1].
  public init(_ value: Double) throws(PrivacyError) {
    guard value >= 0, value <= 1 else {
      throw PrivacyError(
        .parameterOutOfRange, "sampling rate is \(value); it must be at least 0 and at most 1")
    }
    self.value = value
  }
}

/// The noise multiplier σ: the noise's standard deviation divided by the clipping norm C.
///
/// It is always counted against C, also where the neighbouring relation makes the sensitivity 2C.
public struct NoiseMultiplier: Hashable, Sendable {
  /// σ, in [``least``, ``greatest``].
  public let value: Double

  /// The least σ for which anything is computed; ε is in the millions there.
  public static let least = 1e-4
  /// The greatest σ for which anything is computed.
  public static let greatest = 1e6

  /// Checks that a number can be a noise multiplier.
  ///
  /// - Parameter value: σ.
  /// - Throws: ``PrivacyError`` when `value` is NaN or outside [``least``, ``greatest``].
  public init(_ value: Double) throws(PrivacyError) {
    guard value >= NoiseMultiplier.least, value <= NoiseMultiplier.greatest else {
      throw PrivacyError(
        .parameterOutOfRange,
        "noise multiplier is \(value); it must be at least 0.0001 and at most 1000000")
    }
    self.value = value
  }
}

/// What a guarantee may not exceed: (ε, δ).
public struct PrivacyTarget: Hashable, Sendable {
  /// ε, finite and greater than 0.
  public let epsilon: Double
  /// δ, in (0, 1).
  public let delta: Double

  /// Checks a pair (ε, δ).
  ///
  /// - Parameters:
  ///   - epsilon: ε.
  ///   - delta: δ.
  /// - Throws: ``PrivacyError`` when ε is not finite or not greater than 0, or δ is outside (0, 1).
  public init(epsilon: Double, delta: Double) throws(PrivacyError) {
    guard epsilon > 0, epsilon.isFinite else {
      throw PrivacyError(
        .parameterOutOfRange, "epsilon is \(epsilon); it must be finite and greater than 0")
    }
    try PrivacyTarget.checkDelta(delta)
    self.epsilon = epsilon
    self.delta = delta
  }

  /// Checks that a number can be δ.
  ///
  /// - Parameter delta: δ.
  /// - Throws: ``PrivacyError`` when `delta` is NaN or outside (0, 1).
  package static func checkDelta(_ delta: Double) throws(PrivacyError) {
    guard delta > 0, delta < 1 else {
      throw PrivacyError(
        .parameterOutOfRange, "delta is \(delta); it must be greater than 0 and less than 1")
    }
  }
}
