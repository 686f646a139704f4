internal import Foundation

/// The definition that the fast path is tested against: one example at a time, in Double, its whole
/// gradient written out.
package struct ReferenceNetwork {
  private let architecture: DenseArchitecture
  /// d numbers.
  package var parameters: [Double]

  /// Makes a network of given parameters.
  package init(_ architecture: DenseArchitecture, parameters: [Double]) {
    precondition(parameters.count == architecture.parameterCount, "\(parameters.count) parameters")
    self.architecture = architecture
    self.parameters = parameters
  }

  /// The inputs of every layer and the outputs of the last.
  private func forward(_ features: [Double]) -> [[Double]] {
    var values = [features]
    for (index, layer) in architecture.layers.enumerated() {
      let input = values[index]
      let output = (0..<layer.outputs).map { o in
        (0..<layer.inputs).reduce(parameters[layer.biases.lowerBound + o]) {
          $0 + parameters[layer.weights.lowerBound + o * layer.inputs + $1] * input[$1]
        }
      }
      let isLast = index == architecture.hidden.count
      values.append(
        isLast
          ? output
          : output.map { architecture.activation == .tanh ? Foundation.tanh($0) : max(0, $0) })
    }
    return values
  }

  /// The loss of one example.
  package func loss(_ features: [Double], label: Double) -> Double {
    let z = forward(features)[architecture.layers.count]
    switch architecture.head {
    case .binary: return max(z[0], 0) - z[0] * label + log1p(exp(-abs(z[0])))
    case .regression: return (z[0] - label) * (z[0] - label) / 2
    case .multiclass:
      let largest = z.max() ?? 0
      return log(z.reduce(0) { $0 + exp($1 - largest) }) + largest - z[Int(label)]
    }
  }

  /// The gradient of one example's loss by all parameters.
  ///
  /// - Parameters:
  ///   - features: The example's features.
  ///   - label: Its class or number.
  /// - Returns: d numbers.
  package func gradient(_ features: [Double], label: Double) -> [Double] {
    let layers = architecture.layers
    let values = forward(features)
    var d = headGradient(values[layers.count], label: label)
    var gradient = [Double](repeating: 0, count: parameters.count)
    for (index, layer) in layers.enumerated().reversed() {
      let input = values[index]
      for o in 0..<layer.outputs {
        gradient[layer.biases.lowerBound + o] = d[o]
        for i in 0..<layer.inputs {
          gradient[layer.weights.lowerBound + o * layer.inputs + i] = d[o] * input[i]
        }
      }
      guard index > 0 else { break }
      d = (0..<layer.inputs).map { i in
        let back = (0..<layer.outputs).reduce(0.0) {
          $0 + parameters[layer.weights.lowerBound + $1 * layer.inputs + i] * d[$1]
        }
        let slope = architecture.activation == .tanh ? 1 - input[i] * input[i] : 1
        return input[i] == 0 && architecture.activation == .relu ? 0 : back * slope
      }
    }
    return gradient
  }

  private func headGradient(_ z: [Double], label: Double) -> [Double] {
    switch architecture.head {
    case .binary: return [1 / (1 + exp(-z[0])) - label]
    case .regression: return [z[0] - label]
    case .multiclass:
      let largest = z.max() ?? 0
      let total = z.reduce(0) { $0 + exp($1 - largest) }
      return z.enumerated().map {
        exp($0.element - largest) / total - ($0.offset == Int(label) ? 1 : 0)
      }
    }
  }

  /// The sum of gradients, each first scaled to an L2 norm of at most `bound`.
  ///
  /// - Parameters:
  ///   - examples: Features and labels.
  ///   - bound: C, or infinity.
  ///   - clipping: How gradients are brought to C.
  /// - Returns: d numbers.
  package func clippedSum(
    _ examples: [(features: [Double], label: Double)], bound: Double, by clipping: Clipping = .flat
  ) -> [Double] {
    var sum = [Double](repeating: 0, count: parameters.count)
    for example in examples {
      let gradient = gradient(example.features, label: example.label)
      for range in ranges(clipping) {
        let norm = gradient[range].reduce(0) { $0 + $1 * $1 }.squareRoot()
        let factor = factor(norm, bound: bound, clipping)
        for index in range { sum[index] += factor * gradient[index] }
      }
    }
    return sum
  }

  /// The parameters that share a factor.
  private func ranges(_ clipping: Clipping) -> [Range<Int>] {
    guard clipping == .perLayer else { return [parameters.indices] }
    // A layer's biases follow its weights, or precede them.
    return architecture.layers.map {
      min(
        $0.weights.lowerBound, $0.biases.lowerBound)..<max(
          $0.weights.upperBound, $0.biases.upperBound)
    }
  }

  private func factor(_ norm: Double, bound: Double, _ clipping: Clipping) -> Double {
    guard bound.isFinite else { return 1 }
    switch clipping {
    case .flat: return norm > bound ? bound / norm : 1
    case .perLayer:
      let share = bound / Double(architecture.layers.count).squareRoot()
      return norm > share ? share / norm : 1
    case .automatic: return bound / (norm + 0.01)
    }
  }
}
