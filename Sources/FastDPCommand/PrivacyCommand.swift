import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp privacy`.
struct PrivacyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "privacy",
    abstract: "Compute what a run costs, or what noise a guarantee needs, without any data.",
    discussion: """
      Accountants: pld proves an upper and a lower bound, usually within 0.1 % of each other; rdp an
      upper bound, often far above; gdp is the central limit, for comparison: not an upper bound.
      σ is the noise's standard deviation divided by the clipping norm, under every relation.
      """,
    subcommands: [
      PrivacyEpsilonCommand.self, PrivacyDeltaCommand.self, PrivacyNoiseCommand.self,
      PrivacyStepsCommand.self, PrivacyCurveCommand.self,
    ])
}

/// What every question about privacy names.
struct PrivacyOptions: ParsableArguments {
  @Option(name: .customLong("sampling-rate"), help: "q, the share of rows in a batch.")
  var samplingRate: Double

  @Option(help: "Which tables are compared: zero-out, add-remove, replace. (default: zero-out)")
  var neighbouring: NeighbouringRelation?

  @Option(
    name: .customLong("group-size"),
    help: "How many rows differ, each of which takes part by itself. (default: 1)")
  var groupSize: Int?

  @Option(help: "The method: pld, rdp, gdp. (default: pld)")
  var accountant: PrivacyMethod?

  @OptionGroup var output: OutputOptions

  /// The method, by default the tight one.
  var method: PrivacyMethod { accountant ?? .pld }

  /// A step with given noise.
  func mechanism(_ noiseMultiplier: Double) throws(PrivacyError) -> PoissonSubsampledGaussian {
    try PoissonSubsampledGaussian(
      samplingRate: samplingRate, noiseMultiplier: noiseMultiplier,
      relation: neighbouring ?? .zeroOut, groupSize: groupSize ?? 1)
  }

  /// Steps with given noise.
  func steps(_ noiseMultiplier: Double, _ count: Int) throws(PrivacyError) -> [ComposedSteps] {
    [try ComposedSteps(of: mechanism(noiseMultiplier), count: count)]
  }

  /// The method as an accountant, for a search whose answer is a promise.
  func provingAccountant() throws -> any PrivacyAccountant {
    guard let proving = AccountantName(rawValue: method.rawValue) else {
      throw CommandError.usage(
        "gdp is not an upper bound, so nothing can be promised by it; use --accountant pld or rdp")
    }
    return proving.accountant
  }

  /// Says of numbers that stand without words what they are not.
  func labelNumbers() {
    guard method == .gdp else { return }
    Console.message("warning: gdp is the central limit, \(GaussianApproximation.caveat)")
  }

  /// Prints members as JSON, or rows for people.
  func print(_ members: [(String, JSONValue)], _ rows: [(String, String)]) {
    guard !output.json else {
      labelNumbers()
      return Console.print(.object(members + [("accountant", .string(method.rawValue))]))
    }
    let caveat = method == .gdp ? " (\(GaussianApproximation.caveat))" : ""
    Console.print(rows + [("accountant", method.rawValue + caveat)])
  }
}

/// The accountants there are to train by.
enum AccountantName: String, ExpressibleByArgument, CaseIterable {
  case pld
  case rdp

  /// The accountant of the name.
  var accountant: any PrivacyAccountant {
    switch self {
    case .pld: PLDAccountant()
    case .rdp: RDPAccountant()
    }
  }
}

/// The methods there are to compare with.
enum PrivacyMethod: String, ExpressibleByArgument, CaseIterable {
  case pld
  case rdp
  case gdp

  /// ε: an interval where the method proves one, an estimate without a lower end where not.
  func epsilon(of steps: [ComposedSteps], delta: Double) throws(PrivacyError) -> EpsilonBounds {
    switch self {
    case .pld: try PLDAccountant().epsilon(of: steps, delta: delta)
    case .rdp: try RDPAccountant().epsilon(of: steps, delta: delta)
    case .gdp:
      EpsilonBounds(
        upper: try GaussianApproximation().epsilon(of: steps, delta: delta), lower: nil)
    }
  }

  /// δ and, where the method proves one, its lower end.
  func delta(
    of steps: [ComposedSteps], epsilon: Double
  ) throws(PrivacyError) -> (upper: Double, lower: Double?) {
    switch self {
    case .pld:
      let bounds = try PLDAccountant().delta(of: steps, epsilon: epsilon)
      return (bounds.upper, bounds.lower)
    case .rdp: return (try RDPAccountant().delta(of: steps, epsilon: epsilon).upper, nil)
    case .gdp: return (try GaussianApproximation().delta(of: steps, epsilon: epsilon), nil)
    }
  }
}
