import Foundation

/// What is known of δ: it lies in [`lower`, `upper`].
public struct DeltaBounds: Hashable, Sendable {
  /// The guarantee: the true δ is at most this.
  ///
  /// It is 0 only for a perfectly private history.
  public let upper: Double
  /// The true δ is at least this.
  public let lower: Double

  /// Makes an interval.
  ///
  /// - Parameters:
  ///   - upper: The guarantee.
  ///   - lower: The proved lower bound.
  public init(upper: Double, lower: Double) {
    self.upper = upper
    self.lower = lower
  }
}

/// A step in which a differing row moves the released sum by a random length.
///
/// With probability `probabilities[k]` the sum moves by at most `shifts[k]` clipping norms; then
/// Gaussian noise of σ clipping norms is added. It covers a group of rows (``group(of:samplingRate:noiseMultiplier:)``)
/// and a row that is drawn several times in one step, provided that its copies displace no others.
/// It speaks of adding, removing and zeroing out; replacing is not covered.
public struct MixtureOfGaussians: Hashable, Sendable {
  /// Lengths of the shift in clipping norms, each finite and at least 0.
  public let shifts: [Double]
  /// The probability of each; they add up to 1.
  public let probabilities: [Double]
  /// σ against the clipping norm.
  public let noiseMultiplier: NoiseMultiplier

  /// Describes a step.
  ///
  /// - Parameters:
  ///   - shifts: Finite, at least 0, at least one of them.
  ///   - probabilities: As many, each at least 0; their sum is 1 up to 1e-9.
  ///   - noiseMultiplier: σ.
  /// - Throws: ``PrivacyError`` naming what is out of range.
  public init(
    shifts: [Double], probabilities: [Double], noiseMultiplier: NoiseMultiplier
  ) throws(PrivacyError) {
    guard !shifts.isEmpty, shifts.count == probabilities.count else {
      throw PrivacyError(
        .parameterOutOfRange,
        "there are \(shifts.count) shifts and \(probabilities.count) probabilities; give as many "
          + "of both, at least one")
    }
    if let shift = shifts.first(where: { !($0 >= 0 && $0 <= 1e6) }) {
      throw PrivacyError(
        .parameterOutOfRange, "shift is \(shift); it must be at least 0 and at most 1e6")
    }
    if let share = probabilities.first(where: { !($0 >= 0 && $0 <= 1) }) {
      throw PrivacyError(
        .parameterOutOfRange, "probability is \(share); it must be at least 0 and at most 1")
    }
    let sum = probabilities.reduce(0, +)
    guard abs(sum - 1) <= 1e-9 else {
      throw PrivacyError(
        .parameterOutOfRange, "the probabilities add up to \(sum); they must add up to 1")
    }
    self.shifts = shifts
    self.probabilities = probabilities.map { $0 / sum }
    self.noiseMultiplier = noiseMultiplier
  }

  /// A step as a group of k rows sees it: each takes part independently with probability q.
  ///
  /// The worst group pulls in one direction, so m of its rows move the sum by m clipping norms, m
  /// binomial. This is exact for the worst case, and for most settings far below k ε.
  ///
  /// - Parameters:
  ///   - size: k, from 1 to 1000.
  ///   - samplingRate: q.
  ///   - noiseMultiplier: σ.
  /// - Returns: The step.
  /// - Throws: ``PrivacyError`` when `size` is out of range.
  public static func group(
    of size: Int, samplingRate: SamplingRate, noiseMultiplier: NoiseMultiplier
  ) throws(PrivacyError) -> MixtureOfGaussians {
    guard (1...1000).contains(size) else {
      throw PrivacyError(
        .parameterOutOfRange, "group size is \(size); it must be at least 1 and at most 1000")
    }
    let q = samplingRate.value
    let logs = (0...size).map { m in
      logBinomial(size, m) + (m == 0 ? 0 : Double(m) * log(q))
        + (m == size ? 0 : Double(size - m) * log1p(-q))
    }
    // The improbable upper end is cut where it adds less than the least double, at its own weight.
    let kept = logs.indices.filter { logs[$0] > -700 }
    let weights = kept.map { exp(logs[$0]) }
    let sum = weights.reduce(0, +)
    return try MixtureOfGaussians(
      shifts: kept.map(Double.init), probabilities: weights.map { $0 / sum },
      noiseMultiplier: noiseMultiplier)
  }

  private static func logBinomial(_ n: Int, _ k: Int) -> Double {
    (0..<min(k, n - k)).reduce(0) { $0 + log(Double(n - $1) / Double($1 + 1)) }
  }
}

/// Everything that was released about one table, in phases that may differ.
///
/// Order does not matter. Every phase speaks of the same neighbouring relation; a mechanism whose
/// accounting does not cover that relation is refused.
public struct PrivacyHistory: Sendable {
  /// Which two tables are compared.
  public let relation: NeighbouringRelation
  private(set) var events: [(event: Event, count: Int)] = []

  enum Event: Hashable {
    case poisson(rate: Double, sigma: Double)
    case mixture(MixtureOfGaussians)
  }

  /// A history in which nothing has been released.
  ///
  /// - Parameter relation: Which two tables are compared.
  public init(relation: NeighbouringRelation = .zeroOut) {
    self.relation = relation
  }

  /// A history of composed steps.
  ///
  /// - Parameter composition: Steps; none is the empty history.
  /// - Throws: ``PrivacyError`` when steps speak of different relations.
  public init(_ composition: [ComposedSteps]) throws(PrivacyError) {
    self.init(relation: composition.first?.mechanism.relation ?? .zeroOut)
    for steps in composition { try append(steps.mechanism, count: steps.count) }
  }

  /// Adds steps of DP-SGD.
  ///
  /// - Parameters:
  ///   - mechanism: What each releases; its relation is the history's.
  ///   - count: T ≥ 0.
  /// - Throws: ``PrivacyError`` for another relation or a negative count.
  public mutating func append(
    _ mechanism: PoissonSubsampledGaussian, count: Int
  ) throws(PrivacyError) {
    guard mechanism.relation == relation else {
      throw PrivacyError(
        .parameterOutOfRange,
        "the steps are accounted for \(mechanism.relation.rawValue), the history for "
          + "\(relation.rawValue); account for one relation at a time")
    }
    let count = try ComposedSteps(of: mechanism, count: count).count
    let (rate, sigma) = (mechanism.samplingRate.value, mechanism.noiseMultiplier.value)
    if rate == 1 {
      // All rows of a group take part: one shift of their number.
      add(.poisson(rate: 1, sigma: sigma / Double(mechanism.groupSize)), count)
    } else if let mixture = mechanism.mixture {
      add(.mixture(mixture), count)
    } else {
      add(.poisson(rate: rate, sigma: sigma), count)
    }
  }

  /// Adds steps with random shifts.
  ///
  /// - Parameters:
  ///   - mechanism: What each releases.
  ///   - count: T ≥ 0.
  /// - Throws: ``PrivacyError`` under `replace`, which the mixture does not cover, or for a negative
  ///   count.
  public mutating func append(_ mechanism: MixtureOfGaussians, count: Int) throws(PrivacyError) {
    guard relation != .replace else {
      throw PrivacyError(
        .parameterOutOfRange,
        "relation is replace; a mixture of Gaussians covers zero-out and add-remove")
    }
    guard count >= 0 else {
      throw PrivacyError(.parameterOutOfRange, "steps is \(count); it must be at least 0")
    }
    add(.mixture(mechanism), count)
  }

  /// Adds passes over a shuffled table, each row in one batch of each pass.
  ///
  /// - Parameter epochs: The passes; their relation is the history's.
  /// - Throws: ``PrivacyError`` for another relation.
  public mutating func append(_ epochs: ShuffledEpochs) throws(PrivacyError) {
    guard epochs.relation.neighbouring == relation else {
      throw PrivacyError(
        .parameterOutOfRange,
        "the epochs are accounted for \(epochs.relation.neighbouring.rawValue), the history for "
          + "\(relation.rawValue); account for one relation at a time")
    }
    add(.poisson(rate: 1, sigma: epochs.noiseMultiplier.value), epochs.count)
  }

  /// Equal events are one event: then T₁ and T₂ of them are T₁ + T₂ of them to the last bit.
  private mutating func add(_ event: Event, _ count: Int) {
    if case .poisson(let rate, _) = event, rate == 0 { return }
    if case .mixture(let mixture) = event,
      zip(mixture.shifts, mixture.probabilities).allSatisfy({ $0 == 0 || $1 == 0 })
    {
      return
    }
    guard count > 0 else { return }
    if let index = events.firstIndex(where: { $0.event == event }) {
      events[index].count += count
    } else {
      events.append((event, count))
    }
  }
}

extension PrivacyHistory {
  /// T over all phases, as a number that cannot overflow.
  var stepCount: Double { events.reduce(0) { $0 + Double($1.count) } }

  /// μ of a history of full batches alone; nil where any step is subsampled.
  var separation: Double? {
    var square = 0.0
    for (event, count) in events {
      guard case .poisson(let rate, let sigma) = event, rate == 1 else { return nil }
      square += Double(count) / (sigma * sigma)
    }
    return square.squareRoot() * (relation == .replace ? 2 : 1)
  }

  /// The pairs to account for: one list for each direction of the relation.
  var directions: [[(pair: DominatingPair, count: Int)]] {
    let forward = events.map { (event, count) in
      let pair: DominatingPair =
        switch event {
        case .poisson(let rate, let sigma):
          relation == .replace
            ? .replacing(rate: rate, sigma: sigma) : .removing(rate: rate, sigma: sigma)
        case .mixture(let mixture):
          .removing(
            shifts: mixture.shifts, probabilities: mixture.probabilities,
            sigma: mixture.noiseMultiplier.value)
        }
      return (pair: pair, count: count)
    }
    // Replacing is its own reverse.
    if relation == .replace { return [forward] }
    return [forward, forward.map { ($0.pair.reversed, $0.count) }]
  }
}
