import DPKernels
import Foundation
import Testing

/// Every variant with both kinds of numerics.
private let variants = Numerics.allCases.flatMap { TileKernels.available($0) }

/// The lengths that blocks and registers are cut at, and their neighbours.
private let lengths = [1, 2, 3, 4, 5, 7, 9, 12, 13, 16, 33, 50, 131]

@Suite struct TileKernelsTests {
  private func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float.random(in: -1...1) }
  }

  /// Panels of random vectors, and the same vectors one by one.
  private func vectors(_ units: Int, _ examples: Int, withOne: Bool) -> (Panels, [[Float]]) {
    let count = max(1, (examples + 15) / 16)
    let panels = Panels(units: units, count: count, withOne: withOne)
    let values = (0..<examples).map { _ in floats(units) }
    for (example, vector) in values.enumerated() {
      for unit in 0..<units { panels[example / 16, unit][example % 16] = vector[unit] }
    }
    return (panels, values)
  }

  private func values(_ panels: Panels, _ example: Int) -> [Float] {
    (0..<panels.units).map { panels[example / 16, $0][example % 16] }
  }

  @Test(arguments: variants, lengths)
  func productsAgreeWithTheDefinition(kernels: TileKernels, inputs: Int) {
    for outputs in lengths {
      let epilogues: [TileKernels.Epilogue] = [.store, .relu, .tanh, .reluSlope, .tanhSlope]
      for (index, epilogue) in epilogues.enumerated() {
        // 1 to 6 panels: blocks of several panels, and what is left of them.
        let examples = 16 * ((inputs + outputs + index) % 6 + 1)
        let transposed = index > 2
        let (input, x) = vectors(inputs, examples, withOne: false)
        let (activations, a) = vectors(outputs, examples, withOne: true)
        let output = Panels(units: outputs, count: examples / 16, withOne: true)
        let weights = floats(inputs * outputs)
        let bias = index == 3 ? [] : floats(outputs)
        kernels.product(
          weights.span, bias: bias.span, transposed: transposed, of: input, panels: examples / 16,
          epilogue: epilogue, activations: index > 2 ? activations : nil, into: output)
        var worst = 0.0
        for example in stride(from: 0, to: examples, by: 7) {
          let exact = TileReference.product(
            weights, bias: bias, transposed: transposed, of: x[example], outputs: outputs,
            epilogue: epilogue, activation: index > 2 ? a[example] : [])
          worst = zip(values(output, example), exact).reduce(worst) {
            max($0, abs(Double($1.0) - $1.1))
          }
        }
        // A sum of n + 1 terms of at most 1, each product and sum rounded once.
        #expect(worst <= Double((inputs + 2) * (inputs + 2)) * 0x1p-24 + 0x1p-22)
        #expect(
          output[0, outputs] == Lanes(repeating: 1), "the unit after the last was overwritten")
      }
    }
  }

  /// The hyperbolic tangent by itself: a product with 1.
  @Test(arguments: variants) func tangentIsAccurate(kernels: TileKernels) {
    let input = Panels(units: 1, count: 1, withOne: false)
    let output = Panels(units: 1, count: 1, withOne: false)
    let one: [Float] = [1]
    let none: [Float] = []
    func tangent(_ x: Float) -> Float {
      input[0, 0] = Lanes(repeating: x)
      kernels.product(
        one.span, bias: none.span, of: input, panels: 1, epilogue: .tanh, into: output)
      return output[0, 0][3]
    }
    for index in 0..<5000 {
      let x = Float(index) * 2.4e-3
      let exact = TileReference.product(
        [1], bias: [], transposed: false, of: [x], outputs: 1, epilogue: .tanh, activation: [])[0]
      #expect(abs(Double(tangent(x)) - exact) <= 8 * Double(Float(exact).ulp))
      #expect(tangent(-x) == -tangent(x))
    }
    #expect(tangent(.nan).isNaN && abs(tangent(.infinity) - 1) <= 0x1p-22)
    #expect(tangent(0) == 0 && abs(tangent(1e-30) - 1e-30) <= 1e-36)
  }

  @Test(arguments: variants) func headsOfTwoClassesAreAccurate(kernels: TileKernels) {
    let outputs = Panels(units: 1, count: 2, withOne: false)
    let gradients = Panels(units: 1, count: 2, withOne: false)
    let labels = PanelRow(panels: 2)
    let losses = PanelRow(panels: 2)
    for round in 0..<400 {
      for lane in 0..<32 {
        let size = Float(round) * 0.2 + Float(lane) * 0.01
        outputs[lane / 16, 0][lane % 16] = lane % 2 == 0 ? size : -size
        labels[lane / 16][lane % 16] = lane % 5 == 4 ? .nan : Float(lane / 2 % 2)
      }
      kernels.binaryHead(outputs, labels: labels, panels: 2, gradients: gradients, losses: losses)
      for lane in 0..<32 {
        let z = Double(outputs[lane / 16, 0][lane % 16])
        let y = Double(labels[lane / 16][lane % 16])
        let gradient = Double(gradients[lane / 16, 0][lane % 16])
        let loss = Double(losses[lane / 16][lane % 16])
        guard !y.isNaN else {
          #expect(gradient == 0 && loss.isNaN)
          continue
        }
        #expect(abs(gradient - (1 / (1 + exp(-z)) - y)) <= 0x1p-22)
        let exact = max(z, 0) - z * y + log1p(exp(-abs(z)))
        #expect(abs(loss - exact) <= 0x1p-21 * max(1, exact))
      }
    }
    outputs[0, 0] = Lanes(repeating: .nan)
    outputs[1, 0] = Lanes(repeating: -.infinity)
    labels[0] = Lanes()
    labels[1] = Lanes()
    kernels.binaryHead(outputs, labels: labels, panels: 2, gradients: gradients, losses: losses)
    #expect(gradients[0, 0][2].isNaN && abs(gradients[1, 0][2]) < 1e-30)
  }

  @Test(arguments: variants, lengths)
  func squaredNormsAreWithinTheirBound(kernels: TileKernels, units: Int) {
    let (panels, values) = vectors(units, 48, withOne: true)
    let norms = PanelRow(panels: 3)
    kernels.squaredNorms(of: panels, panels: 3, into: norms)
    for (example, vector) in values.enumerated() {
      let exact = vector.reduce(0.0) { $0 + Double($1) * Double($1) }
      let error = abs(Double(norms[example / 16][example % 16]) - exact)
      #expect(error <= TileKernels.squareError(units: units) * exact)
    }
  }

  @Test(arguments: variants, [nil, 0x1p20, 0x1p26] as [Double?])
  func outerProductsAgreeWithTheDefinition(kernels: TileKernels, unitsPerOne: Double?) {
    for outputs in lengths {
      for inputs in lengths {
        let examples = 16 * ((inputs + outputs) % 5 + 1)
        let (gradients, d) = vectors(outputs, examples, withOne: false)
        let (activations, a) = vectors(inputs, examples, withOne: true)
        let size = outputs * (inputs + 1)
        // A number before, between and after the two ranges, which stays as it is.
        var sum = [Double](repeating: 0.25, count: size + 3)
        for index in [0, outputs * inputs + 1, size + 2] { sum[index] = 7 }
        var span = sum.mutableSpan
        kernels.addOuterProducts(
          gradients, activations, panels: examples / 16, unitsPerOne: unitsPerOne, to: &span,
          weightsAt: 1, biasesAt: outputs * inputs + 2)
        #expect(sum[0] == 7 && sum[outputs * inputs + 1] == 7 && sum[size + 2] == 7)
        let exact = TileReference.outerProducts(d, a)
        let scale = unitsPerOne ?? 1
        var worst = 0.0
        for output in 0..<outputs {
          for input in 0...inputs {
            let place =
              input < inputs ? 1 + output * inputs + input : outputs * inputs + 2 + output
            let value = (sum[place] - 0.25) / scale
            worst = max(worst, abs(value - exact[output * (inputs + 1) + input]))
          }
        }
        let roundings = TileKernels.sumRoundings(panels: examples / 16)
        let grid = unitsPerOne == nil ? 0 : Double(examples) / scale
        #expect(worst <= Double(examples * roundings) * 0x1p-24 + grid)
      }
    }
  }

  @Test(arguments: variants)
  func sumsOnTheGridDoNotDependOnTheOrder(kernels: TileKernels) {
    let tiles = (0..<30).map { _ in
      (vectors(3, 32, withOne: false).0, vectors(5, 32, withOne: true).0)
    }
    func total(_ order: [Int]) -> [Double] {
      var sum = [Double](repeating: 0, count: 18)
      var span = sum.mutableSpan
      for tile in order {
        kernels.addOuterProducts(
          tiles[tile].0, tiles[tile].1, panels: 2, unitsPerOne: 0x1p26, to: &span, weightsAt: 0,
          biasesAt: 15)
      }
      return sum
    }
    let forward = total(Array(0..<30))
    #expect(forward.allSatisfy { $0 == $0.rounded() } && forward != total([0]))
    #expect(total((0..<30).reversed()) == forward && total((0..<30).shuffled()) == forward)
  }

  /// The promise of canonical numerics: the same bits from every variant.
  @Test(arguments: lengths)
  func canonicalVariantsGiveTheSameBits(units: Int) {
    let (input, _) = vectors(units, 80, withOne: true)
    let (gradients, _) = vectors(7, 80, withOne: false)
    let weights = floats(7 * units)
    let bias = floats(7)
    let results = TileKernels.available(.canonical).map { kernels in
      let output = Panels(units: 7, count: 5, withOne: false)
      kernels.product(
        weights.span, bias: bias.span, of: input, panels: 5, epilogue: .tanh, into: output)
      let norms = PanelRow(panels: 5)
      kernels.squaredNorms(of: input, panels: 5, into: norms)
      var sum = [Double](repeating: 0, count: 7 * units + 7)
      var span = sum.mutableSpan
      kernels.addOuterProducts(
        gradients, input, panels: 5, unitsPerOne: 0x1p24, to: &span, weightsAt: 0,
        biasesAt: 7 * units)
      // The faster way to round small products gives the same sums.
      let small = sums(kernels, gradients, input, largest: 8)
      #expect(small == sums(kernels, gradients, input, largest: .infinity))
      sum += small
      let outputs = (0..<80).flatMap { values(output, $0).map(\.bitPattern) }
      let squares = (0..<5).flatMap { panel in (0..<16).map { norms[panel][$0].bitPattern } }
      return outputs + squares + sum.map { UInt32(truncatingIfNeeded: Int($0)) }
    }
    for result in results.dropFirst() { #expect(result == results[0]) }
  }

  private func sums(
    _ kernels: TileKernels, _ gradients: Panels, _ input: Panels, largest: Double
  ) -> [Double] {
    let weights = gradients.units * input.units
    var sum = [Double](repeating: 0, count: weights + gradients.units)
    var span = sum.mutableSpan
    kernels.addOuterProducts(
      gradients, input, panels: 5, unitsPerOne: 0x1p18, largest: largest, to: &span, weightsAt: 0,
      biasesAt: weights)
    // Without a grid nothing is rounded to whole numbers, however small the products are.
    kernels.addOuterProducts(
      gradients, input, panels: 5, unitsPerOne: nil, largest: largest, to: &span, weightsAt: 0,
      biasesAt: weights)
    #expect(sum.contains { $0 != $0.rounded() })
    return sum
  }

  @Test(arguments: variants) func factorsBringNormsToTheBound(kernels: TileKernels) {
    let clip = TileClip(outputs: [3, 2], panels: 2)
    let parts: [Float] = [0, 1e-30, 0.2, 1, 3, 1e10, .infinity, .nan]
    for lane in 0..<16 {
      for panel in 0..<2 {
        clip.inputNorms[0][panel][lane] = parts[(lane + panel) % 8]
        clip.gradientNorms[0][panel][lane] = parts[(lane / 2 + 3) % 8]
        clip.inputNorms[1][panel][lane] = Float(lane)
        clip.gradientNorms[1][panel][lane] = 0.25
        clip.labels[panel][lane] = lane == 4 ? .nan : 1
      }
    }
    for (perLayer, offset) in [(false, 0), (true, 0), (false, 0.01)] as [(Bool, Double)] {
      for bound in [0.1, 1, 1e6] + (offset == 0 ? [Double.infinity] : []) {
        tryFactors(clip, kernels, perLayer: perLayer, offset: offset, bound: bound)
      }
    }
  }

  private func tryFactors(
    _ clip: TileClip, _ kernels: TileKernels, perLayer: Bool, offset: Double, bound: Double
  ) {
    let counts = clip.apply(
      kernels, panels: 2, perLayer: perLayer, clipNorm: bound, offset: offset, slack: 1.5,
      reach: 1e9)
    var expected = TileClip.Counts()
    for (panel, lane) in (0..<2).flatMap({ panel in (0..<16).map { (panel, $0) } }) {
      let inputs = (0..<2).map { Double(clip.inputNorms[$0][panel][lane]) + 1 }
      let squares = (0..<2).map { 1.5 * Double(clip.gradientNorms[$0][panel][lane]) * inputs[$0] }
      let usable =
        (squares[0] + squares[1]).isFinite && 3 * inputs[0] <= 1e9 && 2 * inputs[1] <= 1e9
      let norms = (perLayer ? squares : [squares[0] + squares[1]]).map { $0.squareRoot() + offset }
      let held = lane != 4
      #expect(clip.broken(panel: panel)[lane] == !usable)
      expected.brokenLanes += usable ? 0 : 1
      expected.examples += held ? 1 : 0
      expected.broken += held && !usable ? 1 : 0
      expected.clipped += held && usable && norms.contains { $0 > bound } ? 1 : 0
      for (group, norm) in norms.enumerated() {
        let factor = Double(clip.factors[group][panel][lane])
        guard held && usable else {
          #expect(factor == 0)
          continue
        }
        #expect(factor * norm <= bound * (1 + 0x1p-52) && (factor <= 1 || offset > 0))
        let exact = offset > 0 ? bound / norm : min(1, bound / norm)
        #expect(factor <= exact * (1 + 0x1p-52) && factor >= exact * (1 - 0x1p-22))
      }
    }
    #expect(counts == expected)
  }
}
