internal import Foundation

extension OptimizerRule {
  /// What a step of an ``Optimizer`` does, in two passes of plain Swift: the definition.
  ///
  /// - Parameters:
  ///   - parameters: θ, updated.
  ///   - state: What the rule remembers, updated.
  ///   - steps: t, the number of the step from 1.
  ///   - sum: S.
  ///   - noise: In the units of `sum`.
  ///   - scale: What sum and noise are multiplied with to give the gradient.
  ///   - learningRate: η.
  ///   - weightDecay: w.
  package func reference(
    _ parameters: inout [Float], _ state: inout [[Float]], steps: Int, sum: [Double],
    noise: [Int32], scale: Double, learningRate: Float, weightDecay: Double
  ) {
    let gradient = zip(sum, noise).map { Float(($0 + Double($1)) * scale) }
    let keep = Float(1 - Double(learningRate) * weightDecay)
    let corrections = (
      Float(1 - pow(0.9, Double(steps))), Float(1 - pow(0.999, Double(steps)))
    )
    for (i, g) in gradient.enumerated() {
      parameters[i] *= keep
      switch self {
      case .sgd:
        parameters[i] -= learningRate * g
      case .momentum:
        state[0][i] = 0.9 * state[0][i] + g
        parameters[i] -= learningRate * state[0][i]
      case .adam:
        state[0][i] = 0.9 * state[0][i] + 0.1 * g
        state[1][i] = 0.999 * state[1][i] + 0.001 * g * g
        let size = (state[1][i] / corrections.1).squareRoot() + 1e-8
        parameters[i] -= learningRate * (state[0][i] / corrections.0) / size
      case .adagrad:
        state[0][i] += g * g
        parameters[i] -= learningRate * g / (state[0][i].squareRoot() + 1e-10)
      case .rmsprop:
        state[0][i] = 0.99 * state[0][i] + 0.01 * g * g
        parameters[i] -= learningRate * g / (state[0][i].squareRoot() + 1e-8)
      }
    }
  }
}
