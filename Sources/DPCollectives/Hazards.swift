/// What a round touches while its messages are under way.
struct Hazards {
  private struct Touch {
    let slice: ScheduleSlice
    let writes: Bool
  }

  private let rank: Int
  private let round: Round

  init(rank: Int, _ round: Round) {
    self.rank = rank
    self.round = round
  }

  /// Requires that nothing is written that anything else touches.
  func require() throws(ScheduleFault) {
    try requireOneMessagePerPeer()
    guard round.sends.count + round.receives.count > 0, !isPlainlyApart else { return }
    let messages = sends + receives
    try requireApart(messages)
    for step in round.meanwhile {
      let touches = [
        Touch(slice: step.source, writes: false), Touch(slice: step.target, writes: true),
      ]
      try requireApart(messages + touches)
    }
  }

  /// Most rounds: one message each way and no work, looked at without making a list.
  private var isPlainlyApart: Bool {
    guard round.meanwhile.isEmpty, round.sends.count <= 1, round.receives.count <= 1,
      (round.receives.first?.slices.count ?? 0) <= 1
    else { return false }
    guard let target = round.receives.first?.slices.first, let send = round.sends.first else {
      return true
    }
    return send.slices.allSatisfy { slice in
      slice.area != target.area || !slice.range.overlaps(target.range)
    }
  }

  private var sends: [Touch] {
    round.sends.flatMap(\.slices).map { Touch(slice: $0, writes: false) }
  }

  private var receives: [Touch] {
    round.receives.flatMap(\.slices).map { Touch(slice: $0, writes: true) }
  }

  private func requireOneMessagePerPeer() throws(ScheduleFault) {
    guard Set(round.sends.map(\.peer)).count == round.sends.count,
      Set(round.receives.map(\.peer)).count == round.receives.count
    else { throw ScheduleFault("rank \(rank) has two messages with one peer in a round") }
  }

  /// Sorted by start, an overlap with a write shows between a touch and the furthest end before it.
  private func requireApart(_ touches: [Touch]) throws(ScheduleFault) {
    for area in [ScheduleSlice.Area.vector, .scratch] {
      let sorted = touches.filter { $0.slice.area == area && $0.slice.count > 0 }
        .sorted { $0.slice.start < $1.slice.start }
      var end = (read: 0, written: 0)
      for touch in sorted {
        let limit = touch.writes ? max(end.read, end.written) : end.written
        guard touch.slice.start >= limit else {
          throw ScheduleFault(
            "rank \(rank) writes and uses \(touch.slice.range) of \(area) in one round")
        }
        if touch.writes {
          end.written = max(end.written, touch.slice.range.upperBound)
        } else {
          end.read = max(end.read, touch.slice.range.upperBound)
        }
      }
    }
  }
}
