import DPAccounting
import DPMechanisms
import Foundation
import Testing

@Suite struct PoissonSamplerTests {
  private func sampler(
    _ rate: Double, records: Int, size: Int, key: some RunKey = SecureKey()
  ) throws -> PoissonSampler {
    try PoissonSampler(
      key, samplingRate: SamplingRate(rate), blocks: RecordBlocks(records: records, size: size))
  }

  private func draw(_ sampler: inout PoissonSampler, step: Int) -> [UInt32] {
    var records: [UInt32] = []
    for block in 0..<sampler.blocks.count {
      sampler.appendSample(step: step, block: block, to: &records)
    }
    return records
  }

  /// Rates on both sides of the change of method, blocks that end inside the table.
  @Test(arguments: [0.003, 0.05, 0.2, 0.25, 0.6, 0.999], [64, 1000])
  func everyRecordComesWithProbabilityQ(rate: Double, size: Int) throws {
    let n = 2_500
    let steps = 4_000
    var sampler = try sampler(rate, records: n, size: size)
    var counts = [Int](repeating: 0, count: n)
    var neighbours = 0
    var again = 0
    var total = 0
    var squares = 0.0
    var previous = Set<UInt32>()
    for step in 0..<steps {
      let records = draw(&sampler, step: step)
      #expect(zip(records, records.dropFirst()).allSatisfy { $0 < $1 })
      for record in records { counts[Int(record)] += 1 }
      neighbours += zip(records, records.dropFirst()).count { $0 + 1 == $1 }
      again += records.count { previous.contains($0) }
      previous = Set(records)
      total += records.count
      let deviation = Double(records.count) - Double(n) * rate
      squares += deviation * deviation
    }
    let trials = Double(n * steps)
    let variance = rate * (1 - rate)
    let limit = Statistics.normalLimit
    // The rate overall, record by record (χ²), and the variance of the batch size.
    #expect(abs(Double(total) - trials * rate) < limit * (trials * variance).squareRoot())
    let chiSquare = counts.reduce(0.0) {
      let deviation = Double($1) - Double(steps) * rate
      return $0 + deviation * deviation / (Double(steps) * variance)
    }
    #expect(abs(Statistics.chiSquareScore(chiSquare, degrees: n)) < limit)
    let sizeVariance = squares / Double(steps) / (Double(n) * variance)
    #expect(abs(Statistics.chiSquareScore(sizeVariance * Double(steps), degrees: steps)) < limit)
    // Neighbouring records, also across blocks, and the same record in consecutive steps. The
    // counts of pairs have mean m·q² and a variance below m·(q² + 2q³ + ...) ≤ m·q²(1 + 2q).
    let pairs = Double((n - 1) * steps)
    let pairVariance = rate * rate * (1 - rate) * (1 + 3 * rate)
    #expect(
      abs(Double(neighbours) - pairs * rate * rate) < limit * (pairs * pairVariance).squareRoot())
    let repeats = Double(n * (steps - 1))
    #expect(
      abs(Double(again) - repeats * rate * rate) < limit * (repeats * pairVariance).squareRoot())
  }

  @Test(arguments: [0, 1e-9, 0.001, 0.2, 0.25, 0.7, 1])
  func aSampleDependsOnItsStepAndBlockAlone(rate: Double) throws {
    let key = SecureKey()
    var forward = try sampler(rate, records: 10_000, size: 300, key: key)
    let whole = (0..<20).map { draw(&forward, step: $0) }
    for step in [19, 3, 0] {
      for block in (0..<forward.blocks.count).reversed() {
        var fresh = try sampler(rate, records: 10_000, size: 300, key: key)
        var records: [UInt32] = []
        fresh.appendSample(step: step, block: block, to: &records)
        let range = fresh.blocks.range(of: block)
        #expect(records == whole[step].filter { range.contains(Int($0)) })
      }
    }
    if rate == 0 { #expect(whole.allSatisfy { $0.isEmpty }) }
    if rate == 1 { #expect(whole.allSatisfy { $0 == (0..<10_000).map(UInt32.init) }) }
  }

  /// A table with one record more has the same sample of the others in full blocks: what happens to
  /// one record is independent of the rest.
  @Test func blocksDoNotDependOnTheirNumberOfRecordsBeforeTheEnd() throws {
    let key = InsecureKey(seed: 5)
    for rate in [0.05, 0.5] {
      var short = try sampler(rate, records: 150, size: 200, key: key)
      var long = try sampler(rate, records: 200, size: 200, key: key)
      for step in 0..<50 {
        #expect(draw(&short, step: step) == draw(&long, step: step).filter { $0 < 150 })
      }
    }
  }

  @Test func tinyRatesAreRefusedNotRounded() {
    #expect(throws: PrivacyError.self) { _ = try sampler(1e-11, records: 10, size: 10) }
  }
}
