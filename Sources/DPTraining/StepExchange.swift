internal import DPCollectives
internal import DPModels

/// What ranks ask of each other with a step, and what was asked by any of them.
package struct StepRequests: Hashable, Sendable {
  /// The run is to end in order after this step.
  package var stop = false
  /// Parameters are to be compared, and a checkpoint written, after this step.
  package var checkpoint = false

  /// Nothing is asked.
  package init() {}
}

/// Where a rank's part of a step meets the others': one sum over ranks for each step.
///
/// The vector holds S in units of the grid with the noise of this rank's coordinates, and behind it
/// what the batch was like and what is asked. S and noise are integers below 2⁵², which Double sums
/// exactly, so the result is the same for every algorithm and any number of ranks. The noise of a
/// coordinate is made and added by one rank alone.
final class StepExchange {
  /// Over whom is summed.
  let communicator: Communicator
  /// The coordinates whose noise this rank makes.
  let noiseCoordinates: Range<Int>
  /// Where the time of a step goes, by the steps that were looked at.
  private(set) var times = StepTimes()

  private let coordinates: Int
  private let vector: SharedVector<Double>
  private let clock = ContinuousClock()
  private var isTimed = false
  private var start = ContinuousClock().now

  /// Statistics and requests behind the sum.
  private static let tailCount = 8
  /// One in so many steps is looked at more closely, which costs it one more meeting.
  private static let timedSteps = 64
  /// Noise is made in groups of so many coordinates, which are not split between ranks.
  private static let groupCoordinates = 16

  /// Makes room for the sums of a network.
  ///
  /// - Parameters:
  ///   - communicator: The ranks; used by nothing else while a step is under way.
  ///   - coordinates: d.
  /// - Throws: ``CollectiveError`` where the group's shared memory is too small.
  init(_ communicator: Communicator, coordinates: Int) throws(CollectiveError) {
    self.communicator = communicator
    self.coordinates = coordinates
    let size = StepExchange.groupCoordinates
    let groups = Chunks(0..<(coordinates + size - 1) / size, parts: communicator.ranks)[
      communicator.rank]
    noiseCoordinates =
      min(coordinates, groups.lowerBound * size)..<min(coordinates, groups.upperBound * size)
    vector = try communicator.makeVector(
      of: Double.self, count: coordinates + StepExchange.tailCount)
  }

  /// Begins a step.
  func begin(step: Int) {
    isTimed = step % StepExchange.timedSteps == 0
    if isTimed { start = clock.now }
  }

  /// Puts this rank's sum into the vector.
  func put(_ sum: Span<Double>) {
    vector.withMutableSpan { span in
      for index in 0..<coordinates { span[index] = sum[index] }
    }
  }

  /// Adds noise of this rank's coordinates.
  func add(noise: Span<Int32>, at first: Int) {
    vector.withMutableSpan { span in
      for index in 0..<noise.count { span[first + index] += Double(noise[index]) }
    }
  }

  /// Sums over ranks.
  ///
  /// - Parameters:
  ///   - statistics: Of this rank's part of the batch; those of the whole batch afterwards.
  ///   - requests: What this rank asks for.
  /// - Returns: What any rank asked for.
  /// - Throws: ``CollectiveError``.
  func sum(
    _ statistics: inout ClippedGradientSum.Statistics, asking requests: StepRequests
  ) throws(CollectiveError) -> StepRequests {
    put(statistics, requests)
    let before = isTimed ? clock.now : start
    if isTimed { try communicator.barrier() }
    let met = isTimed ? clock.now : start
    try vector.withMutableSpan { span throws(CollectiveError) in
      try communicator.allReduce(&span)
    }
    if isTimed {
      times.compute += (before - start) / .seconds(1)
      times.wait += (met - before) / .seconds(1)
      start = clock.now
      times.transfer += (start - met) / .seconds(1)
    }
    return take(&statistics)
  }

  /// Ends a step.
  func end() {
    guard isTimed else { return }
    times.compute += (clock.now - start) / .seconds(1)
    times.steps += 1
  }

  /// Lends the sum over ranks, noise included.
  func withSum<Result>(_ body: (Span<Double>) -> Result) -> Result {
    vector.withMutableSpan { span in body(span.span.extracting(0..<coordinates)) }
  }

  private func put(_ statistics: ClippedGradientSum.Statistics, _ requests: StepRequests) {
    vector.withMutableSpan { span in
      span[coordinates] = Double(statistics.examples)
      span[coordinates + 1] = Double(statistics.clipped)
      span[coordinates + 2] = Double(statistics.nonFinite)
      span[coordinates + 3] = statistics.lossSum
      span[coordinates + 4] = requests.stop ? 1 : 0
      span[coordinates + 5] = requests.checkpoint ? 1 : 0
      for index in 6..<StepExchange.tailCount { span[coordinates + index] = 0 }
    }
  }

  private func take(_ statistics: inout ClippedGradientSum.Statistics) -> StepRequests {
    vector.withMutableSpan { span in
      statistics.examples = Int(span[coordinates])
      statistics.clipped = Int(span[coordinates + 1])
      statistics.nonFinite = Int(span[coordinates + 2])
      statistics.lossSum = span[coordinates + 3]
      var requests = StepRequests()
      requests.stop = span[coordinates + 4] > 0
      requests.checkpoint = span[coordinates + 5] > 0
      return requests
    }
  }
}

/// Where the time of a rank's steps goes.
package struct StepTimes: Hashable, Sendable, Codable {
  /// Steps that were looked at.
  package var steps = 0
  /// Seconds of its own work.
  package var compute = 0.0
  /// Seconds until the last rank had come.
  package var wait = 0.0
  /// Seconds of the sum itself.
  package var transfer = 0.0

  /// No step.
  package init() {}
}
