/// Algorithms that bring all of an element's terms to one rank and add them in order of ranks.
extension ScheduleBuilder {
  /// Naive: all messages at once.
  mutating func naive() {
    let staged = stage(range.count)
    let partners = 1..<max(1, size)
    round(
      sends: partners.map { Message(partner: place + $0, whole) },
      receives: partners.map {
        Message(partner: place - $0, staged[(place - $0).modulo(size)])
      })
    fold(own: whole, staged: staged)
  }

  /// Round-robin: one partner at a time.
  mutating func roundRobin() {
    let staged = stage(range.count)
    for distance in 1..<max(1, size) {
      let from = (place - distance).modulo(size)
      round(
        sends: [Message(partner: place + distance, whole)],
        receives: [Message(partner: from, staged[from])])
    }
    fold(own: whole, staged: staged)
  }

  /// Round-robin by chunks: a scatter of terms, a fold, a gather of sums.
  mutating func roundRobinChunked() {
    directReduceScatter(Chunks(range, parts: size))
    directAllGather(Chunks(range, parts: size))
  }

  /// The owner of each chunk gets it from all others and folds it.
  ///
  /// Members from `chunks.parts` on own nothing.
  mutating func directReduceScatter(_ chunks: Chunks) {
    let owns = place < chunks.parts
    let own: ScheduleSlice = .vector(owns ? chunks[place] : range.lowerBound..<range.lowerBound)
    let staged = stage(own.count)
    for batch in batches(chunks) {
      round(
        sends: batch.map { (place + $0).modulo(size) }.filter { $0 < chunks.parts }
          .map { Message(partner: $0, .vector(chunks[$0])) },
        receives: batch.map { (place - $0).modulo(size) }
          .map { Message(partner: $0, staged[$0]) })
    }
    if owns { fold(own: own, staged: staged) }
  }

  /// The owner of each chunk sends it to all others.
  mutating func directAllGather(_ chunks: Chunks) {
    for batch in batches(chunks) {
      round(
        sends: place >= chunks.parts
          ? [] : batch.map { Message(partner: place + $0, .vector(chunks[place])) },
        receives: batch.map { (place - $0).modulo(size) }.filter { $0 < chunks.parts }
          .map { Message(partner: $0, .vector(chunks[$0])) })
    }
  }

  /// Bruck's all-gather into scratch memory, then the fold.
  mutating func bruck() {
    guard size > 1 else { return }
    let count = range.count
    let all = scratch(size * count)
    then(.copy(whole, into: all.part(0..<count)))
    var distance = 1
    while distance < size {
      let vectors = min(distance, size - distance)
      round(
        sends: [Message(partner: place - distance, all.part(0..<vectors * count))],
        receives: [
          Message(
            partner: place + distance,
            all.part(distance * count..<(distance + vectors) * count))
        ])
      distance *= 2
    }
    fold(
      own: whole,
      staged: (0..<size).map { index in
        let slot = (index - place).modulo(size)
        return all.part(slot * count..<(slot + 1) * count)
      })
  }

  /// Scratch memory for each partner's terms; none at this rank's own place.
  private mutating func stage(_ count: Int) -> [ScheduleSlice] {
    (0..<size).map { scratch($0 == place ? 0 : count) }
  }

  /// Distances to partners, a few at a time.
  private func batches(_ chunks: Chunks) -> [Range<Int>] {
    let partners = Tuning.partners(chunk: chunks.range.count / chunks.parts)
    return stride(from: 1, to: size, by: partners).map { $0..<min($0 + partners, size) }
  }
}
