package import DPKernels

/// One tile of examples on its way through a network, forward and back.
///
/// All memory is allocated once; examples lie in SIMD lanes and never see each other.
package final class TilePass {
  /// t, the most examples of a tile: as many as keep the rounding of a Float sum within κ ≤ 1e-3 (see
  /// ``ClippedGradientSum``), so that a sum over lanes is rarely taken; a panel more than 256, so that
  /// Poisson batches of about a multiple of 256 seldom need another tile for a few rows.
  package static let tileExamples = 272

  /// What one layer takes in and what the loss's gradient is at its output, before activation.
  private struct Layer {
    let shape: DenseLayer
    /// a, the layer's input, and a unit of ones for the biases.
    let input: Panels
    /// d, the gradient of the loss by the layer's output before activation.
    let gradient: Panels
  }

  private let architecture: DenseArchitecture
  private let layers: [Layer]
  private let outputs: Panels
  private let clip: TileClip
  private let kernels: TileKernels
  /// Whether each layer has factors of its own.
  private var factorsPerLayer = false
  /// Panels of the tile that is loaded.
  private var panels = 0

  /// Allocates a tile for a network.
  ///
  /// - Parameters:
  ///   - architecture: The network.
  ///   - examples: The most examples that will be loaded at a time.
  ///   - kernels: The loops to use.
  package init(
    _ architecture: DenseArchitecture, examples: Int = TilePass.tileExamples,
    kernels: TileKernels = .fastest()
  ) {
    let count = (examples + Lanes.examples - 1) / Lanes.examples
    self.architecture = architecture
    self.kernels = kernels
    layers = architecture.layers.map {
      Layer(
        shape: $0, input: Panels(units: $0.inputs, count: count, withOne: true),
        gradient: Panels(units: $0.outputs, count: count, withOne: false))
    }
    outputs = Panels(units: architecture.head.outputs, count: count, withOne: false)
    clip = TileClip(outputs: architecture.layers.map(\.outputs), panels: count)
  }

  // MARK: Forward

  /// Loads examples, applies the network to them and finds their losses.
  ///
  /// - Parameters:
  ///   - rows: Indices of rows of `table`, at most as many as the tile has room for.
  ///   - table: The examples.
  ///   - parameters: d numbers.
  ///   - upcoming: Rows that will be loaded next: memory is asked for them meanwhile.
  package func forward(
    _ rows: Span<UInt32>, of table: ExampleTable, _ parameters: Span<Float>,
    upcoming: Span<UInt32> = Span()
  ) {
    panels = (rows.count + Lanes.examples - 1) / Lanes.examples
    for panel in 0..<panels {
      let first = panel * Lanes.examples
      let end = min(first + Lanes.examples, rows.count)
      if first < upcoming.count {
        table.prefetch(
          upcoming.extracting(first..<min(first + Lanes.examples, upcoming.count)))
      }
      table.load(
        rows.extracting(first..<end), into: layers[0].input, clip.labels, at: panel,
        with: kernels)
    }
    apply(parameters)
    head()
  }

  /// Applies the network to one vector of features, in lane 0.
  ///
  /// - Parameters:
  ///   - features: As many as the architecture has.
  ///   - parameters: d numbers.
  package func forward(_ features: Span<Float>, _ parameters: Span<Float>) {
    precondition(features.count == architecture.features, "\(features.count) features")
    panels = 1
    for index in 0..<features.count {
      layers[0].input[0, index] = Lanes(repeating: features[index])
    }
    clip.labels[0] = Lanes(repeating: .nan)
    apply(parameters)
  }

  private func apply(_ parameters: Span<Float>) {
    let activation: TileKernels.Epilogue =
      switch architecture.activation {
      case .tanh: .tanh
      case .relu: .relu
      }
    for (index, layer) in layers.enumerated() {
      let isLast = index + 1 == layers.count
      kernels.product(
        parameters.extracting(layer.shape.weights), bias: parameters.extracting(layer.shape.biases),
        of: layer.input, panels: panels, epilogue: isLast ? .store : activation,
        into: isLast ? outputs : layers[index + 1].input)
    }
  }

  /// The last layer's output of one example, before the head.
  ///
  /// - Parameter example: The example's place among the rows.
  /// - Returns: As many numbers as the head has outputs.
  package func logits(of example: Int) -> [Float] {
    let (panel, lane) = example.quotientAndRemainder(dividingBy: Lanes.examples)
    return (0..<outputs.units).map { outputs[panel, $0][lane] }
  }

  /// The label of one example, NaN where its row holds none.
  package func label(of example: Int) -> Float {
    let (panel, lane) = example.quotientAndRemainder(dividingBy: Lanes.examples)
    return clip.labels[panel][lane]
  }

  // MARK: Backward

  /// Computes the gradient of each example's loss by every layer's output.
  ///
  /// - Parameter parameters: The numbers that ``forward(_:of:_:)`` was given.
  package func backward(_ parameters: Span<Float>) {
    let slope: TileKernels.Epilogue =
      switch architecture.activation {
      case .tanh: .tanhSlope
      case .relu: .reluSlope
      }
    let none: [Float] = []
    for index in (1..<layers.count).reversed() {
      let layer = layers[index]
      kernels.product(
        parameters.extracting(layer.shape.weights), bias: none.span, transposed: true,
        of: layer.gradient, panels: panels, epilogue: slope, activations: layer.input,
        into: layers[index - 1].gradient)
    }
  }

  /// The loss of each example and its gradient by the network's outputs: prediction minus label for
  /// every head, and 0 where a lane holds no example.
  private func head() {
    let gradient = layers[layers.count - 1].gradient
    switch architecture.head {
    case .binary:
      kernels.binaryHead(
        outputs, labels: clip.labels, panels: panels, gradients: gradient, losses: clip.losses)
    case .regression: for panel in 0..<panels { regressionHead(panel, gradient) }
    case .multiclass: for panel in 0..<panels { multiclassHead(panel, gradient) }
    }
  }

  private func regressionHead(_ panel: Int, _ gradient: Panels) {
    let labels = clip.labels[panel]
    let error = outputs[panel, 0] - labels
    clip.losses[panel] = error * error * 0.5
    gradient[panel, 0] = error.replacing(with: 0, where: labels .!= labels)
  }

  private func multiclassHead(_ panel: Int, _ gradient: Panels) {
    let labels = clip.labels[panel]
    let empty = labels .!= labels
    let largest = largestOutput(panel)
    var total = Lanes()
    var target = labels - labels
    for index in 0..<outputs.units {
      let z = outputs[panel, index]
      let power = exponential(z - largest)
      gradient[panel, index] = power
      total += power
      target.replace(with: z, where: labels .== Float(index))
    }
    clip.losses[panel] = logarithm(total) + largest - target
    for index in 0..<outputs.units {
      let wanted = Lanes().replacing(with: 1, where: labels .== Float(index))
      let difference = gradient[panel, index] / total - wanted
      gradient[panel, index] = difference.replacing(with: 0, where: empty)
    }
  }

  /// The loss of one example, NaN where its row holds none.
  package func loss(of example: Int) -> Float {
    let (panel, lane) = example.quotientAndRemainder(dividingBy: Lanes.examples)
    return clip.losses[panel][lane]
  }

  private func largestOutput(_ panel: Int) -> Lanes {
    var largest = outputs[panel, 0]
    for index in 1..<outputs.units {
      let z = outputs[panel, index]
      largest.replace(with: z, where: z .> largest)
    }
    return largest
  }

  // MARK: Clipping

  /// Finds the factors that bring each example's gradient to a norm of at most C, never rounded up.
  ///
  /// Norms are taken in Float from the same a and d that the products use; what rounding may have taken
  /// from them is added, and lanes whose squares may have left Float's range count as broken. A square
  /// below Float's normal numbers is off by at most 2⁻¹⁵⁰, so a layer's part of the squared norm by at
  /// most 2⁻¹⁵⁰ · outputs · (‖a‖² + 1): no more than 2⁻³⁸ c² where that is at most 2¹¹² c² (`reach`).
  /// With c the bound of what shares a factor that is 2⁻³⁸ of a squared norm that needs scaling. With
  /// ``Clipping/automatic`` c is at most the number that norms are increased by, so that what is lost
  /// from a norm, 2⁻¹⁹ √L c, is made up for by it.
  ///
  /// - Parameters:
  ///   - clipNorm: C, or nil not to clip.
  ///   - clipping: How.
  /// - Returns: What was met.
  package func clip(to clipNorm: Double?, by clipping: Clipping = .flat) -> TileClip.Counts {
    var slack = 0.0
    for (index, layer) in layers.enumerated() {
      kernels.squaredNorms(of: layer.input, panels: panels, into: clip.inputNorms[index])
      kernels.squaredNorms(of: layer.gradient, panels: panels, into: clip.gradientNorms[index])
      slack = max(
        slack,
        TileKernels.squareError(units: layer.shape.inputs)
          + TileKernels.squareError(units: layer.shape.outputs))
    }
    slack = 1 + 1.01 * slack + Double(layers.count + 1) * 0x1p-38
    guard let clipNorm else {
      factorsPerLayer = false
      return clip.apply(
        kernels, panels: panels, clipNorm: .infinity, slack: slack, reach: .infinity)
    }
    factorsPerLayer = clipping.isPerLayer
    let bound = clipping.bound(clipNorm: clipNorm, layers: layers.count)
    let scale = clipping.scale(of: bound)
    return clip.apply(
      kernels, panels: panels, perLayer: factorsPerLayer, clipNorm: bound,
      offset: clipping.offset, slack: slack, reach: scale * scale * 0x1p112)
  }

  /// The factor of one example's gradient by a layer, after ``clip(to:by:)``.
  package func factor(of example: Int, layer: Int = 0) -> Float {
    let (panel, lane) = example.quotientAndRemainder(dividingBy: Lanes.examples)
    return clip.factors[factorsPerLayer ? layer : 0][panel][lane]
  }

  /// Adds each example's gradient, times its factor, to a running sum, after ``clip(to:by:)``.
  ///
  /// - Parameters:
  ///   - counts: What ``clip(to:by:)`` returned.
  ///   - longest: What no contribution is longer than; infinity where there is no bound.
  ///   - unitsPerOne: The grid of the sum, or nil for none.
  ///   - sum: d numbers, in units of the grid.
  package func addGradients(
    _ counts: TileClip.Counts, longest: Double = .infinity, unitsPerOne: Double?,
    to sum: inout MutableSpan<Double>
  ) {
    for (index, layer) in layers.enumerated() {
      let factors = clip.factors[factorsPerLayer ? index : 0]
      kernels.scale(layer.gradient, panels: panels, by: factors)
      if counts.brokenLanes > 0 { clearBroken(layer) }
      kernels.addOuterProducts(
        layer.gradient, layer.input, panels: panels, unitsPerOne: unitsPerOne,
        largest: longest, to: &sum, weightsAt: layer.shape.weights.lowerBound,
        biasesAt: layer.shape.biases.lowerBound)
    }
  }

  /// Sets broken lanes to 0, which a factor of 0 does not do to NaN and infinity.
  private func clearBroken(_ layer: Layer) {
    for panel in 0..<panels {
      let broken = clip.broken(panel: panel)
      guard any(broken) else { continue }
      for vectors in [layer.input, layer.gradient] {
        for unit in 0..<vectors.units {
          vectors[panel, unit] = vectors[panel, unit].replacing(with: 0, where: broken)
        }
      }
    }
  }
}
