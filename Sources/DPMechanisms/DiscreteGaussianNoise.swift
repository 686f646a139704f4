/// Discrete Gaussian noise from a secure stream: P(x) ∝ e^(−x²/(2s²)) on the integers, exactly.
///
/// No floating point takes part, so nothing about the distribution rests on how a processor rounds.
/// s is the grid's scale rounded up to an integer. Each (step, coordinate) has its own share of the
/// stream, and a region of an overflow stream for the few values that need more random bits.
///
/// It is about a hundred times slower than ``GaussianNoise``, and the time that a value takes
/// depends on the value: whoever can time single values learns something about them (Jin et al.
/// 2021, arXiv:2112.05307). A step's time is a sum over all coordinates.
public struct DiscreteGaussianNoise: NoiseSource {
  /// The number of coordinates of a step.
  public let coordinates: Int
  /// s, in grid units: an integer.
  public let scaleInUnits: Double
  private let sampler: DiscreteGaussianSampler
  private var words: SubstreamGenerator

  /// Opens a run's noise.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - coordinates: d, at least 1.
  ///   - grid: The grid whose scale, rounded up, and units the noise has.
  public init(_ key: some RunKey, coordinates: Int, grid: NoiseGrid) {
    precondition(coordinates > 0, "\(coordinates) coordinates")
    self.coordinates = coordinates
    scaleInUnits = grid.noiseScaleInUnits.rounded(.up)
    sampler = DiscreteGaussianSampler(standardDeviation: UInt64(scaleInUnits))
    words = SubstreamGenerator(
      key, domain: .discreteNoise, overflow: .discreteNoiseOverflow,
      blocks: DiscreteGaussianNoise.blocksPerValue)
  }

  /// Cipher blocks of a coordinate's share: more than all but one in 100 values need.
  private static let blocksPerValue = 20

  /// Writes the noise of consecutive coordinates of a step.
  ///
  /// - Parameters:
  ///   - noise: Overwritten: element `i` is the noise of coordinate `first + i`, in grid units.
  ///   - step: The step, at least 0.
  ///   - first: The first coordinate; `first + noise.count` is at most ``coordinates``.
  /// - Complexity: O(noise.count), about 0.4 µs a value.
  public mutating func fill(_ noise: inout MutableSpan<Int32>, step: Int, from first: Int) {
    precondition(
      step >= 0 && first >= 0 && first + noise.count <= coordinates,
      "step \(step), coordinates \(first)..<\(first + noise.count) of \(coordinates)")
    let base = UInt128(step) * UInt128(coordinates) + UInt128(first)
    for index in 0..<noise.count {
      words.begin(base + UInt128(index))
      noise[index] = sampler.next(using: &words)
    }
  }
}
