import DPModels
import Foundation
import TestSupport
import Testing

@Suite struct OptimizerTests {
  /// Two parameters, three steps; expected values by PyTorch's formulas, written out in Double.
  @Test(arguments: OptimizerRule.allCases, [0, 0.5])
  func stepsFollowTheRule(rule: OptimizerRule, decay: Double) {
    let gradients: [[Double]] = [[0.5, -2], [0.1, 0], [-0.3, 1e-3]]
    let rates = [0.05, 0.1, 0.025]
    var optimizer = Optimizer(rule, parameterCount: 2, weightDecay: decay)
    var parameters: [Float] = [1, -1]
    var expected = [1.0, -1]
    var m = [0.0, 0]
    var v = [0.0, 0]
    for (index, gradient) in gradients.enumerated() {
      let t = Double(index + 1)
      let rate = rates[index]
      for i in 0..<2 {
        let g = gradient[i]
        expected[i] *= 1 - rate * decay
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
      // The gradient comes as (sum + noise) · scale.
      let noise: [Int32] = [300, -7000]
      let sum = zip(gradient, noise).map { $0 * 1024 - Double($1) }
      optimizer.begin(learningRate: Float(rate), scale: 1 / 1024)
      var span = parameters.mutableSpan
      optimizer.apply(sum.span, noise.span, to: &span)
      for i in 0..<2 { #expect(abs(Double(parameters[i]) - expected[i]) <= 4e-6) }
    }
    #expect(optimizer.steps == 3)
    #expect(optimizer.state.count == rule.stateVectors)
  }

  /// One pass gives the bits of two, with every instruction set, whole and in parts.
  @Test(
    arguments: OptimizerRule.allCases, [0, 1, 7, 8, 9, 31, 551, 1000])
  func theFusedStepIsItsDefinition(rule: OptimizerRule, count: Int) {
    for decay in [0, 0.03] {
      for set in Optimizer.instructionSets {
        var generator = SeededGenerator(seed: UInt64(count))
        var parameters = (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
        var expected = parameters
        var state = Array(repeating: [Float](repeating: 0, count: count), count: rule.stateVectors)
        var optimizer = Optimizer(
          rule, steps: 0, state: state, weightDecay: decay, instructionSet: set)
        for step in 1...4 {
          let sum = (0..<count).map { _ in
            Double(Int.random(in: -9_999_999...9_999_999, using: &generator))
          }
          let noise = (0..<count).map { _ in
            Int32.random(in: -(1 << 24)...1 << 24, using: &generator)
          }
          let scale = 0x1p-20 / 256 / 3
          rule.reference(
            &expected, &state, steps: step, sum: sum, noise: noise, scale: scale,
            learningRate: 0.3, weightDecay: decay)
          optimizer.begin(learningRate: 0.3, scale: scale)
          var span = parameters.mutableSpan
          let cut = count / 3
          optimizer.apply(
            sum.span.extracting(first: cut), noise.span.extracting(first: cut), to: &span)
          optimizer.apply(
            sum.span.extracting(droppingFirst: cut), noise.span.extracting(droppingFirst: cut),
            from: cut, to: &span)
        }
        #expect(parameters.map(\.bitPattern) == expected.map(\.bitPattern))
        #expect(optimizer.state == state)
      }
    }
  }
}
