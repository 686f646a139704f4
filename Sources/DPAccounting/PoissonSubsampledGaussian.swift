/// One step of DP-SGD as the accountant sees it: a Poisson sample of rate q, summed with each row's
/// norm bounded by C, plus Gaussian noise of standard deviation σC.
///
/// The name says which sampler earns this accounting: Poisson sampling, fresh in every step, alone.
public struct PoissonSubsampledGaussian: Hashable, Sendable {
  /// q, the probability with which each row takes part in a step, independently.
  public let samplingRate: SamplingRate
  /// σ, the noise's standard deviation divided by the bound on a row's norm.
  public let noiseMultiplier: NoiseMultiplier
  /// Which two tables are compared.
  public let relation: NeighbouringRelation
  /// m: the guarantee is for m rows together, the rows of one unit; 1 for single rows.
  ///
  /// Each of the m rows takes part independently, so the sum moves by k clipping norms with the
  /// binomial probability of k: ``MixtureOfGaussians/group(of:samplingRate:noiseMultiplier:)``.
  public let groupSize: Int

  /// Describes a step by its guarantee for single rows.
  ///
  /// - Parameters:
  ///   - samplingRate: q.
  ///   - noiseMultiplier: σ against the true sensitivity, rounding included.
  ///   - relation: Which two tables are compared.
  public init(
    samplingRate: SamplingRate, noiseMultiplier: NoiseMultiplier,
    relation: NeighbouringRelation = .zeroOut
  ) {
    self.samplingRate = samplingRate
    self.noiseMultiplier = noiseMultiplier
    self.relation = relation
    groupSize = 1
  }

  /// Describes a step by plain numbers, checked.
  ///
  /// - Parameters:
  ///   - samplingRate: q, in [0, 1].
  ///   - noiseMultiplier: σ, finite and greater than 0.
  ///   - relation: Which two tables are compared.
  ///   - groupSize: m, from 1 to 1000, how many rows differ between them; 1 under `replace`.
  /// - Throws: ``PrivacyError`` when a number is outside its domain.
  public init(
    samplingRate: Double, noiseMultiplier: Double, relation: NeighbouringRelation = .zeroOut,
    groupSize: Int = 1
  ) throws(PrivacyError) {
    guard (1...1000).contains(groupSize) else {
      throw PrivacyError(
        .parameterOutOfRange, "group size is \(groupSize); it must be at least 1 and at most 1000")
    }
    guard groupSize == 1 || relation != .replace else {
      throw PrivacyError(
        .parameterOutOfRange,
        "group size is \(groupSize) under replace, for which no accounting of groups is known; choose "
          + "zero-out")
    }
    self.samplingRate = try SamplingRate(samplingRate)
    self.noiseMultiplier = try NoiseMultiplier(noiseMultiplier)
    self.relation = relation
    self.groupSize = groupSize
  }

  /// The step as a mixture of shifts; nil for single rows.
  ///
  /// - Returns: As many rows as the group has, binomially many of which take part.
  var mixture: MixtureOfGaussians? {
    guard groupSize > 1 else { return nil }
    // The sizes were checked when the step was described.
    return try? .group(
      of: groupSize, samplingRate: samplingRate, noiseMultiplier: noiseMultiplier)
  }
}
