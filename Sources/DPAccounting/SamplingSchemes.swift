import Foundation

/// Passes over a shuffled table in fixed batches, accounted as what they are: no amplification.
///
/// Each row is in one batch of each pass, so E passes are E Gaussian releases of that row, whatever
/// the batch size. Shuffling hides something, but no known bound earns the numbers of Poisson
/// sampling, which can be far too small here; so this type has no sampling rate.
///
/// | relation | μ |
/// |---|---|
/// | zero-out | √E / σ |
/// | replace | 2√E / σ |
///
/// Adding a row would move all later ones to other batches: that relation is not offered.
///
/// - SeeAlso: Chua et al. 2024, "How Private are DP-SGD Implementations?"
public struct ShuffledEpochs: Hashable, Sendable {
  /// The relations that fixed batches allow.
  public enum Relation: String, Hashable, Sendable, CaseIterable {
    /// One row is replaced by one that contributes nothing.
    case zeroOut = "zero-out"
    /// One row is replaced by any other.
    case replace

    /// The same relation among all.
    public var neighbouring: NeighbouringRelation { self == .zeroOut ? .zeroOut : .replace }
  }

  /// σ against the clipping norm.
  public let noiseMultiplier: NoiseMultiplier
  /// E, at least 0.
  public let count: Int
  /// Which two tables are compared.
  public let relation: Relation

  /// Describes passes.
  ///
  /// - Parameters:
  ///   - count: E.
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared.
  /// - Throws: ``PrivacyError`` when `count` is negative.
  public init(
    count: Int, noiseMultiplier: NoiseMultiplier, relation: Relation = .zeroOut
  ) throws(PrivacyError) {
    guard count >= 0 else {
      throw PrivacyError(.parameterOutOfRange, "epochs is \(count); it must be at least 0")
    }
    self.count = count
    self.noiseMultiplier = noiseMultiplier
    self.relation = relation
  }

  /// The ε of all passes, in closed form.
  ///
  /// - Parameter delta: δ in (0, 1).
  /// - Returns: An interval as narrow as rounding allows.
  /// - Throws: ``PrivacyError`` when `delta` is outside (0, 1).
  public func epsilon(delta: Double) throws(PrivacyError) -> EpsilonBounds {
    var history = PrivacyHistory(relation: relation.neighbouring)
    try history.append(self)
    return try PLDAccountant().epsilon(of: history, delta: delta)
  }
}

/// A step whose batch is a uniform subset of fixed size, drawn anew for each step.
///
/// Its only accounting here is Rényi's, and only for replacing a row, where n is public: zeroing out
/// or removing a row is not covered, so there is no relation to choose. σ is, as everywhere, counted
/// against C, though a replaced row moves the sum by 2C.
///
/// - SeeAlso: Wang, Balle, Kasiviswanathan 2019, "Subsampled Rényi Differential Privacy and
///   Analytical Moments Accountant", Theorem 9.
public struct FixedSizeWithoutReplacement: Hashable, Sendable {
  /// n.
  public let populationSize: Int
  /// B, from 0 to n.
  public let batchSize: Int
  /// σ against the clipping norm.
  public let noiseMultiplier: NoiseMultiplier

  /// Describes a step.
  ///
  /// - Parameters:
  ///   - populationSize: n ≥ 1.
  ///   - batchSize: B in 0...n.
  ///   - noiseMultiplier: σ.
  /// - Throws: ``PrivacyError`` when a size is out of range.
  public init(
    populationSize: Int, batchSize: Int, noiseMultiplier: NoiseMultiplier
  ) throws(PrivacyError) {
    guard populationSize >= 1 else {
      throw PrivacyError(
        .parameterOutOfRange, "population size is \(populationSize); it must be at least 1")
    }
    guard (0...populationSize).contains(batchSize) else {
      throw PrivacyError(
        .parameterOutOfRange,
        "batch size is \(batchSize); it must be at least 0 and at most \(populationSize)")
    }
    self.populationSize = populationSize
    self.batchSize = batchSize
    self.noiseMultiplier = noiseMultiplier
  }
}
