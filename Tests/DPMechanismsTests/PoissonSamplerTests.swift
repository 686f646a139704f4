import DPAccounting
import DPKernels
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
    sampler.appendSample(step: step, to: &records)
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
    // Some blocks at a time, behind what is there already.
    var records: [UInt32] = [77]
    for blocks in [0..<10, 10..<10, 10..<11, 11..<forward.blocks.count] {
      forward.appendSample(step: 7, blocks: blocks, to: &records)
    }
    #expect(records == [77] + whole[7])
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

  /// Blocks whose draws fill the scratch many times, and shares of more than a call of the cipher.
  @Test(arguments: [0.1, 0.24, 0.5])
  func largeBlocksAreDrawnWhole(rate: Double) throws {
    let n = 700_000
    let key = SecureKey()
    let samples = try PoissonSampler.instructionSets.map { set in
      var sampler = try PoissonSampler(
        key, samplingRate: SamplingRate(rate), blocks: RecordBlocks(records: n, size: 1 << 19),
        instructionSet: set)
      return draw(&sampler, step: 3)
    }
    for sample in samples { #expect(sample == samples[0]) }
    #expect(zip(samples[0], samples[0].dropFirst()).allSatisfy { $0 < $1 })
    let deviation = (Double(n) * rate * (1 - rate)).squareRoot()
    for half in [0..<n / 2, n / 2..<n] {
      let count = Double(samples[0].count { half.contains(Int($0)) })
      #expect(abs(count - Double(n) * rate / 2) < Statistics.normalLimit * deviation)
    }
  }

  /// The promise of the accounting, with what the kernel's error may add to a skip's probability.
  @Test func theRateOfSkipsNeverExceedsQ() {
    var q = PoissonSampler.leastRate
    while q < 0.25 {
      for rate in [q, q.nextUp, q * 1.37] {
        let lambda = PoissonSampler.rate(of: rate)
        #expect(-expm1(-lambda) + 7 * GeometricWalk.error <= rate)
        #expect(-expm1(-lambda) >= rate - 0x1p-43)
        // The series, against the C library.
        let exact = -log1p(-(rate - 8 * GeometricWalk.error))
        #expect(lambda <= exact && lambda >= exact * (1 - 0x1p-48))
      }
      q *= 1.9
    }
  }

  /// The promise itself, from the skips that words really give: whatever happens to all other records,
  /// one is drawn with a probability of at most q, and of hardly less.
  @Test(arguments: [PoissonSampler.leastRate, 1e-9, 1e-6, 3e-4, 0.02, 0.249])
  func noRecordIsLikelierThanQGivenAllOthers(q: Double) {
    let lambda = PoissonSampler.rate(of: q)
    // Words that give a skip of m or more are those up to a largest one.
    func words(_ m: Double) -> Double {
      guard m > 0 else { return 0x1p64 }
      var below: UInt64 = 0
      var above = UInt64.max
      while above - below > 1 {
        let middle = below + (above - below) / 2
        let group = [UInt64](repeating: middle, count: GeometricWalk.groupWords)
        let skip = GeometricWalk.negativeLogarithms(group)[0] * (1 / lambda)
        if skip >= m { below = middle } else { above = middle }
      }
      return Double(below) + 1
    }
    func reach(_ m: Double) -> Double { words(m) * 0x1p-64 }
    func exactly(_ m: Double) -> Double { reach(m) - reach(m + 1) }
    let longest = (8 / lambda).rounded(.down)
    let lengths = [0, 1, 2, 7, 0.01 / lambda, 0.3 / lambda, 1 / lambda, 3 / lambda, 3.9 / lambda]
      .map { $0.rounded(.down) }.filter { 2 * $0 + 2 < longest }
    for j in lengths {
      for k in lengths {
        for odds in [
          exactly(j) * exactly(k) / exactly(j + k + 1), exactly(j) * reach(k) / reach(j + k + 1),
        ] {
          let probability = odds / (1 + odds)
          // Doubles that words are counted in are off by a relative 2⁻⁵³ of what they are taken from.
          #expect(probability <= q + 0x1p-50 && probability >= q - 0x1p-42, "\(j), \(k)")
        }
      }
    }
  }

  /// The least rates, over as many records as there may be: their number, and where they lie.
  @Test(arguments: [1e-9, PoissonSampler.leastRate])
  func leastRatesDrawTheirShare(q: Double) throws {
    let n = 1 << 32
    var sampler = try PoissonSampler(
      SecureKey(), samplingRate: SamplingRate(q),
      blocks: RecordBlocks(records: n, samplingRate: SamplingRate(q)))
    let steps = 500
    var parts = [Int](repeating: 0, count: 16)
    for step in 0..<steps {
      for record in draw(&sampler, step: step) { parts[Int(record >> 28)] += 1 }
    }
    let mean = Double(n) * q * Double(steps)
    let total = Double(parts.reduce(0, +))
    // The counts are Poisson; with a mean of 250 a normal limit is off by less than one deviation.
    #expect(abs(total - mean) < (Statistics.normalLimit + 1) * mean.squareRoot())
    let chiSquare = parts.reduce(0.0) {
      let deviation = Double($1) - total / 16
      return $0 + deviation * deviation / (total / 16)
    }
    #expect(Statistics.chiSquareScore(chiSquare, degrees: 15) < Statistics.normalLimit + 1)
  }

  /// Just below 1: a record is left out once in 2³² times, and none comes twice.
  @Test func aRateJustBelowOneDrawsNearlyAll() throws {
    var sampler = try sampler(1.0.nextDown, records: 1_000_000, size: 16_384)
    var missing = 0
    for step in 0..<20 {
      let records = draw(&sampler, step: step)
      #expect(zip(records, records.dropFirst()).allSatisfy { $0 < $1 })
      missing += 1_000_000 - records.count
    }
    // Four of 2·10⁷ are missing with a probability below 10⁻⁹.
    #expect(missing <= 3)
  }

  /// The first and the last record of blocks, and of a last block of one record.
  @Test(arguments: [0.01, 0.2, 0.5], [64, 4096])
  func recordsAtBordersComeWithProbabilityQ(rate: Double, size: Int) throws {
    let blocks = 65_536 / size
    let n = blocks * size + 1
    var sampler = try sampler(rate, records: n, size: size)
    let steps = 2_000
    var first = 0
    var last = 0
    var lone = 0
    for step in 0..<steps {
      for record in draw(&sampler, step: step) {
        let place = Int(record) % size
        #expect(Int(record) < n)
        if Int(record) == n - 1 { lone += 1 } else if place == 0 { first += 1 }
        if place == size - 1 { last += 1 }
      }
    }
    for (count, trials) in [(first, blocks * steps), (last, blocks * steps), (lone, steps)] {
      let mean = Double(trials) * rate
      let deviation = (mean * (1 - rate)).squareRoot()
      // Means of 20 and more: a binomial's tail is within a deviation and a half of the normal one.
      #expect(abs(Double(count) - mean) < (Statistics.normalLimit + 1.5) * deviation)
    }
  }

  @Test func blocksSuitTheRate() throws {
    func size(_ n: Int, _ rate: Double) throws -> Int {
      try RecordBlocks(records: n, samplingRate: SamplingRate(rate)).size
    }
    #expect(try size(979_200, 4096.0 / 979_200) == 16_384)
    #expect(try size(979_200, 256.0 / 979_200) == 262_144)
    #expect(try size(100, 0.001) == 16_384)
    #expect(try size(1 << 32, 1e-9) == 1 << 24)
    #expect(try size(1_000_000, 0) == 1 << 20)
  }

  @Test func tinyRatesAreRefusedNotRounded() {
    #expect(throws: PrivacyError.self) { _ = try sampler(1e-11, records: 10, size: 10) }
  }
}
