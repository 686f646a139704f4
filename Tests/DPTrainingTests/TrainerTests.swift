import DPAccounting
import DPData
import DPModels
import DPTraining
import Foundation
import TestSupport
import Testing

/// A ledger that keeps its own books, and fails when told to.
private final class SpyLedger: PrivacyLedger {
  var reserved = 0
  var released = 0
  var failsAt = Int.max
  /// The steps that there is room for, when asked.
  var room = Int.max
  var failure: any Error = PrivacyError(.budgetExceeded, "the ledger has no budget left")
  var head: String?
  var heads: Set<String> = []
  /// Whether every reservation makes a head.
  var keepsHeads = false

  func holds(head: String) -> Bool { heads.contains(head) }

  func checkRoom(for count: Int, of mechanism: PoissonSubsampledGaussian) throws {
    if count > room { throw PrivacyError(.budgetExceeded, "the ledger has room for \(room)") }
  }

  func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws {
    #expect(steps.lowerBound == reserved)
    if steps.upperBound > failsAt { throw failure }
    reserved = steps.upperBound
    guard keepsHeads else { return }
    head = "\(reserved) reserved"
    heads.insert("\(reserved) reserved")
  }

  func release(_ steps: Range<Int>) throws {
    #expect(steps.upperBound == reserved)
    reserved = steps.lowerBound
    released += steps.count
  }
}

@Suite struct TrainerTests {
  private let folder: ScratchFolder
  private let dataset: Dataset

  init() throws {
    folder = try ScratchFolder()
    dataset = try SmallTable(rows: 2000).dataset()
  }

  private func options(_ change: (inout TrainingOptions) -> Void = { _ in }) -> TrainingOptions {
    var options = TrainingOptions()
    options.hidden = [5]
    options.length = .steps(60)
    options.privacy = .epsilon(2)
    change(&options)
    return options
  }

  private func trainer(
    _ options: TrainingOptions, _ data: Dataset? = nil, ledger: (any PrivacyLedger)? = nil
  ) throws -> Trainer {
    let data = data ?? dataset
    return try Trainer(
      TrainingPlan(options, data), dataset: data, accountant: RDPAccountant(), ledger: ledger)
  }

  private var directory: RunDirectory { RunDirectory(path: folder.file("run")) }

  private func charged(_ trainer: Trainer) throws -> Int {
    let lines = try String(contentsOfFile: directory.charges, encoding: .utf8)
      .split(separator: "\n")
    return lines.reduce(0) { charged, line in
      let object =
        (try? JSONSerialization.jsonObject(with: Data(line.dropFirst(65).utf8))) as? [String: Any]
      let kind = object?["kind"] as? String
      return (object?[kind == "release" ? "from" : "to"] as? Int) ?? charged
    }
  }

  @Test func aRunLearnsAndTellsWhatItSpent() throws {
    let trainer = try trainer(options { $0.length = .epochs(40) })
    let outcome = try trainer.start(in: directory)
    #expect(!outcome.interrupted)
    #expect(outcome.statement.chargedSteps == trainer.plan.steps)
    #expect(try charged(trainer) == trainer.plan.steps)
    #expect(try #require(outcome.statement.epsilon) <= 2)
    #expect(try #require(outcome.evaluation?.accuracy) > 0.8)
    let model = try Model(contentsOf: directory.model)
    #expect(try dataset.evaluate(model) == outcome.evaluation)
  }

  @Test func stepsAreChargedBeforeTheyRun() throws {
    let ledger = SpyLedger()
    let trainer = try trainer(options(), ledger: ledger)
    var control = TrainingControl()
    var asked = 0
    control.shouldStop = {
      // Asked before every step: all steps so far were charged.
      #expect(ledger.reserved >= asked)
      asked += 1
      return false
    }
    _ = try trainer.start(in: directory, control: control)
    #expect(asked == 60 && ledger.reserved == 60)
  }

  @Test func aLedgerThatRefusesEndsTheRun() throws {
    let ledger = SpyLedger()
    ledger.failsAt = 20
    let trainer = try trainer(options(), ledger: ledger)
    #expect(throws: PrivacyError.self) { _ = try trainer.start(in: directory) }
    #expect(!FileManager.default.fileExists(atPath: directory.model))
    #expect(!FileManager.default.fileExists(atPath: directory.statement))
    #expect(try charged(trainer) <= 20)
  }

  /// A schedule depends on the step alone: stopping and going on changes nothing.
  @Test(arguments: LearningRateSchedule.Shape.allCases, OptimizerRule.allCases)
  func aScheduledRunGoesOnAsIfItHadNotStopped(
    schedule: LearningRateSchedule.Shape, rule: OptimizerRule
  ) throws {
    let trainer = try trainer(
      options {
        $0.insecureSeed = 9
        $0.optimizer = rule
        $0.schedule = schedule
        $0.warmup = 7
        $0.weightDecay = 0.05
        $0.length = .steps(30)
      })
    var models: [[Float]] = []
    for stops in [[], [3], [7, 25]] {
      let directory = RunDirectory(path: folder.file("run-\(stops.count)"))
      var asked = 0
      for stop in stops {
        var control = TrainingControl()
        control.shouldStop = {
          asked += 1
          return asked > stop
        }
        asked = asked > 0 ? asked - 1 : 0
        let outcome =
          stop == stops[0]
          ? try trainer.start(in: directory, control: control)
          : try trainer.resume(in: directory, control: control)
        #expect(outcome.interrupted && outcome.stepsTaken == stop)
      }
      let ended =
        stops.isEmpty ? try trainer.start(in: directory) : try trainer.resume(in: directory)
      #expect(!ended.interrupted)
      models.append(try Model(contentsOf: directory.model).parameters)
    }
    #expect(models[1] == models[0] && models[2] == models[0])
    let text = try String(
      contentsOfFile: folder.file("run-0/statement.txt"), encoding: .utf8)
    #expect(text.contains("7 steps of warm-up") && text.contains("weight decay 0.05"))
    #expect(text.contains("\(schedule.rawValue) schedule") == (schedule != .constant))
  }

  @Test func aRunWithDiscreteNoiseSaysSo() throws {
    let trainer = try trainer(options { $0.noise = .discrete })
    let outcome = try trainer.start(in: directory)
    #expect(try #require(outcome.statement.epsilon) <= 2)
    #expect(outcome.statement.chargedSteps == 60)
    let text = try String(contentsOfFile: directory.statementText, encoding: .utf8)
    #expect(text.contains("Poisson-subsampled discrete Gaussian"))
    #expect(try Trainer.plan(of: directory).privacy?.noise == .discrete)
  }

  /// An orderly stop gives back what did not run; the resumed run takes exactly the steps left.
  @Test(arguments: [1, 7, 59])
  func anOrderlyStopLosesNothing(stop: Int) throws {
    let ledger = SpyLedger()
    let trainer = try trainer(options(), ledger: ledger)
    var control = TrainingControl()
    var asked = 0
    control.shouldStop = {
      asked += 1
      return asked > stop
    }
    let stopped = try trainer.start(in: directory, control: control)
    #expect(stopped.interrupted && stopped.stepsTaken == stop)
    #expect(try charged(trainer) == stop)
    #expect(ledger.reserved == stop)
    let ended = try trainer.resume(in: directory)
    #expect(!ended.interrupted && ended.stepsTaken == 60)
    #expect(ended.statement.chargedSteps == 60)
  }

  /// A process that dies loses the steps since its checkpoint; they stay charged.
  @Test func aDeadProcessStaysCharged() throws {
    let ledger = SpyLedger()
    ledger.failsAt = 30
    ledger.failure = CancellationError()
    let first = try trainer(options(), ledger: ledger)
    #expect(throws: CancellationError.self) { _ = try first.start(in: directory) }
    let lost = try charged(first)
    #expect(lost > 0)
    let second = try trainer(options())
    let outcome = try second.resume(in: directory)
    #expect(outcome.statement.chargedSteps == 60)
    #expect(outcome.stepsTaken == 60 - lost)
    #expect(try #require(outcome.statement.epsilon) <= 2)
  }

  /// A record of charges that says less than was done is not the run's: an older copy, another run's.
  @Test func chargesThatSayLessThanWasDoneAreRefused() throws {
    let trainer = try trainer(options())
    var control = TrainingControl()
    var asked = 0
    control.shouldStop = {
      asked += 1
      return asked > 20
    }
    _ = try trainer.start(in: directory, control: control)
    let lines = try String(contentsOfFile: directory.charges, encoding: .utf8)
      .split(separator: "\n")
    for kept in 1..<lines.count {
      let text = lines.prefix(kept).map { "\($0)\n" }.joined()
      try text.write(toFile: directory.charges, atomically: false, encoding: .utf8)
      guard try charged(trainer) < 20 else { continue }
      #expect(throws: (any Error).self) { _ = try trainer.resume(in: directory) }
    }
  }

  /// One process trains into a folder; another can neither replace, resume nor join it.
  @Test func aFolderHasOneWriter() throws {
    let trainer = try trainer(options())
    var control = TrainingControl()
    var tried = false
    control.shouldStop = {
      guard !tried else { return false }
      tried = true
      #expect(throws: TrainingError.self) {
        _ = try trainer.start(in: directory, overwrite: true)
      }
      #expect(throws: TrainingError.self) { _ = try trainer.resume(in: directory) }
      return false
    }
    #expect(try trainer.start(in: directory, control: control).stepsTaken == 60)
    #expect(tried)
    #expect(try charged(trainer) == 60)
  }

  /// Replacing a run removes a run's files and nothing else.
  @Test(arguments: [".git", "notes.txt", ".ssh"])
  func otherFilesAreNeverRemoved(name: String) throws {
    try FileManager.default.createDirectory(
      atPath: "\(directory.path)/\(name)", withIntermediateDirectories: true)
    let trainer = try trainer(options())
    #expect(throws: TrainingError.self) {
      _ = try trainer.start(in: directory, overwrite: true)
    }
    #expect(FileManager.default.fileExists(atPath: "\(directory.path)/\(name)"))
  }

  /// A model that diverged is a result like any other: the run ends, and says so.
  @Test(arguments: OptimizerRule.allCases)
  func aDivergedRunEnds(rule: OptimizerRule) throws {
    let outcome = try trainer(
      options {
        $0.optimizer = rule
        $0.learningRate = 3e38
      }
    ).start(in: directory)
    #expect(!outcome.interrupted && outcome.statement.chargedSteps == 60)
    #expect(FileManager.default.fileExists(atPath: directory.statement))
  }

  /// A refusal charges nothing anywhere, and what was trained before it is kept.
  @Test func aRefusedRunGoesOnWhenItsBudgetIsRaised() throws {
    let ledger = SpyLedger()
    ledger.failsAt = 30
    let first = try trainer(options(), ledger: ledger)
    #expect(throws: PrivacyError.self) { _ = try first.start(in: directory) }
    #expect(try charged(first) == ledger.reserved)
    #expect(0 < ledger.reserved && ledger.reserved <= 30)
    ledger.failsAt = .max
    let outcome = try first.resume(in: directory)
    #expect(outcome.stepsTaken == 60)
    #expect(ledger.reserved == 60)
  }

  /// A run that a ledger cannot let finish spends nothing: neither a new one nor the rest of one.
  @Test func whatDoesNotFitIsRefusedBeforeItsFirstStep() throws {
    let ledger = SpyLedger()
    ledger.room = 59
    let trainer = try trainer(options(), ledger: ledger)
    #expect(throws: PrivacyError.self) { _ = try trainer.start(in: directory) }
    #expect(!FileManager.default.fileExists(atPath: directory.path))
    ledger.room = 60
    var control = TrainingControl()
    var asked = 0
    control.shouldStop = {
      asked += 1
      return asked > 20
    }
    #expect(try trainer.start(in: directory, control: control).interrupted)
    ledger.room = 39
    #expect(throws: PrivacyError.self) { _ = try trainer.resume(in: directory) }
    #expect(ledger.reserved == 20)
    #expect(try charged(trainer) == 20)
    ledger.room = 40
    #expect(try trainer.resume(in: directory).stepsTaken == 60)
    ledger.room = 0
    #expect(try !trainer.resume(in: directory).interrupted)
  }

  /// The record of a killed process names the last entry that its charges made in the ledger, or a
  /// ledger that lost them would pass for whole.
  @Test func aDeadProcessLeavesTheHeadOfItsLastCharge() throws {
    let ledger = SpyLedger()
    ledger.keepsHeads = true
    ledger.failsAt = 30
    ledger.failure = CancellationError()
    #expect(throws: CancellationError.self) {
      _ = try trainer(options(), ledger: ledger).start(in: directory)
    }
    #expect(ledger.reserved > 1)
    let last = "\(ledger.reserved) reserved"
    let record = try String(contentsOfFile: directory.record, encoding: .utf8)
    #expect(record.contains("\"ledgerHead\" : \"\(last)\""))
    ledger.failsAt = .max
    ledger.heads.remove(last)
    #expect(throws: TrainingError.self) {
      _ = try trainer(options(), ledger: ledger).resume(in: directory)
    }
    ledger.heads.insert(last)
    ledger.reserved = try charged(trainer(options()))
    #expect(try !trainer(options(), ledger: ledger).resume(in: directory).interrupted)
  }

  @Test func aRunGoesOnWithItsLedgerAlone() throws {
    let ledger = SpyLedger()
    ledger.head = "first"
    ledger.failsAt = 30
    #expect(throws: PrivacyError.self) {
      _ = try trainer(options(), ledger: ledger).start(in: directory)
    }
    for other in [nil, SpyLedger(), ledger] {
      let error = #expect(throws: TrainingError.self) {
        _ = try trainer(options(), ledger: other).resume(in: directory)
      }
      #expect(error?.code == .changedPlan)
    }
    ledger.heads = ["first"]
    ledger.failsAt = .max
    ledger.head = "last"
    #expect(try !trainer(options(), ledger: ledger).resume(in: directory).interrupted)
    let record = try String(contentsOfFile: directory.record, encoding: .utf8)
    #expect(record.contains("\"ledgerHead\" : \"last\""))
  }

  @Test func aResumedRunDrawsFreshRandomness() throws {
    func run(_ name: String) throws -> [Float] {
      let directory = RunDirectory(path: folder.file(name))
      let trainer = try trainer(options())
      var control = TrainingControl()
      control.shouldStop = { true }
      _ = try trainer.start(in: directory, control: control)
      _ = try trainer.resume(in: directory)
      return try Model(contentsOf: directory.model).parameters
    }
    #expect(try run("a") != run("b"))
  }

  @Test func anotherPlanOrTableCannotResume() throws {
    var control = TrainingControl()
    control.shouldStop = { true }
    _ = try trainer(options()).start(in: directory, control: control)
    for change: (inout TrainingOptions) -> Void in [
      { $0.clipNorm = 2 }, { $0.privacy = .epsilon(3) }, { $0.length = .steps(61) },
      { $0.hidden = [6] }, { $0.learningRate = 0.1 }, { $0.insecureSeed = 4 },
      { $0.privacy = .none }, { $0.relation = .replace }, { $0.noise = .discrete },
      { $0.batchSize = 300 }, { $0.schedule = .linear }, { $0.warmup = 2 },
      { $0.weightDecay = 0.1 },
    ] {
      #expect(throws: TrainingError.self) {
        _ = try trainer(options(change)).resume(in: directory)
      }
    }
    var table = SmallTable(rows: 2000)
    table.rows[5][0] = "3"
    table.rows[6][0] = "4"
    let other = try table.dataset()
    #expect(throws: TrainingError.self) {
      _ = try trainer(options(), other).resume(in: directory)
    }
    #expect(try !trainer(options()).resume(in: directory).interrupted)
  }

  @Test func aFinishedRunIsNotTrainedAgain() throws {
    let first = try trainer(options()).start(in: directory)
    let model = try Model(contentsOf: directory.model).parameters
    let again = try trainer(options()).resume(in: directory)
    #expect(again.evaluation == first.evaluation && again.stepsTaken == 60)
    #expect(try Model(contentsOf: directory.model).parameters == model)
    #expect(throws: TrainingError.self) { _ = try trainer(options()).start(in: directory) }
    _ = try trainer(options()).start(in: directory, overwrite: true)
    #expect(try Model(contentsOf: directory.model).parameters != model)
  }

  @Test func aRunWithoutPrivacyChargesNothingAndSaysSo() throws {
    let trainer = try trainer(options { $0.privacy = .none })
    var control = TrainingControl()
    var asked = 0
    control.shouldStop = {
      asked += 1
      return asked > 10
    }
    #expect(try trainer.start(in: directory, control: control).interrupted)
    let outcome = try trainer.resume(in: directory)
    #expect(outcome.statement.epsilon == nil && outcome.statement.plannedEpsilon == nil)
    #expect(outcome.stepsTaken == 60)
    #expect(!FileManager.default.fileExists(atPath: directory.charges))
    let text = try String(contentsOfFile: directory.statementText, encoding: .utf8)
    #expect(text.contains("WITHOUT differential privacy"))
  }

  @Test func anInsecureSeedRepeatsTheRunAndClaimsNothing() throws {
    func parameters(_ name: String, seed: UInt64) throws -> [Float] {
      let directory = RunDirectory(path: folder.file(name))
      let outcome = try trainer(options { $0.insecureSeed = seed }).start(in: directory)
      #expect(outcome.statement.epsilon == nil)
      #expect(try #require(outcome.statement.plannedEpsilon) <= 2)
      let text = try String(contentsOfFile: directory.statementText, encoding: .utf8)
      #expect(text.contains("NO guarantee"))
      return try Model(contentsOf: directory.model).parameters
    }
    let first = try parameters("a", seed: 1)
    #expect(try parameters("b", seed: 1) == first)
    #expect(try parameters("c", seed: 2) != first)
  }
}
