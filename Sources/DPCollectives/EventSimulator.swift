/// Times a schedule message by message, on the α-β-γ model.
///
/// A message starts when its sender and its receiver have both come to it; messages of one round
/// leave a rank one after the other, and arrive at a rank one after the other. So it sees what the
/// formulas leave out: ragged chunks, ranks that wait, ports that are full.
public struct EventSimulator: Sendable {
  /// What messages cost between hosts.
  public let link: LinkCost
  /// What messages cost within a host.
  public let local: LinkCost

  /// A simulator.
  ///
  /// - Parameters:
  ///   - link: What messages cost between hosts.
  ///   - local: What messages cost within a host; nil where that makes no difference.
  public init(_ link: LinkCost, local: LinkCost? = nil) {
    self.link = link
    self.local = local ?? link
  }

  /// Messages of an operation above which ranks that are alike are timed as one.
  static let mostMessages = 4_000_000

  /// The time until the last rank has ended.
  ///
  /// - Parameters:
  ///   - schedule: An operation.
  ///   - elementSize: Bytes of an element.
  /// - Returns: Seconds.
  /// - Throws: ``ScheduleFault`` for a schedule in which ranks wait for ever.
  /// - Complexity: O(messages); O(messages of a rank) where all ranks are alike and messages many.
  public func seconds(_ schedule: Schedule, elementSize: Int = 4) throws(ScheduleFault) -> Double {
    let first = schedule.rank(0)
    let messages = schedule.ranks * first.rounds.reduce(0) { $0 + $1.sends.count }
    if messages > EventSimulator.mostMessages, schedule.isSymmetric {
      return secondsInStep(first, elementSize: elementSize)
    }
    let ranks = (0..<schedule.ranks).map { schedule.rank($0) }
    let clock = Clock(simulator: self, hosts: schedule.hosts, elementSize: elementSize)
    return try ScheduleWalk.run(ranks, observer: clock).times.max() ?? 0
  }

  /// The time of one rank when all others do the same at the same time.
  package func secondsInStep(_ own: RankSchedule, elementSize: Int) -> Double {
    let port = Port(cost: link, elementSize: elementSize)
    return own.rounds.reduce(0) { time, round in
      let start = time + port.sum(round.prepare)
      var departure = start
      var end = start
      var arrival = start
      for (index, receive) in round.receives.enumerated() {
        arrival = max(arrival, departure + link.latency) + port.transfer(receive.count)
        end = arrival
        if index < round.sends.count {
          departure += max(link.gap, port.transfer(round.sends[index].count))
        }
      }
      let added = round.receives.reduce(0) { $0 + ($1.adds ? port.sum($1.count) : 0) }
      return max(end + added, start + port.sum(round.meanwhile))
    }
  }
}

extension Schedule {
  /// Whether all ranks do the same, up to a turn of their numbers and an element per chunk.
  var isSymmetric: Bool {
    switch collective {
    case .allReduce(let algorithm):
      switch algorithm {
      case .binomial, .recursiveDoubling, .halvingDoubling: false
      case .hierarchical: false
      default: true
      }
    case .broadcast: false
    default: true
    }
  }
}

/// What bytes cost a rank.
private struct Port {
  let cost: LinkCost
  let elementSize: Int

  func transfer(_ count: Int) -> Double { Double(count * elementSize) * cost.secondsPerByte }

  func sum(_ count: Int) -> Double { Double(count * elementSize) * cost.secondsPerByteSummed }

  func sum(_ steps: [LocalStep]) -> Double {
    steps.reduce(0) { total, step in
      if case .add(let source, into: _) = step { total + sum(source.count) } else { total }
    }
  }
}

/// Carries times through a schedule.
private struct Clock: ScheduleObserver {
  /// When a message leaves, and how long its bytes take.
  struct Content {
    let departure: Double
    let count: Int
  }

  private struct Arrival {
    let time: Double
    let transfer: Double
    let sum: Double
  }

  private let simulator: EventSimulator
  private let hosts: [Int]
  private let elementSize: Int
  /// When each rank has ended its last round.
  private(set) var times: [Double]
  private var departures: [Double]
  private var ends: [Double]
  private var arrivals: [[Arrival]]

  init(simulator: EventSimulator, hosts: [Int], elementSize: Int) {
    self.simulator = simulator
    self.hosts = hosts
    self.elementSize = elementSize
    times = Array(repeating: 0, count: hosts.count)
    departures = times
    ends = times
    arrivals = Array(repeating: [], count: hosts.count)
  }

  private func port(_ a: Int, _ b: Int) -> Port {
    Port(
      cost: hosts[a] == hosts[b] ? simulator.local : simulator.link, elementSize: elementSize)
  }

  mutating func start(_ rank: Int, _ round: Round) {
    times[rank] += port(rank, rank).sum(round.prepare)
    departures[rank] = times[rank]
    ends[rank] = times[rank]
  }

  mutating func post(_ rank: Int, _ send: Send, index: Int) -> Content {
    let port = port(rank, send.peer)
    defer { departures[rank] += max(port.cost.gap, port.transfer(send.count)) }
    return Content(departure: departures[rank], count: send.count)
  }

  mutating func match(
    _ content: Content, from sender: Int, to receiver: Int, _ receive: Receive
  ) {
    let port = port(sender, receiver)
    let time = max(content.departure, times[receiver]) + port.cost.latency
    let transfer = port.transfer(content.count)
    ends[sender] = max(ends[sender], time + transfer)
    arrivals[receiver].append(
      Arrival(time: time, transfer: transfer, sum: receive.adds ? port.sum(content.count) : 0))
  }

  mutating func end(_ rank: Int, _ round: Round) {
    var free = 0.0
    var sums = 0.0
    for arrival in arrivals[rank].sorted(by: { $0.time < $1.time }) {
      free = max(free, arrival.time) + arrival.transfer
      sums += arrival.sum
    }
    arrivals[rank].removeAll(keepingCapacity: true)
    let alone = times[rank] + port(rank, rank).sum(round.meanwhile)
    times[rank] = max(max(ends[rank], free) + sums, alone)
  }
}
