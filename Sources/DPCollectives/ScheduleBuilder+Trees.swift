/// Algorithms whose partners are powers of two apart.
extension ScheduleBuilder {
  /// A reduction up a binomial tree to place 0, then a broadcast down the same tree.
  mutating func binomial() {
    var mask = 1
    while mask < size, place & mask == 0 {
      if place + mask < size { receive(whole, from: place + mask, adds: true) }
      mask *= 2
    }
    if mask < size { send(whole, to: place - mask) }
    binomialBroadcast()
  }

  /// A broadcast from place 0: each rank gets the range once and passes it on.
  mutating func binomialBroadcast() {
    var mask = place == 0 ? 1 << size.ceilLog2 : place & -place
    if place != 0 { receive(whole, from: place - mask) }
    mask /= 2
    while mask > 0 {
      if place + mask < size { send(whole, to: place + mask) }
      mask /= 2
    }
  }

  /// The butterfly on whole vectors.
  ///
  /// Of the first 2e ranks, e = P − 2^L, pairs add up first, and the odd one goes on for both.
  mutating func recursiveDoubling() {
    let virtual = VirtualRanks(size: size, survivor: 1)
    if let partner = virtual.partner(of: place) {
      guard virtual.survives(place) else {
        send(whole, to: partner)
        return receive(whole, from: partner)
      }
      receive(whole, from: partner, adds: true)
    }
    swapWholeVectors(virtual)
    if let partner = virtual.partner(of: place) { send(whole, to: partner) }
  }

  private mutating func swapWholeVectors(_ virtual: VirtualRanks) {
    let own = virtual.virtual(place)
    guard virtual.count > 1 else { return }
    let incoming = scratch(range.count)
    var distance = 1
    while distance < virtual.count {
      let partner = virtual.place(own ^ distance)
      round(
        sends: [Message(partner: partner, whole)],
        receives: [Message(partner: partner, incoming)])
      then(.add(incoming, into: whole))
      distance *= 2
    }
  }

  /// Rabenseifner's algorithm on the powers of two, with pairs that swap halves before and after.
  mutating func halvingDoubling() {
    let virtual = VirtualRanks(size: size, survivor: 0)
    let partner = virtual.partner(of: place)
    if let partner {
      swapHalves(with: partner, survives: virtual.survives(place))
      guard virtual.survives(place) else { return receive(whole, from: partner) }
    }
    swapWindows(virtual)
    if let partner { send(whole, to: partner) }
  }

  private mutating func swapHalves(with partner: Int, survives: Bool) {
    let halves = Chunks(range, parts: 2)
    let (kept, given) = survives ? (0, 1) : (1, 0)
    round(
      sends: [Message(partner: partner, .vector(halves[given]))],
      receives: [Message(partner: partner, .vector(halves[kept]), adds: true)])
    if survives {
      receive(.vector(halves[given]), from: partner)
    } else {
      send(.vector(halves[kept]), to: partner)
    }
  }

  private mutating func swapWindows(_ virtual: VirtualRanks) {
    let chunks = Chunks(range, parts: virtual.count)
    let own = virtual.virtual(place)
    var window = 0..<virtual.count
    var distance = 1
    while distance < virtual.count {
      let (lower, upper) = window.halves
      let (kept, given) = own & distance == 0 ? (lower, upper) : (upper, lower)
      let partner = virtual.place(own ^ distance)
      round(
        sends: [Message(partner: partner, .vector(chunks.window(given)))],
        receives: [
          Message(partner: partner, .vector(chunks.window(kept)), adds: true)
        ])
      window = kept
      distance *= 2
    }
    while distance > 1 {
      distance /= 2
      let isLower = own & distance == 0
      let sibling =
        isLower
        ? window.upperBound..<window.upperBound + window.count
        : window.lowerBound - window.count..<window.lowerBound
      let partner = virtual.place(own ^ distance)
      round(
        sends: [Message(partner: partner, .vector(chunks.window(window)))],
        receives: [Message(partner: partner, .vector(chunks.window(sibling)))])
      window =
        min(window.lowerBound, sibling.lowerBound)..<max(window.upperBound, sibling.upperBound)
    }
  }
}

/// The largest power of two of a group's ranks, with one rank of each leading pair left out.
private struct VirtualRanks {
  /// Ranks in the group.
  let size: Int
  /// Which of a pair goes on: 0 the even one, 1 the odd one.
  let survivor: Int
  /// How many go on: the largest power of two.
  var count: Int { 1 << size.floorLog2 }
  private var pairs: Int { size - count }

  /// The other one of a pair; nil for a rank that is in none.
  func partner(of place: Int) -> Int? { place < 2 * pairs ? place ^ 1 : nil }

  /// Whether a rank goes on.
  func survives(_ place: Int) -> Bool { place >= 2 * pairs || place & 1 == survivor }

  /// The number of a rank among those that go on.
  func virtual(_ place: Int) -> Int { place < 2 * pairs ? place / 2 : place - pairs }

  /// The rank of a number.
  func place(_ virtual: Int) -> Int {
    virtual < pairs ? 2 * virtual + survivor : virtual + pairs
  }
}

extension Range<Int> {
  /// The lower and the upper half of a range of even length.
  var halves: (Range<Int>, Range<Int>) {
    let middle = lowerBound + count / 2
    return (lowerBound..<middle, middle..<upperBound)
  }
}
