internal import DPKernels

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// Sums without messages: ranks of a host look at each other's vectors.
///
/// Short vectors are copied to slots that alternate between two banks; a rank goes on when it has
/// seen all others' slots. It cannot be two operations ahead, since it needs theirs in between, so
/// no slot is overwritten that someone still reads. There is one wait, and no system call where
/// everybody comes soon.
///
/// Long vectors are summed where they lie: when all have come, each rank folds a slice of all
/// vectors in order of ranks and writes the sum to all of them; then all wait once more. A vector
/// outside the shared memory goes through a staging place; all ranks then sum part by part.
///
/// Vectors can also be shown: all ranks then read all of them for themselves, and nobody waits after
/// that. A rank that keeps two vectors, and shows them by turns, writes to neither while it is read:
/// the first is free when all have shown their second, since a rank reads before it shows again.
@safe final class DirectMemory {
  private let rank: Int
  private let ranks: Int
  private let region: SharedRegion
  private let layout: RegionLayout
  private let policy: WaitPolicy
  private let transport: any Transport
  // SAFETY: `base` is the region's, in which the layout's offsets lie; the others were allocated by
  // this object, and are behind pointers because an operation is short beside the checks of a
  // class's variables.
  private let base: UnsafeMutableRawPointer
  private let sources: UnsafeMutableBufferPointer<UnsafeRawPointer?>
  private let targets: UnsafeMutableBufferPointer<UnsafeMutableRawPointer?>
  private let places: UnsafeMutableBufferPointer<Int>
  private let counts: UnsafeMutablePointer<Counts>

  /// What this rank has counted so far.
  private struct Counts {
    var slots: UInt32 = 0
    var phases: UInt32 = 0
  }

  /// Where a rank puts a short vector.
  @safe private struct Slot {
    // SAFETY: `RegionLayout.slotBytes` behind 16 others, in a region that the owner keeps alive.
    let word: SharedWord
    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
      unsafe word = SharedWord(base)
      unsafe self.base = unsafe base
    }

    var fingerprint: UInt64 {
      get { unsafe base.load(fromByteOffset: 8, as: UInt64.self) }
      nonmutating set { unsafe base.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    var payload: UnsafeMutableRawPointer { unsafe base + 16 }
  }

  init(_ region: SharedRegion, _ layout: RegionLayout, _ transport: any Transport) {
    rank = transport.rank
    ranks = layout.ranks
    policy = transport.policy
    self.region = region
    self.layout = layout
    self.transport = transport
    unsafe base = region.base
    unsafe counts = .allocate(capacity: 1)
    unsafe counts.initialize(to: Counts())
    unsafe sources = .allocate(capacity: layout.ranks)
    unsafe targets = .allocate(capacity: layout.ranks)
    unsafe places = .allocate(capacity: layout.ranks)
    unsafe places.initialize(repeating: 0)
  }

  deinit {
    unsafe counts.deallocate()
    unsafe sources.deallocate()
    unsafe targets.deallocate()
    unsafe places.deallocate()
  }

  private func slot(_ rank: Int, _ bank: Int) -> Slot {
    unsafe Slot(base + layout.slot(rank, bank: bank))
  }

  private func phase(of rank: Int) -> SharedWord { unsafe SharedWord(base + layout.phase(rank)) }

  private func sleepers(of rank: Int) -> SharedWord {
    unsafe SharedWord(base + layout.sleepers(rank))
  }

  /// The longest vector that is best copied, in bytes.
  static let shortBytes = 1024

  /// Sums `count` elements of all ranks into `vector`.
  func allReduce(
    _ vector: UnsafeMutableRawPointer, count: Int, sum: VectorSum, _ operation: Operation
  ) throws(CollectiveError) {
    let byteCount = count * sum.element.byteCount
    if byteCount <= DirectMemory.shortBytes {
      return try unsafe sumBySlots(vector, count: count, sum: sum, operation)
    }
    try unsafe sumLong(vector, count: count, sum: sum, operation)
  }

  private func sumBySlots(
    _ vector: UnsafeMutableRawPointer, count: Int, sum: VectorSum, _ operation: Operation
  ) throws(CollectiveError) {
    unsafe counts.pointee.slots &+= 1
    let slotCount = unsafe counts.pointee.slots
    let bank = Int(slotCount & 1)
    let own = slot(rank, bank)
    unsafe own.payload.copyMemory(from: vector, byteCount: count * sum.element.byteCount)
    let mark = operation.mark.mixed
    own.fingerprint = mark
    own.word.publish(slotCount)
    for peer in 0..<ranks {
      let slot = slot(peer, bank)
      unsafe sources[peer] = UnsafeRawPointer(slot.payload)
      guard peer != rank else { continue }
      try wait(for: peer, slot.word, slotCount, own: own.word, operation)
      guard slot.fingerprint == mark else { throw mismatch(peer, operation) }
    }
    unsafe targets[0] = vector
    unsafe sum.fold(
      UnsafeBufferPointer(sources), into: .init(rebasing: targets[..<1]), count: count)
    wake(own.word)
  }

  /// Sums long vectors where they lie; where somebody's lies outside the region, part by part.
  private func sumLong(
    _ vector: UnsafeMutableRawPointer, count: Int, sum: VectorSum, _ operation: Operation
  ) throws(CollectiveError) {
    let size = sum.element.byteCount
    let longest = RegionLayout.stagingBytes / size
    let staging = layout.staging(rank)
    let inside = unsafe place(of: vector, count * size)
    var start = 0
    var part = count
    repeat {
      let here = unsafe vector + start * size
      let staged = min(longest, count - start) * size
      if inside == nil { unsafe (base + staging).copyMemory(from: here, byteCount: staged) }
      if start == 0 {
        try announce(inside ?? staging, operation)
        if try !collectPlaces(count * size, operation) { part = min(longest, count) }
      } else {
        try meet(operation)
        part = min(part, count - start)
      }
      fold(from: start, part, sum)
      try meet(operation)
      if inside == nil { unsafe here.copyMemory(from: base + staging, byteCount: part * size) }
      start += part
    } while start < count
  }

  /// Where a vector lies in this rank's part of the region; nil outside of it.
  private func place(of vector: UnsafeMutableRawPointer, _ byteCount: Int) -> Int? {
    let place = unsafe UnsafeRawPointer(vector) - UnsafeRawPointer(base)
    let own = layout.vectors(rank)..<layout.vectors(rank + 1)
    return own.contains(place) && place + byteCount <= own.upperBound ? place : nil
  }

  /// Tells where this rank's vector is, and waits until all have done so.
  ///
  /// Peers read it before they come to the next meeting, so that it can be told anew after that.
  private func announce(_ place: Int, _ operation: Operation) throws(CollectiveError) {
    tell(place, operation)
    try meet(operation)
  }

  /// Where a rank tells of its vector at a meeting; by turns, since peers may still read the last one.
  private func note(of rank: Int, phase: UInt32) -> UnsafeMutableRawPointer {
    unsafe base + layout.phase(rank) + 8 + 16 * Int(phase & 1)
  }

  /// Says where this rank's vector is, before it comes to the next meeting.
  private func tell(_ place: Int, _ operation: Operation) {
    let note = unsafe self.note(of: rank, phase: counts.pointee.phases &+ 1)
    unsafe note.storeBytes(of: place, as: Int.self)
    unsafe note.storeBytes(of: operation.mark.mixed, toByteOffset: 8, as: UInt64.self)
  }

  /// Learns where all vectors are, and says whether all lie in the region.
  private func collectPlaces(
    _ byteCount: Int, _ operation: Operation
  ) throws(CollectiveError) -> Bool {
    var allInside = true
    for peer in 0..<ranks {
      let note = unsafe self.note(of: peer, phase: counts.pointee.phases)
      let place = unsafe note.load(as: Int.self)
      let isInside =
        place >= layout.vectors(peer) && place <= layout.vectors(peer + 1) - byteCount
      guard unsafe note.load(fromByteOffset: 8, as: UInt64.self) == operation.mark.mixed,
        place == layout.staging(peer) || isInside
      else { throw mismatch(peer, operation) }
      unsafe places[peer] = place
      allInside = allInside && place != layout.staging(peer)
    }
    return allInside
  }

  /// Folds this rank's slice of a part of all vectors.
  private func fold(from first: Int, _ count: Int, _ sum: VectorSum) {
    let size = sum.element.byteCount
    // Slices begin at multiples of 128 bytes, so that no two ranks write to one line.
    let lines = Chunks(0..<(count * size).dividedUp(by: 128), parts: ranks)[rank]
    let start = min(count, lines.lowerBound * 128 / size)
    let end = min(count, lines.upperBound * 128 / size)
    for peer in 0..<ranks {
      let place = unsafe places[peer]
      let offset = place == layout.staging(peer) ? start : first + start
      unsafe targets[peer] = base + place + offset * size
      unsafe sources[peer] = UnsafeRawPointer(base + place + offset * size)
    }
    unsafe sum.fold(
      UnsafeBufferPointer(sources), into: UnsafeBufferPointer(targets), count: end - start)
  }

  /// Waits until all ranks have come here.
  private func meet(_ operation: Operation) throws(CollectiveError) {
    arrive()
    try awaitAll(operation)
    wake(phase(of: rank))
  }

  /// Says that this rank has come to the next meeting.
  private func arrive() {
    unsafe counts.pointee.phases &+= 1
    unsafe phase(of: rank).publish(counts.pointee.phases)
  }

  /// Waits until all ranks have come to the meeting that this rank has come to.
  private func awaitAll(_ operation: Operation) throws(CollectiveError) {
    let phase = unsafe counts.pointee.phases
    let own = self.phase(of: rank)
    for peer in 0..<ranks where peer != rank {
      try wait(for: peer, self.phase(of: peer), phase, own: own, operation)
    }
  }

  // MARK: Vectors that are shown

  /// Shows a vector that lies in this rank's part of the region, and waits for nobody.
  func show(
    _ vector: UnsafeMutableRawPointer, byteCount: Int, _ operation: Operation
  ) throws(CollectiveError) {
    guard let place = unsafe place(of: vector, byteCount) else {
      throw CollectiveError(.invalidOption, "only vectors in shared memory can be shown")
    }
    tell(place, operation)
    arrive()
    wake(phase(of: rank))
  }

  /// Waits until all have shown a vector.
  func awaitShown(byteCount: Int, _ operation: Operation) throws(CollectiveError) {
    try awaitAll(operation)
    guard try collectPlaces(byteCount, operation) else { throw mismatch(rank, operation) }
  }

  /// Where the vector lies that a rank has shown, after it was awaited.
  func shown(by peer: Int) -> UnsafeRawPointer {
    unsafe UnsafeRawPointer(base + places[peer])
  }

  /// Waits until no rank is missing.
  func barrier(_ operation: Operation) throws(CollectiveError) { try meet(operation) }

  /// Waits until a peer's word has come to a count.
  private func wait(
    for peer: Int, _ word: SharedWord, _ target: UInt32, own: SharedWord, _ operation: Operation
  ) throws(CollectiveError) {
    for _ in 0..<policy.looks {
      if word.hasReached(target) { return }
      relax()
    }
    try waitLong(for: peer, word, target, own: own, operation)
  }

  @inline(never)
  private func waitLong(
    for peer: Int, _ word: SharedWord, _ target: UInt32, own: SharedWord, _ operation: Operation
  ) throws(CollectiveError) {
    wake(own)
    for _ in 0..<policy.yields {
      if word.hasReached(target) { return }
      sched_yield()
    }
    let deadline = Deadline(after: operation.timeout)
    while true {
      sleepers(of: peer).add(1)
      defer { sleepers(of: peer).subtractOne() }
      let seen = word.orderedValue
      if Int32(bitPattern: seen &- target) >= 0 { return }
      if let fault = transport.fault(of: peer, in: operation.mark) {
        // The peer may have gone after it had come here.
        if word.hasReached(target) { return }
        throw fault
      }
      try transport.watch?.check()
      let left = deadline.left
      guard left > 0 else { throw CollectiveError.late(peer, transport, operation.name) }
      word.sleep(while: seen, for: min(left, 100_000_000))
    }
  }

  /// Wakes those who sleep on a word that this rank has published.
  private func wake(_ own: SharedWord) {
    if sleepers(of: rank).valueAfterStores > 0 { own.wake() }
  }

  private func mismatch(_ peer: Int, _ operation: Operation) -> CollectiveError {
    CollectiveError(
      .mismatch,
      "rank \(peer) (\(transport.name(of: peer))) does not do what rank \(rank) does in "
        + "\(operation.name): its kind, length or element differs; all ranks must call the same "
        + "operations in the same order", peer: peer)
  }
}
