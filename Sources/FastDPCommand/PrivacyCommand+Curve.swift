import ArgumentParser
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp privacy curve`.
struct PrivacyCurveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "curve",
    abstract: "ε against the number of steps: a plot, CSV or JSON.",
    discussion: """
      Example:
        fastdp privacy curve --sampling-rate 0.01 --noise-multiplier 1 \\
          --steps 10000 --delta 1e-6
      """)

  @Option(name: .customLong("noise-multiplier"), help: "σ.")
  var noiseMultiplier: Double

  @Option(help: "The largest T.")
  var steps: Int

  @Option(help: "δ, well below 1/n.")
  var delta: Double

  @Option(help: "How many values of T, evenly spaced. (default: 20)")
  var points = 20

  @Flag(help: "Print CSV.")
  var csv = false

  @OptionGroup var options: PrivacyOptions

  func validate() throws {
    guard (1...1000).contains(points) else {
      throw ValidationError("points is \(points); it must be at least 1 and at most 1000")
    }
    guard steps >= 1 else {
      throw ValidationError("steps is \(steps); it must be at least 1")
    }
    guard !(csv && options.output.json) else {
      throw ValidationError("--csv and --json exclude each other; give one of them")
    }
  }

  private struct Point {
    let steps: Int
    let bounds: EpsilonBounds
  }

  func run() throws {
    let counts = Set((1...points).map { max(1, Int(Double(steps) * Double($0) / Double(points))) })
    let curve = try counts.sorted().map { count in
      let bounds = try options.method.epsilon(
        of: options.steps(noiseMultiplier, count), delta: delta)
      let upper = Calibration.roundedUp(bounds.upper, significantDigits: 8)
      return Point(steps: count, bounds: EpsilonBounds(upper: upper, lower: bounds.lower))
    }
    guard options.output.json || csv else { return printPlot(curve) }
    options.labelNumbers()
    csv ? printCSV(curve) : printJSON(curve)
  }

  private func printJSON(_ curve: [Point]) {
    let points = curve.map { point in
      JSONValue.object([
        ("steps", .integer(point.steps)), ("epsilon", .number(point.bounds.upper)),
        ("epsilonLower", .optional(point.bounds.lower)),
      ])
    }
    Console.print(
      .object([
        ("points", .array(points)), ("delta", .number(delta)),
        ("accountant", .string(options.method.rawValue)),
      ]))
  }

  private func printCSV(_ curve: [Point]) {
    Console.print("steps,epsilon,epsilonLower")
    for point in curve {
      let lower = point.bounds.lower.map { "\($0)" } ?? ""
      Console.print("\(point.steps),\(point.bounds.upper),\(lower)")
    }
  }

  /// One bar for each T, as long as its ε.
  private func printPlot(_ curve: [Point]) {
    let largest = curve.map(\.bounds.upper).filter(\.isFinite).max() ?? 0
    let digits = curve.map { "\($0.steps)".count }.max() ?? 1
    for point in curve {
      let share = largest > 0 ? min(1, point.bounds.upper / largest) : 0
      let bar = String(repeating: "█", count: Int((50 * share).rounded()))
      let count = String(repeating: " ", count: digits - "\(point.steps)".count) + "\(point.steps)"
      let epsilon = Calibration.roundedUp(point.bounds.upper, significantDigits: 5)
      Console.print("T \(count)  \(bar) \(epsilon)")
    }
    let caveat = options.method == .gdp ? ", \(GaussianApproximation.caveat)" : ""
    Console.print("epsilon at delta \(delta) by \(options.method.rawValue)\(caveat)")
  }
}
