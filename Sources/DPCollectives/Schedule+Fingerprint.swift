extension Schedule {
  /// A number that differs, but for one chance in 2⁶⁴, where ranks do different things.
  func fingerprint(_ element: ElementKind) -> UInt64 {
    var text = "\(collective) \(ranks) \(count) \(element.rawValue)"
    if collective == .allReduce(.hierarchical) { text += " \(hosts)" }
    // FNV-1a.
    return text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
