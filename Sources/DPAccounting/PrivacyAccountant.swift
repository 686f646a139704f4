/// A number of steps of one mechanism.
public struct ComposedSteps: Hashable, Sendable {
  /// What each step releases.
  public let mechanism: PoissonSubsampledGaussian
  /// T, at least 0.
  public let count: Int

  /// Describes T steps of a mechanism.
  ///
  /// - Parameters:
  ///   - mechanism: What each step releases.
  ///   - count: T.
  /// - Throws: ``PrivacyError`` when `count` is negative.
  public init(of mechanism: PoissonSubsampledGaussian, count: Int) throws(PrivacyError) {
    guard count >= 0 else {
      throw PrivacyError(.parameterOutOfRange, "steps is \(count); it must be at least 0")
    }
    self.mechanism = mechanism
    self.count = count
  }
}

/// What an accountant knows of ε: it lies in [`lower`, `upper`].
public struct EpsilonBounds: Hashable, Sendable {
  /// The guarantee: the true ε is at most this.
  public let upper: Double
  /// The true ε is at least this; nil where the accountant proves no lower bound.
  public let lower: Double?

  /// Makes an interval.
  ///
  /// - Parameters:
  ///   - upper: The guarantee.
  ///   - lower: The proved lower bound, or nil.
  public init(upper: Double, lower: Double?) {
    self.upper = upper
    self.lower = lower
  }
}

/// A method that turns composed steps into (ε, δ).
public protocol PrivacyAccountant: Sendable {
  /// The method's short name on the command line and in statements.
  var name: String { get }

  /// The ε of composed steps at a given δ.
  ///
  /// - Parameters:
  ///   - composition: The steps, in any order; none gives ε = 0.
  ///   - delta: δ, in (0, 1).
  /// - Returns: Bounds on ε; `upper` is never below the true value.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  func epsilon(of composition: [ComposedSteps], delta: Double) throws(PrivacyError)
    -> EpsilonBounds

  /// The ε of T steps of one mechanism as a function of T, for a caller that asks often.
  ///
  /// - Parameters:
  ///   - mechanism: What each step releases.
  ///   - delta: δ, in (0, 1).
  /// - Returns: A function from T ≥ 0 to the upper bound on ε.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  func spending(of mechanism: PoissonSubsampledGaussian, delta: Double) throws(PrivacyError)
    -> @Sendable (_ steps: Int) -> Double
}
