/// Which algorithm is used for which length of vector.
///
/// As text, "recursive-doubling:0-32K;circulant:32K-max": each entry has an algorithm and the bytes
/// from which and up to which, not including the end, it is used; K, M and G are powers of 1024.
/// Lengths that no entry covers go to the last one.
public struct AlgorithmTable: Hashable, Sendable, CustomStringConvertible {
  private var entries: [Entry]

  private struct Entry: Hashable {
    let algorithm: AllReduceAlgorithm
    let bytes: Range<Int>
  }

  /// One algorithm for all lengths.
  ///
  /// - Parameter algorithm: The algorithm.
  public init(always algorithm: AllReduceAlgorithm) {
    entries = [Entry(algorithm: algorithm, bytes: 0..<Int.max)]
  }

  /// One algorithm up to each of several lengths.
  init(_ choices: [(algorithm: AllReduceAlgorithm, end: Int)]) {
    precondition(!choices.isEmpty, "a table needs an algorithm")
    var start = 0
    entries = choices.map { choice in
      defer { start = choice.end }
      return Entry(algorithm: choice.algorithm, bytes: start..<choice.end)
    }
  }

  /// Reads a table.
  ///
  /// - Parameter text: A table as text, or the name of one algorithm.
  /// - Throws: ``CollectiveError`` that says which entry is wrong.
  public init(_ text: String) throws(CollectiveError) {
    if let algorithm = AllReduceAlgorithm(name: text) {
      self = AlgorithmTable(always: algorithm)
      return
    }
    entries = []
    for part in text.split(separator: ";", omittingEmptySubsequences: false) {
      guard let entry = AlgorithmTable.entry(part) else {
        throw CollectiveError(
          .invalidOption,
          "'\(part)' in the table of algorithms is not like 'circulant:32K-max', with one of "
            + AllReduceAlgorithm.allCases.map(\.name).joined(separator: ", "))
      }
      entries.append(entry)
    }
  }

  private static func entry(_ text: Substring) -> Entry? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    let ends =
      parts.count == 2 ? parts[1].split(separator: "-", omittingEmptySubsequences: false) : []
    guard ends.count == 2, let algorithm = AllReduceAlgorithm(name: parts[0]),
      let start = bytes(ends[0]), let end = bytes(ends[1]), start < end
    else { return nil }
    return Entry(algorithm: algorithm, bytes: start..<end)
  }

  /// A length as text.
  private static func bytes(_ text: Substring) -> Int? {
    if text == "max" { return .max }
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    let unit = text.last.flatMap { units[$0] }
    guard let number = Int(unit == nil ? text : text.dropLast()), number >= 0 else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: unit ?? 1)
    return overflow ? nil : bytes
  }

  /// The algorithm for a vector of so many bytes.
  ///
  /// - Parameter bytes: The vector's length in bytes.
  /// - Returns: The algorithm of the first entry that covers it, or of the last entry.
  public func algorithm(forBytes bytes: Int) -> AllReduceAlgorithm {
    for entry in entries where entry.bytes.contains(bytes) { return entry.algorithm }
    return entries[entries.count - 1].algorithm
  }

  /// The algorithms that the table names.
  public var algorithms: [AllReduceAlgorithm] { entries.map(\.algorithm) }

  /// The table as text.
  public var description: String {
    entries.map {
      "\($0.algorithm.name):\(AlgorithmTable.text($0.bytes.lowerBound))-"
        + AlgorithmTable.text($0.bytes.upperBound)
    }.joined(separator: ";")
  }

  private static func text(_ bytes: Int) -> String {
    if bytes == .max { return "max" }
    let units = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)]
    let unit = units.first { bytes > 0 && bytes % $0.1 == 0 }
    return unit.map { "\(bytes / $0.1)\($0.0)" } ?? "\(bytes)"
  }
}
