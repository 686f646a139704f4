internal import Foundation

/// What the loops over tiles compute, one example and one number at a time: the definition that every
/// variant is tested against.
package enum TileReference {
  /// `epilogue(W x + b)` for one example, in Double.
  ///
  /// - Parameters:
  ///   - weights: W, shape `[outputs, inputs]`, row-major; `[inputs, outputs]` if `transposed`.
  ///   - bias: b, shape `[outputs]`; empty for zeros.
  ///   - transposed: Whether Wᵀ is applied.
  ///   - input: x.
  ///   - outputs: The number of outputs.
  ///   - epilogue: What is done to a sum.
  ///   - activation: For the slopes, shape `[outputs]`.
  /// - Returns: Shape `[outputs]`.
  package static func product(
    _ weights: [Float], bias: [Float], transposed: Bool, of input: [Float], outputs: Int,
    epilogue: TileKernels.Epilogue, activation: [Float]
  ) -> [Double] {
    (0..<outputs).map { output in
      var sum = bias.isEmpty ? 0 : Double(bias[output])
      for index in input.indices {
        let place = transposed ? index * outputs + output : output * input.count + index
        sum += Double(weights[place]) * Double(input[index])
      }
      return finish(sum, epilogue, activation.isEmpty ? 0 : Double(activation[output]))
    }
  }

  private static func finish(
    _ sum: Double, _ epilogue: TileKernels.Epilogue, _ activation: Double
  ) -> Double {
    switch epilogue {
    case .store: sum
    case .relu: max(0, sum)
    case .tanh: Foundation.tanh(sum)
    case .reluSlope: activation > 0 ? sum : 0
    case .tanhSlope: sum * (1 - activation * activation)
    }
  }

  /// The sum over examples of d aᵀ with a column of d, in Double: shape `[outputs, inputs + 1]`.
  ///
  /// - Parameters:
  ///   - gradients: d of each example.
  ///   - activations: a of each example.
  /// - Returns: The sum, row-major.
  package static func outerProducts(
    _ gradients: [[Float]], _ activations: [[Float]]
  ) -> [Double] {
    guard let outputs = gradients.first?.count, let inputs = activations.first?.count else {
      return []
    }
    var sum = [Double](repeating: 0, count: outputs * (inputs + 1))
    for (d, a) in zip(gradients, activations) {
      for output in 0..<outputs {
        for input in 0...inputs {
          sum[output * (inputs + 1) + input] +=
            Double(d[output]) * (input < inputs ? Double(a[input]) : 1)
        }
      }
    }
    return sum
  }
}
