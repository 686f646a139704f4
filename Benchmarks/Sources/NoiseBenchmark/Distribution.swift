import FastDP
import Foundation

/// The distribution of very many values against the standard normal.
struct Distribution {
  private static let limit = 4.892  // |z| beyond which a normal value lies with probability 1e-6
  private static let kolmogorovLimit = 2.694  // the same for √n·D
  private static let tails = [4.0, 5, 6, 7]
  /// Cells of a 64th of a standard deviation on [−8, 8].
  private static let cells = 1024

  private var count = 0
  private var sums = [0.0, 0, 0, 0]
  private var beyond = [0, 0, 0, 0]
  private var histogram = [Int](repeating: 0, count: Distribution.cells)

  /// Draws values and prints how they are distributed.
  ///
  /// - Parameters:
  ///   - name: What is drawn.
  ///   - draws: How many.
  ///   - open: Opens the noise of a key and a number of coordinates.
  /// - Returns: Whether every figure is within its limit.
  static func check(
    _ name: String, draws: Int, open: (SecureKey, Int) -> some NoiseSource
  ) -> Bool {
    let width = 8192
    var source = open(SecureKey(), width)
    var buffer = [Int32](repeating: 0, count: width)
    var distribution = Distribution()
    for step in 0..<max(1, draws / width) {
      var span = buffer.mutableSpan
      source.fill(&span, step: step, from: 0)
      distribution.add(buffer, scale: 1 / source.scaleInUnits)
    }
    return distribution.report(name)
  }

  private mutating func add(_ values: [Int32], scale: Double) {
    var (first, second, third, fourth) = (0.0, 0.0, 0.0, 0.0)
    for value in values {
      let x = Double(value) * scale
      let square = x * x
      first += x
      second += square
      third += x * square
      fourth += square * square
      histogram[max(0, min(Distribution.cells - 1, Int((x * 64 + 512).rounded(.down))))] += 1
      if square > 16 {
        for index in Distribution.tails.indices where abs(x) > Distribution.tails[index] {
          beyond[index] += 1
        }
      }
    }
    count += values.count
    sums[0] += first
    sums[1] += second
    sums[2] += third
    sums[3] += fourth
  }

  /// The figures with their limits.
  private func report(_ name: String) -> Bool {
    let n = Double(count)
    var passed = true
    func show(_ text: String, _ value: Double, _ limit: Double) {
      let fine = abs(value) < limit
      passed = passed && fine
      print(
        "  " + text.padding(toLength: 44, withPad: " ", startingAt: 0)
          + String(format: "%8.3f, limit %.3f", value, limit) + (fine ? "" : "  WRONG"))
    }
    print("\(name): \(count) values")
    var distance = 0.0
    var below = 0
    for cell in 0..<Distribution.cells - 1 {
      below += histogram[cell]
      let edge = Double(cell + 1 - 512) / 64
      distance = max(distance, abs(Double(below) / n - 0.5 * erfc(-edge / 2.squareRoot())))
    }
    show("Kolmogorov-Smirnov, sqrt(n) D", distance * n.squareRoot(), Distribution.kolmogorovLimit)
    let moments = [(0.0, 1.0), (1, 2), (0, 15), (3, 96)]
    for (index, moment) in moments.enumerated() {
      let z = (sums[index] / n - moment.0) * (n / moment.1).squareRoot()
      show("moment \(index + 1), standard score", z, Distribution.limit)
    }
    for (index, tail) in Distribution.tails.enumerated() {
      let expected = n * erfc(tail / 2.squareRoot())
      let text = String(
        format: "beyond %.0f: %d, expected %.2f; excess", tail, beyond[index], expected)
      // Counts are Poisson; 8 more covers what a normal limit misses at few expected events.
      show(
        text, Double(beyond[index]) - expected, Distribution.limit * expected.squareRoot() + 8)
    }
    return passed
  }
}
