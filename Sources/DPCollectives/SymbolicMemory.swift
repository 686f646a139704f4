/// Sums as expressions: every different way to add the ranks' inputs has one number.
///
/// IEEE 754 addition commutes but does not associate, so a sum's number does not depend on the
/// order of two terms and does depend on everything else: equal numbers give equal bits.
package struct SumTable: Sendable {
  /// What a number stands for.
  private struct Node: Hashable {
    let left: Int32
    let right: Int32
  }

  private let ranks: Int
  private var nodes: [Node] = []
  private var terms: [UInt64]
  private var numbers: [Node: Int32] = [:]

  /// Inputs of up to 64 ranks; rank r's own input is number r.
  init(ranks: Int) {
    precondition(ranks <= 64, "\(ranks) ranks do not fit a set of 64")
    self.ranks = ranks
    nodes = (0..<ranks).map { Node(left: Int32($0), right: -1) }
    terms = (0..<ranks).map { 1 << UInt64($0) }
  }

  /// The set of all ranks.
  var all: UInt64 { ranks == 64 ? .max : (1 << UInt64(ranks)) - 1 }

  /// The ranks whose input is in a sum, as a set of bits.
  func terms(of number: Int32) -> UInt64 { terms[Int(number)] }

  /// The sum of two sums; nil where one input would be added twice.
  mutating func sum(_ a: Int32, _ b: Int32) -> Int32? {
    guard terms[Int(a)] & terms[Int(b)] == 0 else { return nil }
    let node = Node(left: min(a, b), right: max(a, b))
    if let number = numbers[node] { return number }
    let number = Int32(nodes.count)
    nodes.append(node)
    terms.append(terms[Int(a)] | terms[Int(b)])
    numbers[node] = number
    return number
  }

  /// A sum worked out with given inputs.
  package func evaluate<Value>(
    _ number: Int32, _ inputs: [Value], adding: (Value, Value) -> Value
  ) -> Value {
    let node = nodes[Int(number)]
    guard node.right >= 0 else { return inputs[Int(node.left)] }
    return adding(
      evaluate(node.left, inputs, adding: adding), evaluate(node.right, inputs, adding: adding))
  }
}

/// A stretch of memory whose elements hold the same sum of consecutive elements.
package struct Run: Hashable, Sendable {
  /// The first place.
  package var start: Int
  /// How many places.
  package var count: Int
  /// The sum's number in a ``SumTable``; -1 where nothing was written yet.
  package var sum: Int32
  /// Which element of the ranks' vectors the first place holds.
  package var element: Int

  /// The part of the stretch that lies in a range of places.
  func part(_ range: Range<Int>) -> Run {
    let part = range.clamped(to: start..<start + count)
    return Run(
      start: part.lowerBound, count: part.count, sum: sum,
      element: element + part.lowerBound - start)
  }
}

/// Memory that holds sums of symbols instead of numbers.
struct SymbolicMemory {
  private(set) var runs: [Run]

  init(count: Int, sum: Int32) {
    runs = count > 0 ? [Run(start: 0, count: count, sum: sum, element: 0)] : []
  }

  /// What lies in a range.
  func read(_ range: Range<Int>) -> [Run] {
    guard !range.isEmpty else { return [] }
    return runs[index(of: range.lowerBound)..<index(of: range.upperBound - 1) + 1]
      .map { $0.part(range) }
  }

  /// Replaces what lies in a range; the new runs fill it in order.
  mutating func write(_ new: [Run], to range: Range<Int>) {
    guard !range.isEmpty else { return }
    let first = index(of: range.lowerBound)
    let last = index(of: range.upperBound - 1)
    let end = runs[last].start + runs[last].count
    let before = runs[first].part(runs[first].start..<range.lowerBound)
    let after = runs[last].part(range.upperBound..<end)
    runs.replaceSubrange(first...last, with: ([before] + new + [after]).filter { $0.count > 0 })
    merge(around: first)
  }

  /// Joins neighbours that hold the same sum from `first` on, as far as a write can have made some.
  private mutating func merge(around first: Int) {
    var index = max(0, first - 1)
    while index + 1 < runs.count, index <= first + 2 {
      let (run, next) = (runs[index], runs[index + 1])
      if run.sum == next.sum, run.element + run.count == next.element {
        runs[index].count += next.count
        runs.remove(at: index + 1)
      } else {
        index += 1
      }
    }
  }

  /// The run that holds a place.
  private func index(of place: Int) -> Int {
    var (low, high) = (0, runs.count - 1)
    while low < high {
      let middle = (low + high + 1) / 2
      if runs[middle].start <= place { low = middle } else { high = middle - 1 }
    }
    return low
  }
}
