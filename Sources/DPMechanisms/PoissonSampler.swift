public import DPAccounting
internal import DPKernels

/// The sample of a step as a function of (step, block of records).
///
/// As with ``NoiseSource``, any rank can draw the sample of any block, and the answer depends on
/// nothing else. A sampler names the accounting that it has earned.
public protocol RecordSampler {
  /// The blocks that samples are asked for by.
  var blocks: RecordBlocks { get }

  /// Appends the records of some blocks that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - blocks: Within 0 ..< `blocks.count`.
  ///   - records: Where indices of records are appended.
  mutating func appendSample(step: Int, blocks: Range<Int>, to records: inout [UInt32])
}

extension RecordSampler {
  /// Appends the records of a block that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - block: In 0 ..< `blocks.count`.
  ///   - records: Where indices of records are appended.
  public mutating func appendSample(step: Int, block: Int, to records: inout [UInt32]) {
    appendSample(step: step, blocks: block..<block + 1, to: &records)
  }

  /// Appends all records that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - records: Where indices of records are appended.
  public mutating func appendSample(step: Int, to records: inout [UInt32]) {
    appendSample(step: step, blocks: 0..<blocks.count, to: &records)
  }
}

/// Poisson sampling: every record is in the batch of every step independently with probability q.
///
/// | rate | method | cost |
/// |---|---|---|
/// | q = 0 | nothing | O(1) |
/// | 0 < q < 1/4 | skips of geometric length, renewed after 8/q records | O(qn) |
/// | 1/4 ≤ q < 1 | a 32-bit comparison for each record | O(n) |
/// | q = 1 | every record | O(n) |
///
/// No record's probability, given what happens to all others, before it and after, exceeds q, so
/// accounting at q is rigorous (the loss is monotone in q). For comparisons it is ⌊q·2³²⌋·2⁻³². For
/// skips, with S(j) the probability that a skip is at least j:
///
/// * A skip is at least j where a uniform u = (w + 1)·2⁻⁶⁴ has −ln u computed, divided by λ and
///   rounded to be at least j. While λj ≤ 8 that is off by at most ε = 2⁻⁴⁷
///   (``GeometricWalk/error``), so it contains u ≤ exp(−λj − ε) and is contained in
///   u ≤ exp(−λj + ε), and S(j) is at least exp(−λj − ε) − 2⁻⁶⁴ and at most exp(−λj + ε). In short S(j) = exp(−λj)(1 ± 1.03 ε).
/// * So a skip is j with probability p(j) = S(j) − S(j+1) = ρ exp(−λj)(1 ± 2.06 ε/ρ), ρ = 1 − exp(−λ).
/// * A skip of 8/λ or more is cut to L, λL ≤ 8, and drawn anew: a geometric skip has no memory.
/// * Let a record come j after the last that was drawn or cut, and let the next that is drawn come
///   k + 1 after it. Given all other records the odds that it is drawn are p(j) F(k) / F(j + k + 1),
///   where F(D) = S(L)ᶜ p(D − cL), c = ⌊D/L⌋, is the probability of a way of D, or S(L)ᶜ S(D − cL) where
///   none is drawn before the block's end. The c of the two ways differ by at most 1, since j < L, so
///   three p and one S at most do not cancel: the odds are at most ρ/(1 − ρ) · (1 + 6.3 ε/ρ + 1.1 ε),
///   with what is of second order as ρ ≥ 2⁻³⁴, and the probability is at most ρ + 7 ε.
/// * With λ = −ln(1 − (q − 8 ε)), rounded down, that is at most q.
///
/// The rate is lowered by 2⁻⁴⁴ in all: by a relative 2⁻¹¹ at the least q, 2⁻³³, and by less than one
/// record in 10⁹ where q is 10⁻⁴ or more.
public struct PoissonSampler: RecordSampler {
  /// The least rate above 0 that is supported: one record in 2³³.
  public static let leastRate = 0x1p-33

  /// What this processor can draw with, slowest first; the samples are the same with each.
  public static var instructionSets: [String] { GeometricWalk.instructionSets }

  /// The blocks that samples are asked for by.
  public let blocks: RecordBlocks
  /// q, which the accountant may use.
  public let samplingRate: SamplingRate

  /// Cipher blocks of the share that a (step, block of records) has of the stream.
  private let share: Int
  private var stream: KeyStream
  /// What follows a share: a region of 2³³ cipher blocks for each (step, block of records).
  private var overflow: KeyStream
  /// λ, for skips.
  private let rate: Double
  /// The length at which skips are cut.
  private let longest: Int
  private let variant: Int
  /// Where records are drawn before they are appended.
  private var scratch: [UInt32]

  /// Opens a run's sample.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - samplingRate: q.
  ///   - blocks: The records, in blocks.
  ///   - instructionSet: One of ``instructionSets``, to compare them; nil for the fastest.
  /// - Throws: ``PrivacyError`` when q is greater than 0 and below ``leastRate``.
  public init(
    _ key: some RunKey, samplingRate: SamplingRate, blocks: RecordBlocks,
    instructionSet: String? = nil
  ) throws(PrivacyError) {
    let q = samplingRate.value
    guard q == 0 || q >= PoissonSampler.leastRate else {
      throw PrivacyError(
        .parameterOutOfRange,
        "sampling rate is \(q); it must be 0 or at least \(PoissonSampler.leastRate)")
    }
    let sets = PoissonSampler.instructionSets
    let named = instructionSet.map { sets.firstIndex(of: $0) ?? -1 } ?? sets.count - 1
    precondition(named >= 0, "no \(instructionSet ?? "") here")
    self.blocks = blocks
    self.samplingRate = samplingRate
    variant = named
    share = PoissonSampler.share(of: q, size: blocks.size)
    rate = PoissonSampler.rate(of: min(max(q, PoissonSampler.leastRate), 0.25))
    longest = Int(min(Double(GeometricWalk.limit), 8 / rate))
    stream = KeyStream(key, domain: .sampling)
    // Overflows are far between, so that little of a longer window would be used.
    overflow = KeyStream(key, domain: .samplingOverflow, windowBlocks: 32)
    scratch = [UInt32](repeating: 0, count: q > 0 && q < 1 ? PoissonSampler.scratchRecords : 0)
  }

  /// The rate from which records are compared one by one.
  private static let comparisonRate = 0.25
  /// A call of the cipher makes words for as many records.
  private static let scratchRecords =
    KeyStream.windowBlocks * KeyStream.blockBytes / MemoryLayout<UInt32>.size
  private static let groupBlocks = GeometricWalk.groupBytes / KeyStream.blockBytes
  /// Records that a cipher block is compared with.
  private static let comparedPerBlock = KeyStream.blockBytes / 4

  /// The cipher blocks of a share.
  ///
  /// For skips the mean and 2.5 standard deviations: one in 100 blocks of records then goes on to
  /// the overflow, whose calls cost more than what a longer share would.
  private static func share(of q: Double, size: Int) -> Int {
    guard q < comparisonRate else {
      return (size + comparedPerBlock - 1) / comparedPerBlock
    }
    let mean = q * Double(size)
    let groups = (mean + 2.5 * mean.squareRoot() + 1) / Double(GeometricWalk.groupWords)
    return groupBlocks * Int(groups.rounded(.up))
  }

  /// λ, rounded down, for q below 1/4; the same on every machine, whatever its logarithm.
  ///
  /// −ln(1 − x) is the sum of xᵏ / k. For x < 1/4 what comes after the 40th term is less than 2⁻⁸⁰ of
  /// it, and roundings are less than 2⁻⁵⁰ of it: three in a term, each damped fourfold by the next.
  package static func rate(of q: Double) -> Double {
    let x = q - 8 * GeometricWalk.error
    let sum = (1...40).reversed().reduce(0.0) { 1 / Double($1) + x * $0 }
    return x * sum * (1 - 0x1p-50)
  }

  /// Appends the records of some blocks that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - blocks: Within 0 ..< `blocks.count`.
  ///   - records: Where indices of records are appended.
  /// - Complexity: About 4 ns for each record drawn with AVX2, the cipher included; no allocation
  ///   but the cipher's, and that of `records` as it grows.
  public mutating func appendSample(
    step: Int, blocks: Range<Int>, to records: inout [UInt32]
  ) {
    precondition(
      step >= 0 && blocks.lowerBound >= 0 && blocks.upperBound <= self.blocks.count,
      "step \(step), blocks \(blocks) of \(self.blocks.count)")
    let q = samplingRate.value
    let substream = UInt128(step) * UInt128(self.blocks.count)
    if q == 1, !blocks.isEmpty {
      let first = self.blocks.range(of: blocks.lowerBound).lowerBound
      let end = self.blocks.range(of: blocks.upperBound - 1).upperBound
      records.append(contentsOf: (first..<end).lazy.map { UInt32($0) })
    } else if q > 0 {
      expect(blocks, at: substream)
      var room = exchange(&scratch, with: [])
      var drawn = 0
      for block in blocks {
        q < PoissonSampler.comparisonRate
          ? walk(block, at: substream + UInt128(block), &room, &drawn, &records)
          : compareEach(of: block, at: substream + UInt128(block), &room, &records)
      }
      records.append(contentsOf: room[..<drawn])
      scratch = room
    }
  }

  /// Tells the stream which blocks of a step are drawn here, where others are drawn elsewhere.
  private mutating func expect(_ blocks: Range<Int>, at substream: UInt128) {
    guard blocks.count < self.blocks.count else { return }
    let size = UInt128(share)
    let start = (substream + UInt128(blocks.lowerBound)) * size
    stream.expect(
      start..<start + UInt128(blocks.count) * size,
      of: substream * size..<(substream + UInt128(self.blocks.count)) * size)
  }

  /// Draws a block's records by skips, and appends what leaves no room.
  private mutating func walk(
    _ block: Int, at substream: UInt128, _ room: inout [UInt32], _ drawn: inout Int,
    _ records: inout [UInt32]
  ) {
    var walk = GeometricWalk(over: blocks.range(of: block), rate: rate, longest: longest)
    var done = 0
    while !walk.isOver {
      let left = done < share ? (share - done) / PoissonSampler.groupBlocks : 8
      if drawn + left * GeometricWalk.groupWords > room.count {
        records.append(contentsOf: room[..<drawn])
        drawn = 0
      }
      let groups = min(left, (room.count - drawn) / GeometricWalk.groupWords)
      var span = room.mutableSpan
      drawn += draw(&walk, substream, &done, groups: groups, into: &span, at: drawn)
    }
  }

  /// Draws with some of a substream's groups, at least one, and returns the number of records.
  private mutating func draw(
    _ walk: inout GeometricWalk, _ substream: UInt128, _ done: inout Int, groups: Int,
    into room: inout MutableSpan<UInt32>, at start: Int
  ) -> Int {
    let size = PoissonSampler.groupBlocks
    let variant = variant
    var count = 0
    let had: Int
    if done < share {
      had = stream.withRecords(
        at: substream * UInt128(share) + UInt128(done), ofBlocks: size, atMost: groups
      ) { count = walk.draw($0, into: &room, at: start, variant: variant) }
    } else {
      had = overflow.withRecords(
        at: substream << 33 + UInt128(done - share), ofBlocks: size, atMost: groups
      ) { count = walk.draw($0, into: &room, at: start, variant: variant) }
    }
    done += had * size
    return count
  }

  /// Draws a block's records by a comparison for each.
  private mutating func compareEach(
    of block: Int, at substream: UInt128, _ room: inout [UInt32], _ records: inout [UInt32]
  ) {
    let range = blocks.range(of: block)
    // ⌊q·2³²⌋ of the 2³² words are below the threshold, so the probability is at most q.
    let threshold = UInt32(samplingRate.value * 0x1p32)
    let size = PoissonSampler.comparedPerBlock
    var done = 0
    while done * size < range.count {
      let start = done * size
      let left = range.count - start
      var count = 0
      var span = room.mutableSpan
      done += stream.withRecords(
        at: substream * UInt128(share) + UInt128(done), ofBlocks: 1,
        atMost: (left + size - 1) / size
      ) { bytes in
        count = ComparedRecords.draw(
          bytes.extracting(first: min(bytes.byteCount, 4 * left)), below: threshold,
          from: UInt32(range.lowerBound + start), into: &span)
      }
      records.append(contentsOf: room[..<count])
    }
  }
}
