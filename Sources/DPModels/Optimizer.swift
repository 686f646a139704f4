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
/// The constants are PyTorch's defaults. State is made of released values only.
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

/// A rule with its learning rate and what it remembers.
public struct Optimizer: Sendable {
  /// The rule.
  public let rule: OptimizerRule
  /// η > 0.
  public let learningRate: Float
  /// The number of steps taken.
  package private(set) var steps: Int
  /// What the rule remembers: `rule.stateVectors` vectors, each of the parameters' length.
  package private(set) var state: [[Float]]

  /// Starts a rule afresh.
  ///
  /// - Parameters:
  ///   - rule: The rule.
  ///   - learningRate: η > 0.
  ///   - parameterCount: d.
  public init(_ rule: OptimizerRule, learningRate: Float, parameterCount: Int) {
    let empty = [Float](repeating: 0, count: parameterCount)
    self.init(
      rule, learningRate: learningRate, steps: 0,
      state: Array(repeating: empty, count: rule.stateVectors))
  }

  /// Continues from a checkpoint.
  package init(_ rule: OptimizerRule, learningRate: Float, steps: Int, state: [[Float]]) {
    precondition(state.count == rule.stateVectors, "\(state.count) state vectors for \(rule)")
    self.rule = rule
    self.learningRate = learningRate
    self.steps = steps
    self.state = state
  }

  /// Takes one step.
  ///
  /// - Parameters:
  ///   - gradient: g, the released mean gradient: d numbers.
  ///   - parameters: θ: d numbers, updated.
  public mutating func step(_ gradient: Span<Float>, _ parameters: inout MutableSpan<Float>) {
    precondition(gradient.count == parameters.count, "\(gradient.count) for \(parameters.count)")
    steps += 1
    switch rule {
    case .sgd:
      for i in 0..<gradient.count { parameters[i] -= learningRate * gradient[i] }
    case .momentum:
      for i in 0..<gradient.count {
        state[0][i] = 0.9 * state[0][i] + gradient[i]
        parameters[i] -= learningRate * state[0][i]
      }
    case .adam:
      let first = Float(1 - pow(0.9, Double(steps)))
      let second = Float(1 - pow(0.999, Double(steps)))
      for i in 0..<gradient.count {
        state[0][i] = 0.9 * state[0][i] + 0.1 * gradient[i]
        state[1][i] = 0.999 * state[1][i] + 0.001 * gradient[i] * gradient[i]
        let scale = (state[1][i] / second).squareRoot() + 1e-8
        parameters[i] -= learningRate * (state[0][i] / first) / scale
      }
    case .adagrad:
      for i in 0..<gradient.count {
        state[0][i] += gradient[i] * gradient[i]
        parameters[i] -= learningRate * gradient[i] / (state[0][i].squareRoot() + 1e-10)
      }
    case .rmsprop:
      for i in 0..<gradient.count {
        state[0][i] = 0.99 * state[0][i] + 0.01 * gradient[i] * gradient[i]
        parameters[i] -= learningRate * gradient[i] / (state[0][i].squareRoot() + 1e-8)
      }
    }
  }
}
