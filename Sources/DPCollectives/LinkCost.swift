/// What messages and sums cost on given machines and a given network: the α-β-γ model.
///
/// A message of n bytes takes α + nβ; a rank adds n bytes in nγ; a rank that sends several messages
/// in one round starts each of them a gap after the last. A rank sends and receives at once.
public struct LinkCost: Hashable, Sendable {
  /// α: seconds that a message takes however short it is.
  public let latency: Double
  /// β: seconds for each byte of a message.
  public let secondsPerByte: Double
  /// γ: seconds for each byte that is added to another.
  public let secondsPerByteSummed: Double
  /// Seconds between the starts of two short messages of a round.
  public let gap: Double

  /// A model.
  ///
  /// - Parameters:
  ///   - latency: α in seconds, finite and at least 0.
  ///   - bandwidth: 1/β in bytes per second, above 0; infinite where bytes cost nothing.
  ///   - sumBandwidth: 1/γ in bytes per second, above 0; infinite where sums cost nothing.
  ///   - gap: Seconds between messages of a round; nil for a quarter of α.
  /// - Throws: ``CollectiveError`` for a number outside its range.
  public init(
    latency: Double, bandwidth: Double, sumBandwidth: Double = 1e10, gap: Double? = nil
  ) throws(CollectiveError) {
    for (name, value) in [("latency", latency), ("gap", gap ?? 0)] {
      guard value >= 0, value.isFinite else {
        throw CollectiveError(
          .invalidOption, "\(name) is \(value) s; it must be finite and at least 0")
      }
    }
    for (name, value) in [("bandwidth", bandwidth), ("sum bandwidth", sumBandwidth)] {
      guard value > 0 else {
        throw CollectiveError(.invalidOption, "\(name) is \(value) bytes/s; it must be above 0")
      }
    }
    self.latency = latency
    secondsPerByte = 1 / bandwidth
    secondsPerByteSummed = 1 / sumBandwidth
    self.gap = gap ?? latency / 4
  }
}

extension LinkCost {
  /// The time of an allreduce by formula, for ranks that are all linked alike.
  ///
  /// The formulas are those of the schedules; where chunks are equal they agree with
  /// ``EventSimulator``. `hierarchical` counts each rank as a host of its own.
  ///
  /// - Parameters:
  ///   - algorithm: The algorithm.
  ///   - ranks: P, at least 1.
  ///   - bytes: n, the bytes of one vector.
  ///   - elementSize: Bytes of an element, for algorithms that cut by elements.
  /// - Returns: Seconds.
  /// - SeeAlso: Thakur, Rabenseifner, Gropp 2005, "Optimization of collective communication
  ///   operations in MPICH".
  public func seconds(
    _ algorithm: AllReduceAlgorithm, ranks: Int, bytes: Double, elementSize: Int = 4
  ) -> Double {
    guard ranks > 1, bytes > 0 else { return 0 }
    let others = Double(ranks - 1)
    let up = Double(ranks.ceilLog2)
    let share = others / Double(ranks) * bytes
    switch algorithm {
    case .naive:
      return latency + burst(ranks - 1, bytes) + others * bytes * secondsPerByteSummed
    case .roundRobin:
      return others * (latency + bytes * (secondsPerByte + secondsPerByteSummed))
    case .roundRobinChunked: return roundRobinChunked(ranks, bytes, elementSize)
    case .binomial:
      return 2 * up * (latency + bytes * secondsPerByte) + up * bytes * secondsPerByteSummed
    case .recursiveDoubling: return recursiveDoubling(ranks, bytes)
    case .halvingDoubling: return halvingDoubling(ranks, bytes)
    case .ring: return 2 * others * latency + optimal(share)
    case .segmentedRing: return segmentedRing(ranks, bytes, elementSize)
    case .circulant, .hierarchical: return 2 * up * latency + optimal(share)
    case .bruck:
      return up * latency + others * bytes * (secondsPerByte + secondsPerByteSummed)
    case .direct: return 2 * latency + bytes * secondsPerByteSummed
    }
  }

  /// Messages that leave one after the other, without the latency of the last.
  private func burst(_ messages: Int, _ bytes: Double) -> Double {
    Double(messages - 1) * max(gap, bytes * secondsPerByte) + bytes * secondsPerByte
  }

  /// The bytes and sums of an algorithm that moves as little as possible.
  private func optimal(_ share: Double) -> Double {
    2 * share * secondsPerByte + share * secondsPerByteSummed
  }

  private func roundRobinChunked(
    _ ranks: Int, _ bytes: Double, _ elementSize: Int
  ) -> Double {
    let chunk = bytes / Double(ranks)
    let partners = Tuning.partners(chunk: Int(chunk / Double(elementSize)))
    let rounds = stride(from: 0, to: ranks - 1, by: partners).reduce(0) { total, first in
      total + latency + burst(min(partners, ranks - 1 - first), chunk)
    }
    return 2 * rounds + Double(ranks - 1) * chunk * secondsPerByteSummed
  }

  private func recursiveDoubling(_ ranks: Int, _ bytes: Double) -> Double {
    let step = latency + bytes * (secondsPerByte + secondsPerByteSummed)
    let ragged = ranks == 1 << ranks.floorLog2 ? 0 : step + latency + bytes * secondsPerByte
    return Double(ranks.floorLog2) * step + ragged
  }

  private func halvingDoubling(_ ranks: Int, _ bytes: Double) -> Double {
    let power = Double(1 << ranks.floorLog2)
    let ragged =
      ranks == 1 << ranks.floorLog2
      ? 0 : 3 * latency + bytes * (2 * secondsPerByte + 0.5 * secondsPerByteSummed)
    return 2 * Double(ranks.floorLog2) * latency + optimal((power - 1) / power * bytes) + ragged
  }

  private func segmentedRing(_ ranks: Int, _ bytes: Double, _ elementSize: Int) -> Double {
    let chunk = bytes / Double(ranks)
    let segments = max(2, (chunk / Double(elementSize * Tuning.segment)).rounded(.up))
    let message = latency + chunk / segments * secondsPerByte
    let sum = chunk / segments * secondsPerByteSummed
    let rounds = Double(ranks - 1) * segments
    // A sum hides behind the next message; the last one of the first phase hides behind nothing.
    return message + (rounds - 1) * max(message, sum) + sum + rounds * message
  }
}
