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

  /// Describes a step.
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
  }

  /// Describes a step by plain numbers, checked.
  ///
  /// - Parameters:
  ///   - samplingRate: q, in [0, 1].
  ///   - noiseMultiplier: σ, finite and greater than 0.
  ///   - relation: Which two tables are compared.
  /// - Throws: ``PrivacyError`` when a number is outside its domain.
  public init(
    samplingRate: Double, noiseMultiplier: Double, relation: NeighbouringRelation = .zeroOut
  ) throws(PrivacyError) {
    self.init(
      samplingRate: try SamplingRate(samplingRate),
      noiseMultiplier: try NoiseMultiplier(noiseMultiplier), relation: relation)
  }
}
