internal import CDPKernels
internal import Synchronization

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A few threads that share the pieces of one job after another, as the steps of a run are.
///
/// A job takes a microsecond to begin while the threads still wait for it actively, which they do for
/// about 50 µs after a job; then they sleep, and it takes ten times as long. The thread that asks for a
/// job works too. Pieces are handed out one by one, so that a slow thread holds up nobody, and a job ends
/// when its pieces are done, whether or not all threads have woken up for it.
@safe package final class ThreadTeam: Sendable {
  /// The number of threads, the asking one included.
  package let threads: Int
  private let shared: Shared?
  private let handles: [Handle]

  private struct Handle: @unchecked Sendable { let thread: pthread_t }

  /// What the threads tell each other.
  @safe private final class Shared: @unchecked Sendable {
    /// Counts jobs; changes when there is a new one.
    let job = Atomic<Int>(0)
    let nextPiece = Atomic<Int>(0)
    /// Whether threads may join the job, and how many of them work on it.
    let joined = Atomic<Int>(0)
    private static let isOpen = 1 << 32
    let sleeping = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    /// Set before a job is opened, read by those who have joined it.
    var pieces = 0
    var body: ((Int, Int) -> Void)?
    /// Rounds of waiting actively: none where threads outnumber processors.
    let patience: Int
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let wakeUp: UnsafeMutablePointer<pthread_cond_t>

    init(threads: Int) {
      patience = threads <= sysconf(Int32(_SC_NPROCESSORS_ONLN)) ? 2000 : 0
      // SAFETY: both live as long as this object, which every thread keeps.
      unsafe lock = .allocate(capacity: 1)
      unsafe wakeUp = .allocate(capacity: 1)
      unsafe lock.initialize(to: pthread_mutex_t())
      unsafe wakeUp.initialize(to: pthread_cond_t())
      unsafe pthread_mutex_init(lock, nil)
      unsafe pthread_cond_init(wakeUp, nil)
    }

    deinit {
      unsafe pthread_cond_destroy(wakeUp)
      unsafe pthread_mutex_destroy(lock)
      unsafe wakeUp.deallocate()
      unsafe lock.deallocate()
    }

    /// Waits until there is another job than the one with a given number, and returns its number.
    func nextJob(after last: Int) -> Int {
      for _ in 0..<patience {
        let now = job.load(ordering: .acquiring)
        if now != last { return now }
        cdp_pause()
      }
      unsafe pthread_mutex_lock(lock)
      defer { unsafe pthread_mutex_unlock(lock) }
      sleeping.add(1, ordering: .sequentiallyConsistent)
      defer { sleeping.subtract(1, ordering: .sequentiallyConsistent) }
      while true {
        let now = job.load(ordering: .sequentiallyConsistent)
        if now != last { return now }
        unsafe pthread_cond_wait(wakeUp, lock)
      }
    }

    /// Lets threads join the job that was set.
    func open() { joined.store(Shared.isOpen, ordering: .releasing) }

    /// Joins the job unless it is closed.
    func join() -> Bool {
      var state = joined.load(ordering: .relaxed)
      while state & Shared.isOpen != 0 {
        let (done, now) = joined.weakCompareExchange(
          expected: state, desired: state + 1, successOrdering: .acquiring,
          failureOrdering: .relaxed)
        if done { return true }
        state = now
      }
      return false
    }

    /// Lets nobody join any more, and waits for those that have.
    func close() {
      joined.bitwiseAnd(~Shared.isOpen, ordering: .relaxed)
      var rounds = 0
      while joined.load(ordering: .acquiring) > 0 {
        rounds += 1
        if rounds < patience { cdp_pause() } else { sched_yield() }
      }
    }

    /// Tells all threads that there is a job.
    func announce() {
      job.add(1, ordering: .sequentiallyConsistent)
      guard sleeping.load(ordering: .sequentiallyConsistent) > 0 else { return }
      unsafe pthread_mutex_lock(lock)
      unsafe pthread_cond_broadcast(wakeUp)
      unsafe pthread_mutex_unlock(lock)
    }

    /// Takes pieces until there are none left.
    func work(thread: Int) {
      guard let body else { return }
      while true {
        let piece = nextPiece.add(1, ordering: .relaxed).oldValue
        guard piece < pieces else { return }
        body(thread, piece)
      }
    }

    func live(thread: Int) {
      var last = 0
      while true {
        last = nextJob(after: last)
        if isOver.load(ordering: .acquiring) { return }
        guard join() else { continue }
        work(thread: thread)
        joined.subtract(1, ordering: .releasing)
      }
    }
  }

  /// What a new thread is told.
  private final class Start {
    let shared: Shared
    let thread: Int

    init(_ shared: Shared, _ thread: Int) {
      self.shared = shared
      self.thread = thread
    }
  }

  /// Starts the threads; with 1 there are none to start.
  ///
  /// - Parameter threads: At least 1. Where the system refuses to start one, there are fewer.
  package init(threads: Int) {
    precondition(threads > 0, "\(threads) threads")
    guard threads > 1 else {
      self.threads = 1
      shared = nil
      handles = []
      return
    }
    let shared = Shared(threads: threads)
    var handles: [Handle] = []
    for thread in 1..<threads {
      guard let handle = ThreadTeam.start(Start(shared, thread)) else { break }
      handles.append(Handle(thread: handle))
    }
    self.shared = shared
    self.handles = handles
    self.threads = handles.count + 1
  }

  private static func start(_ start: Start) -> pthread_t? {
    let context = unsafe Unmanaged.passRetained(start)
    #if canImport(Glibc)
    var thread = pthread_t()
    #else
    var thread: pthread_t?
    #endif
    // SAFETY: the new thread takes over the reference that was retained for it.
    let failure = unsafe pthread_create(
      &thread, nil,
      { context in
        #if canImport(Glibc)
        guard let context = unsafe context else { return nil }
        #endif
        let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        start.shared.live(thread: start.thread)
        return nil
      }, context.toOpaque())
    guard failure == 0 else {
      unsafe context.release()
      return nil
    }
    return thread
  }

  deinit {
    guard let shared else { return }
    shared.isOver.store(true, ordering: .releasing)
    shared.announce()
    for handle in handles { pthread_join(handle.thread, nil) }
  }

  /// Does all pieces of a job, and returns when they are done.
  ///
  /// Jobs are asked for by one thread, one after the other.
  ///
  /// - Parameters:
  ///   - pieces: How many there are.
  ///   - body: Is given the number of the thread, below ``threads``, and of a piece. What it touches
  ///     must belong to the thread or to the piece.
  package func run(pieces: Int, _ body: (_ thread: Int, _ piece: Int) -> Void) {
    guard let shared, pieces > 1 else {
      for piece in 0..<pieces { body(0, piece) }
      return
    }
    withoutActuallyEscaping(body) { body in
      shared.body = body
      shared.pieces = pieces
      shared.nextPiece.store(0, ordering: .relaxed)
      shared.open()
      shared.announce()
      shared.work(thread: 0)
      shared.close()
      shared.body = nil
    }
  }
}
