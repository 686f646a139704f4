internal import CDPKernels

/// Units above the last one that a panel has room for, beside the unit of ones.
let slackUnits = Int(CDP_SLACK)

/// The loops that a network spends its time in, over tiles of examples.
///
/// Slowest first, on one core (`fastdp bench train` and `Benchmarks/` measure them):
///
/// | variant | idea |
/// |---|---|
/// | the reference (`TileKernels+Reference.swift`) | one example, one number at a time |
/// | SSE2 | 16 examples side by side; a block of sums stays in registers |
/// | NEON, AVX2 | wider or more registers, so larger blocks; products fused with their sums |
/// | AVX-512 | a panel's 16 examples are one register, and 16 sums of products are kept at a time |
///
/// With ``Numerics/fast`` variants differ in the last places, as fused products are not rounded; with
/// ``Numerics/canonical`` all give the same bits.
@safe package struct TileKernels: @unchecked Sendable {
  /// What a product does to its sums before it stores them.
  package enum Epilogue: Sendable {
    /// z
    case store
    /// max(0, z)
    case relu
    /// tanh(z), within 8 ulps
    case tanh
    /// z where the activation is above 0, else 0
    case reluSlope
    /// z (1 − a²), a being the activation
    case tanhSlope

    var code: Int32 {
      switch self {
      case .store: Int32(CDP_STORE.rawValue)
      case .relu: Int32(CDP_RELU.rawValue)
      case .tanh: Int32(CDP_TANH.rawValue)
      case .reluSlope: Int32(CDP_RELU_SLOPE.rawValue)
      case .tanhSlope: Int32(CDP_TANH_SLOPE.rawValue)
      }
    }
  }

  /// The instruction set.
  package let name: String
  /// How sums are rounded.
  package let numerics: Numerics
  /// Constant memory of the program.
  @unsafe private let table: UnsafePointer<cdp_tile_kernels>

  private init?(variant: Int32, numerics: Numerics) {
    let canonical: Int32 = numerics == .canonical ? 1 : 0
    guard let table = unsafe cdp_tile_kernels_variant(variant, canonical),
      let name = unsafe cdp_instruction_set_name(variant)
    else { return nil }
    unsafe self.table = table
    self.numerics = numerics
    self.name = unsafe String(cString: name)
  }

  /// The variants that this processor can run, slowest first; at least one.
  package static func available(_ numerics: Numerics = .fast) -> [TileKernels] {
    (0..<4).compactMap { TileKernels(variant: $0, numerics: numerics) }
  }

  /// The fastest variant that this processor can run.
  package static func fastest(_ numerics: Numerics = .fast) -> TileKernels {
    guard let last = available(numerics).last else { preconditionFailure("no baseline variant") }
    return last
  }

  @unsafe private var functions: cdp_tile_kernels { unsafe table.pointee }

  // MARK: Gathering

  /// Gathers rows of a table into the lanes of a panel; lanes without a row become 0.
  func gather(
    _ table: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>, _ rows: Span<UInt32>,
    into panels: Panels, at panel: Int
  ) {
    unsafe rows.withUnsafeBufferPointer { rows in
      unsafe functions.load_bytes(
        table, end, panels.units, rows.baseAddress, rows.count,
        panels.base + panel * panels.stride)
    }
  }

  /// Gathers rows of a table into the lanes of a panel; lanes without a row become 0.
  func gather(
    _ table: UnsafePointer<Float>, _ rows: Span<UInt32>, into panels: Panels, at panel: Int
  ) {
    unsafe rows.withUnsafeBufferPointer { rows in
      unsafe functions.load_floats(
        table, panels.units, rows.baseAddress, rows.count, panels.base + panel * panels.stride)
    }
  }

  /// Gathers rows of bits, with their labels.
  func gather(
    _ table: BitRows, _ rows: Span<UInt32>, into panels: Panels, _ labels: PanelRow, at panel: Int
  ) {
    var call = unsafe cdp_bit_rows()
    unsafe call.words = table.words
    unsafe call.word_bytes = table.wordBytes
    unsafe call.label_bits = table.labelBits
    unsafe call.width = panels.units
    unsafe rows.withUnsafeBufferPointer { rows in
      unsafe functions.load_bits(
        &call, rows.baseAddress, rows.count, panels.base + panel * panels.stride,
        labels.base + panel * Lanes.examples)
    }
  }

  // MARK: Products

  /// Applies a matrix to the vectors of the first panels: `out = epilogue(W in + b)`, or with Wᵀ.
  ///
  /// - Parameters:
  ///   - weights: W, row-major: `[out.units, in.units]`, or `[in.units, out.units]` if `transposed`.
  ///   - bias: b, `[out.units]`; empty for zeros.
  ///   - transposed: Whether Wᵀ is applied.
  ///   - input: The vectors.
  ///   - panels: How many panels of them.
  ///   - epilogue: What is done to a sum before it is stored.
  ///   - activations: For the slopes, what they are taken at: `out.units` units.
  ///   - output: Overwritten in the first `panels` panels.
  /// - Complexity: O(weights · examples), no allocation. Terms are added in the order of the inputs.
  package func product(
    _ weights: Span<Float>, bias: Span<Float>, transposed: Bool = false, of input: Panels,
    panels: Int, epilogue: Epilogue = .store, activations: Panels? = nil, into output: Panels
  ) {
    precondition(
      weights.count == input.units * output.units && (bias.isEmpty || bias.count == output.units)
        && panels >= 0 && panels <= input.count && panels <= output.count,
      "\(weights.count) weights, \(bias.count) biases: \(input.units) → \(output.units)")
    precondition(
      activations.map { $0.units == output.units && panels <= $0.count } ?? true,
      "\(activations?.units ?? 0) activations for \(output.units) units")
    switch epilogue {
    case .reluSlope, .tanhSlope: precondition(activations != nil, "a slope of no activation")
    case .store, .relu, .tanh: break
    }
    // SAFETY: all memory lives through the call; the loops stay within `panels` panels of units that
    // were compared above, and within the weights and biases. Output is other memory than the rest.
    unsafe weights.withUnsafeBufferPointer { weights in
      unsafe bias.withUnsafeBufferPointer { bias in
        var call = unsafe cdp_product()
        unsafe call.weights = weights.baseAddress
        unsafe call.row_stride = transposed ? 1 : input.units
        unsafe call.depth_stride = transposed ? output.units : 1
        unsafe call.rows = output.units
        unsafe call.depth = input.units
        unsafe call.bias = bias.isEmpty ? nil : bias.baseAddress
        unsafe call.`in` = UnsafePointer(input.base)
        unsafe call.in_stride = input.stride
        unsafe call.out = output.base
        unsafe call.out_stride = output.stride
        unsafe call.activation = activations.map { unsafe UnsafePointer($0.base) }
        unsafe call.activation_stride = activations?.stride ?? 0
        unsafe call.panels = panels
        unsafe call.epilogue = epilogue.code
        unsafe functions.product(&call)
      }
    }
  }

  /// For two classes: the gradient of each example's loss by z, and the loss.
  ///
  /// - Parameters:
  ///   - outputs: z, one unit.
  ///   - labels: y; NaN where a lane holds no example.
  ///   - panels: How many panels.
  ///   - gradients: Receives logistic(z) − y, or 0 where there is no example.
  ///   - losses: Receives the cross-entropy in nats, NaN where there is no example.
  package func binaryHead(
    _ outputs: Panels, labels: PanelRow, panels: Int, gradients: Panels, losses: PanelRow
  ) {
    precondition(
      panels <= min(outputs.count, labels.panels, gradients.count, losses.panels),
      "\(panels) panels of fewer")
    // SAFETY: the loop reads and writes 16 numbers of each panel.
    unsafe functions.binary_head(
      outputs.base, outputs.stride, labels.base, panels, gradients.base, gradients.stride,
      losses.base)
  }

  /// The squared L2 norm of every vector of the first panels, in Float.
  ///
  /// - Parameters:
  ///   - vectors: The vectors.
  ///   - panels: How many panels of them.
  ///   - sums: Receives a number for each lane, in unit 0.
  /// - Complexity: O(units · examples). A sum's relative error is at most ``squareError(units:)``, where
  ///   no square is below the normal numbers.
  package func squaredNorms(of vectors: Panels, panels: Int, into sums: PanelRow) {
    precondition(
      panels <= vectors.count && panels <= sums.panels, "\(panels) of \(vectors.count) panels")
    // SAFETY: the loop reads `panels` panels and writes 16 numbers for each.
    unsafe functions.square_sums(
      vectors.base, vectors.units, vectors.stride, panels, sums.base)
  }

  /// The largest relative error of a squared norm: a square's rounding, ⌈units / 4⌉ + 3 sums.
  package static func squareError(units: Int) -> Double {
    Double((units + 3) / 4 + 6) * 0x1p-24
  }

  /// Multiplies every vector of the first panels by its factor.
  ///
  /// - Parameters:
  ///   - vectors: The vectors.
  ///   - panels: How many panels of them.
  ///   - factors: One for each lane.
  package func scale(_ vectors: Panels, panels: Int, by factors: PanelRow) {
    precondition(
      panels <= vectors.count && panels <= factors.panels, "\(panels) of \(vectors.count) panels")
    // SAFETY: the loop touches `panels` panels and reads 16 factors for each.
    unsafe functions.scale(vectors.base, vectors.units, vectors.stride, panels, factors.base)
  }

  /// Adds the sum over examples of d aᵀ (and of d, for the biases) to a running sum.
  ///
  /// The sum over the tile is taken in Float, panel after panel in each lane, then over the 16 lanes by
  /// halves: ``sumRoundings(panels:)`` roundings on the way of any one term. Then it is rounded to a
  /// multiple of 1 / `unitsPerOne` and added in Double as a count of such units, which is exact while
  /// counts stay below 2⁵³: the total depends neither on the order of tiles nor on who adds them up.
  /// With ``Numerics/canonical`` each example's product is rounded so by itself.
  ///
  /// - Parameters:
  ///   - gradients: d, each example's already scaled; finite.
  ///   - activations: a, finite, with a unit of ones.
  ///   - panels: How many panels of both.
  ///   - unitsPerOne: A power of two, or nil to add the Float sums as they are.
  ///   - largest: No element of d aᵀ is larger in size; infinity where that is not known. What canonical
  ///     loops give does not depend on it, their speed does.
  ///   - sum: The running sum, in units; `[outputs, inputs]` of it at `weights`, row-major, and
  ///     `[outputs]` at `biases`.
  ///   - weights: Where the sum of d aᵀ begins.
  ///   - biases: Where the sum of d begins.
  /// - Complexity: O(inputs · outputs · examples), no allocation.
  package func addOuterProducts(
    _ gradients: Panels, _ activations: Panels, panels: Int, unitsPerOne: Double?,
    largest: Double = .infinity, to sum: inout MutableSpan<Double>, weightsAt weights: Int,
    biasesAt biases: Int
  ) {
    let size = gradients.units * activations.units
    precondition(
      weights >= 0 && biases >= 0 && weights + size <= sum.count
        && biases + gradients.units <= sum.count,
      "\(activations.units) → \(gradients.units) at \(weights), \(biases) of \(sum.count)")
    precondition(
      panels <= gradients.count && panels <= activations.count, "\(panels) panels of fewer")
    // SAFETY: the loop reads `panels` panels, up to CDP_SLACK units above the last one, which both have
    // room for, and writes the two ranges that were compared above.
    unsafe sum.withUnsafeMutableBufferPointer { sum in
      guard let start = sum.baseAddress else { return }
      var call = unsafe cdp_outer()
      unsafe call.d = UnsafePointer(gradients.base)
      unsafe call.d_stride = gradients.stride
      unsafe call.a = UnsafePointer(activations.base)
      unsafe call.a_stride = activations.stride
      unsafe call.outputs = gradients.units
      unsafe call.inputs = activations.units
      unsafe call.panels = panels
      unsafe call.scale = unitsPerOne ?? 1
      // x + shift − shift rounds to the nearest integer, ties to even, while |x| < 2⁵¹.
      unsafe call.shift = unitsPerOne == nil ? 0 : 0x1.8p52
      unsafe call.largest = largest
      unsafe call.weights = start + weights
      unsafe call.biases = start + biases
      unsafe functions.outer(&call)
    }
  }

  /// The roundings on the way of one term of a sum over that many panels: its product's, one for every
  /// panel, four for the lanes.
  package static func sumRoundings(panels: Int) -> Int { panels + 5 }

  /// Computes the factors of a tile: see ``TileClip``.
  func clip(_ call: inout cdp_clip) -> cdp_clip_counts { unsafe functions.clip(&call) }

  /// The multiply-adds per second that one thread reaches in registers alone: the best of ten tries of
  /// about a millisecond.
  package func peakMultiplyAddsPerSecond() -> Double {
    let rounds = 200_000
    let clock = ContinuousClock()
    var best = 0.0
    for _ in 0..<10 {
      let start = clock.now
      // A factor below 1, so that sums stay normal numbers.
      guard unsafe functions.peak(rounds, 0.5) != 0 else { continue }
      let seconds = (clock.now - start) / .seconds(1)
      best = unsafe max(best, Double(rounds * functions.peak_width) / seconds)
    }
    return best
  }
}
