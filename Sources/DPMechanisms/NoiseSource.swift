internal import DPKernels

/// Noise as a function of (step, coordinate), in units of a ``NoiseGrid``.
///
/// Any part of any step can be asked for, in any order and by any rank: the answer depends on
/// nothing else, so it is the same however the work is divided. A step's noise must be added to one
/// sum only; a caller that takes a step again takes a new key.
public protocol NoiseSource {
  /// The number of coordinates of a step.
  var coordinates: Int { get }
  /// The noise's standard deviation, in grid units.
  var scaleInUnits: Double { get }

  /// Writes the noise of consecutive coordinates of a step.
  ///
  /// - Parameters:
  ///   - noise: Overwritten: element `i` is the noise of coordinate `first + i`, in grid units.
  ///   - step: The step, at least 0.
  ///   - first: The first coordinate; `first + noise.count` is at most ``coordinates``.
  /// - Complexity: O(noise.count).
  mutating func fill(_ noise: inout MutableSpan<Int32>, step: Int, from first: Int)
}

/// Gaussian noise from a secure stream, each value rounded to the grid.
///
/// Box and Muller's transform in Double on 96 bits for two values. What a value's bits are good for:
///
/// * *Tails.* The radius has 64 bits, so tails are right to 9.42 standard deviations (a mass of
///   4.5e-21 lies beyond).
/// * *Low bits.* The points on which a pair of values may lie are less than 2⁻⁴⁰ standard deviations
///   apart along the radius and 2⁻³⁸ across it, while the radius is between 2⁻¹³ and 6 (all but one
///   pair in 2²⁵; at 7.2 they are 2⁻³⁰ apart). The finest ``NoiseGrid`` is coarser than 2⁻²⁷ σC, so
///   each of its cells receives its share of points, and the low bits are random on every grid:
///   one computation serves them all. Float would not do: its radius has 2²⁴ values, and their
///   rings show in pairs of values even on a grid of 2⁻²⁰.
/// * *Position.* 16 coordinates share a group of 96 bytes of the stream, groups follow each other
///   from step to step, and calls of the cipher serve as many steps as 64 KiB hold.
///
/// Values are the same, bit for bit, on every machine: see ``NormalUnits``.
public struct GaussianNoise: NoiseSource {
  /// Cipher blocks of a group.
  private static let groupBlocks = NormalUnits.groupBytes / KeyStream.blockBytes

  /// The number of coordinates of a step.
  public let coordinates: Int
  /// The noise's standard deviation, in grid units.
  public let scaleInUnits: Double
  private var stream: KeyStream
  private let kernel: NormalUnits
  /// The values of a group of which not all are asked for.
  private var scratch = [Int32](repeating: 0, count: NormalUnits.groupValues)

  /// What this processor can make noise with, slowest first; the values are the same with each.
  public static var instructionSets: [String] { NormalUnits.available.map(\.name) }

  /// Opens a run's noise.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - coordinates: d, at least 1.
  ///   - grid: The grid whose scale and units the noise has.
  ///   - instructionSet: One of ``instructionSets``, to compare them; nil for the fastest.
  public init(
    _ key: some RunKey, coordinates: Int, grid: NoiseGrid, instructionSet: String? = nil
  ) {
    precondition(coordinates > 0, "\(coordinates) coordinates")
    let named = NormalUnits.available.first { $0.name == instructionSet }
    precondition(instructionSet == nil || named != nil, "no \(instructionSet ?? "") here")
    self.coordinates = coordinates
    kernel = named ?? .fastest
    scaleInUnits = grid.noiseScaleInUnits
    stream = KeyStream(key, domain: .noise)
  }

  /// Writes the noise of consecutive coordinates of a step.
  ///
  /// - Parameters:
  ///   - noise: Overwritten: element `i` is the noise of coordinate `first + i`, in grid units.
  ///   - step: The step, at least 0.
  ///   - first: The first coordinate; `first + noise.count` is at most ``coordinates``.
  /// - Complexity: O(noise.count), about 4 ns a value with AVX2, the cipher included.
  public mutating func fill(_ noise: inout MutableSpan<Int32>, step: Int, from first: Int) {
    precondition(
      step >= 0 && first >= 0 && first + noise.count <= coordinates,
      "step \(step), coordinates \(first)..<\(first + noise.count) of \(coordinates)")
    let size = NormalUnits.groupValues
    let groups = UInt128((coordinates + size - 1) / size)
    let base = UInt128(step) * groups
    expect(base, first / size..<(first + noise.count + size - 1) / size, of: groups)
    var index = 0
    while index < noise.count {
      let lane = (first + index) % size
      let group = base + UInt128((first + index) / size)
      let wholeGroups = lane == 0 ? (noise.count - index) / size : 0
      if wholeGroups > 0 {
        index += size * fill(&noise, at: index, groups: wholeGroups, from: group)
      } else {
        index += fill(&noise, at: index, group: group, lane: lane)
      }
    }
  }

  /// Tells the stream which groups of a step are read here, where others are read elsewhere.
  private mutating func expect(_ base: UInt128, _ part: Range<Int>, of groups: UInt128) {
    guard part.count < groups else { return }
    let size = UInt128(GaussianNoise.groupBlocks)
    let start = (base + UInt128(part.lowerBound)) * size
    stream.expect(
      start..<start + UInt128(part.count) * size, of: base * size..<(base + groups) * size)
  }

  /// Writes whole groups and returns how many, at least one.
  private mutating func fill(
    _ noise: inout MutableSpan<Int32>, at index: Int, groups: Int, from group: UInt128
  ) -> Int {
    let scale = scaleInUnits
    return stream.withRecords(
      at: group * UInt128(GaussianNoise.groupBlocks), ofBlocks: GaussianNoise.groupBlocks,
      atMost: groups
    ) { [kernel] bytes in
      kernel.fill(bytes, scale: scale, into: &noise, at: index)
    }
  }

  /// Writes a part of a group and returns how many values it has.
  private mutating func fill(
    _ noise: inout MutableSpan<Int32>, at index: Int, group: UInt128, lane: Int
  ) -> Int {
    var values = exchange(&scratch, with: [])
    var span = values.mutableSpan
    _ = fill(&span, at: 0, groups: 1, from: group)
    let count = min(values.count - lane, noise.count - index)
    for offset in 0..<count { noise[index + offset] = values[lane + offset] }
    scratch = values
    return count
  }
}
