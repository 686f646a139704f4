/// Whole operations.
extension ScheduleBuilder {
  /// A sum by a given algorithm.
  mutating func allReduce(_ algorithm: AllReduceAlgorithm, hosts: [Int]) {
    switch algorithm {
    case .naive: naive()
    case .roundRobin: roundRobin()
    // What shared memory does without messages, as messages: same slices, same order of terms.
    case .roundRobinChunked, .direct: roundRobinChunked()
    case .binomial: binomial()
    case .recursiveDoubling: recursiveDoubling()
    case .halvingDoubling: halvingDoubling()
    case .ring: ring()
    case .segmentedRing: segmentedRing()
    case .circulant: circulant()
    case .bruck: bruck()
    case .hierarchical: hierarchical(hosts)
    }
  }

  /// Sums within hosts, circulant between hosts, copies within hosts.
  ///
  /// Each host's first L ranks own a slice each, L the smallest number of ranks on a host, so that L
  /// streams run between hosts side by side.
  private mutating func hierarchical(_ hosts: [Int]) {
    let ranksByHost = Dictionary(grouping: members, by: { hosts[$0] }).values
      .sorted { ($0.first ?? 0) < ($1.first ?? 0) }
    let owners = ranksByHost.map(\.count).min() ?? 1
    let neighbours = members.filter { hosts[$0] == hosts[members[place]] }
    let local = neighbours.firstIndex(of: members[place]) ?? 0
    let slices = Chunks(range, parts: owners)
    within(members: neighbours, place: local, range: range) { $0.directReduceScatter(slices) }
    if local < owners {
      let peers = ranksByHost.map { $0[local] }
      let index = peers.firstIndex(of: members[place]) ?? 0
      within(members: peers, place: index, range: slices[local]) { $0.circulant() }
    }
    within(members: neighbours, place: local, range: range) { $0.directAllGather(slices) }
  }

  /// The root's vector goes to all: chunks to everybody, then circulant all-gather.
  ///
  /// Short vectors go down a binomial tree instead.
  mutating func broadcast(from root: Int) {
    let turned = (0..<size).map { members[($0 + root) % size] }
    within(members: turned, place: (place - root).modulo(size), range: range) { builder in
      guard builder.range.count >= ScheduleBuilder.shortBroadcast, builder.size > 2 else {
        return builder.binomialBroadcast()
      }
      builder.scatter()
      builder.circulantAllGather()
    }
  }

  /// Elements below which a broadcast is a matter of rounds, not of bytes.
  private static let shortBroadcast = 8192

  private mutating func scatter() {
    let chunks = Chunks(range, parts: size)
    guard place == 0 else { return receive(.vector(chunks[place]), from: 0) }
    let partners = Tuning.partners(chunk: range.count / size)
    for first in stride(from: 1, to: size, by: partners) {
      round(
        sends: (first..<min(first + partners, size)).map {
          Message(partner: $0, .vector(chunks[$0]))
        })
    }
  }

  /// A token to distance 1, 2, 4, ...: after ⌈lg P⌉ rounds each rank has heard of all.
  mutating func barrier() {
    let own: ScheduleSlice = .vector(range.lowerBound..<range.lowerBound + 1)
    let others: ScheduleSlice = .vector(range.lowerBound + 1..<range.lowerBound + 2)
    var distance = 1
    while distance < size {
      round(
        sends: [Message(partner: place + distance, own)],
        receives: [Message(partner: place - distance, others)])
      distance *= 2
    }
  }
}
