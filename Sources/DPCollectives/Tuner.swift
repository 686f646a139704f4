internal import DPKernels

extension AlgorithmTable {
  /// What a tuner chooses among: each is the cheapest of all for some length and number of ranks.
  static let candidates: [AllReduceAlgorithm] = [
    .recursiveDoubling, .naive, .roundRobinChunked, .halvingDoubling, .circulant, .segmentedRing,
  ]

  /// The cheapest algorithm for every length, by the cost model.
  ///
  /// - Parameters:
  ///   - ranks: How many ranks there are.
  ///   - cost: What messages and sums cost.
  public init(ranks: Int, cost: LinkCost) {
    var choices: [(algorithm: AllReduceAlgorithm, end: Int)] = []
    for power in 2..<40 {
      // The entry ends at twice the length that it is judged by, so the middle decides.
      let bytes = Double(1 << power) * 2.0.squareRoot()
      let best = AlgorithmTable.candidates.min {
        cost.seconds($0, ranks: ranks, bytes: bytes) < cost.seconds($1, ranks: ranks, bytes: bytes)
      }
      guard let best else { continue }
      if choices.last?.algorithm == best { choices.removeLast() }
      choices.append((best, 2 << power))
    }
    if let last = choices.popLast() { choices.append((last.algorithm, .max)) }
    self.init(choices)
  }
}

extension Communicator {
  /// Measures what messages and sums cost here, and chooses the algorithms by it.
  ///
  /// All ranks call it together; rank 0's figures decide, so that all choose alike. A group that
  /// shares memory keeps to direct sums, one whose hosts have several ranks to hierarchical ones.
  ///
  /// - Parameter budget: The time that it may take, about.
  /// - Returns: What was measured.
  /// - Throws: ``CollectiveError``.
  @discardableResult
  public func tune(budget: Duration = .milliseconds(50)) throws(CollectiveError) -> LinkCost {
    var figures: [Double] = [0, 1, 1, 0]
    if ranks > 1 {
      let third = Double(budget.nanoseconds) * 1e-9 / 3
      let bytes = Double(4 * Communicator.probeCount)
      let summed = Communicator.sumSeconds / bytes
      let latency = try fastest(1, .recursiveDoubling, within: third) / Double(ranks.ceilLog2)
      let long = try fastest(Communicator.probeCount, .circulant, within: third)
      let share = Double(ranks - 1) / Double(ranks) * bytes
      let perByte = (long - 2 * Double(ranks.ceilLog2) * latency - share * summed) / (2 * share)
      let all = try fastest(1, .naive, within: third)
      let gap = ranks > 2 ? max(0, all - latency) / Double(ranks - 2) : 0
      // A clock that was unlucky may make bytes look free; nothing is faster than a tenth of a sum.
      figures = [latency, max(perByte, summed / 10), summed, gap]
      var span = figures.mutableSpan
      try broadcast(&span, from: 0)
    }
    let cost = try LinkCost(
      latency: figures[0], bandwidth: 1 / figures[1], sumBandwidth: 1 / figures[2],
      gap: figures[3])
    // The model knows one kind of link; where there are two, sums stay hierarchical.
    let isFlat = !sharesMemory && (Set(hosts).count == ranks || Set(hosts).count == 1)
    if isFlat { algorithms = AlgorithmTable(ranks: ranks, cost: cost) }
    return cost
  }

  /// Elements of the long messages that are timed: 256 KiB.
  private static let probeCount = 1 << 16

  /// The fastest of several sums; rank 0 says when it is enough.
  private func fastest(
    _ count: Int, _ algorithm: AllReduceAlgorithm, within seconds: Double
  ) throws(CollectiveError) -> Double {
    var vector = [Float](repeating: 0, count: count)
    var span = vector.mutableSpan
    var fastest = Double.infinity
    let deadline = Deadline(after: .seconds(seconds))
    var goOn: [Int32] = [1]
    while goOn[0] == 1 {
      for _ in 0..<4 {
        try barrier()
        let start = Deadline.now
        try allReduce(&span, by: algorithm)
        fastest = min(fastest, Double(Deadline.now - start) * 1e-9)
      }
      goOn[0] = deadline.left > 0 ? 1 : 0
      var answer = goOn.mutableSpan
      try broadcast(&answer, from: 0)
    }
    return fastest
  }

  /// The time to add ``probeCount`` numbers to others.
  private static var sumSeconds: Double {
    let terms = [Float](repeating: 1, count: probeCount)
    var sums = terms
    let sum = VectorSum(of: .float32)
    return (0..<5).reduce(.infinity) { fastest, _ in
      let start = Deadline.now
      // SAFETY: two arrays of as many elements, alive through the call.
      unsafe terms.withUnsafeBytes { source in
        unsafe sums.withUnsafeMutableBytes { target in
          guard let from = source.baseAddress, let into = target.baseAddress else { return }
          unsafe sum.add(from, into: into, count: probeCount)
        }
      }
      return min(fastest, Double(max(1, Deadline.now - start)) * 1e-9)
    }
  }
}
