internal import DPKernels

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The kinds of operations.
@usableFromInline
enum OperationKind: UInt8 {
  case allReduce
  case reduceScatter
  case allGather
  case broadcast
  case barrier
}

/// An operation in progress, for frames and for errors.
struct Operation {
  /// What it is, for people: "allReduce 17".
  var name: String { "\(kind) \(sequence)" }
  /// What kind it is.
  let kind: OperationKind
  /// Its number since the group was started.
  let sequence: UInt64
  /// What it is, for peers.
  let fingerprint: UInt64
  /// How long to wait.
  let timeout: Duration
  /// For ranks that share memory.
  var mark: OperationMark { OperationMark(sequence: sequence, fingerprint: fingerprint) }
}

/// Runs one rank's schedule over a transport.
///
/// All messages of a round go both ways side by side, so that two ranks whose buffers are full never
/// wait for each other. Messages that are added come by pieces, which are added while they are in
/// the cache. Nothing is allocated once a schedule has run.
@safe final class Executor {
  private let transport: any Transport
  private let generation: UInt32
  private let sends: TransferList
  private let receives: TransferList
  // SAFETY: allocated by this object; used within single calls.
  private let parts: UnsafeMutableBufferPointer<iovec>
  private var scratch: UnsafeMutableRawBufferPointer
  private var sentTo: [UInt32]
  private var receivedFrom: [UInt32]
  // Made when it is first asked for: most operations never look at a clock.
  private var deadline: Deadline?
  // What park() is told; kept for their memory.
  private var sendingTo: [Int] = []
  private var receivingFrom: [Int] = []

  init(_ transport: any Transport, generation: UInt32) {
    self.transport = transport
    self.generation = generation
    sentTo = Array(repeating: 0, count: transport.ranks)
    receivedFrom = sentTo
    sends = TransferList()
    receives = TransferList()
    unsafe parts = .allocate(capacity: 3)
    unsafe scratch = .allocate(byteCount: 0, alignment: 64)
    // An operation that has to wait for the first time must not be one that allocates.
    sendingTo.reserveCapacity(transport.ranks)
    receivingFrom.reserveCapacity(transport.ranks)
  }

  deinit {
    // SAFETY: both were allocated by this object.
    unsafe parts.deallocate()
    unsafe scratch.deallocate()
  }

  /// Memory and arithmetic of one run.
  @safe private struct Workplace {
    // SAFETY: `vector` and `scratch` hold what the schedule's slices name, through the run.
    let vector: UnsafeMutableRawPointer
    let scratch: UnsafeMutableRawPointer
    let sum: VectorSum
    let size: Int

    func bytes(_ slice: ScheduleSlice) -> UnsafeMutableRawBufferPointer {
      let base = unsafe slice.area == .vector ? vector : scratch
      return unsafe UnsafeMutableRawBufferPointer(
        start: base + slice.start * size, count: slice.count * size)
    }

    /// The memory of a message, whose second half may be empty.
    func bytes(
      _ slices: ScheduleSlices
    ) -> (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer) {
      let none = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
      return unsafe (
        slices.isEmpty ? none : bytes(slices[0]), slices.count < 2 ? none : bytes(slices[1])
      )
    }

    func work(_ steps: [LocalStep]) {
      for step in steps {
        let from = unsafe bytes(step.source)
        let into = unsafe bytes(step.target)
        guard let source = from.baseAddress, let target = into.baseAddress else { continue }
        switch step {
        case .add: unsafe sum.add(source, into: target, count: step.source.count)
        case .copy: unsafe target.copyMemory(from: source, byteCount: from.count)
        }
      }
    }
  }

  /// Runs a schedule on a vector.
  func run(
    _ schedule: RankSchedule, on vector: UnsafeMutableRawPointer, sum: VectorSum,
    _ operation: Operation
  ) throws(CollectiveError) {
    let size = sum.element.byteCount
    reserve(schedule.scratchCount * size)
    guard let memory = unsafe scratch.baseAddress else { return }
    let workplace = unsafe Workplace(vector: vector, scratch: memory, sum: sum, size: size)
    deadline = nil
    for peer in sentTo.indices {
      sentTo[peer] = 0
      receivedFrom[peer] = 0
    }
    for round in schedule.rounds {
      workplace.work(round.prepare)
      post(round, workplace, operation)
      try progress(workplace)
      workplace.work(round.meanwhile)
      try finish(workplace, operation)
    }
  }

  private func reserve(_ byteCount: Int) {
    guard unsafe scratch.count < byteCount || scratch.baseAddress == nil else { return }
    unsafe scratch.deallocate()
    unsafe scratch = .allocate(byteCount: max(64, byteCount), alignment: 64)
  }

  private func post(_ round: Round, _ workplace: Workplace, _ operation: Operation) {
    sends.removeAll()
    receives.removeAll()
    func header(_ sender: Int, _ message: UInt32, _ count: Int) -> FrameHeader {
      FrameHeader(
        generation: generation, sequence: operation.sequence,
        fingerprint: operation.fingerprint, message: message, sender: UInt32(sender),
        payload: UInt64(count * workplace.size))
    }
    for send in round.sends {
      let own = header(transport.rank, sentTo[send.peer], send.count)
      sentTo[send.peer] += 1
      let (first, second) = unsafe workplace.bytes(send.slices)
      unsafe sends.append(peer: send.peer, own, first, second, adds: false)
    }
    for receive in round.receives {
      let expected = header(receive.peer, receivedFrom[receive.peer], receive.count)
      receivedFrom[receive.peer] += 1
      let (first, second) = unsafe workplace.bytes(receive.slices)
      unsafe receives.append(peer: receive.peer, expected, first, second, adds: receive.adds)
    }
  }

  /// Moves what can be moved now, and says whether that was anything.
  @discardableResult
  private func progress(_ workplace: Workplace) throws(CollectiveError) -> Bool {
    var moved = false
    for index in 0..<sends.count where !sends[index].isDone {
      let count = unsafe sends[index].remaining(parts)
      let taken = try unsafe transport.send(.init(rebasing: parts[..<count]), to: sends[index].peer)
      sends[index].done += taken
      moved = moved || taken > 0
    }
    for index in 0..<receives.count where !receives[index].isDone {
      let count = unsafe receives[index].wanted(parts)
      let peer = receives[index].peer
      let came = try unsafe transport.receive(.init(rebasing: parts[..<count]), from: peer)
      guard came > 0 else { continue }
      moved = true
      try accept(came, index, workplace)
    }
    return moved
  }

  private func accept(
    _ count: Int, _ index: Int, _ workplace: Workplace
  ) throws(CollectiveError) {
    let before = receives[index].done
    receives[index].done += count
    if before < FrameHeader.byteCount, receives[index].done >= FrameHeader.byteCount {
      try check(index)
    }
    if receives[index].adds { receives[index].addStaged(workplace.sum) }
  }

  private func check(_ index: Int) throws(CollectiveError) {
    let peer = receives[index].peer
    guard let header = receives[index].header else {
      throw CollectiveError(
        .malformedFrame,
        "\(name(of: peer)) sent bytes that are no frame; is it the same version of fastDP?",
        peer: peer)
    }
    // Compared before any text is made: this is done for every message.
    guard header != receives[index].expected else { return }
    let conflict = header.conflict(with: receives[index].expected) ?? ""
    throw CollectiveError.otherCall(peer, transport.name(of: peer), transport.rank, conflict)
  }

  private func name(of peer: Int) -> String { "rank \(peer) (\(transport.name(of: peer)))" }

  /// Moves all messages of the round to their end.
  private func finish(_ workplace: Workplace, _ operation: Operation) throws(CollectiveError) {
    let policy = transport.policy
    var idle = 0
    while !(sends.isDone && receives.isDone) {
      let ticket = transport.ticket
      if try progress(workplace) {
        idle = 0
      } else if idle < policy.looks + policy.yields {
        idle += 1
        if idle > policy.looks { sched_yield() }
        if idle & 1023 == 0 { try requireTime(operation) }
      } else {
        try park(ticket, workplace, operation)
      }
    }
  }

  private func park(
    _ ticket: UInt32, _ workplace: Workplace, _ operation: Operation
  ) throws(CollectiveError) {
    if let fault = fault(operation) {
      // The peer may have gone after it had sent all that this rank waits for.
      if try progress(workplace) { return }
      throw fault
    }
    try requireTime(operation)
    sendingTo.removeAll(keepingCapacity: true)
    receivingFrom.removeAll(keepingCapacity: true)
    for index in 0..<sends.count where !sends[index].isDone { sendingTo.append(sends[index].peer) }
    for index in 0..<receives.count where !receives[index].isDone {
      receivingFrom.append(receives[index].peer)
    }
    try transport.park(
      ticket, sending: sendingTo, receiving: receivingFrom,
      for: max(1, min(deadline?.left ?? 1, 100_000_000)))
  }

  /// Why a peer that is waited for will never come.
  private func fault(_ operation: Operation) -> CollectiveError? {
    for index in 0..<receives.count where !receives[index].isDone {
      if let fault = transport.fault(of: receives[index].peer, in: operation.mark) { return fault }
    }
    for index in 0..<sends.count where !sends[index].isDone {
      if let fault = transport.fault(of: sends[index].peer, in: operation.mark) { return fault }
    }
    return nil
  }

  /// Has peers that wait for this rank fail at once.
  func abort() { transport.abort() }

  private func requireTime(_ operation: Operation) throws(CollectiveError) {
    try transport.watch?.check()
    let deadline = self.deadline ?? Deadline(after: operation.timeout)
    self.deadline = deadline
    guard deadline.left <= 0 else { return }
    let late = (0..<receives.count).first { !receives[$0].isDone }.map { receives[$0].peer }
    let peer = late ?? (0..<sends.count).first { !sends[$0].isDone }.map { sends[$0].peer }
    throw CollectiveError.late(peer, transport, operation.name)
  }
}

extension CollectiveError {
  /// A peer did not come in time.
  static func late(
    _ peer: Int?, _ transport: any Transport, _ operation: String
  ) -> CollectiveError {
    let who = peer.map { "rank \($0) (\(transport.name(of: $0)))" } ?? "a peer"
    return CollectiveError(
      .timeout,
      "\(who) did not answer rank \(transport.rank) in \(operation) in time; see what it does, "
        + "or allow more time", peer: peer)
  }
}
