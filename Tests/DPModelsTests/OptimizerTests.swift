import DPModels
import Foundation
import Testing

@Suite struct OptimizerTests {
  /// Two parameters, three steps; expected values by PyTorch's formulas, written out in Double.
  @Test(arguments: OptimizerRule.allCases)
  func stepsFollowTheRule(rule: OptimizerRule) {
    let gradients: [[Double]] = [[0.5, -2], [0.1, 0], [-0.3, 1e-3]]
    let rate = 0.05
    var optimizer = Optimizer(rule, learningRate: Float(rate), parameterCount: 2)
    var parameters: [Float] = [1, -1]
    var expected = [1.0, -1]
    var m = [0.0, 0]
    var v = [0.0, 0]
    for (index, gradient) in gradients.enumerated() {
      let t = Double(index + 1)
      for i in 0..<2 {
        let g = gradient[i]
        switch rule {
        case .sgd:
          expected[i] -= rate * g
        case .momentum:
          v[i] = 0.9 * v[i] + g
          expected[i] -= rate * v[i]
        case .adam:
          m[i] = 0.9 * m[i] + 0.1 * g
          v[i] = 0.999 * v[i] + 0.001 * g * g
          expected[i] -=
            rate * (m[i] / (1 - pow(0.9, t))) / ((v[i] / (1 - pow(0.999, t))).squareRoot() + 1e-8)
        case .adagrad:
          v[i] += g * g
          expected[i] -= rate * g / (v[i].squareRoot() + 1e-10)
        case .rmsprop:
          v[i] = 0.99 * v[i] + 0.01 * g * g
          expected[i] -= rate * g / (v[i].squareRoot() + 1e-8)
        }
      }
      let floats = gradient.map { Float($0) }
      var span = parameters.mutableSpan
      optimizer.step(floats.span, &span)
      for i in 0..<2 { #expect(abs(Double(parameters[i]) - expected[i]) <= 3e-6) }
    }
    #expect(optimizer.steps == 3)
    #expect(optimizer.state.count == rule.stateVectors)
  }
}
