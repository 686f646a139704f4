#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The system's Open MPI, found when the program runs: nothing of it is needed to build.
///
/// Open MPI 4 and 5 export their handles as symbols, so that no header is needed either; other MPIs
/// number them in their own ways and are refused. Waits have no deadline: MPI has none.
@safe final class MPIGroup {
  /// This rank.
  let rank: Int
  /// Ranks of the group.
  let ranks: Int
  private let functions: Functions
  private let world: UnsafeMutableRawPointer
  private let sum: UnsafeMutableRawPointer
  private let types: [UnsafeMutableRawPointer]

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

  /// `MPI_IN_PLACE`.
  private static var inPlace: Handle? { unsafe Handle(bitPattern: 1) }
  private static let names = ["libmpi.so.40", "libmpi.so", "libmpi.dylib"]

  /// Starts MPI in this process, which a launcher such as mpirun has started.
  init() throws(CollectiveError) {
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

  deinit { _ = functions.finalize() }

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
  func run(
    _ collective: Schedule.Collective, _ vector: UnsafeMutableRawPointer, count: Int,
    _ element: ElementKind
  ) throws(CollectiveError) {
    guard let length = Int32(exactly: count) else {
      throw CollectiveError(.invalidOption, "\(count) elements are more than MPI counts")
    }
    let type = unsafe types[Int(element.rawValue)]
    let status: Int32
    switch collective {
    case .allReduce, .reduceScatter:
      status = unsafe functions.allReduce(MPIGroup.inPlace, vector, length, type, sum, world)
    case .broadcast(let root):
      status = unsafe functions.broadcast(vector, length, type, Int32(root), world)
    case .barrier: status = unsafe functions.barrier(world)
    case .allGather:
      let chunks = Chunks(0..<count, parts: ranks)
      let counts = (0..<ranks).map { Int32(chunks[$0].count) }
      let starts = (0..<ranks).map { Int32(chunks[$0].lowerBound) }
      status = unsafe functions.allGather(
        MPIGroup.inPlace, 0, type, vector, counts, starts, type, world)
    }
    guard status == 0 else {
      throw CollectiveError(.system, "MPI failed with its error \(status); see what it printed")
    }
  }
}
