import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp privacy`.
struct PrivacyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "privacy",
    abstract: "Compute what a run costs, or what noise a guarantee needs, without any data.",
    subcommands: [EpsilonCommand.self, NoiseCommand.self])
}

/// The steps whose privacy is asked for.
struct StepOptions: ParsableArguments {
  @Option(name: .customLong("sampling-rate"), help: "q, the share of rows in a batch.")
  var samplingRate: Double

  @Option(help: "T, the number of steps.")
  var steps: Int

  @Option(help: "δ, well below 1/n.")
  var delta: Double

  @Option(help: "Which tables are compared: zero-out, add-remove, replace. (default: zero-out)")
  var neighbouring: NeighbouringRelation?

  @Option(help: "The method: rdp. (default: rdp)")
  var accountant: AccountantName?

  /// A step with given noise.
  func mechanism(_ noiseMultiplier: Double) throws(PrivacyError) -> PoissonSubsampledGaussian {
    try PoissonSubsampledGaussian(
      samplingRate: samplingRate, noiseMultiplier: noiseMultiplier,
      relation: neighbouring ?? .zeroOut)
  }
}

/// The subcommand `fastdp privacy epsilon`.
struct EpsilonCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "epsilon",
    abstract: "The ε of T steps of DP-SGD.",
    discussion: """
      σ is the noise's standard deviation divided by the clipping norm, under every relation.

      Example:
        fastdp privacy epsilon --sampling-rate 0.01 --noise-multiplier 1 \\
          --steps 1000 --delta 1e-6
      """)

  @OptionGroup var steps: StepOptions

  @Option(name: .customLong("noise-multiplier"), help: "σ.")
  var noiseMultiplier: Double

  @OptionGroup var output: OutputOptions

  func run() throws {
    let accountant = steps.accountant ?? .rdp
    let clock = ContinuousClock()
    let start = clock.now
    let composed = try ComposedSteps(of: steps.mechanism(noiseMultiplier), count: steps.steps)
    let bounds = try accountant.accountant.epsilon(of: [composed], delta: steps.delta)
    let seconds = (clock.now - start) / .seconds(1)
    guard bounds.upper.isFinite else {
      throw PrivacyError(
        .unreachableTarget, "no finite epsilon is known for so little noise; choose more noise")
    }
    let epsilon = Calibration.roundedUp(bounds.upper, significantDigits: 8)
    if output.json {
      Console.print(
        .object([
          ("epsilon", .number(epsilon)), ("epsilonLower", .optional(bounds.lower)),
          ("accountant", .string(accountant.rawValue)), ("seconds", .number(seconds)),
        ]))
    } else {
      Console.print([
        ("epsilon", "\(Calibration.roundedUp(epsilon, significantDigits: 5))"),
        ("delta", "\(steps.delta)"), ("accountant", accountant.rawValue),
      ])
    }
  }
}

/// The subcommand `fastdp privacy noise`.
struct NoiseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "noise",
    abstract: "The least σ with which T steps of DP-SGD stay within (ε, δ).",
    discussion: """
      Example:
        fastdp privacy noise --epsilon 1 --delta 1e-6 --sampling-rate 0.01 \\
          --steps 1000
      """)

  @Option(help: "ε.")
  var epsilon: Double

  @OptionGroup var steps: StepOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let name = steps.accountant ?? .rdp
    let target = try PrivacyTarget(epsilon: epsilon, delta: steps.delta)
    let accountant = name.accountant
    let sigma = try Calibration.noiseMultiplier(
      for: target, steps: steps.steps, accountant: accountant, mechanism: steps.mechanism)
    let composed = try ComposedSteps(of: steps.mechanism(sigma), count: steps.steps)
    let spent = try accountant.epsilon(of: [composed], delta: steps.delta).upper
    if output.json {
      Console.print(
        .object([
          ("noiseMultiplier", .number(sigma)),
          ("epsilon", .number(min(epsilon, Calibration.roundedUp(spent, significantDigits: 8)))),
          ("accountant", .string(name.rawValue)),
        ]))
    } else {
      Console.print([
        ("noise multiplier", "\(sigma)"), ("epsilon", "\(epsilon)"),
        ("delta", "\(steps.delta)"), ("accountant", name.rawValue),
      ])
    }
  }
}

/// The accountants there are.
enum AccountantName: String, ExpressibleByArgument, CaseIterable {
  case rdp

  /// The accountant of the name.
  var accountant: RDPAccountant { RDPAccountant() }
}
