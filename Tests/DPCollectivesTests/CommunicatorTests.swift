import DPCollectives
import TestSupport
import Testing

/// Whole operations over every transport: what runs is what was proved.
struct CommunicatorTests {
  static let counts = [0, 1, 2, 7, 8, 9, 67, 1009]

  /// For 1 to 8 ranks and awkward lengths, all algorithms give all ranks the bits that the checker
  /// predicts, from inputs whose every sum rounds.
  @Test(arguments: TestLink.allCases, 1...8)
  func bitsAreThoseThatWereProved(link: TestLink, ranks: Int) throws {
    let group = try link.group(ranks)
    let algorithms = AllReduceAlgorithm.allCases.filter {
      link == .shm || $0.sendsMessages
    }
    let inputs = CommunicatorTests.counts.map { count in
      var random = Inputs(seed: UInt64(ranks * 1000 + count))
      return (0..<ranks).map { _ in random.floats(count) }
    }
    let results = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      return try algorithms.map { algorithm in
        try inputs.map { vectors in
          var own = vectors[rank]
          var span = own.mutableSpan
          try communicator.allReduce(&span, by: algorithm)
          return own.map(\.bitPattern)
        }
      }
    }
    for (index, algorithm) in algorithms.enumerated() {
      for (place, count) in CommunicatorTests.counts.enumerated() {
        let proof = try ScheduleChecker.check(
          Schedule(.allReduce(algorithm), ranks: ranks, count: count, hosts: link.hosts(ranks)))
        for rank in 0..<ranks {
          let bits = proof.predict(rank: rank, inputs[place], adding: +).map(\.bitPattern)
          #expect(results[rank][index][place] == bits, "\(algorithm) \(rank) \(count)")
        }
      }
    }
  }

  /// Integers have one sum, whatever the algorithm: they wrap.
  @Test(arguments: TestLink.allCases, [1, 2, 3, 5, 8])
  func integersHaveOneSum(link: TestLink, ranks: Int) throws {
    let group = try link.group(ranks)
    var random = Inputs(seed: 7)
    let inputs = (0..<ranks).map { _ in random.integers(301) }
    let sums = (0..<301).map { index in inputs.reduce(0) { $0 &+ $1[index] } }
    let small = inputs.map { $0.map { Int32(truncatingIfNeeded: $0) } }
    let smallSums = (0..<301).map { index in small.reduce(0) { $0 &+ $1[index] } }
    let agree = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      return try AllReduceAlgorithm.allCases.filter {
        $0.sendsMessages || communicator.sharesMemory
      }
      .allSatisfy { algorithm in
        var own = inputs[rank]
        var span = own.mutableSpan
        try communicator.allReduce(&span, by: algorithm)
        var ownSmall = small[rank]
        var smallSpan = ownSmall.mutableSpan
        try communicator.allReduce(&smallSpan, by: algorithm)
        return own == sums && ownSmall == smallSums
      }
    }
    #expect(agree.allSatisfy { $0 })
  }

  /// Vectors that are shown, two by turns, give every rank the sums of that round, in the order of ranks,
  /// however far one rank is ahead of another; other operations may come in between.
  @Test(arguments: 2...5, [1, 9, 300, 5000])
  func shownVectorsAreSummed(ranks: Int, count: Int) throws {
    let group = try TestLink.shm.group(ranks, vectorBytes: 1 << 18)
    let rounds = 60
    let correct = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      let vectors = try SharedPair(communicator, count: count)
      var random = Inputs(seed: UInt64(rank))
      var sums = [Double](repeating: 0, count: count)
      return try (0..<rounds).allSatisfy { round in
        vectors.fill(round) { Double(1000 * rank + round) + 0.25 * Double($0 % 4) }
        try vectors.show(round)
        // Ranks come at different times.
        var work = 0.0
        for index in 0..<Int(random.integers(1)[0] & 4095) { work += Double(index).squareRoot() }
        try communicator.awaitShown()
        let middle = count / 2
        sums = [Double](repeating: 0, count: count)
        var last = 0.0
        for peer in 0..<ranks {
          communicator.withShown(by: peer, from: middle, count: count - middle) {
            (part: Span<Double>) in last += part[count - middle - 1]
          }
          communicator.withShown(by: peer, from: 0, count: count) { (all: Span<Double>) in
            for index in 0..<count { sums[index] += all[index] }
          }
        }
        if round % 7 == 0 { try communicator.barrier() }
        let base = 500 * Double(ranks * (ranks - 1)) + Double(ranks * round)
        return work >= 0 && last == sums[count - 1]
          && sums.indices.allSatisfy { sums[$0] == base + 0.25 * Double(ranks * ($0 % 4)) }
      }
    }
    #expect(correct.allSatisfy { $0 })
  }

  /// Two vectors that are shown by turns.
  private final class SharedPair {
    private let communicator: Communicator
    private let even: SharedVector<Double>
    private let odd: SharedVector<Double>

    init(_ communicator: Communicator, count: Int) throws {
      #expect(communicator.canShow(bytes: 8 * count) == (communicator.ranks <= 4 || count <= 2048))
      self.communicator = communicator
      even = communicator.makeVector(of: Double.self, count: count)
      odd = communicator.makeVector(of: Double.self, count: count)
    }

    func fill(_ round: Int, _ element: (Int) -> Double) {
      if round % 2 == 0 {
        even.withMutableSpan { span in for index in span.indices { span[index] = element(index) } }
      } else {
        odd.withMutableSpan { span in for index in span.indices { span[index] = element(index) } }
      }
    }

    func show(_ round: Int) throws {
      if round % 2 == 0 { try communicator.show(even) } else { try communicator.show(odd) }
    }
  }

  /// Nothing is shown where no memory is shared, where there is none left, or where another algorithm
  /// is asked for; a rank that shows another length than the others is told so.
  @Test func vectorsAreShownWhereAllCanSeeThem() throws {
    let group = try TestLink.tcp.group(2)
    let refused = try RankThreads.run(2) { rank in
      let communicator = try group.communicator(rank)
      let vector = communicator.makeVector(of: Double.self, count: 4)
      #expect(!communicator.canShow(bytes: 32))
      return #expect(throws: CollectiveError.self) { try communicator.show(vector) }?.code
    }
    #expect(refused == [.invalidOption, .invalidOption])
    let near = try TestLink.shm.group(2, vectorBytes: 1 << 18)
    let errors = try RankThreads.run(2) { rank in
      let communicator = try near.communicator(rank)
      #expect(communicator.canShow(bytes: 1 << 12) && !communicator.canShow(bytes: 1 << 40))
      communicator.algorithms = AlgorithmTable(always: .ring)
      #expect(!communicator.canShow(bytes: 1 << 12))
      let vector = communicator.makeVector(of: Double.self, count: 4 + rank)
      try communicator.show(vector)
      return #expect(throws: CollectiveError.self) { try communicator.awaitShown() }?.code
    }
    #expect(errors.allSatisfy { $0 == .mismatch || $0 == .peerLost })
    #expect(errors.contains(.mismatch))
  }

  /// Doubles, broadcast, all-gather, reduce-scatter and barrier, one after the other.
  @Test(arguments: TestLink.allCases, [1, 2, 3, 5, 8])
  func otherOperationsWork(link: TestLink, ranks: Int) throws {
    let group = try link.group(ranks, ringBytes: 1 << 12)
    var random = Inputs(seed: 9)
    let inputs = (0..<ranks).map { _ in random.integers(9001) }
    let sums = (0..<9001).map { index in inputs.reduce(0) { $0 &+ $1[index] } }
    let agree = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      var own = inputs[rank]
      var span = own.mutableSpan
      let chunk = try communicator.reduceScatter(&span)
      guard own[chunk] == sums[chunk] else { return false }
      try communicator.barrier()
      var gathered = own
      var gatheredSpan = gathered.mutableSpan
      try communicator.allGather(&gatheredSpan)
      guard gathered == sums else { return false }
      for root in 0..<ranks {
        for count in [1, 9001] {
          var vector = Array(inputs[rank].prefix(count))
          var vectorSpan = vector.mutableSpan
          try communicator.broadcast(&vectorSpan, from: root)
          guard vector == Array(inputs[root].prefix(count)) else { return false }
        }
      }
      var halves = [Double](repeating: 0.5, count: 3)
      var halvesSpan = halves.mutableSpan
      try communicator.allReduce(&halvesSpan)
      return halves.allSatisfy { $0 == Double(ranks) / 2 }
    }
    #expect(agree.allSatisfy { $0 })
  }

  /// Hierarchical sums over hosts of different sizes have the bits that were proved.
  @Test func hierarchicalRunsAsProved() throws {
    let hosts = [0, 0, 0, 1, 1, 2]
    var random = Inputs(seed: 3)
    let inputs = hosts.map { _ in random.floats(103) }
    let proof = try ScheduleChecker.check(
      Schedule(.allReduce(.hierarchical), ranks: 6, count: 103, hosts: hosts))
    let group = try TestLink.memory.group(6, hosts: hosts)
    let results = try RankThreads.run(6) { rank in
      var own = inputs[rank]
      var span = own.mutableSpan
      try group.communicator(rank).allReduce(&span, by: .hierarchical)
      return own
    }
    for rank in 0..<6 { #expect(results[rank] == proof.predict(rank: rank, inputs, adding: +)) }
  }

  /// Over hosts of several ranks, whose own ranks share memory, all algorithms have the bits that
  /// were proved; unless told otherwise a group takes the hierarchical one.
  @Test(arguments: [
    [0, 0, 1, 1], [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1],
    [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0], [0, 0], [0, 1],
  ])
  func hostsOfSeveralRanksRunAsProved(hosts: [Int]) throws {
    let group = try TestGroup(hosts: hosts)
    var random = Inputs(seed: UInt64(hosts.count))
    let inputs = hosts.map { _ in random.floats(1009) }
    let algorithms = AllReduceAlgorithm.allCases.filter(\.sendsMessages)
    let results = try RankThreads.run(hosts.count) { rank in
      let communicator = try group.communicator(rank)
      return try ([nil] + algorithms).map { algorithm in
        var own = inputs[rank]
        var span = own.mutableSpan
        try communicator.allReduce(&span, by: algorithm)
        return own.map(\.bitPattern)
      }
    }
    let hostCount = Set(hosts).count
    let usual: AllReduceAlgorithm =
      hostCount > 1 && hostCount < hosts.count ? .hierarchical : .circulant
    for (index, algorithm) in ([usual] + algorithms).enumerated() {
      let proof = try ScheduleChecker.check(
        Schedule(.allReduce(algorithm), ranks: hosts.count, count: 1009, hosts: hosts))
      for rank in hosts.indices {
        let bits = proof.predict(rank: rank, inputs, adding: +).map(\.bitPattern)
        #expect(results[rank][index] == bits, "\(algorithm) \(rank)")
      }
    }
  }

  /// A vector that the shared memory has no room for is one all the same: the model may be of any size.
  @Test func vectorsWithoutRoomAreSummed() throws {
    let count = 20_000
    let group = try TestLink.shm.group(2, vectorBytes: 4 * count)
    let agree = try RankThreads.run(2) { rank in
      let communicator = try group.communicator(rank)
      let first = communicator.makeVector(of: Double.self, count: count)
      let second = communicator.makeVector(of: Double.self, count: count / 2)
      #expect(!communicator.canShow(bytes: 8 * count))
      func isSummed(_ vector: borrowing SharedVector<Double>) throws -> Bool {
        try vector.withMutableSpan { span throws(CollectiveError) in
          for index in 0..<span.count { span[index] = Double(index + rank) }
          try communicator.allReduce(&span)
          return (0..<span.count).allSatisfy { span[$0] == Double(2 * $0 + 1) }
        }
      }
      let sums = try [isSummed(first), isSummed(second)]
      return sums == [true, true]
    }
    #expect(agree.allSatisfy { $0 })
  }

  /// Ranks whose vectors lie in shared memory sum with ranks whose vectors do not.
  @Test(arguments: [2, 3], [300_001, 700_001])
  func vectorsInsideAndOutsideSumTogether(ranks: Int, count: Int) throws {
    let group = try TestLink.shm.group(ranks, vectorBytes: 4 * count)
    let agree = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      let terms = (0..<count).map { Float($0 % 1000 + rank) }
      let expected = (0..<count).map { Float($0 % 1000 * ranks + ranks * (ranks - 1) / 2) }
      let inside = communicator.makeVector(of: Float.self, count: count)
      var outside = terms
      guard rank == 1 else {
        return try inside.withMutableSpan { span throws(CollectiveError) in
          for index in 0..<count { span[index] = terms[index] }
          try communicator.allReduce(&span)
          return (0..<count).allSatisfy { span[$0] == expected[$0] }
        }
      }
      var span = outside.mutableSpan
      try communicator.allReduce(&span)
      return outside == expected
    }
    #expect(agree.allSatisfy { $0 })
  }

  /// Long vectors, in shared memory and outside it, go through every way of direct sums.
  @Test(arguments: [2, 3, 5])
  func longVectorsSumDirectly(ranks: Int) throws {
    let count = 700_001
    let group = try TestLink.shm.group(ranks, vectorBytes: 4 * count)
    let agree = try RankThreads.run(ranks) { rank in
      let communicator = try group.communicator(rank)
      var outside = (0..<count).map { Float($0 % 1000 + rank) }
      var outsideSpan = outside.mutableSpan
      try communicator.allReduce(&outsideSpan)
      let inside = communicator.makeVector(of: Float.self, count: count)
      inside.withMutableSpan { for index in 0..<count { $0[index] = Float(index % 1000 + rank) } }
      try inside.withMutableSpan { span throws(CollectiveError) in
        try communicator.allReduce(&span)
      }
      let terms = ranks * (ranks - 1) / 2
      let expected = (0..<count).map { Float($0 % 1000 * ranks + terms) }
      return outside == expected
        && inside.withMutableSpan { span in
          (0..<count).allSatisfy { span[$0] == expected[$0] }
        }
    }
    #expect(agree.allSatisfy { $0 })
  }
}
