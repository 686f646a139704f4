import DPAccounting
import DPCollectives
import DPData
import DPKernels
import DPModels
import DPTraining
import Foundation
import Synchronization
import TestSupport
import Testing

/// Whole runs on ranks: who charges, who writes, what all agree on, how all end.
@Suite struct TrainingRanksTests {
  private let folder: ScratchFolder
  private let dataset: Dataset

  init() throws {
    folder = try ScratchFolder()
    dataset = try SmallTable(rows: 3000).dataset()
  }

  private func options(
    _ change: (inout TrainingOptions) -> Void = { _ in }
  ) -> TrainingOptions {
    var options = TrainingOptions()
    options.hidden = [5]
    options.batchSize = 200
    options.length = .steps(60)
    options.privacy = .epsilon(2)
    change(&options)
    return options
  }

  private var directory: RunDirectory { RunDirectory(path: folder.file("run")) }

  /// Runs a trainer on each of several ranks.
  private func onRanks<Value: Sendable>(
    _ ranks: Int, _ options: TrainingOptions, link: TestLink = .shm,
    ledger: SharedLedger? = nil,
    _ body: @escaping @Sendable (Trainer, TrainingRanks) throws -> Value
  ) throws -> [Result<Value, any Error>] {
    let group = try link.group(ranks)
    let dataset = dataset
    @Sendable func run(rank: Int) throws -> Value {
      let members = TrainingRanks(try group(rank))
      let trainer = try Trainer(
        TrainingPlan(options, dataset), dataset: dataset, accountant: RDPAccountant(),
        ledger: rank == 0 ? ledger : nil, ranks: members)
      return try body(trainer, members)
    }
    return RankThreads.results(ranks, run)
  }

  private func text(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  /// The same model in canonical mode, and the same ε and statement, for any number of ranks.
  @Test(arguments: [1, 2, 3, 4]) func runsAreTheSameOnAnyNumberOfRanks(ranks: Int) throws {
    let options = options {
      $0.numerics = .canonical
      $0.insecureSeed = 3
    }
    let alone = RunDirectory(path: folder.file("alone"))
    _ = try Trainer(
      TrainingPlan(options, dataset), dataset: dataset, accountant: RDPAccountant()
    ).start(in: alone)
    let directory = directory
    let outcomes = try onRanks(ranks, options) { trainer, _ in
      try trainer.start(in: directory)
    }.map { try $0.get() }
    let models = try [directory, alone].map { try Model(contentsOf: $0.model).parameters }
    #expect(models[0].map(\.bitPattern) == models[1].map(\.bitPattern))
    #expect(try text(directory.statementText) == text(alone.statementText))
    #expect(try text(directory.statement) == text(alone.statement))
    for (rank, outcome) in outcomes.enumerated() {
      #expect(outcome.statement.plannedEpsilon == outcomes[0].statement.plannedEpsilon)
      #expect(outcome.statement.chargedSteps == 60 && outcome.stepsTaken == 60)
      #expect(outcome.trainExamples == outcomes[0].trainExamples)
      #expect(outcome.examplesDrawn == outcomes[0].examplesDrawn)
      #expect((outcome.evaluation == nil) == (rank > 0))
    }
    let kept = (0..<dataset.train.count).count { dataset.train.label(of: $0) != nil }
    #expect(outcomes[0].trainExamples == kept)
  }

  /// A run with a fresh key, which every rank has: otherwise parameters would differ at the end.
  @Test func ranksShareAFreshKey() throws {
    let directory = directory
    let outcomes = try onRanks(3, options()) { trainer, _ in
      try trainer.start(in: directory)
    }.map { try $0.get() }
    #expect(outcomes.allSatisfy { $0.statement.epsilon == outcomes[0].statement.epsilon })
    #expect(try #require(outcomes[0].statement.epsilon) <= 2)
    let record = try text(directory.record)
    for word in [
      "\"trafficProtection\"", "\"waitMicroseconds\"", "\"algorithms\" : \"direct:0-max\"",
    ] {
      #expect(record.contains(word), "\(word) in \(record)")
    }
  }

  /// What any rank is asked to stop for stops all of them after the same step, in order: what did not
  /// run is given back, and any number of ranks can go on.
  @Test(arguments: [0, 2]) func aStopOnAnyRankStopsAll(stopped: Int) throws {
    let directory = directory
    let options = options { $0.length = .steps(500) }
    let outcomes = try onRanks(3, options) { trainer, ranks in
      var control = TrainingControl()
      var asked = 0
      control.shouldStop = {
        asked += 1
        return ranks.rank == stopped && asked > 100
      }
      return try trainer.start(in: directory, control: control)
    }.map { try $0.get() }
    #expect(outcomes.allSatisfy { $0.interrupted && $0.stepsTaken == 101 })
    #expect(outcomes.allSatisfy { $0.statement.chargedSteps == 101 })
    let ended = try onRanks(2, options) { trainer, _ in
      try trainer.resume(in: directory)
    }.map { try $0.get() }
    #expect(ended.allSatisfy { !$0.interrupted && $0.stepsTaken == 500 })
    #expect(ended.allSatisfy { $0.statement.chargedSteps == 500 })
    let again = try onRanks(2, options) { trainer, _ in
      try trainer.resume(in: directory)
    }.map { try $0.get() }
    #expect(again.allSatisfy { !$0.interrupted && $0.stepsTaken == 500 })
  }

  /// Books that ranks look into while they train.
  private final class SharedLedger: PrivacyLedger, Sendable {
    let reserved = Atomic<Int>(0)

    var head: String? { nil }
    func holds(head: String) -> Bool { false }
    func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) {}

    func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) {
      reserved.store(steps.upperBound, ordering: .sequentiallyConsistent)
    }

    func release(_ steps: Range<Int>) {
      reserved.store(steps.lowerBound, ordering: .sequentiallyConsistent)
    }
  }

  /// On no rank is a step's result ever in the parameters before the step is charged.
  @Test func stepsAreChargedBeforeAnyRankHasThem() throws {
    let directory = directory
    let ledger = SharedLedger()
    let early = try onRanks(3, options { $0.length = .steps(400) }, ledger: ledger) { trainer, _ in
      var control = TrainingControl()
      var early = 0
      var taken = -1
      control.shouldStop = {
        taken += 1
        if taken > ledger.reserved.load(ordering: .sequentiallyConsistent) { early += 1 }
        return false
      }
      _ = try trainer.start(in: directory, control: control)
      return early
    }.map { try $0.get() }
    #expect(early == [0, 0, 0])
    #expect(ledger.reserved.load(ordering: .relaxed) == 400)
  }

  /// What rank 0 may not do no rank does; all are told why.
  @Test func whatRankZeroIsRefusedEndsAll() throws {
    let directory = directory
    let outcomes = try (0..<2).map { _ in
      try onRanks(2, options()) { trainer, _ in try trainer.start(in: directory) }
    }
    #expect(throws: Never.self) { for outcome in outcomes[0] { _ = try outcome.get() } }
    #expect { try outcomes[1][0].get() } throws: { ($0 as? TrainingError)?.code == .runExists }
    #expect { try outcomes[1][1].get() } throws: {
      "\($0)".contains("rank 0 (host 0) ended the run: \(directory.path): holds a run already")
    }
  }

  /// Ranks that were started with different options are told which, and who has which value.
  @Test func differentOptionsAreNamed() throws {
    let group = try TestLink.shm.group(3)
    let dataset = dataset
    let directory = directory
    let options = options()
    let outcomes = RankThreads.results(3) { rank in
      var own = options
      if rank == 2 { own.learningRate = 0.5 }
      return try Trainer(
        TrainingPlan(own, dataset), dataset: dataset, accountant: RDPAccountant(),
        ranks: TrainingRanks(group(rank))
      ).start(in: directory)
    }
    for outcome in outcomes {
      #expect { try outcome.get() } throws: {
        "\($0)".hasPrefix("rank 2 (host 0) has learning-rate '0.5' and rank 0 (host 0) '0.25'")
      }
    }
    #expect(!FileManager.default.fileExists(atPath: directory.path))
  }

  /// Rows that two ranks have, or none, are found by all before anything runs.
  @Test(arguments: [
    ([0..<10, 10..<20, 20..<30], nil), ([20..<30, 0..<10, 10..<20], nil),
    ([0..<30, 30..<30, 0..<0], nil),
    ([0..<10, 10..<20, 10..<20], "rank 1 (host 0) and rank 2 (host 0) both have row 10"),
    ([0..<10, 9..<20, 20..<30], "rank 0 (host 0) and rank 1 (host 0) both have row 9"),
    ([0..<30, 10..<20, 20..<30], "rank 0 (host 0) and rank 1 (host 0) both have row 10"),
    ([0..<10, 11..<20, 20..<30], "no rank has rows 10 to 10"),
    ([1..<10, 10..<20, 20..<30], "no rank has rows 0 to 0"),
    ([0..<10, 20..<25, 10..<20], "no rank has rows 25 to 29"),
  ])
  func rowsAreChecked(ranges: [Range<Int>], error: String?) throws {
    let group = try TestLink.shm.group(3)
    let outcomes = RankThreads.results(3) { rank in
      try TrainingRanks(group(rank)).check(RowShare(ranges[rank], of: 30))
    }
    for outcome in outcomes {
      guard let error else {
        try outcome.get()
        continue
      }
      #expect { try outcome.get() } throws: { "\($0)".hasPrefix(error) }
    }
  }

  /// Shards of tables of different length are no parts of one.
  @Test func shardsOfDifferentTablesAreRefused() throws {
    let group = try TestLink.shm.group(2)
    let outcomes = RankThreads.results(2) { rank in
      try TrainingRanks(group(rank)).check(RowShare(rank * 5..<rank * 5 + 5, of: 10 + rank))
    }
    for outcome in outcomes {
      #expect { try outcome.get() } throws: { "\($0)".contains("a part of 11 rows") }
    }
  }

  /// A rank whose parameters differ in one bit is named.
  @Test func parametersAreCompared() throws {
    let group = try TestLink.shm.group(3)
    let outcomes = RankThreads.results(3) { rank in
      var state = ModelState(parameters: [1, 2, 3], optimizerSteps: 4, optimizerState: [])
      if rank == 1 { state.parameters[2] = Float(3).nextUp }
      try TrainingRanks(group(rank)).compare(state, after: 4)
    }
    for outcome in outcomes {
      #expect { try outcome.get() } throws: {
        ($0 as? TrainingError)?.code == .ranksDiverged && "\($0)".hasPrefix("rank 1 (host 0)")
      }
    }
  }
}
