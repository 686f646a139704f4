import DPAccounting
import DPCollectives
import DPData
import DPKernels
import DPModels
import DPTraining
import TestSupport
import Testing

/// Runs whose ranks have shards: the same model, the same numbers, and whoever has the wrong one is told.
@Suite struct ShardTrainingTests {
  private let folder: ScratchFolder
  private let path: String

  init() throws {
    folder = try ScratchFolder()
    path = folder.file("d.safetensors")
  }

  /// Writes the shards of a table; returns their paths.
  private func shards(_ count: Int, rows: Int = 20_000) throws -> [String] {
    try SmallTable(rows: rows).shards(count, at: path)
  }

  private func directory(_ name: String) -> RunDirectory { RunDirectory(path: folder.file(name)) }

  private func bits(_ name: String) throws -> [UInt32] {
    try Model(contentsOf: directory(name).model).parameters
      .map(\.bitPattern)
  }

  /// Who is given which of three shards: all to all, one each, neighbours to some.
  private static let givings: [[[Int]]] = [
    [[0, 1, 2]], [[0, 1, 2], [0, 1, 2]], [[0, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2]],
    [[0], [1], [2]], [[2], [0], [1]], [[0, 1], [2]], [[1, 2], [0], [1, 2]],
    [[0], [1, 2], [0], [1, 2]],
  ]

  /// However shards are given to ranks, the model, the statement and the metrics are those of one process
  /// with the whole dataset, and so they are for one process with all shards.
  @Test(arguments: givings)
  func modelsAreThoseOfTheWhole(giving: [[Int]]) throws {
    let shards = try shards(3)
    let whole = try SmallTable(rows: 20_000).dataset()
    let alone = try trainer(whole).start(in: directory("alone"))
    let group = try TestLink.shm.group(giving.count)
    let run = directory("run")
    let outcomes = try RankThreads.run(giving.count) { rank in
      let ranks = TrainingRanks(try group(rank))
      let data = try open(giving[rank].map { shards[$0] }, ranks)
      #expect(data.contentHash() == whole.contentHash())
      let outcome = try trainer(data, ranks).start(in: run)
      // Once more, when it is complete.
      #expect(try trainer(data, ranks).resume(in: run).evaluation == outcome.evaluation)
      return outcome
    }
    #expect(try bits("run") == bits("alone"))
    #expect(try folder.text("run/statement.txt") == folder.text("alone/statement.txt"))
    #expect(outcomes[0].evaluation == alone.evaluation)
    #expect(outcomes.allSatisfy { $0.trainExamples == alone.trainExamples })
    #expect(outcomes.dropFirst().allSatisfy { $0.evaluation == nil })
    #expect(try trainer(whole).resume(in: run).evaluation == alone.evaluation)
  }

  /// One process is given all shards by their common name, and refused some of them.
  @Test func oneProcessNeedsAllShards() throws {
    let shards = try shards(3)
    _ = try trainer(SmallTable(rows: 20_000).dataset()).start(in: directory("alone"))
    _ = try trainer(open([path])).start(in: directory("run"))
    #expect(try bits("run") == bits("alone"))
    #expect { try open([shards[1]]) } throws: { "\($0)".contains("shard 1 is missing") }
    let lone = try Dataset(shard: shards[0])
    #expect(throws: TrainingError.self) { try trainer(lone) }
  }

  /// Ranks that do not have every shard once are told which, who and what to do.
  ///
  /// Number 3 stands for a shard of another table, 4 for a whole dataset.
  @Test(arguments: [
    ([[0], [1]], "no rank has shard 3 of 3"), ([[0], [0]], "no rank has shard 2 of 3"),
    ([[0, 1], [1, 2]], "rank 0 (host 0) and rank 1 (host 0) both have shard 2 of 3"),
    ([[0, 1, 2], [2]], "rank 0 (host 0) and rank 1 (host 0) both have shard 3 of 3"),
    ([[0], [1], [3]], "rank 2 (host 0) has shards of another dataset than rank 0 (host 0)"),
    ([[0, 1, 2], [4]], "rank 0 (host 0) was given shards and rank 1 (host 0) a whole dataset"),
    ([[4], [0, 1, 2]], "rank 1 (host 0) was given shards and rank 0 (host 0) a whole dataset"),
  ])
  func everyShardIsGivenOnce(giving: [[Int]], error: String) throws {
    let whole = folder.file("whole.safetensors")
    try SmallTable(rows: 20_000).dataset().write(to: whole)
    let others = try SmallTable(rows: 19_000).shards(3, at: folder.file("e.safetensors"))
    let files = try shards(3) + [others[2], whole]
    let group = try TestLink.shm.group(giving.count)
    let outcomes = RankThreads.results(giving.count) { rank in
      try open(giving[rank].map { files[$0] }, TrainingRanks(group(rank)))
    }
    for outcome in outcomes {
      #expect { try outcome.get() } throws: { "\($0)".hasPrefix(error) && "\($0)".contains(";") }
    }
  }

  /// Whatever shards, ranks and giving: the parts are disjoint, in order and everything.
  @Test(arguments: 1...7, 1...5)
  func partsAreEverything(shards: Int, ranks: Int) throws {
    for groups in 1...min(shards, ranks) {
      let facts = (0..<ranks).map { rank in
        let group = rank % groups
        let own = Array(shards * group / groups..<shards * (group + 1) / groups)
        return ShardFacts(
          indices: own, count: shards, trainRows: shards * 5000,
          rows: own[0] * 5000..<(own[own.count - 1] + 1) * 5000, testRows: own.map { 10 + $0 },
          identity: "i")
      }
      let parts = try (0..<ranks).map { try ShardDivision(facts) { "\($0)" }.part(of: $0) }
      let tested = (0..<shards).reduce(0) { $0 + 10 + $1 }
      for (ranges, total) in [
        (parts.map(\.train), shards * 5000), (parts.map(\.test), tested),
      ] {
        var end = 0
        for range in ranges.filter({ !$0.isEmpty }).sorted(by: { $0.lowerBound < $1.lowerBound }) {
          #expect(range.lowerBound == end)
          end = range.upperBound
        }
        #expect(end == total)
      }
      #expect(parts.flatMap(\.hashed).sorted() == Array(0..<shards))
      #expect(parts.allSatisfy { $0.test.lowerBound >= $0.firstTestRow })
    }
  }
}

/// What all runs here are to do.
private var options: TrainingOptions {
  var options = TrainingOptions()
  options.hidden = [5]
  options.batchSize = 200
  options.length = .steps(10)
  options.numerics = .canonical
  options.insecureSeed = 3
  return options
}

private func trainer(_ data: Dataset, _ ranks: TrainingRanks? = nil) throws -> Trainer {
  try Trainer(
    TrainingPlan(options, data), dataset: data, accountant: RDPAccountant(), ranks: ranks)
}

private func open(_ names: [String], _ ranks: TrainingRanks? = nil) throws -> Dataset {
  try Dataset.open(names, schema: nil, options: PrepareOptions(), ranks: ranks)
}
