internal import DPAccounting
package import DPCollectives
package import DPKernels
package import DPMechanisms
package import DPModels

/// The steps of one run: sample, gradients, clipping, sum, noise, update.
///
/// The engine knows nothing of budgets or files: its owner charges a step before asking for it, and
/// never asks for a step twice under one key. Samples are drawn two steps ahead, so that the memory of
/// their rows can be asked for in time; what is drawn and not used is never seen.
///
/// A step is cut into pieces that a team of threads shares: the tiles of its batch, the noise of some
/// coordinates each, and the sample of a later step. Sums of tiles are exact, so parameters are the
/// same, bit for bit, for any number of threads.
///
/// Several ranks take a step together, each with the rows of its share: every rank makes the noise of
/// some coordinates, adds it to its part of S, and one exact sum over ranks gives all of them the same
/// released value. Noise and samples of later steps are made when a rank has brought its part, so that
/// who is early uses the time.
package final class StepEngine {
  /// θ, d numbers.
  package private(set) var parameters: [Float]
  /// The rule with its state.
  private(set) var optimizer: Optimizer
  /// Steps taken by this engine.
  private(set) var stepsTaken = 0
  /// Examples drawn since this engine began, on all ranks.
  package private(set) var examplesDrawn = 0
  /// The threads that work on a step.
  package var threads: Int { team.threads }
  /// What the batches since the last ``takeStatistics()`` were like.
  private var statistics = ClippedGradientSum.Statistics()

  private let table: ExampleTable
  private let batchSize: Int
  private let learningRate: Double
  private let schedule: LearningRateSchedule
  /// T.
  private let steps: Int
  private var sampler: PoissonSampler
  /// Samples of this step and the next two, by step modulo 3.
  private let samples = [Sample(), Sample(), Sample()]
  private let noise: [NoisePart]
  private let team: ThreadTeam
  /// The rows that this rank draws from, and the blocks that they touch.
  private let share: RowShare
  private let blocks: Range<Int>
  /// Where this rank's sums meet those of others; nil where it is alone.
  private let peers: StepExchange?
  /// What is added to sums that hold their noise already.
  private let noNoise: [Int32]
  /// One for each thread.
  private let sums: [PartialSum]
  /// Counts calls of ``take(step:)``.
  private var turn = 0
  /// Where the time of steps goes, for each thread; empty unless it is measured.
  private var clocks: [PhaseClock] = []

  /// Without privacy there is no grid; sums are then rounded to 2⁻⁴⁰, and below 2¹³ exact, or to 2⁻³⁰
  /// and below 2²³.
  private static func usualUnitsPerOne(_ numerics: Numerics) -> Double {
    switch numerics {
    case .fast: 0x1p40
    case .canonical: 0x1p30
    }
  }
  /// Coordinates whose noise is one piece of work.
  private static let noiseCoordinates = 16_384
  /// Multiply-adds of a step, a few for each parameter and example, from which more threads pay.
  private static let sharedWork = 2_000_000

  /// The records of a step.
  private final class Sample {
    var step = -1
    var records: [UInt32] = []
  }

  /// What a thread has summed of a step; emptied by the thread itself when it takes its first tile.
  private final class PartialSum {
    let sum: ClippedGradientSum
    /// The call of ``take(step:)`` that it belongs to.
    private(set) var turn = 0

    init(_ sum: ClippedGradientSum) { self.sum = sum }

    /// Empties the sum, unless that is done or the sum is kept elsewhere, by an owner who does it.
    func begin(_ turn: Int, isElsewhere: Bool = false) {
      guard self.turn != turn else { return }
      isElsewhere ? sum.resetStatistics() : sum.reset()
      self.turn = turn
    }
  }

  /// The noise of consecutive coordinates; zeros without privacy.
  private final class NoisePart {
    let first: Int
    var source: (any NoiseSource)?
    private(set) var units: [Int32]
    private var step = -1

    init(first: Int, count: Int, source: (any NoiseSource)?) {
      self.first = first
      self.source = source
      units = [Int32](repeating: 0, count: count)
    }

    /// Makes the noise of a step, unless that is done.
    func fill(step: Int) {
      guard source != nil, self.step != step else { return }
      self.step = step
      var room = exchange(&units, with: [])
      var span = room.mutableSpan
      source?.fill(&span, step: step, from: first)
      units = room
    }
  }

  /// Prepares the steps of a plan.
  ///
  /// - Parameters:
  ///   - plan: What to do.
  ///   - table: The training split, or the rows of this rank's share of it.
  ///   - key: Where sampling and noise come from; fresh for every run and restart, the same on all ranks.
  ///   - start: Parameters and optimizer state to go on from, the same on all ranks.
  ///   - threads: At most so many threads, at least 1; fewer where a step is too small to share.
  ///   - kernels: The loops to use, of the plan's numerics; the fastest by default.
  ///   - share: What part of the training split `table` is; nil for all of it.
  ///   - communicator: The ranks that take steps together; nil where this one is alone.
  /// - Throws: ``ModelError`` or ``PrivacyError`` when the plan was changed by hand.
  package init(
    _ plan: TrainingPlan, table: ExampleTable, key: some RunKey, start: ModelState,
    threads: Int = 1, kernels: TileKernels? = nil, share: RowShare? = nil,
    communicator: Communicator? = nil
  ) throws {
    let kernels = kernels ?? .fastest(plan.numerics)
    precondition(
      kernels.numerics == plan.numerics, "\(kernels.numerics) loops, \(plan.numerics) plan")
    let share = share ?? RowShare(all: table.count)
    precondition(
      share.rows.count == table.count, "\(table.count) rows for a share of \(share.rows)")
    self.share = share
    let architecture = try plan.architecture()
    let count = architecture.parameterCount
    let grid = plan.privacy.map {
      NoiseGrid(
        noiseScale: $0.noiseMultiplier * $0.clip, clipNorm: $0.clip, parameters: count,
        kind: $0.noise)
    }
    self.table = table.packed() ?? table
    batchSize = plan.batchSize
    parameters = start.parameters
    learningRate = plan.learningRate
    schedule = plan.schedule
    steps = plan.steps
    optimizer = Optimizer(
      plan.optimizer, steps: start.optimizerSteps, state: start.optimizerState,
      weightDecay: plan.weightDecay)
    let rate = try SamplingRate(plan.samplingRate)
    let records = RecordBlocks(records: share.total, samplingRate: rate)
    sampler = try PoissonSampler(key, samplingRate: rate, blocks: records)
    blocks = share.blocks(of: records)
    let together = communicator.flatMap { $0.ranks > 1 ? $0 : nil }
    peers = together.map { StepExchange($0, coordinates: count) }
    let own = peers?.noiseCoordinates ?? 0..<count
    let size = StepEngine.noiseCoordinates
    noise = stride(from: own.lowerBound, to: own.upperBound, by: size).map { first in
      NoisePart(
        first: first, count: min(size, own.upperBound - first),
        source: grid.map { StepEngine.noise(plan, key, coordinates: count, grid: $0) })
    }
    noNoise = [Int32](repeating: 0, count: peers == nil ? 0 : StepExchange.partCoordinates)
    let batch = plan.batchSize / (together?.ranks ?? 1)
    let team = ThreadTeam(
      threads: StepEngine.usefulThreads(threads, batchSize: batch, parameters: count))
    self.team = team
    sums = (0..<team.threads).map { _ in
      PartialSum(
        ClippedGradientSum(
          architecture, clipNorm: plan.privacy?.clip,
          clipping: plan.privacy?.clipping ?? .flat,
          unitsPerOne: grid.map { 1 / $0.spacing } ?? StepEngine.usualUnitsPerOne(plan.numerics),
          kernels: kernels))
    }
  }

  private static func noise(
    _ plan: TrainingPlan, _ key: some RunKey, coordinates: Int, grid: NoiseGrid
  ) -> any NoiseSource {
    switch plan.privacy?.noise {
    case .discrete: DiscreteGaussianNoise(key, coordinates: coordinates, grid: grid)
    case .gaussian, nil: GaussianNoise(key, coordinates: coordinates, grid: grid)
    }
  }

  /// As many threads as a step keeps busy: one unless its batch has several tiles and its work takes
  /// some 50 µs, which is what threads that went to sleep take to begin.
  private static func usefulThreads(_ threads: Int, batchSize: Int, parameters: Int) -> Int {
    guard 3 * batchSize * parameters >= sharedWork else { return 1 }
    return max(1, min(threads, ClippedGradientSum.tiles(of: batchSize)))
  }

  /// Whether this rank takes its steps by itself.
  package var isAlone: Bool { peers == nil }

  /// Takes a step: after it the parameters have changed by what was released, and by nothing else.
  ///
  /// - Parameter step: The step's index in the run, charged already. This rank is alone.
  package func take(step: Int) {
    precondition(isAlone, "ranks take steps together")
    work(step: step)
    timed(.noiseUpdate, 0) {
      let total = total()
      finish(total.statistics)
      let values = total.sum
      release(step: step, values.span)
    }
  }

  /// This rank's sum over the threads that took part.
  private func total() -> ClippedGradientSum {
    let first = sums.firstIndex { $0.turn == turn } ?? 0
    let total = sums[first].sum
    for part in sums[(first + 1)...] where part.turn == turn { total.add(part.sum) }
    return total
  }

  /// Takes a step together with the other ranks, all of which do the same.
  ///
  /// No rank has the released value before every rank has come to the step: a rank that charges the
  /// step first charges it for all.
  ///
  /// - Parameters:
  ///   - step: The step's index in the run; whoever charges it has done so.
  ///   - requests: What this rank asks for.
  /// - Returns: What any rank asked for; the step is done all the same.
  /// - Throws: ``CollectiveError``; the step was not taken then.
  package func take(
    step: Int, asking requests: StepRequests
  ) throws(CollectiveError) -> StepRequests {
    guard let peers else {
      take(step: step)
      return requests
    }
    peers.begin(step: step)
    var statistics = sum(step: step, peers)
    try peers.bring(statistics, asking: requests)
    makeAhead(of: step)
    let answer = try peers.collect(&statistics)
    finish(statistics)
    timed(.noiseUpdate, 0) { release(step: step, peers) }
    peers.end()
    return answer
  }

  /// Makes this rank's part of a step's sum, its noise included, in the vector that ranks share.
  private func sum(step: Int, _ peers: StepExchange) -> ClippedGradientSum.Statistics {
    turn += 1
    draw(step)
    draw(step + 1)
    timed(.noiseUpdate, 0) {
      peers.clear()
      for part in noise {
        part.fill(step: step)
        peers.put(noise: part.units.span, at: part.first)
      }
    }
    let tiles = ClippedGradientSum.tiles(of: samples[step % samples.count].records.count)
    team.run(pieces: tiles) { thread, tile in
      timed(.compute, thread) { add(tile: tile, of: tiles, step, thread) }
    }
    var statistics = ClippedGradientSum.Statistics()
    for (thread, part) in sums.enumerated() where part.turn == turn {
      statistics.add(part.sum.statistics)
      let values = part.sum.sum
      if thread > 0 { peers.add(values.span) }
    }
    return statistics
  }

  /// Makes what later steps need, while other ranks are still on their way: whoever comes first need not
  /// do it later.
  private func makeAhead(of step: Int) {
    team.run(pieces: 1 + noise.count) { thread, piece in
      if piece == 0 {
        timed(.sample, thread) { draw(step + 2) }
      } else {
        timed(.noiseUpdate, thread) { noise[piece - 1].fill(step: step + 1) }
      }
    }
  }

  /// Where the time of steps goes that ranks take together; nil where this rank is alone.
  package var times: StepTimes? { peers?.times }

  /// Draws a step's sample, unless that is done.
  private func draw(_ step: Int) {
    let sample = samples[step % samples.count]
    guard sample.step != step else { return }
    sample.records.removeAll(keepingCapacity: true)
    sampler.appendSample(step: step, blocks: blocks, to: &sample.records)
    share.keepOwn(&sample.records)
    sample.step = step
  }

  /// Does what can be done side by side: S in units of the grid, in parts, noise, a later sample.
  private func work(step: Int) {
    turn += 1
    draw(step)
    draw(step + 1)
    let sample = samples[step % samples.count]
    let tiles = ClippedGradientSum.tiles(of: sample.records.count)
    team.run(pieces: 1 + noise.count + tiles) { thread, piece in
      if piece == 0 {
        timed(.sample, thread) { draw(step + 2) }
      } else if piece <= noise.count {
        timed(.noiseUpdate, thread) { noise[piece - 1].fill(step: step) }
      } else {
        timed(.compute, thread) { add(tile: piece - 1 - noise.count, of: tiles, step, thread) }
      }
    }
    // An empty batch has no tile.
    if tiles == 0 { sums[0].begin(turn) }
  }

  /// Counts a step that was taken, with its batch on all ranks.
  private func finish(_ batch: ClippedGradientSum.Statistics) {
    statistics.add(batch)
    examplesDrawn += batch.examples
    stepsTaken += 1
  }

  /// Adds a tile to a thread's sum, and asks for the memory of the tile that it will likely see next.
  private func add(tile: Int, of tiles: Int, _ step: Int, _ thread: Int) {
    let records = samples[step % samples.count].records
    let ahead = tile + team.threads
    let later = ahead < tiles ? records : samples[(step + 1) % samples.count].records
    let first = min(later.count, (ahead < tiles ? ahead : ahead - tiles) * TilePass.tileExamples)
    let end = min(later.count, first + TilePass.tileExamples)
    let start = parameters
    let part = sums[thread]
    guard let peers, thread == 0 else {
      part.begin(turn)
      return part.sum.add(
        tile: tile, of: records.span, table: table, parameters: start.span,
        upcoming: later.span.extracting(first..<end))
    }
    part.begin(turn, isElsewhere: true)
    peers.withVector { sum in
      part.sum.add(
        tile: tile, of: records.span, table: table, parameters: start.span,
        upcoming: later.span.extracting(first..<end), to: &sum)
    }
  }

  /// Moves the parameters by (S + noise) / B, with B a public constant: never the drawn batch's size.
  ///
  /// S and the noise are integers in units of the grid, so their sum is exact in Double.
  private func release(step: Int, _ sum: Span<Double>) {
    beginUpdate(step: step)
    var moved = exchange(&parameters, with: [])
    var target = moved.mutableSpan
    for part in noise {
      let units = part.units
      let end = part.first + units.count
      optimizer.apply(
        sum.extracting(part.first..<end), units.span, from: part.first, to: &target)
    }
    parameters = moved
  }

  /// Moves the parameters by a sum over ranks, which holds the noise already.
  private func release(step: Int, _ peers: StepExchange) {
    beginUpdate(step: step)
    let zeros = noNoise
    var moved = exchange(&parameters, with: [])
    peers.withSum { first, sum in
      var target = moved.mutableSpan
      optimizer.apply(sum, zeros.span.extracting(first: sum.count), from: first, to: &target)
    }
    parameters = moved
  }

  private func beginUpdate(step: Int) {
    optimizer.begin(
      learningRate: Float(learningRate * schedule.factor(step: step, of: steps)),
      scale: 1 / (sums[0].sum.unitsPerOne ?? 1) / Double(batchSize))
  }

  /// Parameters and optimizer state as they are, for a checkpoint.
  package var state: ModelState {
    ModelState(
      parameters: parameters, optimizerSteps: optimizer.steps, optimizerState: optimizer.state)
  }

  /// What the batches since the last call were like.
  ///
  /// - Returns: Un-noised facts, for the operator alone.
  func takeStatistics() -> ClippedGradientSum.Statistics {
    defer { statistics = ClippedGradientSum.Statistics() }
    return statistics
  }

  // MARK: Where the time goes

  /// Starts to measure where the time goes, from zero.
  package func measurePhases() {
    clocks = (0..<team.threads).map { _ in PhaseClock() }
  }

  /// Seconds of each phase since ``measurePhases()``, over all threads.
  package var phases: [TrainingPhase: Double] {
    clocks.reduce(into: [:]) { $0.merge($1.seconds, uniquingKeysWith: +) }
  }

  private func timed(_ phase: TrainingPhase, _ thread: Int, _ work: () -> Void) {
    guard !clocks.isEmpty else { return work() }
    clocks[thread].measure(phase, work)
  }

  /// One thread's time.
  private final class PhaseClock {
    private(set) var seconds: [TrainingPhase: Double] = [:]

    func measure(_ phase: TrainingPhase, _ work: () -> Void) {
      let clock = ContinuousClock()
      let start = clock.now
      work()
      seconds[phase, default: 0] += (clock.now - start) / .seconds(1)
    }
  }
}

/// What a step's time is spent on.
package enum TrainingPhase: String, CaseIterable, Sendable {
  /// Drawing samples.
  case sample
  /// Gathering, forward, backward, clipping, sums.
  case compute
  /// Making noise, and moving parameters.
  case noiseUpdate
}

/// Parameters and what the optimizer remembers: made of released values only.
package struct ModelState: Hashable {
  /// θ, d numbers.
  package var parameters: [Float]
  /// Steps that the optimizer has taken.
  package var optimizerSteps: Int
  /// What the rule remembers.
  package var optimizerState: [[Float]]

  /// Where a run begins: fresh parameters, an optimizer that remembers nothing.
  ///
  /// - Parameters:
  ///   - plan: What the run is to do.
  ///   - generator: Where the parameters come from.
  /// - Throws: ``ModelError`` when the plan was changed by hand.
  package init(
    start plan: TrainingPlan, using generator: inout some RandomNumberGenerator
  ) throws(ModelError) {
    let first = try plan.architecture().initialParameters(using: &generator)
    let empty = [Float](repeating: 0, count: first.count)
    self.init(
      parameters: first, optimizerSteps: 0,
      optimizerState: Array(repeating: empty, count: plan.optimizer.stateVectors))
  }

  /// Goes on from a checkpoint.
  package init(parameters: [Float], optimizerSteps: Int, optimizerState: [[Float]]) {
    self.parameters = parameters
    self.optimizerSteps = optimizerSteps
    self.optimizerState = optimizerState
  }
}
