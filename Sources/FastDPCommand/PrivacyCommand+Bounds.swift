import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp privacy epsilon`.
struct PrivacyEpsilonCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "epsilon",
    abstract: "The ε of T steps of DP-SGD.",
    discussion: """
      Example:
        fastdp privacy epsilon --sampling-rate 0.01 --noise-multiplier 1 \\
          --steps 1000 --delta 1e-6
      """)

  @Option(name: .customLong("noise-multiplier"), help: "σ.")
  var noiseMultiplier: Double

  @Option(help: "T, the number of steps.")
  var steps: Int

  @Option(help: "δ, well below 1/n.")
  var delta: Double

  @OptionGroup var options: PrivacyOptions

  func run() throws {
    let clock = ContinuousClock()
    let start = clock.now
    let bounds = try options.method.epsilon(
      of: options.steps(noiseMultiplier, steps), delta: delta)
    let seconds = (clock.now - start) / .seconds(1)
    guard bounds.upper.isFinite else {
      throw PrivacyError(
        .unreachableTarget, "no finite epsilon is known for so little noise; choose more noise")
    }
    let epsilon = Calibration.roundedUp(bounds.upper, significantDigits: 8)
    options.print(
      [
        ("epsilon", .number(epsilon)), ("epsilonLower", .optional(bounds.lower)),
        ("seconds", .number(seconds)),
      ],
      [
        ("epsilon", "\(Calibration.roundedUp(epsilon, significantDigits: 5))"),
        ("at least", bounds.lower.map { $0.significant(5) } ?? "not proved"),
        ("delta", "\(delta)"),
      ])
  }
}

/// The subcommand `fastdp privacy delta`.
struct PrivacyDeltaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delta",
    abstract: "The δ of T steps of DP-SGD at a given ε.",
    discussion: """
      Example:
        fastdp privacy delta --sampling-rate 0.01 --noise-multiplier 1 \\
          --steps 1000 --epsilon 2
      """)

  @Option(name: .customLong("noise-multiplier"), help: "σ.")
  var noiseMultiplier: Double

  @Option(help: "T, the number of steps.")
  var steps: Int

  @Option(help: "ε.")
  var epsilon: Double

  @OptionGroup var options: PrivacyOptions

  func run() throws {
    let bounds = try options.method.delta(
      of: options.steps(noiseMultiplier, steps), epsilon: epsilon)
    let delta = min(1, Calibration.roundedUp(bounds.upper, significantDigits: 8))
    options.print(
      [("delta", .number(delta)), ("deltaLower", .optional(bounds.lower))],
      [
        ("delta", "\(Calibration.roundedUp(delta, significantDigits: 5))"),
        ("at least", bounds.lower.map { "\($0)" } ?? "not proved"), ("epsilon", "\(epsilon)"),
      ])
  }
}
