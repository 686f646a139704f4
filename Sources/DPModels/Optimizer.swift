internal import DPKernels
internal import Foundation

/// A rule that turns released gradients into steps.
///
/// With g the released mean gradient, η the learning rate and t the number of the step from 1:
///
/// | rule | step |
/// |---|---|
/// | `sgd` | θ ← θ − η g |
/// | `momentum` | v ← 0.9 v + g, θ ← θ − η v |
/// | `adam` | m ← 0.9 m + 0.1 g, v ← 0.999 v + 0.001 g², θ ← θ − η m̂ / (√v̂ + 1e-8), m̂ = m / (1 − 0.9ᵗ), v̂ = v / (1 − 0.999ᵗ) |
/// | `adagrad` | v ← v + g², θ ← θ − η g / (√v + 1e-10) |
/// | `rmsprop` | v ← 0.99 v + 0.01 g², θ ← θ − η g / (√v + 1e-8) |
///
/// Weight decay w is decoupled, as in AdamW (Loshchilov and Hutter 2019): θ is multiplied by 1 − η w
/// before each step. It reads no data, so it costs no privacy. The constants are PyTorch's defaults. State is made of released values only.
public enum OptimizerRule: String, Hashable, Sendable, Codable, CaseIterable {
  /// Stochastic gradient descent.
  case sgd
  /// Gradient descent with momentum 0.9.
  case momentum
  /// Kingma and Ba 2015.
  case adam
  /// Duchi, Hazan, Singer 2011.
  case adagrad
  /// Tieleman and Hinton 2012.
  case rmsprop

  /// The number of vectors of the parameters' length that the rule remembers.
  public var stateVectors: Int {
    switch self {
    case .sgd: 0
    case .momentum, .adagrad, .rmsprop: 1
    case .adam: 2
    }
  }
}

/// A rule with what it remembers.
public struct Optimizer: Sendable {
  /// The rule.
  public let rule: OptimizerRule
  /// w ≥ 0.
  public let weightDecay: Double
  /// The number of steps taken.
  package private(set) var steps: Int
  /// The first and second vector that the rule remembers, empty where it has none.
  private var first: [Float]
  private var second: [Float]
  /// The step that is being taken.
  private var update: OptimizerUpdate?
  private let variant: Int

  /// What this processor can take steps with, slowest first; the results are the same with each.
  public static var instructionSets: [String] { OptimizerUpdate.instructionSets }

  /// Starts a rule afresh.
  ///
  /// - Parameters:
  ///   - rule: The rule.
  ///   - parameterCount: d.
  ///   - weightDecay: w ≥ 0.
  public init(_ rule: OptimizerRule, parameterCount: Int, weightDecay: Double = 0) {
    let empty = [Float](repeating: 0, count: parameterCount)
    self.init(
      rule, steps: 0, state: Array(repeating: empty, count: rule.stateVectors),
      weightDecay: weightDecay)
  }

  /// Continues from a checkpoint, with one of ``instructionSets`` to compare them, or the fastest.
  package init(
    _ rule: OptimizerRule, steps: Int, state: [[Float]], weightDecay: Double = 0,
    instructionSet: String? = nil
  ) {
    precondition(state.count == rule.stateVectors, "\(state.count) state vectors for \(rule)")
    let sets = Optimizer.instructionSets
    let named = instructionSet.map { sets.firstIndex(of: $0) ?? -1 } ?? sets.count - 1
    precondition(named >= 0, "no \(instructionSet ?? "") here")
    self.rule = rule
    self.weightDecay = weightDecay
    self.steps = steps
    first = state.first ?? []
    second = state.count > 1 ? state[1] : []
    variant = named
  }

  /// What the rule remembers: `rule.stateVectors` vectors, each of the parameters' length.
  package var state: [[Float]] { Array([first, second].prefix(rule.stateVectors)) }

  /// Begins a step, which ``apply(_:_:from:to:)`` then takes for all coordinates, part by part.
  ///
  /// - Parameters:
  ///   - learningRate: η of the step.
  ///   - scale: What sum and noise are multiplied with to give the mean gradient.
  public mutating func begin(learningRate: Float, scale: Double) {
    steps += 1
    update = OptimizerUpdate(
      rule.update, scale: scale, rate: learningRate,
      keep: Float(1 - Double(learningRate) * weightDecay), corrections: corrections)
  }

  /// Adam's divisors 1 − 0.9ᵗ and 1 − 0.999ᵗ.
  var corrections: (Float, Float) {
    guard rule == .adam else { return (1, 1) }
    return (Float(1 - pow(0.9, Double(steps))), Float(1 - pow(0.999, Double(steps))))
  }

  /// Takes the step that was begun for some coordinates.
  ///
  /// - Parameters:
  ///   - sum: S of consecutive coordinates.
  ///   - noise: Their noise, in the units of `sum`.
  ///   - start: The first of them.
  ///   - parameters: θ: d numbers, of which as many are updated as there is a sum for.
  /// - Complexity: O(noise.count), a fraction of a nanosecond for each; no allocation.
  public mutating func apply(
    _ sum: Span<Double>, _ noise: Span<Int32>, from start: Int = 0,
    to parameters: inout MutableSpan<Float>
  ) {
    guard let update else { preconditionFailure("no step was begun") }
    var one = exchange(&first, with: [])
    var two = exchange(&second, with: [])
    var ones = one.mutableSpan
    var twos = two.mutableSpan
    update.apply(
      to: &parameters, &ones, &twos, from: start, sum: sum, noise: noise, variant: variant)
    first = one
    second = two
  }
}

extension OptimizerRule {
  /// The kernel of the rule.
  fileprivate var update: OptimizerUpdate.Rule {
    switch self {
    case .sgd: .sgd
    case .momentum: .momentum
    case .adam: .adam
    case .adagrad: .adagrad
    case .rmsprop: .rmsprop
    }
  }
}
