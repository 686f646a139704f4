/// The nonlinearity after every hidden layer.
public enum Activation: String, Hashable, Sendable, Codable, CaseIterable {
  /// The hyperbolic tangent; bounded, which suits clipped gradients.
  case tanh
  /// max(0, x).
  case relu
}

/// What a model predicts, and the loss that it is trained on.
///
/// | head | outputs | prediction | loss of an example with label y |
/// |---|---|---|---|
/// | `binary` | 1 | logistic(z) | cross-entropy, in nats |
/// | `multiclass(k)` | k | softmax(z) | cross-entropy, in nats |
/// | `regression` | 1 | z | (z − y)² / 2 |
public enum Head: Hashable, Sendable {
  /// Two classes, 0 and 1.
  case binary
  /// Classes 0 ..< k, k ≥ 2.
  case multiclass(Int)
  /// A number.
  case regression

  /// The number of outputs of the last layer.
  public var outputs: Int {
    switch self {
    case .binary, .regression: 1
    case .multiclass(let classes): classes
    }
  }
}

/// A network of dense layers: which numbers it has and in which order.
///
/// The parameters are one vector of d numbers: layer by layer, first the weights
/// `[outputs, inputs]` row by row, then the biases `[outputs]`.
public struct DenseArchitecture: Hashable, Sendable {
  /// The number of input features, at least 1.
  public let features: Int
  /// The widths of the hidden layers, each at least 1; none makes a (generalised) linear model.
  public let hidden: [Int]
  /// The nonlinearity after every hidden layer.
  public let activation: Activation
  /// What is predicted.
  public let head: Head

  /// Describes a network.
  ///
  /// - Parameters:
  ///   - features: The number of input features.
  ///   - hidden: The widths of the hidden layers.
  ///   - activation: The nonlinearity after every hidden layer.
  ///   - head: What is predicted.
  /// - Throws: ``ModelError`` when a width is below 1, classes are below 2, or there would be more
  ///   than 2³¹ − 1 parameters.
  public init(
    features: Int, hidden: [Int], activation: Activation, head: Head
  ) throws(ModelError) {
    guard features >= 1 else {
      throw ModelError(.shape, "the model has \(features) features; it needs at least one")
    }
    if let width = hidden.first(where: { $0 < 1 }) {
      throw ModelError(.shape, "a hidden layer has width \(width); it must be at least 1")
    }
    if case .multiclass(let classes) = head, classes < 2 {
      throw ModelError(.shape, "the label has \(classes) classes; it must have at least 2")
    }
    self.features = features
    self.hidden = hidden
    self.activation = activation
    self.head = head
    var total = 0
    for (inputs, outputs) in zip([features] + hidden, hidden + [head.outputs]) {
      let limit = Int(Int32.max)
      let fits = inputs < limit && outputs < limit
      let product = fits ? outputs * (inputs + 1) : limit
      guard fits, product < limit - total else {
        throw ModelError(.shape, "the model has more than 2^31 - 1 parameters; use narrower layers")
      }
      total += product
    }
  }

  /// The layers, first to last, with their places in the parameter vector.
  package var layers: [DenseLayer] {
    var offset = 0
    return zip([features] + hidden, hidden + [head.outputs]).map { inputs, outputs in
      defer { offset += outputs * (inputs + 1) }
      return DenseLayer(inputs: inputs, outputs: outputs, offset: offset)
    }
  }

  /// d, the number of parameters.
  public var parameterCount: Int { layers.reduce(0) { $0 + $1.outputs * ($1.inputs + 1) } }

  /// First parameters: weights uniform and scaled to the layer, biases 0.
  ///
  /// The range is √(6 / (inputs + outputs)) (Glorot and Bengio 2010) after tanh and in the last
  /// layer, √(6 / inputs) (He et al. 2015) before relu.
  ///
  /// - Parameter generator: Where randomness comes from; it need not be secret.
  /// - Returns: d numbers.
  public func initialParameters(using generator: inout some RandomNumberGenerator) -> [Float] {
    var parameters = [Float](repeating: 0, count: parameterCount)
    for (index, layer) in layers.enumerated() {
      let feedsRelu = activation == .relu && index < hidden.count
      let fan = feedsRelu ? layer.inputs : layer.inputs + layer.outputs
      let range = (6 / Float(fan)).squareRoot()
      for weight in layer.weights {
        parameters[weight] = Float.random(in: -range...range, using: &generator)
      }
    }
    return parameters
  }
}

/// One layer's shape and its place in the parameter vector.
package struct DenseLayer: Hashable, Sendable {
  /// The width of what comes in.
  package let inputs: Int
  /// The width of what goes out.
  package let outputs: Int
  private let offset: Int

  init(inputs: Int, outputs: Int, offset: Int) {
    self.inputs = inputs
    self.outputs = outputs
    self.offset = offset
  }

  /// Where the weights `[outputs, inputs]` are, row-major.
  package var weights: Range<Int> { offset..<offset + inputs * outputs }
  /// Where the biases `[outputs]` are.
  package var biases: Range<Int> { weights.upperBound..<weights.upperBound + outputs }
}
