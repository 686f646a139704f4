internal import CDPKernels

/// The factors that bring the gradients of a tile's examples to a norm of at most C.
///
/// A layer's gradient is the outer product of d and (a, 1), so its squared norm is ‖d‖² (‖a‖² + 1), and
/// nothing of the gradient's size is needed (Goodfellow 2015, "Efficient Per-Example Gradient
/// Computations").
@safe package final class TileClip {
  /// What clipping met in a tile.
  package struct Counts: Hashable, Sendable {
    /// Lanes that hold an example.
    package var examples = 0
    /// Examples that are scaled down.
    package var clipped = 0
    /// Examples without a usable norm.
    package var broken = 0
    /// Lanes without a usable norm, examples or not.
    package var brokenLanes = 0
    /// The sum of the losses of examples with a usable norm.
    package var lossSum = 0.0

    /// Nothing met.
    package init() {}
  }

  /// ‖a‖² in each lane, for each layer.
  package let inputNorms: [PanelRow]
  /// ‖d‖² in each lane, for each layer.
  package let gradientNorms: [PanelRow]
  /// NaN where a lane holds no example.
  package let labels: PanelRow
  /// The loss of each example; NaN where a lane holds none.
  package let losses: PanelRow
  /// The factors: of all layers in the first row, or of each layer in its own.
  package let factors: [PanelRow]
  @unsafe private let layers: UnsafeMutablePointer<UnsafePointer<Float>?>
  @unsafe private let factorRows: UnsafeMutablePointer<UnsafeMutablePointer<Float>?>
  @unsafe private let outputs: UnsafeMutablePointer<Double>
  @unsafe private let brokenLanes: UnsafeMutablePointer<UInt8>
  private let panels: Int

  /// Allocates what a tile needs.
  ///
  /// - Parameters:
  ///   - outputs: The outputs of each layer.
  ///   - panels: Panels of a tile.
  package init(outputs: [Int], panels: Int) {
    let count = outputs.count
    self.panels = panels
    inputNorms = (0..<count).map { _ in PanelRow(panels: panels) }
    gradientNorms = (0..<count).map { _ in PanelRow(panels: panels) }
    labels = PanelRow(panels: panels)
    losses = PanelRow(panels: panels)
    factors = (0..<count).map { _ in PanelRow(panels: panels) }
    // SAFETY: the blocks live until deinit and are initialised whole; the rows that the first two
    // point to are kept by this object.
    unsafe layers = .allocate(capacity: 2 * count)
    unsafe factorRows = .allocate(capacity: count)
    unsafe self.outputs = .allocate(capacity: count)
    unsafe brokenLanes = .allocate(capacity: panels * Lanes.examples)
    unsafe brokenLanes.initialize(repeating: 0, count: panels * Lanes.examples)
    for layer in 0..<count {
      unsafe (layers + layer).initialize(to: UnsafePointer(inputNorms[layer].base))
      unsafe (layers + count + layer).initialize(to: UnsafePointer(gradientNorms[layer].base))
      unsafe (factorRows + layer).initialize(to: factors[layer].base)
      unsafe (self.outputs + layer).initialize(to: Double(outputs[layer]))
    }
  }

  deinit {
    unsafe layers.deallocate()
    unsafe factorRows.deallocate()
    unsafe outputs.deallocate()
    unsafe brokenLanes.deallocate()
  }

  /// Computes the factors of the first panels from the norms and labels that are set.
  ///
  /// With N = `slack` · Σ ‖d‖² (‖a‖² + 1) over layers, an example's factor is min(1, C / √N), or with an
  /// offset C / (√N + offset), rounded down. It is 0 where a lane holds no example, where N is not
  /// finite, and where (‖a‖² + 1) · outputs of a layer is above `reach`.
  ///
  /// - Parameters:
  ///   - kernels: The loops to use.
  ///   - panels: How many panels.
  ///   - perLayer: Whether N is that of one layer, and each layer has its own factor.
  ///   - clipNorm: C of what shares a factor, or infinity.
  ///   - offset: 0, or what is added to norms before all are scaled to C.
  ///   - slack: 1 and what rounding may have taken from N.
  ///   - reach: The longest input that Float can scale.
  /// - Returns: What was met.
  package func apply(
    _ kernels: TileKernels, panels: Int, perLayer: Bool = false, clipNorm: Double,
    offset: Double = 0, slack: Double, reach: Double
  ) -> Counts {
    precondition(panels <= self.panels, "\(panels) of \(self.panels) panels")
    var call = unsafe cdp_clip()
    unsafe call.layers = inputNorms.count
    unsafe call.a = UnsafePointer(layers)
    unsafe call.d = UnsafePointer(layers + inputNorms.count)
    unsafe call.outputs = UnsafePointer(outputs)
    unsafe call.groups = perLayer ? inputNorms.count : 1
    unsafe call.clip = clipNorm
    unsafe call.offset = offset
    unsafe call.slack = slack
    unsafe call.reach = reach
    unsafe call.labels = UnsafePointer(labels.base)
    unsafe call.losses = UnsafePointer(losses.base)
    unsafe call.panels = panels
    unsafe call.factors = UnsafePointer(factorRows)
    unsafe call.broken = brokenLanes
    // SAFETY: every block has room for `panels` panels and lives through the call.
    let counts = unsafe kernels.clip(&call)
    var result = Counts()
    result.examples = counts.examples
    result.clipped = counts.clipped
    result.broken = counts.broken_examples
    result.brokenLanes = counts.broken_lanes
    result.lossSum = counts.loss_sum
    return result
  }

  /// Which lanes of a panel have no usable norm, after ``apply(_:panels:perLayer:clipNorm:offset:slack:reach:)``.
  package func broken(panel: Int) -> SIMDMask<SIMD16<Int32>> {
    precondition(panel >= 0 && panel < panels, "panel \(panel) of \(panels)")
    var mask = SIMDMask<SIMD16<Int32>>()
    for lane in 0..<Lanes.examples {
      // SAFETY: the block has 16 bytes for each panel.
      mask[lane] = unsafe brokenLanes[panel * Lanes.examples + lane] != 0
    }
    return mask
  }
}
