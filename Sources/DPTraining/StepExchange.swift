internal import DPCollectives
internal import DPKernels
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
///
/// Ranks that share memory show each other their vectors, and each sums what it needs as it goes: they
/// wait once, and nobody writes to another's memory. What is shown is a copy, in integers of 4 bytes where
/// all of it fits, which it nearly always does: what goes from one processor's cache to another's takes
/// longer than anything else. There are two copies, used by turns. All other ranks add theirs up by a
/// collective operation.
final class StepExchange {
  /// Over whom is summed.
  let communicator: Communicator
  /// The coordinates whose noise this rank makes.
  let noiseCoordinates: Range<Int>
  /// Where the time of a step goes, by the steps that were looked at.
  private(set) var times = StepTimes()

  private let coordinates: Int
  private let showsVectors: Bool
  private let vector: SharedVector<Double>
  /// What is shown, for every other step; empty where vectors are not: statistics and requests as they are,
  /// then the vector, packed or as it is.
  private let evenCopy: SharedVector<Int32>
  private let oddCopy: SharedVector<Int32>
  private var isOdd = false
  /// Which ranks have shown packed vectors.
  private var isPacked: [Bool]
  /// Where a part of the sum of vectors that were shown is put.
  private var part: [Double]
  private let clock = ContinuousClock()
  private var isTimed = false
  private var start = ContinuousClock().now

  /// Statistics and requests behind the sum.
  private static let tailCount = 8
  /// Which of these says that what is shown is packed.
  private static let packedMark = 7
  /// Integers of 4 bytes that take the room of the statistics.
  private static let headCount = 2 * tailCount
  /// One in so many steps is looked at more closely, which costs it one more meeting where vectors are
  /// not shown.
  private static let timedSteps = 64
  /// Which of them: not the first, to which ranks come as they have started.
  private static let timedStep = 7
  /// Coordinates that are summed and used at a time: they stay in the nearest cache.
  static let partCoordinates = 4096
  /// Integers of 4 bytes of a copy that is asked for ahead.
  private static let claimedCount = 4096
  /// Noise is made in groups of so many coordinates, which are not split between ranks.
  private static let groupCoordinates = 16

  /// Makes room for the sums of a network.
  ///
  /// - Parameters:
  ///   - communicator: The ranks; used by nothing else while a step is under way.
  ///   - coordinates: d.
  init(_ communicator: Communicator, coordinates: Int) {
    self.communicator = communicator
    self.coordinates = coordinates
    let size = StepExchange.groupCoordinates
    let groups = Chunks(0..<(coordinates + size - 1) / size, parts: communicator.ranks)[
      communicator.rank]
    noiseCoordinates =
      min(coordinates, groups.lowerBound * size)..<min(coordinates, groups.upperBound * size)
    let count = coordinates + StepExchange.tailCount
    showsVectors = communicator.canShow(bytes: 8 * count)
    vector =
      showsVectors
      ? SharedVector(inProcess: count) : communicator.makeVector(of: Double.self, count: count)
    let shown = showsVectors ? 2 * count : 0
    evenCopy = communicator.makeVector(of: Int32.self, count: shown)
    oddCopy = communicator.makeVector(of: Int32.self, count: shown)
    isPacked = [Bool](repeating: false, count: communicator.ranks)
    part = [Double](repeating: 0, count: StepExchange.partCoordinates)
  }

  /// Begins a step.
  func begin(step: Int) {
    isOdd = showsVectors && !isOdd
    if isOdd { claim(oddCopy) } else { claim(evenCopy) }
    isTimed = step % StepExchange.timedSteps == StepExchange.timedStep
    if isTimed { start = clock.now }
  }

  /// Asks for the copy of this step, which others have read, where it is short.
  private func claim(_ copy: borrowing SharedVector<Int32>) {
    let count = StepExchange.headCount + coordinates
    guard showsVectors, count <= StepExchange.claimedCount else { return }
    copy.withMutableSpan { span in
      var part = span._mutatingExtracting(0..<count)
      PackedNumbers.claim(&part)
    }
  }

  // MARK: This rank's part of the sum

  /// Lends the vector of this step, whose first d elements are the sum.
  func withVector<Result, Failure: Error>(
    _ body: (inout MutableSpan<Double>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try vector.withMutableSpan(body)
  }

  /// Starts the sum: noise where this rank makes it, which ``put(noise:at:)`` brings, 0 elsewhere.
  func clear() {
    let own = noiseCoordinates
    unsafe withElements(0..<own.lowerBound) { unsafe $0.update(repeating: 0) }
    unsafe withElements(own.upperBound..<coordinates) { unsafe $0.update(repeating: 0) }
  }

  /// Starts the sum of coordinates whose noise this rank makes.
  func put(noise: Span<Int32>, at first: Int) {
    unsafe withElements(first..<first + noise.count) { target in
      for index in 0..<noise.count { unsafe target[index] = Double(noise[index]) }
    }
  }

  /// Adds what another thread has summed.
  func add(_ sum: Span<Double>) {
    unsafe withElements(0..<sum.count) { target in
      for index in 0..<sum.count { unsafe target[index] += sum[index] }
    }
  }

  /// Lends some elements of the vector, as many as were asked for, whose bounds are checked once.
  private func withElements(
    _ range: Range<Int>, _ body: (UnsafeMutableBufferPointer<Double>) -> Void
  ) {
    precondition(range.upperBound <= coordinates, "\(range) of \(coordinates)")
    withVector { span in
      // SAFETY: the range lies within the vector, which is lent through the call.
      unsafe span.withUnsafeMutableBufferPointer { unsafe body(.init(rebasing: $0[range])) }
    }
  }

  /// Brings this rank's part, which is complete; where vectors are shown others may read it now.
  ///
  /// - Parameters:
  ///   - statistics: Of this rank's part of the batch.
  ///   - requests: What this rank asks for.
  /// - Throws: ``CollectiveError``.
  func bring(
    _ statistics: ClippedGradientSum.Statistics, asking requests: StepRequests
  ) throws(CollectiveError) {
    put(statistics, requests)
    guard showsVectors else { return }
    if isOdd {
      copy(to: oddCopy)
      try communicator.show(oddCopy)
    } else {
      copy(to: evenCopy)
      try communicator.show(evenCopy)
    }
  }

  /// Copies the vector to where others see it.
  private func copy(to copy: borrowing SharedVector<Int32>) {
    let head = StepExchange.headCount
    copy.withMutableSpan { target in
      withVector { own in
        var packed = target._mutatingExtracting(head..<head + coordinates)
        let fits = PackedNumbers.pack(own.span.extracting(0..<coordinates), into: &packed)
        own[coordinates + StepExchange.packedMark] = fits ? 1 : 0
        // SAFETY: the copy has room for as many bytes as the vector has; the two do not overlap.
        unsafe own.withUnsafeBytes { own in
          unsafe target.withUnsafeMutableBytes { target in
            unsafe target.copyMemory(from: .init(rebasing: own[(8 * coordinates)...]))
            guard !fits else { return }
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[(4 * head)...]).copyMemory(
              from: .init(rebasing: own[..<(8 * coordinates)]))
          }
        }
      }
    }
  }

  // MARK: The sum over ranks

  /// Waits for the parts of all ranks.
  ///
  /// - Parameter statistics: Those of the whole batch afterwards.
  /// - Returns: What any rank asked for.
  /// - Throws: ``CollectiveError``.
  func collect(
    _ statistics: inout ClippedGradientSum.Statistics
  ) throws(CollectiveError) -> StepRequests {
    let before = isTimed ? clock.now : start
    if showsVectors {
      try communicator.awaitShown()
      for peer in isPacked.indices {
        readStatistics(of: peer) { isPacked[peer] = $0[StepExchange.packedMark] > 0 }
      }
    } else if isTimed {
      try communicator.barrier()
    }
    let met = isTimed ? clock.now : start
    if !showsVectors {
      try withVector { span throws(CollectiveError) in try communicator.allReduce(&span) }
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

  /// Lends the sum over ranks, noise included, part after part.
  ///
  /// - Parameter body: Is given the first coordinate of a part, and the sums of the part.
  func withSum(_ body: (_ first: Int, _ sum: Span<Double>) -> Void) {
    let size = StepExchange.partCoordinates
    for first in stride(from: 0, to: coordinates, by: size) {
      withSum(from: first, count: min(size, coordinates - first)) { body(first, $0) }
    }
  }

  /// Lends some of the sum.
  private func withSum(from first: Int, count: Int, _ body: (Span<Double>) -> Void) {
    guard showsVectors else {
      return withVector { span in body(span.span.extracting(first..<first + count)) }
    }
    let before = isTimed ? clock.now : start
    var sums = exchange(&part, with: [])
    for peer in isPacked.indices { add(from: first, count: count, of: peer, to: &sums) }
    if isTimed {
      let spent = clock.now - before
      times.transfer += spent / .seconds(1)
      start = start.advanced(by: spent)
    }
    body(sums.span.extracting(first: count))
    part = sums
  }

  /// Adds a part of a rank's vector to sums, which are begun with rank 0's.
  private func add(from first: Int, count: Int, of peer: Int, to sums: inout [Double]) {
    if peer == 0 { for index in 0..<count { sums[index] = 0 } }
    var span = sums.mutableSpan
    guard peer != communicator.rank else {
      return withVector { own in StepExchange.add(own.span.extracting(first..<first + count), &span)
      }
    }
    let head = StepExchange.headCount
    guard !isPacked[peer] else {
      return communicator.withShown(by: peer, from: head + first, count: count) {
        (packed: Span<Int32>) in PackedNumbers.add(packed, to: &span)
      }
    }
    communicator.withShown(by: peer, from: head + 2 * first, count: 2 * count) {
      (words: Span<Int32>) in
      // SAFETY: the words are that many numbers, at a multiple of 8 bytes.
      unsafe words.withUnsafeBytes {
        StepExchange.add(unsafe $0.bindMemory(to: Double.self).span, &span)
      }
    }
  }

  private static func add(_ numbers: Span<Double>, _ sums: inout MutableSpan<Double>) {
    precondition(numbers.count <= sums.count, "\(numbers.count) to \(sums.count)")
    for index in 0..<numbers.count { sums[index] += numbers[index] }
  }

  /// Lends the statistics and requests that a rank has shown.
  private func readStatistics(of peer: Int, _ body: (Span<Double>) -> Void) {
    communicator.withShown(by: peer, from: 0, count: StepExchange.headCount) {
      (words: Span<Int32>) in
      // SAFETY: the words are that many numbers, at a multiple of 8 bytes.
      unsafe words.withUnsafeBytes { body(unsafe $0.bindMemory(to: Double.self).span) }
    }
  }

  private func put(_ statistics: ClippedGradientSum.Statistics, _ requests: StepRequests) {
    withVector { span in
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
    guard showsVectors else {
      return withVector { read($0.span.extracting(coordinates...), &statistics) }
    }
    var sums = exchange(&part, with: [])
    for index in 0..<StepExchange.tailCount { sums[index] = 0 }
    for peer in isPacked.indices {
      readStatistics(of: peer) { tail in
        var span = sums.mutableSpan
        StepExchange.add(tail, &span)
      }
    }
    part = sums
    return read(sums.span, &statistics)
  }

  private func read(
    _ tail: Span<Double>, _ statistics: inout ClippedGradientSum.Statistics
  ) -> StepRequests {
    var requests = StepRequests()
    statistics.examples = Int(tail[0])
    statistics.clipped = Int(tail[1])
    statistics.nonFinite = Int(tail[2])
    statistics.lossSum = tail[3]
    requests.stop = tail[4] > 0
    requests.checkpoint = tail[5] > 0
    return requests
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
