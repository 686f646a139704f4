/// What was proved about a schedule.
public struct ScheduleProof: Sendable {
  /// Messages that have to follow each other, at most: the number of rounds.
  public let rounds: Int
  /// Elements that each rank sends.
  public let sent: [Int]
  /// Messages that each rank sends.
  public let messages: [Int]
  /// Per rank, how the elements of its vector are summed at the end.
  package let results: [[Run]]
  /// The sums that the results name.
  package let sums: SumTable

  /// The bits that the schedule gives a rank.
  ///
  /// - Parameters:
  ///   - rank: The rank.
  ///   - inputs: The vectors of all ranks.
  ///   - adding: The sum of two elements.
  /// - Returns: The rank's vector at the end.
  package func predict<Value>(
    rank: Int, _ inputs: [[Value]], adding: (Value, Value) -> Value
  ) -> [Value] {
    results[rank].flatMap { run in
      (run.element..<run.element + run.count).map { element in
        sums.evaluate(run.sum, inputs.map { $0[element] }, adding: adding)
      }
    }
  }
}

/// Proves schedules on symbols: the numbers that are added are never looked at.
///
/// Proved are: no rank waits for ever, even if no message is buffered; lengths agree; within a round
/// nothing is written that is also sent, read or written; nothing is read before it is written; no
/// input is added twice or left out; and all ranks sum each element in the same way, so that they
/// have the same bits.
public enum ScheduleChecker {
  /// Proves a schedule.
  ///
  /// - Parameter schedule: An operation of at most 64 ranks.
  /// - Returns: What it costs and how it sums.
  /// - Throws: ``ScheduleFault``, which says what is wrong where.
  public static func check(_ schedule: Schedule) throws(ScheduleFault) -> ScheduleProof {
    let ranks = (0..<schedule.ranks).map { schedule.rank($0) }
    return try check(ranks, schedule)
  }

  /// Proves that ranks' schedules do what an operation promises.
  package static func check(
    _ ranks: [RankSchedule], _ schedule: Schedule
  ) throws(ScheduleFault) -> ScheduleProof {
    let prover = try ScheduleWalk.run(ranks, observer: Prover(ranks, schedule))
    try prover.requireResult()
    return prover.proof
  }
}

/// Carries symbols through a schedule.
private struct Prover: ScheduleObserver {
  /// What a message carries: symbols, when it left, and whom its sender had heard of.
  struct Content {
    let runs: [Run]
    let time: Int
    let heard: UInt64
  }

  /// What a rank has.
  struct State {
    var vector: SymbolicMemory
    var scratch: SymbolicMemory
    var arrived: [(runs: [Run], receive: Receive)] = []
    var time = 0
    var end = 0
    var heard: UInt64
    var heardNext: UInt64
    var sent = 0
    var messages = 0
  }

  private let schedule: Schedule
  private var states: [State]
  private var sums: SumTable

  init(_ ranks: [RankSchedule], _ schedule: Schedule) {
    self.schedule = schedule
    sums = SumTable(ranks: ranks.count)
    states = ranks.enumerated().map { rank, own in
      State(
        vector: SymbolicMemory(count: schedule.count, sum: Int32(rank)),
        scratch: SymbolicMemory(count: own.scratchCount, sum: -1), heard: 1 << UInt64(rank),
        heardNext: 0)
    }
    for rank in ranks.indices { hide(schedule.absent(rank), of: rank) }
  }

  /// Takes away what a rank does not have at the start.
  private mutating func hide(_ ranges: [Range<Int>], of rank: Int) {
    for range in ranges {
      let run = Run(start: range.lowerBound, count: range.count, sum: -1, element: range.lowerBound)
      states[rank].vector.write([run], to: range)
    }
  }

  mutating func start(_ rank: Int, _ round: Round) throws(ScheduleFault) {
    try Hazards(rank: rank, round).require()
    try work(round.prepare, rank)
    states[rank].end = states[rank].time
    states[rank].heardNext = states[rank].heard
  }

  mutating func post(
    _ rank: Int, _ send: Send, index: Int
  ) throws(ScheduleFault) -> Content {
    var runs: [Run] = []
    for slice in send.slices { runs += try read(slice, rank) }
    states[rank].sent += send.count
    states[rank].messages += 1
    return Content(runs: runs, time: states[rank].time, heard: states[rank].heard)
  }

  mutating func match(
    _ content: Content, from sender: Int, to receiver: Int, _ receive: Receive
  ) {
    let end = max(content.time, states[receiver].time) + 1
    states[sender].end = max(states[sender].end, end)
    states[receiver].end = max(states[receiver].end, end)
    states[receiver].heardNext |= content.heard
    states[receiver].arrived.append((content.runs, receive))
  }

  mutating func end(_ rank: Int, _ round: Round) throws(ScheduleFault) {
    try work(round.meanwhile, rank)
    for (runs, receive) in states[rank].arrived {
      var rest = runs[...]
      for slice in receive.slices {
        let part = Prover.take(slice.count, from: &rest)
        try receive.adds ? add(part, to: slice, rank) : write(part, to: slice, rank)
      }
    }
    states[rank].arrived = []
    states[rank].time = states[rank].end
    states[rank].heard = states[rank].heardNext
  }

  private mutating func work(_ steps: [LocalStep], _ rank: Int) throws(ScheduleFault) {
    for step in steps {
      guard step.source.count == step.target.count else {
        throw ScheduleFault("rank \(rank) has a step of unequal slices: \(step)")
      }
      let source = try read(step.source, rank)
      switch step {
      case .add: try add(source, to: step.target, rank)
      case .copy: try write(source, to: step.target, rank)
      }
    }
  }

  private func read(_ slice: ScheduleSlice, _ rank: Int) throws(ScheduleFault) -> [Run] {
    try require(slice, rank)
    let memory = slice.area == .vector ? states[rank].vector : states[rank].scratch
    let runs = memory.read(slice.range)
    guard runs.allSatisfy({ $0.sum >= 0 }) else {
      throw ScheduleFault("rank \(rank) reads \(slice.range) of \(slice.area) before it is written")
    }
    return runs
  }

  private mutating func write(
    _ runs: [Run], to slice: ScheduleSlice, _ rank: Int
  ) throws(ScheduleFault) {
    try require(slice, rank)
    var place = slice.start
    let placed = runs.map { run in
      defer { place += run.count }
      return Run(start: place, count: run.count, sum: run.sum, element: run.element)
    }
    switch slice.area {
    case .vector: states[rank].vector.write(placed, to: slice.range)
    case .scratch: states[rank].scratch.write(placed, to: slice.range)
    }
  }

  private mutating func add(_ runs: [Run], to slice: ScheduleSlice, _ rank: Int)
    throws(ScheduleFault)
  {
    var old = try read(slice, rank)[...]
    var rest = runs[...]
    var result: [Run] = []
    while let a = old.first, let b = rest.first {
      let count = min(a.count, b.count)
      guard a.element == b.element else {
        throw ScheduleFault("rank \(rank) adds element \(b.element) to element \(a.element)")
      }
      guard let sum = sums.sum(a.sum, b.sum) else {
        throw ScheduleFault("rank \(rank) adds an input to element \(a.element) twice")
      }
      result.append(Run(start: 0, count: count, sum: sum, element: a.element))
      _ = Prover.take(count, from: &old)
      _ = Prover.take(count, from: &rest)
    }
    try write(result, to: slice, rank)
  }

  private func require(_ slice: ScheduleSlice, _ rank: Int) throws(ScheduleFault) {
    let memory = slice.area == .vector ? states[rank].vector : states[rank].scratch
    let end = memory.runs.last.map { $0.start + $0.count } ?? 0
    guard slice.start >= 0, slice.count >= 0, slice.range.upperBound <= end else {
      throw ScheduleFault("rank \(rank) touches \(slice.range) of \(end) in \(slice.area)")
    }
  }

  /// Cuts the first elements off.
  private static func take(_ count: Int, from runs: inout ArraySlice<Run>) -> [Run] {
    var left = count
    var taken: [Run] = []
    while left > 0, var run = runs.popFirst() {
      if run.count > left {
        let rest = run.part(run.start + left..<run.start + run.count)
        run.count = left
        runs = [rest] + runs
      }
      taken.append(run)
      left -= run.count
    }
    return taken
  }

  /// What was found, for a schedule that came to its end.
  var proof: ScheduleProof {
    ScheduleProof(
      rounds: states.map(\.time).max() ?? 0, sent: states.map(\.sent),
      messages: states.map(\.messages), results: states.map { $0.vector.runs }, sums: sums)
  }

  /// Requires what the operation promises.
  func requireResult() throws(ScheduleFault) {
    for rank in states.indices {
      guard schedule.collective != .barrier else {
        guard states[rank].heard == sums.all else {
          throw ScheduleFault("rank \(rank) leaves the barrier before all have come")
        }
        continue
      }
      for range in schedule.promised(rank) { try requireResult(rank, range) }
    }
  }

  private func requireResult(_ rank: Int, _ range: Range<Int>) throws(ScheduleFault) {
    var place = range.lowerBound
    for run in states[rank].vector.read(range) {
      guard run.element == place, run.sum >= 0,
        sums.terms(of: run.sum) == schedule.terms(place, all: sums.all)
      else { throw ScheduleFault("rank \(rank) ends with a wrong sum in element \(place)") }
      place += run.count
    }
    let first = states[0].vector.read(range)
    guard !schedule.isCommon || SymbolicMemory.agree(first, states[rank].vector.read(range)) else {
      throw ScheduleFault("ranks 0 and \(rank) sum \(range) in different ways")
    }
  }
}

extension SymbolicMemory {
  /// Whether two stretches hold the same sums.
  static func agree(_ a: [Run], _ b: [Run]) -> Bool {
    func joined(_ runs: [Run]) -> [Run] {
      runs.reduce(into: []) { result, run in
        if let last = result.last, last.sum == run.sum, last.element + last.count == run.element {
          result[result.count - 1].count += run.count
        } else {
          result.append(run)
        }
      }
    }
    return joined(a) == joined(b)
  }
}

extension Schedule {
  /// Elements that a rank does not have at the start.
  fileprivate func absent(_ rank: Int) -> [Range<Int>] {
    switch collective {
    case .allReduce, .reduceScatter: return []
    case .allGather:
      let own = Chunks(0..<count, parts: ranks)[rank]
      return [0..<own.lowerBound, own.upperBound..<count]
    case .broadcast(let root): return rank == root ? [] : [0..<count]
    case .barrier: return [1..<2]
    }
  }

  /// Elements that a rank has at the end.
  fileprivate func promised(_ rank: Int) -> [Range<Int>] {
    switch collective {
    case .allReduce, .broadcast: [0..<count]
    case .reduceScatter: [Chunks(0..<count, parts: ranks)[rank]]
    case .allGather: (0..<ranks).map { Chunks(0..<count, parts: ranks)[$0] }
    case .barrier: []
    }
  }

  /// The ranks whose input an element holds at the end.
  fileprivate func terms(_ element: Int, all: UInt64) -> UInt64 {
    switch collective {
    case .allReduce, .reduceScatter, .barrier: return all
    case .broadcast(let root): return 1 << UInt64(root)
    case .allGather:
      let chunks = Chunks(0..<count, parts: ranks)
      return (0..<ranks).first { chunks[$0].contains(element) }.map { 1 << UInt64($0) } ?? 0
    }
  }

  /// Whether all ranks end with the same.
  fileprivate var isCommon: Bool { collective != .reduceScatter && collective != .barrier }
}
