/// Times allreduce as programs see it: in place, from a common start to each rank's own end.
package enum CollectiveBenchmark {
  /// The times of one length, over all ranks.
  package struct Row: Sendable {
    /// Bytes of the vector.
    package let bytes: Int
    /// What was timed.
    package let algorithm: String
    /// Operations that were timed.
    package let repeats: Int
    /// Ranks.
    package let ranks: Int
    /// The largest over ranks of each rank's fastest, median and 95th percentile, in seconds.
    package let fastest: Double
    package let median: Double
    package let slow: Double

    /// Bytes of the vector per second.
    package var algorithmBandwidth: Double { Double(bytes) / median }
    /// Bytes per second that each link would have to carry at least.
    package var busBandwidth: Double {
      algorithmBandwidth * 2 * Double(ranks - 1) / Double(ranks)
    }
  }

  /// The lengths of a full run: 4 B to 64 MiB.
  package static let sizes = (0..<13).map { 4 << (2 * $0) }

  /// Operations that are timed for a length, as peers do.
  package static func repeats(_ bytes: Int) -> Int {
    bytes < 16384 * 4 ? 2000 : bytes < 4 << 20 ? 200 : 12
  }

  /// Checks, then times, on all ranks at once.
  ///
  /// - Parameters:
  ///   - bytes: The vector's length in bytes, a multiple of 4.
  ///   - repeats: Operations that are timed; nil for ``repeats(_:)``.
  ///   - algorithm: Its name.
  ///   - vector: The vector, which the operation works on.
  ///   - group: Ranks, barrier and exchange of results.
  ///   - operation: What is timed.
  /// - Returns: The times, the same on all ranks.
  /// - Throws: ``CollectiveError``, also where a sum is wrong.
  package static func row(
    bytes: Int, repeats: Int? = nil, algorithm: String, _ vector: borrowing SharedVector<Float>,
    _ group: some BenchmarkGroup,
    operation: (inout MutableSpan<Float>) throws(CollectiveError) -> Void
  ) throws(CollectiveError) -> Row {
    let count = bytes / 4
    try check(vector, count, group, operation)
    let repeats = repeats ?? CollectiveBenchmark.repeats(bytes)
    var times = [Double](repeating: 0, count: repeats)
    for index in -min(5, repeats)..<repeats {
      try group.meet()
      let start = Deadline.now
      try vector.withMutableSpan { span throws(CollectiveError) in
        var part = span.extracting(0..<count)
        try operation(&part)
      }
      if index >= 0 { times[index] = Double(Deadline.now - start) * 1e-9 }
    }
    times.sort()
    let own = [times[0], times[repeats / 2], times[min(repeats - 1, repeats * 95 / 100)]]
    let all = try group.largest(own)
    return Row(
      bytes: bytes, algorithm: algorithm, repeats: repeats, ranks: group.ranks, fastest: all[0],
      median: all[1], slow: all[2])
  }

  /// Sums small integers, which Float holds exactly, and looks at every element.
  private static func check(
    _ vector: borrowing SharedVector<Float>, _ count: Int, _ group: some BenchmarkGroup,
    _ operation: (inout MutableSpan<Float>) throws(CollectiveError) -> Void
  ) throws(CollectiveError) {
    let (rank, ranks) = (group.rank, group.ranks)
    let isRight = try vector.withMutableSpan { span throws(CollectiveError) in
      for index in 0..<count { span[index] = Float(index % 1000 + rank) }
      var part = span.extracting(0..<count)
      try operation(&part)
      let terms = ranks * (ranks - 1) / 2
      let isRight = (0..<count).allSatisfy { part[$0] == Float($0 % 1000 * ranks + terms) }
      // Stays far from the numbers that processors are slow with, however often it is summed.
      for index in 0..<count { part[index] = 1e-30 }
      return isRight
    }
    guard isRight else {
      throw CollectiveError(
        .mismatch, "rank \(rank) has a wrong sum of \(4 * count) bytes; please report it")
    }
  }
}

/// Ranks that are timed together.
package protocol BenchmarkGroup {
  /// This rank.
  var rank: Int { get }
  /// Ranks of the group.
  var ranks: Int { get }
  /// Waits for all.
  func meet() throws(CollectiveError)
  /// Each number's largest value over ranks.
  func largest(_ values: [Double]) throws(CollectiveError) -> [Double]
}

extension Communicator: BenchmarkGroup {
  package func meet() throws(CollectiveError) { try barrier() }

  package func largest(_ values: [Double]) throws(CollectiveError) -> [Double] {
    var all = [Double](repeating: 0, count: values.count * ranks)
    // Chunk r of equal chunks is rank r's.
    all.replaceSubrange(rank * values.count..<(rank + 1) * values.count, with: values)
    var span = all.mutableSpan
    try allGather(&span)
    return values.indices.map { index in
      (0..<ranks).map { all[$0 * values.count + index] }.max() ?? 0
    }
  }
}
