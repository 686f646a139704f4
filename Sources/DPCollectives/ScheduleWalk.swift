/// Why a schedule is wrong.
public struct ScheduleFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// The rank and round, and what is wrong there.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Someone who watches a schedule run.
protocol ScheduleObserver {
  /// What a message carries on its way.
  associatedtype Content

  /// A rank starts a round: its messages are posted after this.
  mutating func start(_ rank: Int, _ round: Round) throws(ScheduleFault)
  /// What a message carries, the `index`-th of its sender's round.
  mutating func post(
    _ rank: Int, _ send: Send, index: Int
  ) throws(ScheduleFault) -> Content
  /// A message meets the receive that waits for it.
  mutating func match(
    _ content: Content, from sender: Int, to receiver: Int, _ receive: Receive
  ) throws(ScheduleFault)
  /// All messages of a rank's round have gone and come.
  mutating func end(_ rank: Int, _ round: Round) throws(ScheduleFault)
}

/// Runs all ranks of a schedule in the strictest order that is allowed: nothing is buffered, so a
/// message moves only when its sender and its receiver have both come to it.
struct ScheduleWalk<Observer: ScheduleObserver> {
  private let ranks: [RankSchedule]
  private var observer: Observer
  private var position: [Int]
  private var open: [Int]
  private var ready: [Int]
  // A rank has at most one message with a peer at a time, so a channel holds one.
  private var sent: [Channel: (content: Observer.Content, count: Int)] = [:]
  private var awaited: [Channel: Receive] = [:]

  private struct Channel: Hashable {
    let sender: Int32
    let receiver: Int32

    init(sender: Int, receiver: Int) {
      self.sender = Int32(sender)
      self.receiver = Int32(receiver)
    }
  }

  /// Runs a schedule to its end.
  ///
  /// - Throws: ``ScheduleFault`` where ranks wait for each other for ever, where a message has no
  ///   receive or another length, or what the observer throws.
  static func run(
    _ ranks: [RankSchedule], observer: Observer
  ) throws(ScheduleFault) -> Observer {
    var walk = ScheduleWalk(ranks, observer)
    while let rank = walk.ready.popLast() { try walk.advance(rank) }
    try walk.requireEnd()
    return walk.observer
  }

  private init(_ ranks: [RankSchedule], _ observer: Observer) {
    self.ranks = ranks
    self.observer = observer
    position = Array(repeating: -1, count: ranks.count)
    open = Array(repeating: 0, count: ranks.count)
    ready = Array(ranks.indices.reversed())
  }

  private mutating func advance(_ rank: Int) throws(ScheduleFault) {
    let rounds = ranks[rank].rounds
    if position[rank] >= 0 { try observer.end(rank, rounds[position[rank]]) }
    position[rank] += 1
    guard position[rank] < rounds.count else { return }
    try post(rank, rounds[position[rank]])
  }

  private mutating func post(_ rank: Int, _ round: Round) throws(ScheduleFault) {
    try observer.start(rank, round)
    open[rank] = round.sends.count + round.receives.count
    guard open[rank] > 0 else { return ready.append(rank) }
    for (index, send) in round.sends.enumerated() {
      try requirePeer(send.peer, of: rank)
      let content = try observer.post(rank, send, index: index)
      let channel = Channel(sender: rank, receiver: send.peer)
      if let receive = awaited.removeValue(forKey: channel) {
        try settle(channel, content, send.count, receive)
      } else {
        sent[channel] = (content, send.count)
      }
    }
    for receive in round.receives {
      try requirePeer(receive.peer, of: rank)
      let channel = Channel(sender: receive.peer, receiver: rank)
      if let message = sent.removeValue(forKey: channel) {
        try settle(channel, message.content, message.count, receive)
      } else {
        awaited[channel] = receive
      }
    }
  }

  private mutating func settle(
    _ channel: Channel, _ content: Observer.Content, _ count: Int, _ receive: Receive
  ) throws(ScheduleFault) {
    let (sender, receiver) = (Int(channel.sender), Int(channel.receiver))
    guard count == receive.count else {
      throw ScheduleFault(
        "rank \(sender) sends \(count) elements to rank \(receiver), which expects "
          + "\(receive.count) in its round \(position[receiver])")
    }
    try observer.match(content, from: sender, to: receiver, receive)
    close(sender)
    close(receiver)
  }

  private mutating func close(_ rank: Int) {
    open[rank] -= 1
    if open[rank] == 0 { ready.append(rank) }
  }

  private func requirePeer(_ peer: Int, of rank: Int) throws(ScheduleFault) {
    guard ranks.indices.contains(peer), peer != rank else {
      throw ScheduleFault("rank \(rank) has a message with rank \(peer) of \(ranks.count)")
    }
  }

  private func requireEnd() throws(ScheduleFault) {
    let stuck = ranks.indices.filter { position[$0] < ranks[$0].rounds.count }
    guard stuck.isEmpty else {
      let places = stuck.prefix(4).map { "rank \($0) in round \(position[$0])" }
      throw ScheduleFault("waiting for ever: " + places.joined(separator: ", "))
    }
  }
}
