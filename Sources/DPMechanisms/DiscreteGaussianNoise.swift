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

/// The words of one of many substreams: first its share of a stream, then a region of another.
///
/// Substreams do not overlap: a region of the overflow stream holds 2³⁴ words.
package struct SubstreamGenerator: RandomNumberGenerator {
  private var stream: KeyStream
  private var overflow: KeyStream
  private let blocks: Int
  private var substream: UInt128 = 0
  private var block = 0
  private var pending: UInt64?

  /// Opens the substreams of a run for one purpose.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - domain: The stream that substreams have shares of.
  ///   - overflow: The stream that they have regions of.
  ///   - blocks: Cipher blocks of a share.
  package init(
    _ key: some RunKey, domain: RandomnessDomain, overflow: RandomnessDomain, blocks: Int
  ) {
    stream = KeyStream(key, domain: domain)
    // Overflows are far between, so that little of a longer window would be used.
    self.overflow = KeyStream(key, domain: overflow, windowBlocks: 32)
    self.blocks = blocks
  }

  /// Goes to the first word of a substream.
  ///
  /// - Parameter substream: Its index, below 2⁹⁴.
  package mutating func begin(_ substream: UInt128) {
    self.substream = substream
    block = 0
    pending = nil
  }

  /// The substream's next word.
  ///
  /// - Returns: A uniform number.
  package mutating func next() -> UInt64 {
    if let word = pending {
      pending = nil
      return word
    }
    let words =
      block < blocks
      ? stream.words(at: substream * UInt128(blocks) + UInt128(block))
      : overflow.words(at: substream << 33 + UInt128(block - blocks))
    block += 1
    pending = words.1
    return words.0
  }
}
