import DPAccounting
import DPCollectives
import DPData
import DPKernels
import DPMechanisms
import DPModels
import DPTraining
import Foundation
import TestSupport
import Testing

/// Steps that ranks take together: one sample, one sum, noise once, the same parameters everywhere.
@Suite struct RankStepTests {
  private func plan(
    _ dataset: Dataset, batchSize: Int, hidden: [Int] = [6], steps: Int = 20,
    _ change: (inout TrainingOptions) -> Void = { _ in }
  ) throws -> TrainingPlan {
    var options = TrainingOptions()
    options.hidden = hidden
    options.batchSize = batchSize
    options.privacy = .noiseMultiplier(1.2)
    options.length = .steps(steps)
    options.insecureSeed = 7
    change(&options)
    return try TrainingPlan(options, dataset)
  }

  /// The bits of the parameters that each rank comes to.
  private func train(
    _ plan: TrainingPlan, _ dataset: Dataset, ranks: Int, link: TestLink = .shm,
    by algorithm: AllReduceAlgorithm? = nil, threads: Int = 1
  ) throws -> [[UInt32]] {
    let group = try link.group(ranks)
    return try RankThreads.run(ranks) { rank in
      let communicator = try group(rank)
      if let algorithm { communicator.algorithms = AlgorithmTable(always: algorithm) }
      let engine = try engine(plan, dataset, threads: threads, communicator)
      for step in 0..<plan.steps { _ = try engine.take(step: step, asking: StepRequests()) }
      return engine.parameters.map(\.bitPattern)
    }
  }

  private func engine(
    _ plan: TrainingPlan, _ dataset: Dataset, threads: Int = 1, _ communicator: Communicator
  ) throws -> StepEngine {
    let key = InsecureKey(seed: 7)
    var generator = StreamGenerator(key, domain: .initialisation)
    let share = RowShare(
      of: dataset.train.count, rank: communicator.rank, ranks: communicator.ranks)
    return try StepEngine(
      plan, table: dataset.train.table.rows(share.rows), key: key,
      start: ModelState(start: plan, using: &generator), threads: threads, share: share,
      communicator: communicator)
  }

  /// In canonical mode the model is the same, bit for bit, for any number of ranks, every algorithm,
  /// every way of transport and any number of threads.
  @Test(arguments: TestLink.allCases, 2...4)
  func canonicalModelsAreTheSame(link: TestLink, ranks: Int) throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 300, steps: 5) { $0.numerics = .canonical }
    let alone = try train(plan, dataset, ranks: 1)[0]
    for algorithm in link.algorithms {
      for (rank, bits) in try train(plan, dataset, ranks: ranks, link: link, by: algorithm)
        .enumerated()
      {
        #expect(bits == alone, "\(algorithm) on \(rank)")
      }
    }
    let threaded = try train(plan, dataset, ranks: ranks, link: link, threads: 2)
    #expect(threaded.allSatisfy { $0 == alone })
  }

  /// The same for a network whose noise is made in several pieces, longer than a call of the cipher, and
  /// whose sum is used part after part.
  @Test(arguments: [2, 3]) func wideCanonicalModelsAreTheSame(ranks: Int) throws {
    let dataset = try SmallTable(rows: 600).dataset()
    let plan = try plan(dataset, batchSize: 60, hidden: [300, 150], steps: 4) {
      $0.numerics = .canonical
    }
    let alone = try train(plan, dataset, ranks: 1)[0]
    #expect(alone.count > 2 * 16_384)
    for link in TestLink.allCases {
      #expect(try train(plan, dataset, ranks: ranks, link: link).allSatisfy { $0 == alone })
    }
    #expect(try train(plan, dataset, ranks: ranks, threads: 2).allSatisfy { $0 == alone })
  }

  /// The same where sums are too large for integers of 4 bytes, on some ranks or on all: so little noise
  /// makes so fine a grid.
  @Test(arguments: [2e-3, 5e-4, 1.1e-4], [2, 3])
  func largeSumsAreTheSame(noiseMultiplier: Double, ranks: Int) throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 30, steps: 12) {
      $0.numerics = .canonical
      $0.privacy = .noiseMultiplier(noiseMultiplier)
    }
    let alone = try train(plan, dataset, ranks: 1)[0]
    for link in TestLink.allCases {
      #expect(try train(plan, dataset, ranks: ranks, link: link).allSatisfy { $0 == alone })
    }
  }

  /// Without privacy there is no grid that bounds numbers: all ranks have the same bits all the same, near
  /// those of one.
  @Test(arguments: [2, 4]) func sumsWithoutPrivacyAreTheSame(ranks: Int) throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 300, steps: 30) {
      $0.privacy = .none
      $0.insecureSeed = nil
    }
    let alone = try train(plan, dataset, ranks: 1)[0].map { Float(bitPattern: $0) }
    let together = try train(plan, dataset, ranks: ranks)
    #expect(together.allSatisfy { $0 == together[0] })
    let largest = zip(alone, together[0]).map { abs($0 - Float(bitPattern: $1)) }.max() ?? 1
    #expect(largest < 1e-4)
  }

  /// In fast mode all ranks have the same bits, whatever the algorithm, and after 100 steps the
  /// parameters are those of one rank up to rounding.
  @Test(arguments: TestLink.allCases, 2...4)
  func fastModelsAreClose(link: TestLink, ranks: Int) throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 300, steps: 100)
    let alone = try train(plan, dataset, ranks: 1)[0].map { Double(Float(bitPattern: $0)) }
    let first = try train(plan, dataset, ranks: ranks, link: link)
    #expect(first.allSatisfy { $0 == first[0] })
    let together = first[0].map { Double(Float(bitPattern: $0)) }
    let difference = zip(alone, together).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let size = alone.reduce(0) { $0 + $1 * $1 }
    #expect((difference / size).squareRoot() <= 1e-4)
    for algorithm in [AllReduceAlgorithm.ring, .recursiveDoubling, .circulant] {
      #expect(try train(plan, dataset, ranks: ranks, link: link, by: algorithm) == first)
    }
  }

  /// The noise in what is released has variance σ²C² once, however many ranks add to the sum.
  ///
  /// Measured where the batch is hidden by the noise; a test of variance and of mean, each failing by
  /// chance with a probability of at most 1e-6.
  @Test(arguments: 1...4) func noiseIsAddedOnce(ranks: Int) throws {
    let dataset = try SmallTable(rows: 400).dataset()
    let sigma = 1000.0
    let plan = try plan(dataset, batchSize: 4, hidden: [30], steps: 100) {
      $0.privacy = .noiseMultiplier(sigma)
      $0.optimizer = .sgd
      $0.learningRate = 1
      $0.clipNorm = 0.5
    }
    let group = try TestLink.shm.group(ranks)
    let released = try RankThreads.run(ranks) { rank in
      let engine = try engine(plan, dataset, try group(rank))
      return try (0..<plan.steps).flatMap { step in
        let before = engine.parameters
        _ = try engine.take(step: step, asking: StepRequests())
        return zip(before, engine.parameters).map { (Double($0) - Double($1)) * 4 / (sigma * 0.5) }
      }
    }
    #expect(released.allSatisfy { $0 == released[0] })
    let n = Double(released[0].count)
    let mean = released[0].reduce(0, +) / n
    let variance = released[0].reduce(0) { $0 + $1 * $1 } / n
    // A batch of about 4 rows moves a standardised value by at most about 10/1000.
    #expect(abs(mean) < 4.892 / n.squareRoot() + 0.003)
    #expect(abs(variance - 1) < 4.892 * (2 / n).squareRoot() + 2e-4)
  }

  /// Where most ranks have drawn nobody, all step all the same.
  @Test func ranksWithoutExamplesStepLikeAnyOther() throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 1) { $0.numerics = .canonical }
    let alone = try train(plan, dataset, ranks: 1)[0]
    #expect(try train(plan, dataset, ranks: 4).allSatisfy { $0 == alone })
  }

  /// More ranks than rows, and than groups of coordinates: some have neither.
  @Test func ranksWithoutRowsStepLikeAnyOther() throws {
    let dataset = try SmallTable(rows: 3).dataset(testFraction: 0)
    let plan = try plan(dataset, batchSize: 2, hidden: []) { $0.numerics = .canonical }
    let alone = try train(plan, dataset, ranks: 1)[0]
    #expect(try train(plan, dataset, ranks: 4).allSatisfy { $0 == alone })
  }

  /// What any rank asks for all ranks are told, after the same step; what batches were like is told
  /// for all of them together.
  @Test func requestsReachAllRanks() throws {
    let dataset = try SmallTable(rows: 3000).dataset()
    let plan = try plan(dataset, batchSize: 300)
    let group = try TestLink.shm.group(3)
    let seen = try RankThreads.run(3) { rank in
      let engine = try engine(plan, dataset, try group(rank))
      let answers = try (0..<4).map { step in
        var requests = StepRequests()
        requests.stop = step == 2 && rank == 1
        requests.checkpoint = step == 1 && rank == 0
        return try engine.take(step: step, asking: requests)
      }
      return (answers, engine.examplesDrawn)
    }
    for (answers, drawn) in seen {
      #expect(answers.map(\.stop) == [false, false, true, false])
      #expect(answers.map(\.checkpoint) == [false, true, false, false])
      #expect(drawn == seen[0].1 && drawn > 900 && drawn < 1500)
    }
  }

  /// Shares are disjoint, in order, all rows, and nearly even.
  @Test(arguments: [0, 1, 3, 100, 2400, 979_200, 1 << 32], 1...9)
  func sharesAreAllRows(total: Int, ranks: Int) {
    var end = 0
    for rank in 0..<ranks {
      let share = RowShare(of: total, rank: rank, ranks: ranks)
      #expect(share.rows.lowerBound == end)
      #expect(abs(share.rows.count - total / ranks) <= max(1, total / ranks / 32))
      end = share.rows.upperBound
    }
    #expect(end == total)
  }
}
