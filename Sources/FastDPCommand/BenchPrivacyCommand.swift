import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp bench privacy`.
struct BenchPrivacyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "privacy",
    abstract: "Time the accountant: one ε, and the σ for a given ε.",
    discussion: """
      ε of 38,250 steps with q = 256/979,200 and σ = 0.9 at δ = 1e-6: an upper and a lower bound, \
      both directions, within 0.1 % of each other. σ for ε = 1 with the same q, T and δ. Medians.

      With --peers the PLDAccountant of dp_accounting 0.6.0 answers the same, in turn with this \
      program: ε at the discretisation that gives it 0.1 % (4.5e-5), σ by its own \
      calibrate_dp_mechanism. Its times are taken inside Python, without start and imports. Takes \
      one to several minutes. Ratios say how many times as long it takes.

      Status 66: DIR or its Python is missing; 69: dp_accounting is missing, of another version, or \
      fails; 70: the answers do not agree.

      Examples:
        fastdp bench privacy
        fastdp bench privacy --peers peers --json

      where dp_accounting was installed by:
        python3 -m venv peers/jax && peers/jax/bin/pip install dp-accounting==0.6.0
      """)

  @Option(help: "Time dp_accounting too: DIR/jax/bin/python has it.")
  var peers: String?

  @Option(help: "Timings of each question, at least 5. (default: 5 of ε, 3 of σ)")
  var `repeat`: Int?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard let times = `repeat`, !(5...1000).contains(times) else { return }
    throw ValidationError("repeat is \(times); it must be at least 5 and at most 1000")
  }

  func run() throws {
    let question = PrivacyQuestion()
    let peer = try peers.map { try PrivacyPeer(folder: $0, question) }
    var result = PrivacyComparison(peer: peer?.name)
    for index in 0..<(`repeat` ?? 5) {
      Console.progress("epsilon \(index + 1)")
      result.bounds = try result.epsilon.ours.measure { try question.epsilon() }
      result.epsilonOfPeer = try peer?.ask("epsilon", &result.epsilon.peers)
    }
    for index in 0..<(`repeat` ?? 3) {
      Console.progress("calibration \(index + 1)")
      result.sigma = try result.calibration.ours.measure { try question.calibratedNoise() }
      result.sigmaOfPeer = try peer?.ask("calibration", &result.calibration.peers)
    }
    Console.clearProgress()
    output.json ? Console.print(.object(result.members)) : Console.print(result.rows)
    try result.check()
  }
}

/// What is timed: the run of the project that fastDP began from.
struct PrivacyQuestion: Encodable {
  var samplingRate = 256.0 / 979_200
  var steps = 38_250
  var delta = 1e-6
  var noiseMultiplier = 0.9
  var targetEpsilon = 1.0
  /// The grid with which dp_accounting's ε is within 0.1 %.
  var discretisation = 4.5e-5

  /// Both bounds on ε, the larger of both directions.
  func epsilon() throws -> EpsilonBounds {
    let mechanism = try PoissonSubsampledGaussian(
      samplingRate: samplingRate, noiseMultiplier: noiseMultiplier)
    return try PLDAccountant().epsilon(
      of: [ComposedSteps(of: mechanism, count: steps)], delta: delta)
  }

  /// The least σ that stays within the target.
  func calibratedNoise() throws -> Double {
    try Calibration.noiseMultiplier(
      for: PrivacyTarget(epsilon: targetEpsilon, delta: delta), steps: steps,
      accountant: PLDAccountant()
    ) { sigma throws(PrivacyError) in
      try PoissonSubsampledGaussian(samplingRate: samplingRate, noiseMultiplier: sigma)
    }
  }
}

/// Timings and answers, this program's and a peer's.
struct PrivacyComparison {
  /// Timings of one question.
  struct Pair {
    var ours = Timings()
    var peers = Timings()
    /// How many times as long the peer takes.
    var ratio: Double { peers.median / ours.median }
  }

  /// The peer's name and version; nil where this program is alone.
  let peer: String?
  var epsilon = Pair()
  var calibration = Pair()
  var bounds = EpsilonBounds(upper: .infinity, lower: nil)
  var sigma = Double.infinity
  var epsilonOfPeer: Double?
  var sigmaOfPeer: Double?

  init(peer: String?) { self.peer = peer }

  /// Whether the peer's upper bound, which is within 0.1 % of the truth, fits the interval here, and
  /// both σ are within 0.2 % of each other; nil without a peer.
  var agree: Bool? {
    guard let epsilonOfPeer, let sigmaOfPeer else { return nil }
    let ends = (bounds.lower ?? 0)...(1.002 * bounds.upper)
    return ends.contains(epsilonOfPeer) && abs(sigmaOfPeer - sigma) <= 2e-3 * sigma
  }

  /// For programs.
  var members: [(String, JSONValue)] {
    let own: [(String, JSONValue)] = [
      ("epsilonSeconds", .number(epsilon.ours.median)),
      ("calibrationSeconds", .number(calibration.ours.median)),
    ]
    guard let peer, let agree else { return own }
    return own + [
      ("epsilonPeerSeconds", .number(epsilon.peers.median)),
      ("calibrationPeerSeconds", .number(calibration.peers.median)),
      ("epsilonRatio", .number(epsilon.ratio)),
      ("calibrationRatio", .number(calibration.ratio)),
      ("epsilon", .number(bounds.upper)), ("epsilonLower", .optional(bounds.lower)),
      ("epsilonPeer", .optional(epsilonOfPeer)), ("noiseMultiplier", .number(sigma)),
      ("noiseMultiplierPeer", .optional(sigmaOfPeer)), ("agree", .bool(agree)),
      ("peer", .string(peer)),
    ]
  }

  /// For people.
  var rows: [(String, String)] {
    let lower = bounds.lower.map { "\($0.significant(6)) to " } ?? ""
    let interval = "\(lower)\(bounds.upper.significant(6))"
    return [("epsilon", "\(interval) in \(epsilon.ours.median.significant(3)) s")]
      + row(epsilonOfPeer, epsilon)
      + [("noise multiplier", "\(sigma) in \(calibration.ours.median.significant(3)) s")]
      + row(sigmaOfPeer, calibration)
      + (agree.map { [("answers agree", $0 ? "yes" : "no")] } ?? [])
  }

  private func row(_ answer: Double?, _ timings: Pair) -> [(String, String)] {
    guard let peer, let answer else { return [] }
    let seconds = timings.peers.median.significant(3)
    return [
      (
        "  \(peer)",
        "\(answer.significant(7)) in \(seconds) s, \(timings.ratio.significant(3)) times as long"
      )
    ]
  }

  /// Refuses wrong answers: their speed says nothing.
  func check() throws {
    guard let lower = bounds.lower, bounds.upper - lower <= 1e-3 * bounds.upper else {
      throw CommandError(
        status: ExitStatus.internalFault,
        message: "epsilon's bounds are more than 0.1 % apart; please report it")
    }
    guard agree != false else {
      throw CommandError(
        status: ExitStatus.internalFault,
        message: "the answers do not agree with those of \(peer ?? "the peer"), so one of both "
          + "programs is wrong; please report it")
    }
  }
}
