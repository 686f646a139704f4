import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp privacy noise`.
struct PrivacyNoiseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "noise",
    abstract: "The least σ with which T steps of DP-SGD stay within (ε, δ).",
    discussion: """
      Example:
        fastdp privacy noise --epsilon 1 --delta 1e-6 \\
          --sampling-rate 0.01 --steps 1000
      """)

  @Option(help: "ε.")
  var epsilon: Double

  @Option(help: "δ, well below 1/n.")
  var delta: Double

  @Option(help: "T, the number of steps.")
  var steps: Int

  @OptionGroup var options: PrivacyOptions

  func run() throws {
    let target = try PrivacyTarget(epsilon: epsilon, delta: delta)
    let accountant = try options.provingAccountant()
    let sigma = try Calibration.noiseMultiplier(
      for: target, steps: steps, accountant: accountant, mechanism: options.mechanism)
    let spent = try Calibration.epsilon(
      of: options.steps(sigma, steps), delta: delta, accountant: accountant, significantDigits: 8)
    options.print(
      [("noiseMultiplier", .number(sigma)), ("epsilon", .number(min(epsilon, spent)))],
      [("noise multiplier", "\(sigma)"), ("epsilon", "\(epsilon)"), ("delta", "\(delta)")])
  }
}

/// The subcommand `fastdp privacy steps`.
struct PrivacyStepsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "steps",
    abstract: "The largest number of steps of DP-SGD that stay within (ε, δ).",
    discussion: """
      Example:
        fastdp privacy steps --epsilon 1 --delta 1e-6 \\
          --sampling-rate 0.01 --noise-multiplier 1
      """)

  @Option(help: "ε.")
  var epsilon: Double

  @Option(help: "δ, well below 1/n.")
  var delta: Double

  @Option(name: .customLong("noise-multiplier"), help: "σ.")
  var noiseMultiplier: Double

  @OptionGroup var options: PrivacyOptions

  func run() throws {
    let target = try PrivacyTarget(epsilon: epsilon, delta: delta)
    let accountant = try options.provingAccountant()
    let steps = try Calibration.steps(
      for: target, mechanism: options.mechanism(noiseMultiplier), accountant: accountant)
    let spent = try Calibration.epsilon(
      of: options.steps(noiseMultiplier, steps), delta: delta, accountant: accountant,
      significantDigits: 8)
    options.print(
      [("steps", .integer(steps)), ("epsilon", .number(min(epsilon, spent)))],
      [("steps", "\(steps)"), ("epsilon", "\(epsilon)"), ("delta", "\(delta)")])
  }
}
