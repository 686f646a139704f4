internal import DPKernels

/// A group of ranks that compute together: one value per rank, used by one thread at a time.
///
/// All ranks call the same operations in the same order. Every wait ends by the deadline at the
/// latest; after an error the group is dead, and every later call throws ``CollectiveError/Code/broken``.
@safe public final class Communicator {
  /// This rank, in 0..<ranks.
  public let rank: Int
  /// Ranks of the group.
  public let ranks: Int
  /// How long an operation may wait.
  public var timeout: Duration
  /// Which algorithm is used for which lengths, where a call names none.
  public var algorithms: AlgorithmTable {
    didSet { unsafe state.pointee.recent = nil }
  }
  /// The host of each rank.
  public let hosts: [Int]

  private let engine: Engine
  private let watch: GroupWatch?

  /// What does the work.
  private enum Engine {
    case messages(Executor)
    case memory(Executor, DirectMemory, SharedRegion, RegionLayout)
    case mpi(MPIGroup)
  }

  // SAFETY: allocated by this object, and behind a pointer because a short operation is short
  // beside the checks of a class's variables.
  private let state: UnsafeMutablePointer<State>

  /// What changes.
  private struct State {
    var reserved = 0
    var sequence: UInt64 = 0
    var failure: CollectiveError?
    var plans: [PlanKey: Plan] = [:]
    var recent: (call: Call, plan: Plan)?
    var barrier: Plan?
    var shown: Shown?
  }

  /// Vectors that were shown last.
  private struct Shown {
    let operation: Operation
    let plan: Plan
    let count: Int
  }

  /// A call, in a form that is compared in no time.
  private struct Call: Equatable {
    let operation: OperationKind
    /// The algorithm's number or the root; -1 for none.
    let detail: Int
    let count: Int
    let element: ElementKind
  }

  /// What a schedule depends on.
  private struct PlanKey: Hashable {
    let collective: Schedule.Collective
    let count: Int
    let element: ElementKind
  }

  /// How an operation is done.
  private enum Work {
    case messages(RankSchedule, Executor)
    case directSum(DirectMemory)
    case directBarrier(DirectMemory)
    case mpi(MPIGroup, Schedule.Collective)
  }

  /// Plans that are kept; a program whose lengths never repeat must not fill its memory with them.
  private static let mostPlans = 256

  /// An operation that is ready to run.
  private final class Plan {
    let work: Work
    let kind: OperationKind
    let fingerprint: UInt64
    let element: ElementKind
    let sum: VectorSum

    init(_ work: Work, kind: OperationKind, fingerprint: UInt64, element: ElementKind) {
      self.work = work
      self.kind = kind
      self.fingerprint = fingerprint
      self.element = element
      sum = element.sum
    }
  }

  /// A group over any transport.
  ///
  /// - Parameters:
  ///   - transport: How this rank reaches the others.
  ///   - hosts: The host of each rank; nil where each is alone on its host. Where hosts have several
  ///     ranks, sums are hierarchical unless a call or ``algorithms`` says otherwise.
  ///   - generation: How often the group was started anew.
  ///   - timeout: How long an operation may wait.
  package init(
    _ transport: any Transport, hosts: [Int]? = nil, generation: UInt32 = 0,
    timeout: Duration = .seconds(30)
  ) {
    rank = transport.rank
    ranks = transport.ranks
    self.hosts = hosts ?? Array(0..<transport.ranks)
    self.timeout = timeout
    let hostCount = Set(self.hosts).count
    algorithms = AlgorithmTable(
      always: hostCount > 1 && hostCount < ranks ? .hierarchical : .circulant)
    engine = .messages(Executor(transport, generation: generation))
    watch = transport.watch
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  /// A group of one host, in memory that its ranks share.
  package init(
    _ region: SharedRegion, _ layout: RegionLayout, rank: Int, generation: UInt32 = 0,
    policy: WaitPolicy? = nil, timeout: Duration = .seconds(30), watch: GroupWatch? = nil
  ) {
    let transport = RegionTransport(region, layout, rank: rank, policy: policy)
    transport.watch = watch
    self.watch = watch
    self.rank = rank
    ranks = layout.ranks
    hosts = Array(repeating: 0, count: layout.ranks)
    self.timeout = timeout
    algorithms = AlgorithmTable(always: .direct)
    engine = .memory(
      Executor(transport, generation: generation), DirectMemory(region, layout, transport), region,
      layout)
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  /// The group of ranks that mpirun has started, over the system's Open MPI.
  ///
  /// MPI chooses its own algorithms, and waits without a deadline.
  ///
  /// - Returns: This rank's communicator.
  /// - Throws: ``CollectiveError`` where there is no Open MPI, or where it cannot start.
  public static func overMPI() throws(CollectiveError) -> Communicator {
    Communicator(try MPIGroup())
  }

  /// Ranks that MPI counts, and that are watched over where a watch is given.
  init(
    _ group: MPIGroup, hosts: [Int]? = nil, timeout: Duration = .seconds(30),
    watch: GroupWatch? = nil
  ) {
    rank = group.rank
    ranks = group.ranks
    self.hosts = hosts ?? Array(0..<group.ranks)
    self.timeout = timeout
    algorithms = AlgorithmTable(always: .circulant)
    engine = .mpi(group)
    self.watch = watch
    unsafe state = .allocate(capacity: 1)
    unsafe state.initialize(to: State())
  }

  deinit {
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  /// Whether ranks share memory, so that `direct` can be used.
  public var sharesMemory: Bool { if case .memory = engine { true } else { false } }

  /// Whether sums are MPI's, which chooses its own algorithms.
  public var isOverMPI: Bool { if case .mpi = engine { true } else { false } }

  /// Leaves MPI, where sums are MPI's, when all ranks are done: waits until they do so too.
  func leaveMPI() { if case .mpi(let group) = engine { group.leave() } }

  /// Gives every rank the sum of all ranks' vectors, with the same bits.
  ///
  /// - Parameters:
  ///   - vector: This rank's terms; replaced by the sums. Of the same length on all ranks.
  ///   - algorithm: How; nil to choose by ``algorithms``.
  /// - Throws: ``CollectiveError``.
  /// - Complexity: See ``AllReduceAlgorithm``. Nothing is allocated from the second call on that has
  ///   the same length and algorithm, but for the cipher's records where traffic is encrypted.
  @inlinable
  public func allReduce<Element: CollectiveElement>(
    _ vector: inout MutableSpan<Element>, by algorithm: AllReduceAlgorithm? = nil
  ) throws(CollectiveError) {
    try run(.allReduce, algorithm.map { Int($0.rawValue) } ?? -1, &vector)
  }

  /// Leaves the sums of one chunk at each rank: chunk r of the vector cut into `ranks` parts.
  ///
  /// - Parameter vector: This rank's terms; what lies outside its chunk is undefined afterwards.
  /// - Returns: The chunk that this rank has the sums of.
  /// - Throws: ``CollectiveError``.
  @inlinable
  public func reduceScatter<Element: CollectiveElement>(
    _ vector: inout MutableSpan<Element>
  ) throws(CollectiveError) -> Range<Int> {
    let count = vector.count
    try run(.reduceScatter, -1, &vector)
    return chunk(of: count)
  }

  /// Gives every rank all chunks: chunk r of the vector comes from rank r.
  ///
  /// - Parameter vector: This rank's chunk in its place; the rest is overwritten.
  /// - Throws: ``CollectiveError``.
  @inlinable
  public func allGather<Element: CollectiveElement>(
    _ vector: inout MutableSpan<Element>
  ) throws(CollectiveError) {
    try run(.allGather, -1, &vector)
  }

  /// Gives every rank the root's vector.
  ///
  /// - Parameters:
  ///   - vector: The vector at the root; overwritten elsewhere. Of the same length on all ranks.
  ///   - root: The rank whose vector it is.
  /// - Throws: ``CollectiveError``.
  @inlinable
  public func broadcast<Element: CollectiveElement>(
    _ vector: inout MutableSpan<Element>, from root: Int
  ) throws(CollectiveError) {
    guard root >= 0, root < ranks else {
      throw CollectiveError(.invalidOption, "root is \(root); it must be in 0..<\(ranks)")
    }
    try run(.broadcast, root, &vector)
  }

  /// Waits until all ranks have called it.
  ///
  /// - Throws: ``CollectiveError``.
  public func barrier() throws(CollectiveError) {
    var tokens: (Int32, Int32) = (0, 0)
    let plan = barrierPlan
    // SAFETY: the two integers lie behind each other and live through the call.
    try unsafe withUnsafeMutableBytes(of: &tokens) { bytes throws(CollectiveError) in
      guard let base = bytes.baseAddress else { return }
      try unsafe run(plan, base, count: 2)
    }
  }

  /// The chunk of a vector that this rank owns in ``reduceScatter(_:)`` and ``allGather(_:)``.
  ///
  /// - Parameter count: The vector's length.
  /// - Returns: Its indices.
  public func chunk(of count: Int) -> Range<Int> { Chunks(0..<count, parts: ranks)[rank] }

  /// Takes memory of this rank's part of the shared region; nil where there is none, or not enough left.
  func reserve(
    _ byteCount: Int
  ) -> (address: UnsafeMutableRawPointer, region: SharedRegion)? {
    guard case .memory(_, _, let region, let layout) = engine,
      unsafe byteCount <= layout.vectorBytes - state.pointee.reserved
    else { return nil }
    defer { unsafe state.pointee.reserved += byteCount.roundedUp(to: 128) }
    return unsafe (region.base + layout.vectors(rank) + state.pointee.reserved, region)
  }

  @inlinable
  func run<Element: CollectiveElement>(
    _ operation: OperationKind, _ detail: Int, _ vector: inout MutableSpan<Element>
  ) throws(CollectiveError) {
    let count = vector.count
    // SAFETY: the vector is borrowed exclusively through the call; only its elements are touched.
    try unsafe vector.withUnsafeMutableBytes { bytes throws(CollectiveError) in
      guard bytes.count > 0, let base = bytes.baseAddress else { return try passOver() }
      try unsafe run(operation, detail, base, count: count, Element.kind)
    }
  }

  /// Counts an operation on nothing: no message says that it was called, but the next one will.
  @usableFromInline
  func passOver() throws(CollectiveError) {
    try requireUnbroken()
    unsafe state.pointee.sequence &+= 1
  }

  private func requireUnbroken() throws(CollectiveError) {
    guard let failure = unsafe state.pointee.failure else { return }
    throw CollectiveError(
      .broken, "the group of ranks is broken since: \(failure.message)", peer: failure.peer)
  }

  @usableFromInline
  func run(
    _ operation: OperationKind, _ detail: Int, _ vector: UnsafeMutableRawPointer, count: Int,
    _ element: ElementKind
  ) throws(CollectiveError) {
    let plan = plan(Call(operation: operation, detail: detail, count: count, element: element))
    try unsafe run(plan, vector, count: count)
  }

  private func run(
    _ plan: Plan, _ vector: UnsafeMutableRawPointer, count: Int
  ) throws(CollectiveError) {
    try requireUnbroken()
    guard ranks > 1 else { return }
    unsafe state.pointee.sequence &+= 1
    unsafe watch?.begin(state.pointee.sequence, plan.kind)
    let operation = unsafe Operation(
      kind: plan.kind, sequence: state.pointee.sequence, fingerprint: plan.fingerprint,
      timeout: timeout)
    do throws(CollectiveError) {
      switch plan.work {
      case .messages(let schedule, let executor):
        try unsafe executor.run(schedule, on: vector, sum: plan.sum, operation)
      case .directSum(let memory):
        try unsafe memory.allReduce(vector, count: count, sum: plan.sum, operation)
      case .directBarrier(let memory): try memory.barrier(operation)
      case .mpi(let group, let collective):
        try unsafe group.run(
          collective, vector, count: count, plan.element, watch: watch, timeout: timeout)
      }
    } catch {
      throw failed(error)
    }
  }

  /// What to throw for an error, after which the group is dead unless it was called wrongly.
  private func failed(_ error: CollectiveError) -> CollectiveError {
    guard error.code != .invalidOption else { return error }
    let error = watch?.settle(error) ?? error
    unsafe state.pointee.failure = error
    abort()
    return error
  }

  // MARK: Vectors that are shown

  /// Most ranks that read all of a long vector of all others.
  private static let mostReaders = 4
  /// Bytes of a vector that is read by any number of ranks.
  private static let shortBytes = 1 << 14

  /// Whether two vectors of so many bytes can be shown by turns, and that is the best way to a sum.
  ///
  /// A rank that reads all vectors moves (P − 1) n bytes. Where each sums a slice for all it moves three
  /// times (P − 1) / P n, and waits twice.
  package func canShow(bytes: Int) -> Bool {
    guard case .memory(_, _, _, let layout) = engine, ranks > 1 else { return false }
    let room = unsafe layout.vectorBytes - state.pointee.reserved
    return algorithms.algorithm(forBytes: bytes) == .direct
      && 2 * bytes.roundedUp(to: 128) <= room
      && (ranks <= Communicator.mostReaders || bytes <= Communicator.shortBytes)
  }

  /// Lets all ranks read this rank's vector, and waits for nobody.
  ///
  /// The vector must stay as it is until ``awaitShown()`` has returned for the next one.
  ///
  /// - Parameter vector: In shared memory, and of the same length on all ranks.
  /// - Throws: ``CollectiveError``.
  package func show<Element: CollectiveElement>(
    _ vector: borrowing SharedVector<Element>
  ) throws(CollectiveError) {
    try vector.withMutableSpan { span throws(CollectiveError) in
      let count = span.count
      // SAFETY: the address alone is kept, of memory that lives as long as this object.
      try unsafe span.withUnsafeMutableBytes { bytes throws(CollectiveError) in
        guard let base = bytes.baseAddress else { return }
        try unsafe show(base, count: count, Element.kind)
      }
    }
  }

  private func show(
    _ vector: UnsafeMutableRawPointer, count: Int, _ element: ElementKind
  ) throws(CollectiveError) {
    guard case .memory(_, let memory, _, _) = engine else {
      throw CollectiveError(.invalidOption, "ranks that share no memory cannot show vectors")
    }
    try requireUnbroken()
    let direct = Int(AllReduceAlgorithm.direct.rawValue)
    let plan = plan(Call(operation: .allReduce, detail: direct, count: count, element: element))
    unsafe state.pointee.sequence &+= 1
    unsafe watch?.begin(state.pointee.sequence, plan.kind)
    // Another fingerprint than that of a sum, whose ranks wait for each other twice.
    let operation = unsafe Operation(
      kind: plan.kind, sequence: state.pointee.sequence, fingerprint: ~plan.fingerprint,
      timeout: timeout)
    unsafe state.pointee.shown = Shown(operation: operation, plan: plan, count: count)
    try unsafe memory.show(vector, byteCount: count * plan.sum.element.byteCount, operation)
  }

  /// Waits until all ranks have shown their vectors.
  ///
  /// - Throws: ``CollectiveError``.
  package func awaitShown() throws(CollectiveError) {
    guard case .memory(_, let memory, _, _) = engine, let shown = unsafe state.pointee.shown else {
      throw CollectiveError(.invalidOption, "no vector was shown")
    }
    try requireUnbroken()
    let byteCount = shown.count * shown.plan.sum.element.byteCount
    do throws(CollectiveError) {
      try memory.awaitShown(byteCount: byteCount, shown.operation)
    } catch {
      throw failed(error)
    }
  }

  /// Lends a part of the vector that a rank has shown.
  ///
  /// - Parameters:
  ///   - peer: Any rank.
  ///   - start: The first element of the part.
  ///   - count: How many elements it has.
  ///   - body: What is done with them.
  package func withShown<Element: CollectiveElement>(
    by peer: Int, from start: Int, count: Int, _ body: (Span<Element>) -> Void
  ) {
    guard case .memory(_, let memory, _, _) = engine, let shown = unsafe state.pointee.shown else {
      return
    }
    precondition(
      start >= 0 && count >= 0 && start + count <= shown.count
        && shown.plan.element == Element.kind && (0..<ranks).contains(peer),
      "\(count) elements from \(start) of \(shown.count), of rank \(peer)")
    // SAFETY: the vectors were compared with the count when they were awaited, and stay until the next
    // are.
    let first = unsafe memory.shown(by: peer).assumingMemoryBound(to: Element.self) + start
    body(unsafe UnsafeBufferPointer(start: first, count: count).span)
  }

  /// Has peers that wait for this rank fail at once instead of at their deadline.
  private func abort() {
    switch engine {
    case .messages(let executor), .memory(let executor, _, _, _): executor.abort()
    case .mpi: break
    }
  }

  private func plan(_ call: Call) -> Plan {
    if let recent = unsafe state.pointee.recent, recent.call == call { return recent.plan }
    let key = PlanKey(
      collective: collective(call), count: call.count, element: call.element)
    let plan = unsafe state.pointee.plans[key] ?? makePlan(key, call.operation)
    if unsafe state.pointee.plans.count >= Communicator.mostPlans {
      unsafe state.pointee.plans.removeAll()
    }
    unsafe state.pointee.plans[key] = plan
    unsafe state.pointee.recent = (call, plan)
    return plan
  }

  /// Kept apart, since programs call it between operations of other kinds.
  private var barrierPlan: Plan {
    if let plan = unsafe state.pointee.barrier { return plan }
    let plan = makePlan(PlanKey(collective: .barrier, count: 2, element: .int32), .barrier)
    unsafe state.pointee.barrier = plan
    return plan
  }

  private func collective(_ call: Call) -> Schedule.Collective {
    switch call.operation {
    case .allReduce:
      let named = AllReduceAlgorithm.allCases.first { Int($0.rawValue) == call.detail }
      let byteCount = call.count * call.element.byteCount
      return .allReduce(named ?? algorithms.algorithm(forBytes: byteCount))
    case .reduceScatter: return .reduceScatter
    case .allGather: return .allGather
    case .broadcast: return .broadcast(root: call.detail)
    case .barrier: return .barrier
    }
  }

  private func makePlan(_ key: PlanKey, _ kind: OperationKind) -> Plan {
    let schedule = Schedule(key.collective, ranks: ranks, count: key.count, hosts: hosts)
    return Plan(
      work(key.collective, schedule), kind: kind,
      fingerprint: schedule.fingerprint(key.element), element: key.element)
  }

  private func work(_ collective: Schedule.Collective, _ schedule: Schedule) -> Work {
    switch (engine, collective) {
    case (.mpi(let group), _): .mpi(group, collective)
    case (.memory(_, let memory, _, _), .barrier): .directBarrier(memory)
    case (.memory(_, let memory, _, _), .allReduce(.direct)): .directSum(memory)
    case (.memory(let executor, _, _, _), _), (.messages(let executor), _):
      .messages(schedule.rank(rank), executor)
    }
  }
}
