import DPCollectives
import TestSupport
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Streams of bytes that are almost what a peer would send.
///
/// `scripts/fuzz_frames` looks for more of them, guided by coverage.
struct FrameNoiseTests {
  private static let count = 24

  /// A sum of two ranks, of which the other one is a script; what lies around the vector stays.
  private func run(
    _ algorithm: AllReduceAlgorithm, _ peer: ScriptedPeer
  ) throws -> Result<[Float], CollectiveError> {
    let communicator = Communicator(peer, timeout: .seconds(20))
    var memory = [Float](repeating: -7, count: 3 * FrameNoiseTests.count)
    let place = FrameNoiseTests.count..<2 * FrameNoiseTests.count
    for index in place { memory[index] = 0.5 }
    var failure: CollectiveError?
    do throws(CollectiveError) {
      var all = memory.mutableSpan
      var vector = all.extracting(place)
      try communicator.allReduce(&vector, by: algorithm)
    } catch { failure = error }
    #expect(memory[..<place.lowerBound].allSatisfy { $0 == -7 })
    #expect(memory[place.upperBound...].allSatisfy { $0 == -7 })
    return failure.map { .failure($0) } ?? .success(Array(memory[place]))
  }

  /// What a good peer would say: this rank's own frames, from the other rank.
  private func goodStream(_ algorithm: AllReduceAlgorithm) throws -> [UInt8] {
    // The peer says nothing, so that a schedule of one round shows its whole frame.
    let silent = ScriptedPeer([], seed: 0)
    _ = try run(algorithm, silent)
    var stream = silent.heard
    try #require(stream.count == FrameHeader.byteCount + 4 * FrameNoiseTests.count)
    stream[28] = 1
    return stream
  }

  /// However a stream is cut into pieces it gives the sum; however it is changed it gives an error
  /// or, where the change is in the elements alone, another sum; and never anything else.
  @Test(arguments: [AllReduceAlgorithm.naive, .recursiveDoubling])
  func changedStreamsAreRefused(algorithm: AllReduceAlgorithm) throws {
    let good = try goodStream(algorithm)
    var random = SeededGenerator(seed: 41)
    for turn in 0..<4000 {
      let whole = try run(algorithm, ScriptedPeer(good, seed: UInt64(turn)))
      #expect(try whole.get() == [Float](repeating: 1, count: FrameNoiseTests.count))
      let changed = mutated(good, &random)
      let result = try run(algorithm, ScriptedPeer(changed, seed: UInt64(turn)))
      let isComplete = changed.count >= good.count
      let hasHeader = changed.prefix(FrameHeader.byteCount) == good.prefix(FrameHeader.byteCount)
      switch result {
      case .success: #expect(isComplete && hasHeader, "\(changed)")
      case .failure(let error):
        #expect(!isComplete || !hasHeader, "\(error)")
        #expect([.peerLost, .mismatch, .malformedFrame].contains(error.code), "\(error)")
        #expect(error.peer == 1)
      }
    }
  }

  /// One to three changes of the kinds that streams suffer.
  private func mutated(_ stream: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
    var stream = stream
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      guard !stream.isEmpty else { break }
      // Half of all changes are in the header.
      let inHeader = Bool.random(using: &random)
      let end = inHeader ? min(FrameHeader.byteCount, stream.count) : stream.count
      let place = Int.random(in: 0..<end, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0: stream[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 1: stream[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0
      case 2: stream.removeSubrange(place...)
      case 3: stream.remove(at: place)
      case 4: stream.insert(UInt8.random(in: 0...255, using: &random), at: place)
      default: stream.insert(contentsOf: stream[place...], at: place)
      }
    }
    return stream
  }
}

/// Rank 1 of two: says what a script says, in pieces of random length, then is gone.
private final class ScriptedPeer: Transport {
  let rank = 0
  let ranks = 2
  let policy = WaitPolicy(looks: 0, yields: 0)
  let ticket: UInt32 = 0
  let watch: GroupWatch? = nil
  /// What rank 0 has sent.
  private(set) var heard: [UInt8] = []
  private var script: ArraySlice<UInt8>
  private var random: SeededGenerator

  init(_ script: [UInt8], seed: UInt64) {
    self.script = script[...]
    random = SeededGenerator(seed: seed)
  }

  func name(of peer: Int) -> String { "a script" }

  func send(_ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int) -> Int {
    var taken = 0
    for index in parts.indices {
      // SAFETY: the parts are alive through the call.
      let bytes = unsafe UnsafeRawBufferPointer(
        start: parts[index].iov_base, count: parts[index].iov_len)
      unsafe heard.append(contentsOf: bytes)
      taken += bytes.count
    }
    return taken
  }

  func receive(
    _ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int
  ) throws(CollectiveError) -> Int {
    guard !script.isEmpty else { throw CollectiveError(.peerLost, "the script ends", peer: 1) }
    var left = min(script.count, Int.random(in: 0...70, using: &random))
    var moved = 0
    for index in parts.indices {
      let count = unsafe min(left, parts[index].iov_len)
      for offset in 0..<count {
        // SAFETY: the offset is below the part's length.
        unsafe parts[index].iov_base.storeBytes(
          of: script.removeFirst(), toByteOffset: offset, as: UInt8.self)
      }
      left -= count
      moved += count
    }
    return moved
  }

  func park(_ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64) {}
  func fault(of peer: Int, in operation: OperationMark) -> CollectiveError? { nil }
  func abort() {}
}
