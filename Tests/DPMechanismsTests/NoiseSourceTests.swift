import DPMechanisms
import Foundation
import Testing

@Suite struct NoiseSourceTests {
  /// Standardised noise of whole steps.
  private func steps(_ count: Int, coordinates: Int, noiseScale: Double = 1) -> [[Double]] {
    let grid = NoiseGrid(noiseScale: noiseScale, clipNorm: 1, parameters: coordinates)
    var source = GaussianNoise(SecureKey(), coordinates: coordinates, grid: grid)
    return (0..<count).map { step in
      fill(&source, step: step, 0..<coordinates).map { $0 / source.scaleInUnits }
    }
  }

  private func fill(
    _ source: inout GaussianNoise, step: Int, _ range: Range<Int>
  ) -> [Double] {
    var noise = [Int32](repeating: 0, count: range.count)
    var span = noise.mutableSpan
    source.fill(&span, step: step, from: range.lowerBound)
    return noise.map(Double.init)
  }

  @Test(arguments: [0.37, 1, 900])
  func distributionIsTheNormal(noiseScale: Double) {
    let sample = steps(500, coordinates: 1001, noiseScale: noiseScale).flatMap(\.self)
    let n = Double(sample.count)
    #expect(Statistics.kolmogorov(sample) < Statistics.kolmogorovLimit)
    func moment(_ power: Int, mean: Double, variance: Double) -> Double {
      let sum = sample.reduce(0.0) { $0 + pow($1, Double(power)) }
      return (sum / n - mean) * (n / variance).squareRoot()
    }
    // Moments of the standard normal and the variances of x, x², x³, x⁴.
    #expect(abs(moment(1, mean: 0, variance: 1)) < Statistics.normalLimit)
    #expect(abs(moment(2, mean: 1, variance: 2)) < Statistics.normalLimit)
    #expect(abs(moment(3, mean: 0, variance: 15)) < Statistics.normalLimit)
    #expect(abs(moment(4, mean: 3, variance: 96)) < Statistics.normalLimit)
  }

  @Test func tailsAreThere() {
    var beyond = [0, 0, 0]
    let total = 4_000_000
    var stream = KeyStream(SecureKey(), domain: .noise)
    for block in 0..<total / 2 {
      let pair = gaussianPair(stream.words(at: UInt128(block)))
      for value in [abs(pair.0), abs(pair.1)] {
        #expect(value < 9.5)
        for limit in 3...5 where value > Double(limit) { beyond[limit - 3] += 1 }
      }
    }
    for (index, count) in beyond.enumerated() {
      let expected = Double(total) * 2 * Statistics.normal(-Double(index + 3))
      // Poisson counts: the limit is exact enough from a few expected events on; below, one-sided.
      #expect(abs(Double(count) - expected) < Statistics.normalLimit * expected.squareRoot() + 8)
    }
  }

  @Test func extremeUniformsGiveFiniteValues() {
    for word in [0, 1, UInt64.max, UInt64.max - 1, 1 << 63] as [UInt64] {
      for angle in [0, UInt64.max, 1 << 62, 1 << 63] as [UInt64] {
        let pair = gaussianPair((word, angle))
        let radius = (pair.0 * pair.0 + pair.1 * pair.1).squareRoot()
        #expect(radius.isFinite && radius <= 9.42)
      }
    }
    #expect(abs(gaussianPair((0, 0)).0 - 9.419) < 0.001)
  }

  @Test func stepsAndCoordinatesAreIndependent() {
    let width = 400
    let noise = steps(1000, coordinates: width)
    for lag in [1, 2, 3, 17] {
      let earlier = noise.dropLast(lag).flatMap(\.self)
      let later = noise.dropFirst(lag).flatMap(\.self)
      #expect(abs(Statistics.correlationScore(earlier, later)) < Statistics.normalLimit)
      let left = noise.flatMap { $0.dropLast(lag) }
      let right = noise.flatMap { $0.dropFirst(lag) }
      #expect(abs(Statistics.correlationScore(left, right)) < Statistics.normalLimit)
      // Squares too: Box and Muller's pairs share a radius and must still be independent.
      let leftSquares = left.map { ($0 * $0 - 1) / 2.squareRoot() }
      let rightSquares = right.map { ($0 * $0 - 1) / 2.squareRoot() }
      #expect(
        abs(Statistics.correlationScore(leftSquares, rightSquares)) < Statistics.normalLimit)
    }
  }

  @Test(arguments: [1, 2, 7, 8, 9, 551])
  func anySliceIsPartOfTheWhole(coordinates: Int) {
    let grid = NoiseGrid(noiseScale: 1.3, clipNorm: 1, parameters: coordinates)
    let key = SecureKey()
    var whole = GaussianNoise(key, coordinates: coordinates, grid: grid)
    var sliced = GaussianNoise(key, coordinates: coordinates, grid: grid)
    for step in [5, 0, 1_000_000, 1] {
      let all = fill(&whole, step: step, 0..<coordinates)
      for first in Set([0, 1, coordinates / 2, coordinates - 1, coordinates]) where first >= 0 {
        for end in [first, min(first + 3, coordinates), coordinates] where end >= first {
          #expect(fill(&sliced, step: step, first..<end) == Array(all[first..<end]))
        }
      }
    }
  }

  @Test func noNoiseIsUsedTwice() {
    let grid = NoiseGrid(noiseScale: 1, clipNorm: 1, parameters: 3)
    var source = GaussianNoise(SecureKey(), coordinates: 3, grid: grid)
    let steps = (0..<2000).map { fill(&source, step: $0, 0..<3) }
    #expect(Set(steps.map { $0[0] }).count > 1990)
    #expect(Set(steps).count == steps.count)
  }

  @Test(arguments: [1e-6, 0.4, 1, 1.9999, 2, 33, 1e6], [1, 551, 235_000])
  func theGridIsAPowerOfTwoFineEnough(noiseScale: Double, parameters: Int) {
    for clip in [1e-3, 1, 250] {
      let grid = NoiseGrid(
        noiseScale: noiseScale * clip, clipNorm: clip, parameters: parameters)
      #expect(grid.spacing.significand == 1)
      #expect(grid.spacing <= noiseScale * clip * 0x1p-20)
      #expect(grid.noiseScaleInUnits >= 0x1p20 && grid.noiseScaleInUnits < 0x1p27)
      #expect(grid.noiseScaleInUnits * 9.5 < Double(Int32.max))
      if noiseScale * Double(parameters).squareRoot() <= 0x1p12 {
        #expect(grid.roundingBound(parameters: parameters) <= clip * 0x1p-12)
      }
    }
  }
}
