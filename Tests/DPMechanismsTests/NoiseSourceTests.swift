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

  /// Counts beyond 3, 4, 5 and 6 standard deviations among 3.2e7 values.
  @Test func tailsAreThere() {
    var beyond = [0, 0, 0, 0]
    let total = 32_000_000
    let width = 16_000
    let grid = NoiseGrid(noiseScale: 1, clipNorm: 1, parameters: width)
    var source = GaussianNoise(SecureKey(), coordinates: width, grid: grid)
    let limits = (3...6).map { Int32(Double($0) * source.scaleInUnits) }
    var noise = [Int32](repeating: 0, count: width)
    for step in 0..<total / width {
      var span = noise.mutableSpan
      source.fill(&span, step: step, from: 0)
      for value in noise where abs(value) > limits[0] {
        #expect(Double(abs(value)) < 9.5 * source.scaleInUnits)
        for index in 0...3 where abs(value) > limits[index] { beyond[index] += 1 }
      }
    }
    for (index, count) in beyond.enumerated() {
      let expected = Double(total) * 2 * Statistics.normal(-Double(index + 3))
      // Poisson counts: the limit is exact enough from a few expected events on; below, one-sided.
      #expect(abs(Double(count) - expected) < Statistics.normalLimit * expected.squareRoot() + 8)
    }
  }

  /// Low bits are uniform, of values and of pairs, near 0 and in the tails, on either end's grid.
  ///
  /// So S + noise has uniform low bits whatever those of S are.
  @Test(arguments: [1, 0x1p-14], [false, true])
  func lowBitsAreUniform(clip: Double, inTails: Bool) {
    let width = 1600
    let grid = NoiseGrid(noiseScale: 1.9, clipNorm: clip, parameters: width)
    #expect(grid.noiseScaleInUnits > (clip == 1 ? 0x1p20 : 0x1p26))
    var source = GaussianNoise(SecureKey(), coordinates: width, grid: grid)
    var noise = [Int32](repeating: 0, count: width)
    var singles = [Int](repeating: 0, count: 256)
    var pairs = [Int](repeating: 0, count: 256)
    let limit = Int32(source.scaleInUnits * 2)
    for step in 0..<1000 {
      var span = noise.mutableSpan
      source.fill(&span, step: step, from: 0)
      for index in 0..<width where index & 8 == 0 {
        let (first, second) = (noise[index], noise[index + 8])
        guard !inTails || abs(first) > limit else { continue }
        singles[Int(first & 255)] += 1
        pairs[Int((first & 15) << 4 | (second & 15))] += 1
      }
    }
    #expect(Statistics.uniformityScore(singles) < Statistics.normalLimit)
    #expect(Statistics.uniformityScore(pairs) < Statistics.normalLimit)
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

  @Test(arguments: [1, 2, 7, 8, 9, 15, 16, 17, 551, 25_000])
  func anySliceIsPartOfTheWhole(coordinates: Int) {
    let grid = NoiseGrid(noiseScale: 1.3, clipNorm: 1, parameters: coordinates)
    let key = SecureKey()
    var whole = GaussianNoise(key, coordinates: coordinates, grid: grid)
    var sliced = GaussianNoise(key, coordinates: coordinates, grid: grid)
    for step in [5, 0, 1_000_000, 1] {
      let all = fill(&whole, step: step, 0..<coordinates)
      for first in Set([0, 1, coordinates / 2, coordinates - 1, coordinates]) where first >= 0 {
        for end in [first, min(first + 3, coordinates), min(first + 20, coordinates), coordinates]
        where end >= first {
          #expect(fill(&sliced, step: step, first..<end) == Array(all[first..<end]))
        }
      }
    }
  }

  @Test(arguments: GaussianNoise.instructionSets)
  func everyProcessorMakesTheSameNoise(instructionSet: String) {
    let grid = NoiseGrid(noiseScale: 1.3, clipNorm: 1, parameters: 551)
    let key = SecureKey()
    var usual = GaussianNoise(key, coordinates: 551, grid: grid)
    var other = GaussianNoise(key, coordinates: 551, grid: grid, instructionSet: instructionSet)
    for step in 0..<40 {
      #expect(fill(&usual, step: step, 0..<551) == fill(&other, step: step, 0..<551))
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
