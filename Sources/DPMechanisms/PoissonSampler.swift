public import DPAccounting
internal import Foundation

/// The sample of a step as a function of (step, block of records).
///
/// As with ``NoiseSource``, any rank can draw the sample of any block, and the answer depends on
/// nothing else. A sampler names the accounting that it has earned.
public protocol RecordSampler {
  /// The blocks that samples are asked for by.
  var blocks: RecordBlocks { get }

  /// Appends the records of a block that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - block: In 0 ..< `blocks.count`.
  ///   - records: Where indices of records are appended.
  mutating func appendSample(step: Int, block: Int, to records: inout [UInt32])
}

/// Poisson sampling: every record is in the batch of every step independently with probability q.
///
/// | rate | method | cost |
/// |---|---|---|
/// | q = 0 | nothing | O(1) |
/// | 0 < q < 1/4 | skips of geometric length, renewed after 4/q records | O(qn) |
/// | 1/4 ≤ q < 1 | a 64-bit comparison for each record | O(n) |
/// | q = 1 | every record | O(n) |
///
/// No record's probability, given everything drawn before it, exceeds q: 64-bit uniforms and the
/// logarithm's rounding move it by a relative 2⁻²⁴ + 2⁻⁴⁸/q at most, and the skips are drawn at a
/// rate lowered by that much. So accounting at q is rigorous (the loss is monotone in q).
public struct PoissonSampler: RecordSampler {
  /// The least rate above 0 that is supported: one record in 2³³.
  public static let leastRate = 0x1p-33

  /// The blocks that samples are asked for by.
  public let blocks: RecordBlocks
  /// q, which the accountant may use.
  public let samplingRate: SamplingRate

  /// A substream for each (step, block of records).
  private var words: SubstreamGenerator

  /// Opens a run's sample.
  ///
  /// - Parameters:
  ///   - key: The run's key.
  ///   - samplingRate: q.
  ///   - blocks: The records, in blocks.
  /// - Throws: ``PrivacyError`` when q is greater than 0 and below ``leastRate``.
  public init(
    _ key: some RunKey, samplingRate: SamplingRate, blocks: RecordBlocks
  ) throws(PrivacyError) {
    let q = samplingRate.value
    guard q == 0 || q >= PoissonSampler.leastRate else {
      throw PrivacyError(
        .parameterOutOfRange,
        "sampling rate is \(q); it must be 0 or at least \(PoissonSampler.leastRate)")
    }
    self.blocks = blocks
    self.samplingRate = samplingRate
    let mean = q * Double(blocks.size)
    let count = q < PoissonSampler.comparisonRate ? mean + 4 * mean.squareRoot() + 4 : mean / q
    words = SubstreamGenerator(
      key, domain: .sampling, overflow: .samplingOverflow,
      blocks: q == 0 ? 0 : Int((count / 2).rounded(.up)))
  }

  /// The rate from which records are compared one by one.
  private static let comparisonRate = 0.25

  /// Appends the records of a block that take part in a step, in ascending order.
  ///
  /// - Parameters:
  ///   - step: The step, at least 0.
  ///   - block: In 0 ..< `blocks.count`.
  ///   - records: Where indices of records are appended.
  public mutating func appendSample(step: Int, block: Int, to records: inout [UInt32]) {
    precondition(step >= 0, "step is \(step)")
    let range = blocks.range(of: block)
    words.begin(UInt128(step) * UInt128(blocks.count) + UInt128(block))
    let q = samplingRate.value
    if q == 1 {
      records.append(contentsOf: range.lazy.map { UInt32($0) })
    } else if q >= PoissonSampler.comparisonRate {
      compareEach(of: range, into: &records)
    } else if q > 0 {
      skip(through: range, into: &records)
    }
  }

  private mutating func skip(through range: Range<Int>, into records: inout [UInt32]) {
    let q = samplingRate.value
    let logSurvival = log1p(-(q * (1 - 0x1p-24) - 0x1p-48))
    // A skip as long as this is cut and drawn anew, which changes nothing (a geometric skip has no
    // memory) and keeps every uniform away from the few smallest values, where 64 bits are coarse.
    let longest = Int(4 / q) + 1
    var next = range.lowerBound
    while next < range.upperBound {
      let uniform = (Double(words.next()) + 1) * 0x1p-64
      let gap = log(uniform) / logSurvival
      guard gap < Double(longest) else {
        next += longest
        continue
      }
      next += Int(gap)
      guard next < range.upperBound else { break }
      records.append(UInt32(next))
      next += 1
    }
  }

  private mutating func compareEach(of range: Range<Int>, into records: inout [UInt32]) {
    // ⌊q·2⁶⁴⌋ of the 2⁶⁴ words are below the threshold, so the probability is at most q.
    let threshold = UInt64(samplingRate.value * 0x1p64)
    for record in range where words.next() < threshold {
      records.append(UInt32(record))
    }
  }
}
