import DPCollectives
import Foundation
import TestSupport
import Testing

/// A message's promise: one line, with the words that it has to have.
func expect(
  _ error: CollectiveError?, _ codes: [CollectiveError.Code], naming words: [String],
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard let error else {
    Issue.record("no error, where one names \(words)", sourceLocation: sourceLocation)
    return
  }
  #expect(codes.contains(error.code), "\(error)", sourceLocation: sourceLocation)
  #expect(!error.message.contains("\n"), sourceLocation: sourceLocation)
  for word in words {
    #expect(error.message.contains(word), "\(word) in: \(error)", sourceLocation: sourceLocation)
  }
}

/// The error of a result; nil where it is none of ours.
func failure<Value>(_ result: Result<Value, any Error>) -> CollectiveError? {
  if case .failure(let error) = result { error as? CollectiveError } else { nil }
}

/// What groups promise, once their ranks have found each other.
struct GroupTests {
  /// Ranks that exchange, sum and end together.
  private func run<Value: Sendable>(
    _ ranks: Int, _ link: InProcessGroup.Link = .memory, timeout: Duration = .seconds(60),
    _ body: @escaping @Sendable (RankGroup) throws -> Value
  ) throws -> [Result<Value, any Error>] {
    let group = try InProcessGroup(ranks: ranks, link: link, timeout: timeout)
    return RankThreads.results(ranks) { rank in
      let member = try group.join(rank)
      let value = try body(member)
      member.close()
      return value
    }
  }

  /// Vectors are summed, bytes gathered and secrets spread, on every link.
  @Test(arguments: InProcessGroup.Link.allCases, [1, 2, 5])
  func membersExchange(link: InProcessGroup.Link, ranks: Int) throws {
    let results = try run(ranks, link) { group in
      let gathered = try group.gather(Array(repeating: UInt8(group.rank), count: group.rank * 1000))
      guard gathered.map(\.count) == (0..<ranks).map({ $0 * 1000 }) else { return false }
      guard gathered.enumerated().allSatisfy({ rank, bytes in bytes.allSatisfy { $0 == rank } })
      else { return false }
      var secret = group.rank == 0 ? [UInt8](1...32) : []
      try group.broadcastSecret(&secret)
      try group.agree(on: ["plan": "7", "version": "1.0"])
      var sum = [Int64](repeating: Int64(group.rank + 1), count: 3000)
      var span = sum.mutableSpan
      try group.communicator.allReduce(&span)
      return secret == [UInt8](1...32)
        && sum.allSatisfy { $0 == Int64(ranks * (ranks + 1) / 2) }
    }
    #expect(try results.map { try $0.get() } == Array(repeating: true, count: ranks))
  }

  /// What differs between ranks is named the same on all of them: rank, host, fact and both values.
  @Test func differencesAreNamed() throws {
    let results = try run(3) { group in
      try group.agree(on: ["plan": group.rank == 2 ? "8" : "7", "rows": "12"])
    }
    for result in results {
      expect(
        failure(result), [.mismatch], naming: ["rank 2 (host 0)", "plan", "'8'", "rank 0", "'7'"])
    }
    let missing = try run(2) { group in try group.agree(on: group.rank == 0 ? ["data": "a"] : [:]) }
    for result in missing { expect(failure(result), [.mismatch], naming: ["data", "none", "'a'"]) }
  }

  /// A rank that gives up tells all others its reason, whatever they wait in.
  @Test(arguments: InProcessGroup.Link.allCases)
  func reasonsReachAllRanks(link: InProcessGroup.Link) throws {
    let clock = ContinuousClock()
    let start = clock.now
    let results = try run(4, link) { group in
      guard group.rank != 2 else { return group.abort("the disk is full") }
      if group.rank == 1 { _ = try group.gather([]) }
      try group.communicator.barrier()
    }
    #expect(clock.now - start < .seconds(30))
    for rank in [0, 1, 3] {
      let error = failure(results[rank])
      expect(error, [.aborted], naming: ["rank 2 (host 0)", "the disk is full"])
      #expect(error?.peer == 2)
    }
  }

  /// A rank that is gone without a word is named by all, whoever waits for it.
  @Test(arguments: InProcessGroup.Link.allCases, [0, 2])
  func goneRanksAreNamed(link: InProcessGroup.Link, lost: Int) throws {
    let group = try InProcessGroup(ranks: 4, link: link, timeout: .seconds(60))
    let clock = ContinuousClock()
    let start = clock.now
    let results = RankThreads.results(4) { rank in
      let member = try group.join(rank)
      try member.communicator.barrier()
      // The group is forgotten, as by a process that ends.
      if rank == lost { return }
      try member.communicator.barrier()
    }
    #expect(clock.now - start < .seconds(30))
    for rank in 0..<4 where rank != lost {
      expect(
        failure(results[rank]), [.peerLost],
        naming: ["rank \(lost) (host 0)", "barrier"])
    }
  }

  /// A rank that does not come while it lives is named, and not one that waits for it itself.
  @Test(arguments: InProcessGroup.Link.allCases)
  func slowRanksAreNamed(link: InProcessGroup.Link) throws {
    let ends = Latch()
    let results = try run(4, link, timeout: .seconds(2)) { group in
      try group.communicator.barrier()
      guard group.rank != 3 else { return ends.wait(for: 3) }
      defer { ends.signal() }
      var vector: [Float] = [1]
      var span = vector.mutableSpan
      try group.communicator.allReduce(&span)
    }
    for rank in 0..<3 {
      expect(failure(results[rank]), [.timeout], naming: ["rank 3 (host 0)", "allReduce 2"])
    }
  }

  /// A group of one needs nobody.
  @Test func oneRankIsAGroup() throws {
    let environment = try #require(
      try LaunchEnvironment.detect(["FASTDP_RANK": "0", "FASTDP_RANKS": "1"]))
    let group = try RankGroup.join(environment)
    #expect(group.ranks == 1 && group.hosts.count == 1)
    #expect(try group.gather([1, 2]) == [[1, 2]])
    var vector: [Float] = [3]
    var span = vector.mutableSpan
    try group.communicator.allReduce(&span)
    #expect(vector == [3])
    group.close()
  }
}
