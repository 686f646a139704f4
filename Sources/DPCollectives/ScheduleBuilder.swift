/// One rank's schedule in the making: an algorithm appends rounds for a group of ranks and a range.
struct ScheduleBuilder {
  /// The ranks of the group, in order.
  private(set) var members: [Int]
  /// This rank's index in the group.
  private(set) var place: Int
  /// The elements that the group works on.
  private(set) var range: Range<Int>
  private var schedule = RankSchedule()
  private var pending: [LocalStep] = []

  init(members: [Int], place: Int, range: Range<Int>) {
    self.members = members
    self.place = place
    self.range = range
  }

  /// Ranks in the group.
  var size: Int { members.count }
  /// The range as a slice.
  var whole: ScheduleSlice { .vector(range) }

  /// A message of a round, by the partner's place in the group.
  struct Message {
    let partner: Int
    let slices: ScheduleSlices
    var adds = false

    init(partner: Int, _ slices: ScheduleSlices, adds: Bool = false) {
      self.partner = partner
      self.slices = slices
      self.adds = adds
    }

    init(partner: Int, _ slice: ScheduleSlice, adds: Bool = false) {
      self.init(partner: partner, ScheduleSlices(slice), adds: adds)
    }
  }

  /// Reserves scratch memory.
  mutating func scratch(_ count: Int) -> ScheduleSlice {
    defer { schedule.scratchCount += count }
    return ScheduleSlice(area: .scratch, start: schedule.scratchCount, count: count)
  }

  /// Work to be done before the next round.
  mutating func then(_ step: LocalStep) {
    guard step.count > 0 else { return }
    pending.append(step)
  }

  /// Appends a round; messages without elements are left out on both sides.
  mutating func round(
    sends: [Message] = [], receives: [Message] = [], meanwhile: [LocalStep] = []
  ) {
    var round = Round(prepare: pending)
    pending = []
    for message in sends where !message.slices.isEmpty {
      round.sends.append(
        Send(peer: members[message.partner.modulo(size)], slices: message.slices))
    }
    for message in receives where !message.slices.isEmpty {
      round.receives.append(
        Receive(
          peer: members[message.partner.modulo(size)], slices: message.slices,
          adds: message.adds))
    }
    round.meanwhile = meanwhile.filter { $0.count > 0 }
    schedule.rounds.append(round)
  }

  /// Sends one message.
  mutating func send(_ slice: ScheduleSlice, to partner: Int) {
    round(sends: [Message(partner: partner, slice)])
  }

  /// Receives one message.
  mutating func receive(_ slice: ScheduleSlice, from partner: Int, adds: Bool = false) {
    round(receives: [Message(partner: partner, slice, adds: adds)])
  }

  /// Folds the group's vectors in order of ranks into this rank's own.
  ///
  /// - Parameters:
  ///   - own: This rank's slice, which receives the sum.
  ///   - staged: The others' slices by place; what is at this rank's place is not looked at.
  mutating func fold(own: ScheduleSlice, staged: [ScheduleSlice]) {
    var sum = place == 0 ? own : staged[0]
    for index in 1..<max(1, size) {
      if index == place {
        then(.add(sum, into: own))
        sum = own
      } else {
        then(.add(staged[index], into: sum))
      }
    }
  }

  /// Lets a part of the group work on a part of the range.
  mutating func within(
    members: [Int], place: Int, range: Range<Int>, _ body: (inout ScheduleBuilder) -> Void
  ) {
    let outer = (self.members, self.place, self.range)
    (self.members, self.place, self.range) = (members, place, range)
    body(&self)
    (self.members, self.place, self.range) = outer
  }

  /// The schedule, with work that is left over in a last round.
  consuming func finish() -> RankSchedule {
    if !pending.isEmpty { round() }
    return schedule
  }
}

extension LocalStep {
  /// Elements that are worked on.
  var count: Int { source.count }

  /// What is read.
  var source: ScheduleSlice {
    switch self {
    case .add(let source, into: _), .copy(let source, into: _): source
    }
  }

  /// What is changed.
  var target: ScheduleSlice {
    switch self {
    case .add(_, into: let target), .copy(_, into: let target): target
    }
  }
}
