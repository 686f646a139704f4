internal import DPAccounting
internal import DPFiles
internal import DPModels
internal import Foundation

/// One process's walk through the steps of a run: charge, step, report, checkpoint.
///
/// Where ranks take the steps together, rank 0 alone charges, reports and writes. It charges a step
/// before it brings its part of the sum, without which no rank gets the released value. Whoever is
/// asked to stop says so with the next step, after which all stop.
struct TrainingLoop {
  let plan: TrainingPlan
  let planDigest: String
  /// The run's folder; nil on ranks that follow.
  let directory: RunDirectory?
  /// The ranks that train together; nil for one that is alone.
  let ranks: TrainingRanks?
  private(set) var engine: StepEngine
  /// Where steps are charged; the run's own record first, so that a process killed between two of
  /// them loses steps of its own and spends nothing of a budget that others share.
  let ledgers: [any PrivacyLedger]
  /// ε as a function of steps.
  let spending: (@Sendable (Int) -> Double)?
  let control: TrainingControl
  /// Called when a range is charged everywhere, before its first step.
  let onReserved: () throws -> Void

  /// The next step.
  private(set) var step: Int
  /// Examples drawn in this process.
  var examplesDrawn: Int { engine.examplesDrawn }
  /// Seconds that this process has trained.
  private(set) var seconds = 0.0

  /// Steps below this are charged.
  private var reserved: Int
  private var reservationSize = 1
  private var reservationStart: ContinuousClock.Instant
  private let start: ContinuousClock.Instant
  private var lastProgress: ContinuousClock.Instant
  private var lastCheckpoint: ContinuousClock.Instant
  private var examplesReported = 0
  private let mechanism: PoissonSubsampledGaussian?
  private let metrics: MetricsLog?
  /// What this rank asks the others for, and what was asked for with the last step.
  private var wanted = StepRequests()
  private var asked = StepRequests()

  private static let clock = ContinuousClock()
  /// How much work is charged at a time, and so may be lost with a process.
  private static let reservationTime = Duration.seconds(1)
  private static let progressInterval = Duration.milliseconds(200)

  init(
    plan: TrainingPlan, planDigest: String, directory: RunDirectory?, ranks: TrainingRanks?,
    engine: StepEngine, ledgers: [any PrivacyLedger], spending: (@Sendable (Int) -> Double)?,
    firstStep: Int, control: TrainingControl, onReserved: @escaping () throws -> Void
  ) throws {
    self.plan = plan
    self.planDigest = planDigest
    self.directory = directory
    self.ranks = ranks
    self.engine = engine
    self.ledgers = ledgers
    self.spending = spending
    self.control = control
    self.onReserved = onReserved
    step = firstStep
    reserved = firstStep
    mechanism = try plan.mechanism()
    metrics = try directory.map { try MetricsLog(path: $0.metrics) }
    start = TrainingLoop.clock.now
    lastProgress = start
    lastCheckpoint = start
    reservationStart = start
  }

  /// Takes the steps that are left.
  ///
  /// - Returns: Whether the run is at its end; false when it was stopped before.
  /// - Throws: What the ledger or a file throws. Steps that may have run stay charged.
  mutating func run() throws -> Bool {
    defer { seconds = TrainingLoop.seconds(since: start) }
    while step < plan.steps {
      wanted.stop = control.shouldStop()
      guard !(engine.isAlone ? wanted.stop : asked.stop) else {
        try stop()
        return false
      }
      if step == reserved { try reserve() }
      asked = try engine.take(step: step, asking: wanted)
      wanted.checkpoint = false
      step += 1
      try report()
    }
    try checkpoint()
    return true
  }

  /// Charges about a second's worth of further steps.
  private mutating func reserve() throws {
    let now = TrainingLoop.clock.now
    let elapsed = now - reservationStart
    if elapsed < TrainingLoop.reservationTime / 2 {
      reservationSize = min(reservationSize * 4, 1 << 20)
    } else if elapsed > TrainingLoop.reservationTime * 2 {
      reservationSize = max(reservationSize / 2, 1)
    }
    let range = step..<min(step + reservationSize, plan.steps)
    if let mechanism { try reserve(range, of: mechanism) }
    reserved = range.upperBound
    reservationStart = now
  }

  /// Charges a range everywhere; where one ledger refuses, those before it take it back.
  ///
  /// What was trained until a refusal is kept: the run can go on when its budget is raised.
  private mutating func reserve(_ range: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws
  {
    for (index, ledger) in ledgers.enumerated() {
      do {
        try ledger.reserve(range, of: mechanism)
      } catch {
        // What cannot be taken back stays charged, which is safe.
        for earlier in ledgers[..<index] { try? earlier.release(range) }
        if error is PrivacyError, step > 0 { try writeCheckpoint() }
        throw error
      }
    }
    try onReserved()
  }

  /// Gives back what will not run, and writes where to go on from.
  private mutating func stop() throws {
    if mechanism != nil, step < reserved {
      for ledger in ledgers { try ledger.release(step..<reserved) }
    }
    reserved = step
    try checkpoint()
  }

  /// Makes sure that all ranks have come to the same, and writes where to go on from.
  private mutating func checkpoint() throws {
    try ranks?.compare(engine.state, after: step)
    try writeCheckpoint()
  }

  private mutating func writeCheckpoint() throws {
    try directory?.write(
      Checkpoint(state: engine.state, steps: step, planDigest: planDigest))
    lastCheckpoint = TrainingLoop.clock.now
  }

  /// Progress a few times a second, a line of metrics for each hundredth of the run, a checkpoint
  /// for each twentieth (if the last is a second old) and at the interval asked for.
  private mutating func report() throws {
    let now = TrainingLoop.clock.now
    if step % max(1, plan.steps / 100) == 0 || step == plan.steps { try writeMetrics() }
    let age = now - lastCheckpoint
    let isAtMark = step % max(1, plan.steps / 20) == 0 && age >= .seconds(1)
    if engine.isAlone {
      if isAtMark || age >= control.checkpointInterval { try checkpoint() }
    } else {
      if asked.checkpoint { try checkpoint() }
      wanted.checkpoint = directory != nil && (isAtMark || age >= control.checkpointInterval)
    }
    guard now - lastProgress >= TrainingLoop.progressInterval || step == plan.steps else { return }
    let recent = Double(engine.examplesDrawn - examplesReported)
    let rate = recent / TrainingLoop.seconds(now - lastProgress)
    let pace = TrainingLoop.seconds(since: start) / Double(max(1, engine.stepsTaken))
    control.onProgress(
      TrainingProgress(
        step: step, steps: plan.steps, examplesPerSecond: rate, epsilon: spending?(step),
        secondsLeft: Double(plan.steps - step) * pace))
    lastProgress = now
    examplesReported = engine.examplesDrawn
  }

  private mutating func writeMetrics() throws {
    let statistics = engine.takeStatistics()
    let count = Double(max(1, statistics.examples))
    try metrics?.append(
      .object([
        ("step", .integer(step)),
        ("epsilon", .optional(spending?(step))),
        ("seconds", .number(TrainingLoop.seconds(since: start))),
        ("trainLoss", .number(statistics.lossSum / count)),
        ("clippedFraction", .number(Double(statistics.clipped) / count)),
        ("nonFiniteGradients", .integer(statistics.nonFinite)),
        ("examplesDrawn", .integer(statistics.examples)),
      ]))
  }

  private static func seconds(since start: ContinuousClock.Instant) -> Double {
    seconds(clock.now - start)
  }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
  }
}
