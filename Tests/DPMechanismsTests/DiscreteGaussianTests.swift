import DPAccounting
import DPMechanisms
import Foundation
import TestSupport
import Testing

@Suite struct DiscreteGaussianTests {
  /// One case of `golden/discrete_gaussian.json`: values of 25 digits.
  struct Golden: Decodable, Sendable {
    let sigma2: Double
    let normaliser: String
    let variance: String

    static let all: [Golden] = {
      struct File: Decodable { let cases: [Golden] }
      guard let path = SharedFile.path("golden/discrete_gaussian.json"),
        let data = FileManager.default.contents(atPath: path),
        let file = try? JSONDecoder().decode(File.self, from: data)
      else { return [] }
      return file.cases
    }()

    /// P(x), by the definition and the file's normaliser.
    func probability(_ x: Int) -> Double {
      exp(-Double(x * x) / (2 * sigma2)) / (Double(normaliser) ?? .nan)
    }
  }

  private func sample(_ sampler: DiscreteGaussianSampler, count: Int) -> [Int] {
    var words = StreamGenerator(SecureKey(), domain: .discreteNoise)
    return (0..<count).map { _ in Int(sampler.next(using: &words)) }
  }

  private func samplers(variance: Double) -> [DiscreteGaussianSampler] {
    let root = variance.squareRoot()
    let general = DiscreteGaussianSampler(variance: UInt64(variance * 16), over: 16)
    guard root >= 1, root == root.rounded() else { return [general] }
    return [general, DiscreteGaussianSampler(standardDeviation: UInt64(root))]
  }

  /// χ² over cells that each hold at least 25 of 400,000 values, and the variance.
  @Test(arguments: Golden.all)
  func valuesAreDistributedAsPublished(golden: Golden) {
    let count = 400_000
    for sampler in samplers(variance: golden.sigma2) {
      let values = sample(sampler, count: count)
      let sigma = golden.sigma2.squareRoot()
      let reach = Int(9 * sigma) + 3
      let width = max(1, Int(sigma / 8))
      var expected: [Double] = []
      var observed: [Double] = []
      let counts = Dictionary(grouping: values) { $0 }.mapValues(\.count)
      var cell = (0.0, 0.0, 0)
      for x in -reach...reach {
        cell.0 += golden.probability(x) * Double(count)
        cell.1 += Double(counts[x] ?? 0)
        cell.2 += 1
        if cell.0 >= 25, cell.2 >= width {
          expected.append(cell.0)
          observed.append(cell.1)
          cell = (0, 0, 0)
        }
      }
      if let last = expected.indices.last {
        expected[last] += cell.0
        observed[last] += cell.1
      }
      #expect(values.allSatisfy { abs($0) <= reach })
      #expect(abs(expected.reduce(0, +) - Double(count)) < 1e-6 * Double(count))
      let square = zip(observed, expected).reduce(0.0) { $0 + pow($1.0 - $1.1, 2) / $1.1 }
      let score = Statistics.chiSquareScore(square, degrees: expected.count - 1)
      #expect(score < Statistics.normalLimit)

      let variance = Double(golden.variance) ?? .nan
      let fourth = (-reach...reach).reduce(0.0) { $0 + pow(Double($1), 4) * golden.probability($1) }
      let mean = values.reduce(0.0) { $0 + Double($1 * $1) } / Double(count)
      let deviation = ((fourth - variance * variance) / Double(count)).squareRoot()
      #expect(abs(mean - variance) < Statistics.normalLimit * deviation + 1e-9)
      let sum = values.reduce(0.0) { $0 + Double($1) }
      #expect(abs(sum) < Statistics.normalLimit * (variance * Double(count)).squareRoot() + 1)
    }
  }

  private func noise(_ key: some RunKey, coordinates: Int, scale: Double = 1.3)
    -> DiscreteGaussianNoise
  {
    let grid = NoiseGrid(noiseScale: scale, clipNorm: 1, parameters: coordinates, kind: .discrete)
    return DiscreteGaussianNoise(key, coordinates: coordinates, grid: grid)
  }

  private func fill(
    _ source: inout DiscreteGaussianNoise, step: Int, _ range: Range<Int>
  ) -> [Int32] {
    var noise = [Int32](repeating: 0, count: range.count)
    var span = noise.mutableSpan
    source.fill(&span, step: step, from: range.lowerBound)
    return noise
  }

  @Test(arguments: [1, 1.3, 1.9999999, 0.37])
  func onAFineGridItIsTheNormal(scale: Double) {
    var source = noise(SecureKey(), coordinates: 1000, scale: scale)
    #expect(source.scaleInUnits >= DiscreteNoiseAccountant.leastScaleInUnits)
    #expect(source.scaleInUnits <= 0x1p27 && source.scaleInUnits.rounded() == source.scaleInUnits)
    let steps = (0..<200).map { fill(&source, step: $0, 0..<1000) }
    let values = steps.map { $0.map { Double($0) / source.scaleInUnits } }
    let all = values.flatMap(\.self)
    #expect(Statistics.kolmogorov(all) < Statistics.kolmogorovLimit)
    let earlier = values.dropLast().flatMap(\.self)
    let later = values.dropFirst().flatMap(\.self)
    #expect(abs(Statistics.correlationScore(earlier, later)) < Statistics.normalLimit)
    let left = values.flatMap { $0.dropLast() }
    let right = values.flatMap { $0.dropFirst() }
    #expect(abs(Statistics.correlationScore(left, right)) < Statistics.normalLimit)
    var low = [Int](repeating: 0, count: 256)
    for value in steps.flatMap(\.self) { low[Int(value & 255)] += 1 }
    #expect(Statistics.uniformityScore(low) < Statistics.normalLimit)
  }

  @Test(arguments: [1, 7, 551])
  func anySliceIsPartOfTheWhole(coordinates: Int) {
    let key = SecureKey()
    var whole = noise(key, coordinates: coordinates)
    var sliced = noise(key, coordinates: coordinates)
    for step in [5, 0, 1_000_000, 1] {
      let all = fill(&whole, step: step, 0..<coordinates)
      for first in Set([0, coordinates / 2, coordinates - 1, coordinates]) {
        for end in [first, min(first + 3, coordinates), coordinates] where end >= first {
          #expect(fill(&sliced, step: step, first..<end) == Array(all[first..<end]))
        }
      }
    }
  }

  /// Substreams do not overlap, and are the same in any order, also past their share.
  @Test func substreamsAreApart() {
    let key = SecureKey()
    var words = SubstreamGenerator(
      key, domain: .discreteNoise, overflow: .discreteNoiseOverflow, blocks: 2)
    func take(_ substream: UInt128) -> [UInt64] {
      words.begin(substream)
      return (0..<100).map { _ in words.next() }
    }
    let forward = (0..<50).map { take(UInt128($0)) }
    let backward = (0..<50).reversed().map { take(UInt128($0)) }
    #expect(forward == backward.reversed())
    #expect(Set(forward.flatMap(\.self)).count == 5000)
  }
}
