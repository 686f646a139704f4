#if canImport(Glibc)
package import Glibc
#else
package import Darwin
#endif

/// Messages through rings in shared memory: between threads, or between processes of a host.
package final class RegionTransport: Transport {
  package let rank: Int
  package let ranks: Int
  package let policy: WaitPolicy
  package var watch: GroupWatch?
  private let region: SharedRegion
  private let layout: RegionLayout
  private let doorbells: [Doorbell]
  private let outgoing: [Ring]
  private let incoming: [Ring]
  private let members: RegionMembers

  /// A rank's word that others change, and how many sleep on it.
  private struct Doorbell {
    let word: SharedWord
    let sleepers: SharedWord

    func ring() {
      word.add(1)
      if sleepers.orderedValue > 0 { word.wake() }
    }
  }

  /// Joins the ranks that share a region; the memory starts as zeros and belongs to one group.
  ///
  /// - Parameters:
  ///   - region: The memory.
  ///   - layout: Where things lie in it, the same for all.
  ///   - rank: This rank's number among those that share the memory.
  ///   - numbers: The numbers of these ranks in the whole group, for errors; nil where they are all.
  ///   - process: The process that this rank ends with; nil for this one.
  ///   - policy: How to wait; nil for what suits this machine.
  package init(
    _ region: SharedRegion, _ layout: RegionLayout, rank: Int, numbers: [Int]? = nil,
    process: Int32? = nil, policy: WaitPolicy? = nil
  ) {
    precondition(region.byteCount >= layout.byteCount, "\(region.byteCount) bytes are too few")
    precondition(rank >= 0 && rank < layout.ranks, "rank \(rank) of \(layout.ranks)")
    self.rank = rank
    ranks = layout.ranks
    self.region = region
    self.layout = layout
    self.policy = policy ?? WaitPolicy(ranksHere: layout.ranks)
    // SAFETY: the layout's offsets lie within the region, which this object keeps alive.
    let base = unsafe region.base
    doorbells = (0..<layout.ranks).map {
      unsafe Doorbell(
        word: SharedWord(base + layout.doorbell($0)),
        sleepers: SharedWord(base + layout.doorbellSleepers($0)))
    }
    outgoing = (0..<layout.ranks).map {
      unsafe Ring(base + layout.ring(from: rank, to: $0), capacity: layout.ringBytes)
    }
    incoming = (0..<layout.ranks).map {
      unsafe Ring(base + layout.ring(from: $0, to: rank), capacity: layout.ringBytes)
    }
    members = RegionMembers(
      region, layout, rank: rank, numbers: numbers ?? Array(0..<layout.ranks))
    members.join(process: process ?? getpid())
  }

  deinit {
    members.leave()
    ringAll()
  }

  package func name(of peer: Int) -> String { "on this host" }

  package var ticket: UInt32 { doorbells[rank].word.value }

  package func send(_ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int) -> Int {
    let count = unsafe outgoing[peer].write(parts)
    if count > 0 { doorbells[peer].ring() }
    return count
  }

  package func receive(_ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int) -> Int {
    let count = unsafe incoming[peer].read(parts)
    if count > 0 { doorbells[peer].ring() }
    return count
  }

  package func park(
    _ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64
  ) {
    // Counted before the word is looked at: who changes it afterwards sees the count and wakes us.
    doorbells[rank].sleepers.add(1)
    doorbells[rank].word.sleep(while: ticket, for: nanoseconds)
    doorbells[rank].sleepers.subtractOne()
  }

  package func fault(of peer: Int, in operation: OperationMark) -> CollectiveError? {
    members.fault(of: peer, operation, name(of: peer))
  }

  package func abort() {
    members.giveUp()
    ringAll()
  }

  private func ringAll() { for doorbell in doorbells { doorbell.ring() } }
}

/// A ring of bytes with one writer and one reader.
@safe private struct Ring {
  private let written: SharedWord
  private let read: SharedWord
  // SAFETY: `capacity` bytes behind the words, in a region that the transport keeps alive.
  private let bytes: UnsafeMutableRawPointer
  private let capacity: Int

  init(_ address: UnsafeMutableRawPointer, capacity: Int) {
    unsafe written = SharedWord(address)
    unsafe read = SharedWord(address + 128)
    unsafe bytes = address + 256
    self.capacity = capacity
  }

  /// Writes as much as there is space for.
  func write(_ parts: UnsafeMutableBufferPointer<iovec>) -> Int {
    let start = written.value
    let space = capacity - Int(start &- read.value)
    let count = unsafe move(parts, from: start, atMost: space) { place, part, count in
      unsafe place.copyMemory(from: part, byteCount: count)
    }
    if count > 0 { written.publish(start &+ UInt32(count)) }
    return count
  }

  /// Reads as much as is there.
  func read(_ parts: UnsafeMutableBufferPointer<iovec>) -> Int {
    let start = read.value
    let there = Int(written.value &- start)
    let count = unsafe move(parts, from: start, atMost: there) { place, part, count in
      unsafe part.copyMemory(from: place, byteCount: count)
    }
    if count > 0 { read.publish(start &+ UInt32(count)) }
    return count
  }

  /// Goes through parts and ring side by side; a stretch ends where either does.
  private func move(
    _ parts: UnsafeMutableBufferPointer<iovec>, from start: UInt32, atMost limit: Int,
    _ copy: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int) -> Void
  ) -> Int {
    var moved = 0
    for index in parts.indices {
      let part = unsafe parts[index]
      guard let memory = unsafe part.iov_base else { continue }
      var done = 0
      while unsafe done < part.iov_len, moved < limit {
        let place = (Int(start) + moved) & (capacity - 1)
        let count = unsafe min(part.iov_len - done, limit - moved, capacity - place)
        unsafe copy(bytes + place, memory + done, count)
        done += count
        moved += count
      }
    }
    return moved
  }
}
