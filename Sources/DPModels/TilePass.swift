package import DPKernels
internal import Foundation

/// One tile of up to 16 examples on its way through a network, forward and back.
///
/// All memory is allocated once; examples lie in SIMD lanes and never see each other.
package final class TilePass {
  /// What one layer takes in and what the loss's gradient is at its output, before activation.
  private final class Layer {
    let shape: DenseLayer
    /// a, the layer's input: shape `[inputs]`.
    var input: [Lanes]
    /// d, the gradient of the loss by the layer's output before activation: shape `[outputs]`.
    var gradient: [Lanes]

    init(_ shape: DenseLayer) {
      self.shape = shape
      input = [Lanes](repeating: Lanes(), count: shape.inputs)
      gradient = [Lanes](repeating: Lanes(), count: shape.outputs)
    }

    /// Sets lanes to 0, which a factor of 0 does not do to NaN and infinity.
    func clear(_ lanes: SIMDMask<SIMD16<Int32>>) {
      for unit in gradient.indices { gradient[unit].replace(with: 0, where: lanes) }
      for unit in input.indices { input[unit].replace(with: 0, where: lanes) }
    }
  }

  private let architecture: DenseArchitecture
  private let layers: [Layer]
  private var outputs: [Lanes]
  /// NaN where a lane holds no example.
  private var labels = Lanes(repeating: .nan)

  /// Allocates a tile for a network.
  package init(_ architecture: DenseArchitecture) {
    self.architecture = architecture
    layers = architecture.layers.map(Layer.init)
    outputs = [Lanes](repeating: Lanes(), count: architecture.head.outputs)
  }

  /// Loads examples and applies the network to them.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows of `table`, at most 16.
  ///   - table: The examples.
  ///   - parameters: d numbers.
  package func forward(_ rows: Span<UInt32>, of table: ExampleTable, _ parameters: Span<Float>) {
    var features = exchange(&layers[0].input, with: [])
    var span = features.mutableSpan
    labels = table.load(rows, into: &span)
    layers[0].input = features
    apply(parameters)
  }

  /// Applies the network to one vector of features, in lane 0.
  ///
  /// - Parameters:
  ///   - features: As many as the architecture has.
  ///   - parameters: d numbers.
  package func forward(_ features: Span<Float>, _ parameters: Span<Float>) {
    precondition(features.count == architecture.features, "\(features.count) features")
    for index in 0..<features.count { layers[0].input[index] = Lanes(repeating: features[index]) }
    labels = Lanes(repeating: .nan)
    apply(parameters)
  }

  private func apply(_ parameters: Span<Float>) {
    for index in 1..<layers.count {
      var values = exchange(&layers[index].input, with: [])
      apply(layers[index - 1], parameters, into: &values)
      activate(&values)
      layers[index].input = values
    }
    apply(layers[layers.count - 1], parameters, into: &outputs)
  }

  private func apply(_ layer: Layer, _ parameters: Span<Float>, into values: inout [Lanes]) {
    let input = layer.input
    var span = values.mutableSpan
    applyDense(
      parameters.extracting(layer.shape.weights), parameters.extracting(layer.shape.biases),
      to: input.span, into: &span)
  }

  private func activate(_ values: inout [Lanes]) {
    switch architecture.activation {
    case .tanh:
      for unit in values.indices { values[unit] = hyperbolicTangent(values[unit]) }
    case .relu:
      for unit in values.indices { values[unit].replace(with: 0, where: values[unit] .< 0) }
    }
  }

  /// The last layer's output of one example, before the head.
  ///
  /// - Parameter lane: The example's place among the rows.
  /// - Returns: As many numbers as the head has outputs.
  package func logits(lane: Int) -> [Float] { outputs.map { $0[lane] } }

  /// The label of one example, NaN where the lane holds none.
  package func label(lane: Int) -> Float { labels[lane] }

  /// Computes the gradient of each example's loss by every layer's output.
  ///
  /// - Parameter parameters: The numbers that ``forward(_:of:_:)`` was given.
  package func backward(_ parameters: Span<Float>) {
    headGradient()
    for index in (1..<layers.count).reversed() {
      let layer = layers[index]
      let gradient = layer.gradient
      var below = exchange(&layers[index - 1].gradient, with: [])
      var span = below.mutableSpan
      backpropagateDense(
        parameters.extracting(layer.shape.weights), gradient.span, into: &span)
      multiplyBySlope(&below, activations: layer.input)
      layers[index - 1].gradient = below
    }
  }

  private func multiplyBySlope(_ gradient: inout [Lanes], activations: [Lanes]) {
    switch architecture.activation {
    case .tanh:
      for (unit, a) in activations.enumerated() { gradient[unit] *= 1 - a * a }
    case .relu:
      for (unit, a) in activations.enumerated() { gradient[unit].replace(with: 0, where: a .<= 0) }
    }
  }

  /// The gradient of the loss by the network's outputs: prediction minus label for every head.
  ///
  /// It is 0 where a lane holds no example.
  private func headGradient() {
    let last = layers[layers.count - 1]
    switch architecture.head {
    case .binary:
      last.gradient[0] = logistic(outputs[0]) - labels
    case .regression:
      last.gradient[0] = outputs[0] - labels
    case .multiclass:
      let largest = largestOutput()
      var total = Lanes()
      for (index, z) in outputs.enumerated() {
        last.gradient[index] = exponential(z - largest)
        total += last.gradient[index]
      }
      for index in outputs.indices {
        let target = Lanes().replacing(with: 1, where: labels .== Float(index))
        last.gradient[index] = last.gradient[index] / total - target
      }
    }
    let empty = labels .!= labels
    guard any(empty) else { return }
    for index in last.gradient.indices { last.gradient[index].replace(with: 0, where: empty) }
  }

  /// The loss of each example, NaN where a lane holds none.
  package func losses() -> Lanes {
    switch architecture.head {
    case .binary:
      let z = outputs[0]
      let size = z.replacing(with: -z, where: z .< 0)
      return (z + size) * 0.5 - z * labels + logarithm(1 + exponential(-size))
    case .regression:
      let error = outputs[0] - labels
      return error * error * 0.5
    case .multiclass:
      let largest = largestOutput()
      var total = Lanes()
      var target = labels - labels
      for (index, z) in outputs.enumerated() {
        total += exponential(z - largest)
        target.replace(with: z, where: labels .== Float(index))
      }
      return logarithm(total) + largest - target
    }
  }

  private func largestOutput() -> Lanes {
    var largest = outputs[0]
    for z in outputs.dropFirst() { largest.replace(with: z, where: z .> largest) }
    return largest
  }

  /// The squared L2 norm of each example's gradient by all parameters, and how far Float reaches.
  ///
  /// The second value is the largest over layers of (‖a‖² + 1) · outputs: where a scaled d falls
  /// below Float's least normal number, its absolute rounding error of 2⁻¹⁵⁰ is multiplied by ‖a‖.
  ///
  /// The gradient of a layer is the outer product of d and (a, 1), so its squared norm is
  /// ‖d‖² (‖a‖² + 1), and nothing of the gradient's size is needed (Goodfellow 2015, "Efficient
  /// Per-Example Gradient Computations").
  package func squaredGradientNorms() -> (norms: SIMD16<Double>, reach: SIMD16<Double>) {
    var sum = SIMD16<Double>()
    var reach = SIMD16<Double>()
    for layer in layers {
      let gradient = layer.gradient
      let input = layer.input
      let inputs = squaredNorms(input.span) + 1
      sum += squaredNorms(gradient.span) * inputs
      reach = pointwiseMax(reach, inputs * Double(layer.shape.outputs))
    }
    return (sum, reach)
  }

  /// Adds each example's gradient, times its factor, to a running sum.
  ///
  /// - Parameters:
  ///   - factors: One for each lane.
  ///   - broken: Lanes that are left out whatever their numbers are, NaN and infinity included.
  ///   - unitsPerOne: The grid of the sum, or nil for none.
  ///   - sum: d numbers, in units of the grid.
  package func addGradients(
    factors: Lanes, leavingOut broken: SIMDMask<SIMD16<Int32>>, unitsPerOne: Double?,
    to sum: inout [Double]
  ) {
    let anyBroken = any(broken)
    for layer in layers {
      for unit in layer.gradient.indices { layer.gradient[unit] *= factors }
      if anyBroken { layer.clear(broken) }
      let gradient = layer.gradient
      let input = layer.input
      var span = sum.mutableSpan
      addOuterProducts(
        gradient.span, input.span, unitsPerOne: unitsPerOne, to: &span,
        weightsAt: layer.shape.weights.lowerBound, biasesAt: layer.shape.biases.lowerBound)
    }
  }
}

/// ln(x) in every lane, by the C library.
private func logarithm(_ x: Lanes) -> Lanes {
  var result = Lanes()
  for lane in 0..<Lanes.examples { result[lane] = log(x[lane]) }
  return result
}
