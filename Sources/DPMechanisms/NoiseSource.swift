internal import Foundation

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
/// Box and Muller's transform on 128 bits for two values: a 64-bit radius, so that tails are right
/// to 9.42 standard deviations (a mass of 4.5e-21 lies beyond), and a 53-bit angle; computed in
/// Double, rounded once to the grid.
public struct GaussianNoise: NoiseSource {
  /// The number of coordinates of a step.
  public let coordinates: Int
  /// The noise's standard deviation, in grid units.
  public let scaleInUnits: Double
  private var stream: KeyStream

  /// Opens a run's noise.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - coordinates: d, at least 1.
  ///   - grid: The grid whose scale and units the noise has.
  public init(_ key: some RunKey, coordinates: Int, grid: NoiseGrid) {
    precondition(coordinates > 0, "\(coordinates) coordinates")
    self.coordinates = coordinates
    scaleInUnits = grid.noiseScaleInUnits
    stream = KeyStream(key, domain: .noise)
  }

  /// Writes the noise of consecutive coordinates of a step.
  ///
  /// - Parameters:
  ///   - noise: Overwritten: element `i` is the noise of coordinate `first + i`, in grid units.
  ///   - step: The step, at least 0.
  ///   - first: The first coordinate; `first + noise.count` is at most ``coordinates``.
  /// - Complexity: O(noise.count), about 30 ns a value.
  public mutating func fill(_ noise: inout MutableSpan<Int32>, step: Int, from first: Int) {
    precondition(
      step >= 0 && first >= 0 && first + noise.count <= coordinates,
      "step \(step), coordinates \(first)..<\(first + noise.count) of \(coordinates)")
    let pairsPerStep = UInt128((coordinates + 1) / 2)
    let base = UInt128(step) * pairsPerStep
    var index = 0
    while index < noise.count {
      let coordinate = first + index
      let pair = gaussianPair(stream.words(at: base + UInt128(coordinate / 2)))
      if coordinate % 2 == 0 {
        noise[index] = units(pair.0)
        index += 1
        if index == noise.count { break }
      }
      noise[index] = units(pair.1)
      index += 1
    }
  }

  private func units(_ standard: Double) -> Int32 {
    Int32((standard * scaleInUnits).rounded())
  }
}

/// Two independent standard normal values from 128 uniform bits.
///
/// - Parameter words: Independent and uniform.
/// - Returns: Values of magnitude at most 9.42.
package func gaussianPair(_ words: (UInt64, UInt64)) -> (Double, Double) {
  // (k + 1)·2⁻⁶⁴ lies in (0, 1]: Double keeps all bits of a small k, which is where tails come from.
  let uniform = (Double(words.0) + 1) * 0x1p-64
  let radius = (-2 * log(uniform)).squareRoot()
  let angle = 2 * Double.pi * (Double(words.1 >> 11) * 0x1p-53)
  return (radius * cos(angle), radius * sin(angle))
}
