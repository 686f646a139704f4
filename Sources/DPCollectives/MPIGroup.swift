#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The system's Open MPI, found when the program runs: nothing of it is needed to build.
///
/// Open MPI 4 and 5 export their handles as symbols, so that no header is needed either; other MPIs
/// number them in their own ways and are refused. MPI's own waits have no deadline; where a watch is
/// kept over the group, operations are begun and then looked after instead, so that a wait ends with
/// the group or at its deadline.
@safe final class MPIGroup {
  /// This rank.
  let rank: Int
  /// Ranks of the group.
  let ranks: Int
  private let functions: Functions
  private let world: UnsafeMutableRawPointer
  private let sum: UnsafeMutableRawPointer
  private let types: [UnsafeMutableRawPointer]
  private let watched: WatchedFunctions
  /// Whether MPI was left; who leaves it while others have failed waits for them without end.
  private var hasLeft = false
  /// Whether it is left with the last reference.
  private let leavesAtEnd: Bool

  private typealias Handle = UnsafeMutableRawPointer

  // SAFETY: C functions and handles of the MPI standard, as Open MPI's header declares them.
  @safe private struct Functions {
    let barrier: @convention(c) (Handle) -> Int32
    let allReduce: @convention(c) (Handle?, Handle, Int32, Handle, Handle, Handle) -> Int32
    let broadcast: @convention(c) (Handle, Int32, Handle, Int32, Handle) -> Int32
    let allGather:
      @convention(c) (
        Handle?, Int32, Handle, Handle, UnsafePointer<Int32>, UnsafePointer<Int32>, Handle, Handle
      ) -> Int32
    let finalize: @convention(c) () -> Int32
  }

  /// The same, which return at once and leave a handle.
  @safe private struct WatchedFunctions {
    typealias Request = UnsafeMutablePointer<UnsafeMutableRawPointer?>
    let barrier: @convention(c) (Handle, Request) -> Int32
    let allReduce: @convention(c) (Handle?, Handle, Int32, Handle, Handle, Handle, Request) -> Int32
    let broadcast: @convention(c) (Handle, Int32, Handle, Int32, Handle, Request) -> Int32
    let allGather:
      @convention(c) (
        Handle?, Int32, Handle, Handle, UnsafePointer<Int32>, UnsafePointer<Int32>, Handle, Handle,
        Request
      ) -> Int32
    let test: @convention(c) (Request, UnsafeMutablePointer<Int32>, Handle?) -> Int32
  }

  /// `MPI_IN_PLACE`.
  private static var inPlace: Handle? { unsafe Handle(bitPattern: 1) }
  private static let names = ["libmpi.so.40", "libmpi.so", "libmpi.dylib"]

  /// Starts MPI in this process, which a launcher such as mpirun has started.
  ///
  /// - Parameter leavesAtEnd: Whether MPI is left with the last reference; else by ``leave()`` alone.
  /// - Throws: ``CollectiveError`` where there is no Open MPI, or where it cannot start.
  init(leavesAtEnd: Bool = true) throws(CollectiveError) {
    self.leavesAtEnd = leavesAtEnd
    let library = try unsafe MPIGroup.open()
    unsafe world = try MPIGroup.symbol(library, "ompi_mpi_comm_world")
    unsafe sum = try MPIGroup.symbol(library, "ompi_mpi_op_sum")
    // In the order of ElementKind.
    let float = try unsafe MPIGroup.symbol(library, "ompi_mpi_float")
    let double = try unsafe MPIGroup.symbol(library, "ompi_mpi_double")
    let int32 = try unsafe MPIGroup.symbol(library, "ompi_mpi_int32_t")
    let int64 = try unsafe MPIGroup.symbol(library, "ompi_mpi_int64_t")
    unsafe types = [float, double, int32, int64]
    functions = try unsafe Functions(
      barrier: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Barrier"), to: (@convention(c) (Handle) -> Int32).self),
      allReduce: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Allreduce"),
        to: (@convention(c) (Handle?, Handle, Int32, Handle, Handle, Handle) -> Int32).self),
      broadcast: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Bcast"),
        to: (@convention(c) (Handle, Int32, Handle, Int32, Handle) -> Int32).self),
      allGather: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Allgatherv"),
        to: (@convention(c) (
          Handle?, Int32, Handle, Handle, UnsafePointer<Int32>, UnsafePointer<Int32>, Handle,
          Handle
        ) -> Int32).self),
      finalize: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Finalize"), to: (@convention(c) () -> Int32).self))
    watched = try unsafe WatchedFunctions(
      barrier: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Ibarrier"),
        to: (@convention(c) (Handle, WatchedFunctions.Request) -> Int32).self),
      allReduce: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Iallreduce"),
        to: (@convention(c) (
          Handle?, Handle, Int32, Handle, Handle, Handle, WatchedFunctions.Request
        ) -> Int32).self),
      broadcast: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Ibcast"),
        to: (@convention(c) (
          Handle, Int32, Handle, Int32, Handle, WatchedFunctions.Request
        ) -> Int32).self),
      allGather: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Iallgatherv"),
        to: (@convention(c) (
          Handle?, Int32, Handle, Handle, UnsafePointer<Int32>, UnsafePointer<Int32>, Handle,
          Handle, WatchedFunctions.Request
        ) -> Int32).self),
      test: unsafeBitCast(
        MPIGroup.symbol(library, "MPI_Test"),
        to: (@convention(c) (
          WatchedFunctions.Request, UnsafeMutablePointer<Int32>, Handle?
        ) -> Int32).self))
    typealias Initialize = @convention(c) (Handle?, Handle?) -> Int32
    typealias Number = @convention(c) (Handle, UnsafeMutablePointer<Int32>) -> Int32
    typealias SetHandler = @convention(c) (Handle, Handle) -> Int32
    let initialize = try unsafe unsafeBitCast(
      MPIGroup.symbol(library, "MPI_Init"), to: Initialize.self)
    let rankOf = try unsafe unsafeBitCast(
      MPIGroup.symbol(library, "MPI_Comm_rank"), to: Number.self)
    let sizeOf = try unsafe unsafeBitCast(
      MPIGroup.symbol(library, "MPI_Comm_size"), to: Number.self)
    let setHandler = try unsafe unsafeBitCast(
      MPIGroup.symbol(library, "MPI_Comm_set_errhandler"), to: SetHandler.self)
    var (rank, size): (Int32, Int32) = (0, 0)
    guard initialize(nil, nil) == 0,
      unsafe setHandler(world, try MPIGroup.symbol(library, "ompi_mpi_errors_return")) == 0,
      unsafe rankOf(world, &rank) == 0, unsafe sizeOf(world, &size) == 0
    else { throw CollectiveError(.system, "MPI cannot start; see what it printed") }
    self.rank = Int(rank)
    ranks = Int(size)
  }

  deinit { if leavesAtEnd { leave() } }

  /// Leaves MPI when the work is done: waits until all ranks do.
  func leave() {
    guard !hasLeft else { return }
    hasLeft = true
    _ = functions.finalize()
  }

  private static func symbol(
    _ library: Handle, _ name: String
  ) throws(CollectiveError) -> Handle {
    if let found = unsafe dlsym(library, name) { return unsafe found }
    throw CollectiveError(
      .unavailable, "the MPI of this system lacks \(name); only Open MPI 4 and 5 are supported")
  }

  private static func open() throws(CollectiveError) -> Handle {
    for name in names {
      // Its plug-ins look its symbols up among all that are loaded.
      if let library = unsafe dlopen(name, RTLD_NOW | RTLD_GLOBAL) { return unsafe library }
    }
    throw CollectiveError(
      .unavailable,
      "there is no Open MPI on this system; install it (libopenmpi-dev, openmpi-bin) "
        + "or use --collectives native")
  }

  /// Does an operation as MPI does it; a reduce-scatter is done as an allreduce.
  ///
  /// - Parameters:
  ///   - collective: What to do.
  ///   - vector: `count` elements.
  ///   - count: How many.
  ///   - element: Of which type.
  ///   - watch: Where given, waits end with the group, and after `timeout`.
  ///   - timeout: How long to wait where a watch is kept.
  /// - Throws: ``CollectiveError``; with a watch, the group's fault.
  func run(
    _ collective: Schedule.Collective, _ vector: UnsafeMutableRawPointer, count: Int,
    _ element: ElementKind, watch: GroupWatch? = nil, timeout: Duration = .zero
  ) throws(CollectiveError) {
    guard let length = Int32(exactly: count) else {
      throw CollectiveError(.invalidOption, "\(count) elements are more than MPI counts")
    }
    let type = unsafe types[Int(element.rawValue)]
    guard let watch else {
      return try check(unsafe perform(collective, vector, length, type))
    }
    // MPI reads both lists until the operation has ended; only a gathering has any.
    var (counts, starts): ([Int32], [Int32]) = ([], [])
    if case .allGather = collective { (counts, starts) = parts(of: count) }
    // SAFETY: MPI writes the handle, and the vector until its test says that it is done; both and the
    // lists live until then. After an error the process ends without another use of the vector.
    try unsafe counts.withUnsafeBufferPointer { counts throws(CollectiveError) in
      try unsafe starts.withUnsafeBufferPointer { starts throws(CollectiveError) in
        var request: Handle?
        try check(
          unsafe begin(collective, vector, length, type, (counts, starts), &request))
        try unsafe finish(&request, watch, Deadline(after: timeout))
      }
    }
  }

  /// How long the ranks' parts of a vector are, and where they begin.
  private func parts(of count: Int) -> (counts: [Int32], starts: [Int32]) {
    let chunks = Chunks(0..<count, parts: ranks)
    return (
      (0..<ranks).map { Int32(chunks[$0].count) }, (0..<ranks).map { Int32(chunks[$0].lowerBound) }
    )
  }

  private func check(_ status: Int32) throws(CollectiveError) {
    guard status == 0 else {
      throw CollectiveError(.system, "MPI failed with its error \(status); see what it printed")
    }
  }

  private func perform(
    _ collective: Schedule.Collective, _ vector: Handle, _ length: Int32, _ type: Handle
  ) -> Int32 {
    switch collective {
    case .allReduce, .reduceScatter:
      return unsafe functions.allReduce(MPIGroup.inPlace, vector, length, type, sum, world)
    case .broadcast(let root):
      return unsafe functions.broadcast(vector, length, type, Int32(root), world)
    case .barrier: return unsafe functions.barrier(world)
    case .allGather:
      let (counts, starts) = parts(of: Int(length))
      return unsafe functions.allGather(
        MPIGroup.inPlace, 0, type, vector, counts, starts, type, world)
    }
  }

  private func begin(
    _ collective: Schedule.Collective, _ vector: Handle, _ length: Int32, _ type: Handle,
    _ parts: (counts: UnsafeBufferPointer<Int32>, starts: UnsafeBufferPointer<Int32>),
    _ request: WatchedFunctions.Request
  ) -> Int32 {
    switch collective {
    case .allReduce, .reduceScatter:
      return unsafe watched.allReduce(
        MPIGroup.inPlace, vector, length, type, sum, world, request)
    case .broadcast(let root):
      return unsafe watched.broadcast(vector, length, type, Int32(root), world, request)
    case .barrier: return unsafe watched.barrier(world, request)
    case .allGather:
      guard let counts = unsafe parts.counts.baseAddress,
        let starts = unsafe parts.starts.baseAddress
      else { preconditionFailure("no chunks of \(ranks) ranks") }
      return unsafe watched.allGather(
        MPIGroup.inPlace, 0, type, vector, counts, starts, type, world, request)
    }
  }

  /// Looks until an operation is done, at the group's health every so often.
  private func finish(
    _ request: WatchedFunctions.Request, _ watch: GroupWatch, _ deadline: Deadline
  ) throws(CollectiveError) {
    var isDone: Int32 = 0
    var looks = 0
    while true {
      try check(unsafe watched.test(request, &isDone, nil))
      guard isDone == 0 else { return }
      looks += 1
      // Others may need the processor to get here.
      if isCrowded { sched_yield() }
      guard looks % 64 == 0 else { continue }
      try watch.check()
      guard deadline.left > 0 else {
        throw CollectiveError(
          .timeout,
          "rank \(rank) has waited for MPI until its time was up; see what the other ranks do, or "
            + "allow more time")
      }
    }
  }

  /// Whether ranks, if they are all on this host, have to share its processors.
  private var isCrowded: Bool { ranks > WaitPolicy.processors }
}
