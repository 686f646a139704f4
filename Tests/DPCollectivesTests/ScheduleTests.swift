import DPCollectives
import Testing

/// What the algorithms promise, proved on symbols.
struct ScheduleTests {
  /// All that have a schedule of their own.
  static let algorithms = AllReduceAlgorithm.allCases.filter(\.sendsMessages)

  /// Counts around the number of ranks, and a prime that no number of ranks here divides.
  static func counts(_ ranks: Int) -> Set<Int> { [0, 1, ranks - 1, ranks, ranks + 1, 1009] }

  /// Every algorithm sums every input once, alike on all ranks, within its rounds and bytes.
  @Test(arguments: algorithms)
  func everyRankGetsTheSumWithinTheBound(algorithm: AllReduceAlgorithm) throws {
    for ranks in 1...64 {
      for count in ScheduleTests.counts(ranks) {
        let schedule = Schedule(.allReduce(algorithm), ranks: ranks, count: count)
        let proof = try ScheduleChecker.check(schedule)
        let bound = Bound(algorithm, ranks: ranks, count: count)
        let sent = proof.sent.max() ?? 0
        #expect(proof.rounds <= bound.rounds, "\(algorithm) \(ranks) \(count)")
        #expect(sent <= bound.elements, "\(algorithm) \(ranks) \(count)")
        guard count == 1009 else { continue }
        #expect(proof.rounds == bound.rounds, "\(algorithm) \(ranks)")
      }
    }
  }

  /// Where chunks are equal, the bytes are those of the table, not only within them.
  @Test(arguments: algorithms)
  func bytesAreThoseOfTheTable(algorithm: AllReduceAlgorithm) throws {
    for ranks in 1...32 {
      let power = 1 << (Int.bitWidth - 1 - ranks.leadingZeroBitCount)
      let count = 2 * ranks * power
      let proof = try ScheduleChecker.check(
        Schedule(.allReduce(algorithm), ranks: ranks, count: count))
      let bound = Bound(algorithm, ranks: ranks, count: count)
      #expect(proof.sent.max() == bound.elements, "\(algorithm) \(ranks)")
    }
  }

  /// The families of bits: in order of ranks, and the tree of recursive doubling.
  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 33, 64])
  func algorithmsOfAFamilyGiveTheSameBits(ranks: Int) throws {
    var random = Inputs(seed: UInt64(ranks))
    let inputs = (0..<ranks).map { _ in random.floats(67) }
    func bits(_ algorithm: AllReduceAlgorithm) throws -> [UInt32] {
      let proof = try ScheduleChecker.check(
        Schedule(.allReduce(algorithm), ranks: ranks, count: 67))
      return proof.predict(rank: ranks - 1, inputs, adding: +).map(\.bitPattern)
    }
    let inOrder = (0..<67).map { index in
      inputs.dropFirst().reduce(inputs[0][index]) { $0 + $1[index] }.bitPattern
    }
    for algorithm in [.naive, .roundRobin, .roundRobinChunked, .bruck] as [AllReduceAlgorithm] {
      #expect(try bits(algorithm) == inOrder, "\(algorithm)")
    }
    #expect(try bits(.halvingDoubling) == bits(.recursiveDoubling))
    #expect(try bits(.segmentedRing) == bits(.ring))
    guard ranks >= 5 else { return }
    #expect(try bits(.recursiveDoubling) != inOrder)
    #expect(try bits(.ring) != inOrder)
  }

  /// Hierarchical sums are right for any placement of ranks on hosts.
  @Test(arguments: [
    [0], [0, 0], [0, 1], [0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 1], [5, 5, 2, 2, 2, 9],
    [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2], [3, 1, 2, 0],
  ])
  func hierarchicalFitsAnyHosts(hosts: [Int]) throws {
    for count in ScheduleTests.counts(hosts.count) {
      _ = try ScheduleChecker.check(
        Schedule(.allReduce(.hierarchical), ranks: hosts.count, count: count, hosts: hosts))
    }
  }

  /// Between hosts, hierarchical sends 2(M − 1)/M of the vector per host, the least there is.
  @Test func hierarchicalSendsTheLeastBetweenHosts() {
    let hosts = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    let schedule = Schedule(.allReduce(.hierarchical), ranks: 12, count: 1200, hosts: hosts)
    for host in 0..<4 {
      let sent = (0..<12).filter { hosts[$0] == host }.flatMap { schedule.rank($0).rounds }
        .flatMap(\.sends).filter { hosts[$0.peer] != host }.reduce(0) { $0 + $1.count }
      #expect(sent == 2 * 3 * 1200 / 4)
    }
  }

  /// The other operations keep their promises.
  @Test func otherOperationsKeepTheirPromises() throws {
    for ranks in 1...64 {
      for count in ScheduleTests.counts(ranks).union([9000]) {
        for collective in [.reduceScatter, .allGather, .barrier] as [Schedule.Collective] {
          let proof = try ScheduleChecker.check(Schedule(collective, ranks: ranks, count: count))
          #expect(proof.rounds <= ceilLog2(ranks))
        }
      }
      for (root, count) in [(0, 1), (ranks - 1, 5), (ranks / 2, 9000)] {
        _ = try ScheduleChecker.check(
          Schedule(.broadcast(root: root), ranks: ranks, count: count))
      }
    }
  }
}

/// What the table of allreduce algorithms allows.
struct Bound {
  let rounds: Int
  let elements: Int

  init(_ algorithm: AllReduceAlgorithm, ranks: Int, count: Int) {
    let others = ranks - 1
    let up = ceilLog2(ranks)
    let down = Int.bitWidth - 1 - ranks.leadingZeroBitCount
    let power = 1 << down
    let ragged = ranks == power ? 0 : 1
    let chunk = (count + ranks - 1) / ranks
    let powerChunk = (count + power - 1) / power
    let nothing = count == 0 || ranks == 1
    let (rounds, elements): (Int, Int) =
      switch algorithm {
      case .naive: (1, others * count)
      case .roundRobin: (others, others * count)
      case .roundRobinChunked, .direct: (2 * ((others + 3) / 4), 2 * others * chunk)
      case .binomial: (2 * up, up * count)
      case .recursiveDoubling: (down + 2 * ragged, (down + ragged) * count)
      case .halvingDoubling:
        (
          2 * down + 3 * ragged,
          2 * (power - 1) * powerChunk + ragged * (count + (count + 1) / 2)
        )
      case .ring: (2 * others, 2 * others * chunk)
      case .segmentedRing: (4 * others, 2 * others * chunk)
      case .circulant, .hierarchical: (2 * up, 2 * others * chunk)
      case .bruck: (up, others * count)
      }
    self.rounds = nothing ? 0 : rounds
    self.elements = nothing ? 0 : elements
  }
}

/// ⌈lg n⌉.
func ceilLog2(_ n: Int) -> Int { n == 1 ? 0 : Int.bitWidth - (n - 1).leadingZeroBitCount }
