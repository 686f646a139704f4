/// Algorithms that send chunks around a circle of ranks.
extension ScheduleBuilder {
  /// The ring: P − 1 rounds that add, P − 1 that copy.
  mutating func ring() {
    let chunks = Chunks(range, parts: size)
    for step in 0..<size - 1 {
      round(
        sends: [Message(partner: place + 1, .vector(chunks[place - step]))],
        receives: [
          Message(
            partner: place - 1, .vector(chunks[place - step - 1]), adds: true)
        ])
    }
    for step in 0..<size - 1 {
      round(
        sends: [Message(partner: place + 1, .vector(chunks[place + 1 - step]))],
        receives: [Message(partner: place - 1, .vector(chunks[place - step]))])
    }
  }

  /// The ring in segments, of which a chunk has at least two: one is added while the next comes.
  mutating func segmentedRing() {
    guard size > 1 else { return }
    let chunks = Chunks(range, parts: size)
    let longest = range.count.dividedUp(by: size)
    let segments = max(2, longest.dividedUp(by: Tuning.segment))
    let staging = (0..<2).map { _ in scratch(longest.dividedUp(by: segments)) }
    func segment(_ chunk: Int, _ index: Int) -> ScheduleSlice {
      .vector(Chunks(chunks[chunk], parts: segments)[index])
    }
    var arrived: LocalStep?
    for turn in 0..<(size - 1) * segments {
      let (step, index) = turn.quotientAndRemainder(dividingBy: segments)
      let target = segment(place - step - 1, index)
      let stage = staging[turn % 2].part(0..<target.count)
      round(
        sends: [Message(partner: place + 1, segment(place - step, index))],
        receives: [Message(partner: place - 1, stage)],
        meanwhile: arrived.map { [$0] } ?? [])
      arrived = .add(stage, into: target)
    }
    if let arrived { then(arrived) }
    for step in 0..<size - 1 {
      for index in 0..<segments {
        round(
          sends: [Message(partner: place + 1, segment(place + 1 - step, index))],
          receives: [Message(partner: place - 1, segment(place - step, index))])
      }
    }
  }

  /// Träff's circulant reduce-scatter and all-gather.
  mutating func circulant() {
    circulantReduceScatter()
    circulantAllGather()
  }

  /// Leaves the sum of chunk r at place r, in ⌈lg P⌉ rounds.
  ///
  /// - SeeAlso: Träff 2024, "Optimal, non-pipelined reduce-scatter and allreduce algorithms".
  mutating func circulantReduceScatter() {
    let chunks = Chunks(range, parts: size)
    for (above, below) in skips {
      round(
        sends: [
          Message(
            partner: place + below,
            chunks.cyclic(from: place + below, count: above - below))
        ],
        receives: [
          Message(
            partner: place - below,
            chunks.cyclic(from: place, count: above - below),
            adds: true)
        ])
    }
  }

  /// Brings chunk r from place r to all, in ⌈lg P⌉ rounds.
  mutating func circulantAllGather() {
    let chunks = Chunks(range, parts: size)
    for (above, below) in skips.reversed() {
      round(
        sends: [
          Message(
            partner: place - below,
            chunks.cyclic(from: place, count: above - below))
        ],
        receives: [
          Message(
            partner: place + below,
            chunks.cyclic(from: place + below, count: above - below))
        ])
    }
  }

  /// P, ⌈P/2⌉, ..., 1, as pairs of neighbours.
  private var skips: [(above: Int, below: Int)] {
    var skips: [(Int, Int)] = []
    var above = size
    while above > 1 {
      skips.append((above, above.dividedUp(by: 2)))
      above = above.dividedUp(by: 2)
    }
    return skips
  }
}
