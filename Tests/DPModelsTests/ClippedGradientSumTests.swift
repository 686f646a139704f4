import DPKernels
import DPModels
import TestSupport
import Testing

/// Every network the promises are tested on: 0 to 3 hidden layers, all activations and heads.
let architectures: [DenseArchitecture] = [[], [6], [7, 3], [5, 4, 3]].flatMap { hidden in
  Activation.allCases.flatMap { activation in
    [Head.binary, .multiclass(3), .regression].compactMap { head in
      try? DenseArchitecture(features: 9, hidden: hidden, activation: activation, head: head)
    }
  }
}

@Suite struct ClippedGradientSumTests {
  private func parameters(_ architecture: DenseArchitecture) -> [Float] {
    var generator = SystemRandomNumberGenerator()
    return architecture.initialParameters(using: &generator).map {
      $0 + Float.random(in: -0.3...0.3)
    }
  }

  @Test(arguments: architectures)
  func theReferenceAgreesWithFiniteDifferences(architecture: DenseArchitecture) {
    // Seeded, so that no unit of relu is ever within a step of its kink.
    var generator = SeededGenerator(seed: 1)
    let start = architecture.initialParameters(using: &generator).map {
      Double($0) + Double.random(in: -0.3...0.3, using: &generator)
    }
    let examples = Examples.random(
      5, features: 9, head: architecture.head, using: &generator)
    for example in examples.inDouble {
      let network = ReferenceNetwork(architecture, parameters: start)
      let gradient = network.gradient(example.features, label: example.label)
      // Central differences of five points: an error of order h⁴.
      let h = 1e-4
      let differences = start.indices.map { index in
        func loss(_ offset: Double) -> Double {
          var moved = network
          moved.parameters[index] += offset
          return moved.loss(example.features, label: example.label)
        }
        return (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
      }
      #expect(relativeDistance(differences, gradient) < 1e-8)
    }
  }

  @Test(arguments: architectures, [0, 1, 7, 300])
  func sumsAgreeWithTheReference(architecture: DenseArchitecture, batch: Int) {
    var generator = SystemRandomNumberGenerator()
    let start = parameters(architecture)
    let examples = Examples.random(
      batch, features: 9, head: architecture.head, using: &generator)
    let reference = ReferenceNetwork(architecture, parameters: start.map(Double.init))
    for clipNorm in [nil, 0.01, 0.5, 100] as [Double?] {
      for (unitsPerOne, clipping) in [
        (nil, .flat), (0x1p24, .flat), (nil, .perLayer), (nil, .automatic),
      ]
        as [(Double?, Clipping)]
      {
        let sum = ClippedGradientSum(
          architecture, clipNorm: clipNorm, clipping: clipping, unitsPerOne: unitsPerOne)
        let rows = examples.rows
        sum.add(rows.span, of: examples.table, parameters: start.span)
        let expected = reference.clippedSum(
          examples.inDouble, bound: clipNorm ?? .infinity, by: clipping)
        let value = sum.sum.map { $0 / (unitsPerOne ?? 1) }
        // Rounding to the grid is no error of the kernels: γ/2 for each coordinate and tile.
        let rounding = unitsPerOne.map {
          0.5 / $0 * Double(ClippedGradientSum.tiles(of: batch)) * Double(value.count).squareRoot()
        }
        let distance = norm(zip(value, expected).map { $0 - $1 })
        #expect(distance <= 1e-5 * norm(expected) + (rounding ?? 0))
        #expect(sum.statistics.examples == batch && sum.statistics.nonFinite == 0)
        let loss = examples.inDouble.reduce(0) { $0 + reference.loss($1.features, label: $1.label) }
        #expect(abs(sum.statistics.lossSum - loss) <= 1e-5 * max(1, loss))
      }
    }
  }

  @Test(arguments: architectures)
  func normsAndGradientsOfOneExampleAgree(architecture: DenseArchitecture) {
    var generator = SystemRandomNumberGenerator()
    let start = parameters(architecture)
    let examples = Examples.random(20, features: 9, head: architecture.head, using: &generator)
    let reference = ReferenceNetwork(architecture, parameters: start.map(Double.init))
    let pass = TilePass(architecture)
    for row in examples.rows {
      let rows = [row]
      pass.forward(rows.span, of: examples.table, start.span)
      pass.backward(start.span)
      let example = examples.inDouble[Int(row)]
      let gradient = reference.gradient(example.features, label: example.label)
      let bound = norm(gradient) / 2
      // Clipped to half its norm, an example has a factor of a half.
      _ = pass.clip(to: bound)
      #expect(abs(pass.factor(of: 0) - 0.5) <= 1e-5)
      var sum = [Double](repeating: 0, count: gradient.count)
      var span = sum.mutableSpan
      pass.addGradients(pass.clip(to: nil), unitsPerOne: nil, to: &span)
      #expect(relativeDistance(sum, gradient) <= 1e-5)
    }
  }

  /// The promise that the noise relies on: leaving out any example moves the sum by at most C(1 + κ).
  ///
  /// Batches are made to hurt: long cancelling sums, one direction, extreme scales.
  @Test(arguments: architectures, Numerics.allCases)
  func oneExampleMovesTheSumByAtMostTheSensitivity(
    architecture: DenseArchitecture, numerics: Numerics
  ) {
    for kind in 0..<4 {
      for clipping in Clipping.allCases {
        tryOneExample(architecture, numerics, kind: kind, clipping)
      }
    }
  }

  private func tryOneExample(
    _ architecture: DenseArchitecture, _ numerics: Numerics, kind: Int, _ clipping: Clipping
  ) {
    var generator = SystemRandomNumberGenerator()
    let batch = 64
    let scale: Float = [1, 1e4, 1e-3, 1e18][kind]
    let start = parameters(architecture).map { kind == 1 ? $0 * 30 : $0 }
    let random = Examples.random(
      batch, features: 9, head: architecture.head, using: &generator)
    // Kinds 1 and 3 repeat two examples of opposite pull, so that partial sums grow and cancel.
    let features = random.features.indices.map { index in
      let source = kind % 2 == 1 ? index % 18 : index
      return random.features[source] * scale
    }
    let labels = random.labels.indices.map { random.labels[kind % 2 == 1 ? $0 % 2 : $0] }
    let clipNorm = [1, 0.3, 5, 1][kind]
    let grid = 0x1p-22 * clipNorm
    let bound =
      clipNorm * (1 + ClippedGradientSum.roundingExcess(numerics))
      + ClippedGradientSum.gridRoundings(numerics)
      * Double(architecture.parameterCount).squareRoot() * grid
    func sum(without row: Int?) -> [Double] {
      let examples = Examples(features: features, labels: labels)
      if let row { examples.remove(row: row) }
      let sum = ClippedGradientSum(
        architecture, clipNorm: clipNorm, clipping: clipping, unitsPerOne: 1 / grid,
        kernels: .fastest(numerics))
      let rows = examples.rows
      sum.add(rows.span, of: examples.table, parameters: start.span)
      return sum.sum
    }
    let whole = sum(without: nil)
    #expect(whole.allSatisfy { $0.isFinite && $0 == $0.rounded() })
    for row in stride(from: 0, to: batch, by: 5) {
      let moved = norm(zip(whole, sum(without: row)).map { ($0 - $1) * grid })
      #expect(moved <= bound, "row \(row) moves the sum by \(moved), more than \(bound)")
    }
  }

  /// No example counts for more than C(1 + κ), by any rule, however long or short its numbers and the
  /// network's are.
  @Test(arguments: architectures, Clipping.allCases)
  func noContributionIsLongerThanTheBound(architecture: DenseArchitecture, clipping: Clipping) {
    var generator = SystemRandomNumberGenerator()
    let scales: [Float] = [0, 1e-38, 1e-30, 1e-20, 1e-10, 1e-3, 1, 1e3, 1e10, 1e20, 1e30]
    let random = Examples.random(
      4, features: 9, head: architecture.head, using: &generator)
    let start = parameters(architecture)
    for (kernels, clipNorm) in Numerics.allCases.flatMap({ numerics in
      [1e-10, 0.3, 1e6].map { (TileKernels.fastest(numerics), $0) }
    }) {
      let excess = ClippedGradientSum.roundingExcess(kernels.numerics)
      let sum = ClippedGradientSum(
        architecture, clipNorm: clipNorm, clipping: clipping, unitsPerOne: nil, kernels: kernels)
      for (scale, pull) in scales.flatMap({ scale in scales.map { (scale, $0) } }) {
        let examples = Examples(features: random.features.map { $0 * scale }, labels: random.labels)
        let scaled = start.map { $0 * pull }
        for row in examples.rows {
          let rows = [row]
          sum.reset()
          sum.add(rows.span, of: examples.table, parameters: scaled.span)
          let length = norm(sum.sum)
          #expect(
            length <= clipNorm * (1 + excess), "\(length) of \(clipNorm), \(scale), \(pull)")
        }
      }
    }
  }

  /// Each rule brings a long gradient to C, and automatic clipping a short one too.
  @Test(arguments: Clipping.allCases)
  func everyRuleReachesItsBound(clipping: Clipping) throws {
    let architecture = try DenseArchitecture(
      features: 3, hidden: [2], activation: .tanh, head: .regression)
    let start = parameters(architecture)
    func length(error: Float, clipNorm: Double) -> Double {
      let examples = Examples(features: [0.5, -1, 2], labels: [error])
      let sum = ClippedGradientSum(
        architecture, clipNorm: clipNorm, clipping: clipping, unitsPerOne: nil)
      let rows = examples.rows
      sum.add(rows.span, of: examples.table, parameters: start.span)
      return norm(sum.sum)
    }
    #expect(abs(length(error: 1e4, clipNorm: 0.25) - 0.25) < 1e-4)
    let free = length(error: 3, clipNorm: 1e6)
    #expect(clipping == .automatic ? free > 0.9e6 : free < 100)
  }

  /// Numbers so large that Float cannot scale them to C: they count as nothing, not as more than C.
  @Test(arguments: [1e-10, 1e-4, 1e-3], [1e30, 1e35, 3e38] as [Float])
  func hugeInputsStayWithinTheBound(clipNorm: Double, value: Float) throws {
    let linear = try DenseArchitecture(
      features: 4, hidden: [], activation: .relu, head: .binary)
    let features = (0..<64).map { $0 % 4 == 0 ? value : value / Float($0 + 1) }
    let examples = Examples(features: features, labels: (0..<16).map { Float($0 % 2) })
    let sum = ClippedGradientSum(linear, clipNorm: clipNorm, unitsPerOne: 0x1p20 / clipNorm)
    let zero = [Float](repeating: 0, count: 5)
    for row in examples.rows {
      sum.reset()
      let rows = [row]
      sum.add(rows.span, of: examples.table, parameters: zero.span)
      let bound = clipNorm * (1 + ClippedGradientSum.roundingExcess(.fast)) + 5 * clipNorm * 0x1p-20
      #expect(norm(sum.sum) * clipNorm * 0x1p-20 <= bound)
    }
  }

  /// Close to the worst case that the proof allows for, in one coordinate: sums that cancel in the
  /// last bits, in a whole tile.
  @Test func roundingInOneTileStaysWithinKappa() throws {
    let linear = try DenseArchitecture(
      features: 1, hidden: [], activation: .tanh, head: .regression)
    var generator = SystemRandomNumberGenerator()
    var worst = 0.0
    for _ in 0..<1000 {
      let features = (0..<TilePass.tileExamples).map { _ in
        Float.random(in: -1...1, using: &generator)
      }
      let labels = (0..<TilePass.tileExamples).map { _ in
        Float.random(in: -1e3...1e3, using: &generator)
      }
      func sum(without row: Int?) -> [Double] {
        let examples = Examples(features: features, labels: labels)
        if let row { examples.remove(row: row) }
        let sum = ClippedGradientSum(linear, clipNorm: 1, unitsPerOne: 0x1p40)
        let rows = examples.rows
        let zero: [Float] = [0, 0]
        sum.add(rows.span, of: examples.table, parameters: zero.span)
        return sum.sum
      }
      let moved = norm(zip(sum(without: nil), sum(without: 3)).map { ($0 - $1) * 0x1p-40 })
      worst = max(worst, moved - 1)
    }
    #expect(worst <= ClippedGradientSum.roundingExcess(.fast) + 2 * 0x1p-40)
    #expect(worst > 0, "the allowance would be untested")
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity, 3e38, 1e30])
  func numbersThatOverflowContributeNothingOrAtMostTheBound(value: Float) throws {
    for architecture in architectures {
      var generator = SystemRandomNumberGenerator()
      let start = parameters(architecture)
      let random = Examples.random(20, features: 9, head: architecture.head, using: &generator)
      var features = random.features
      for index in 4 * 9..<5 * 9 { features[index] = value }
      let examples = Examples(features: features, labels: random.labels)
      let sum = ClippedGradientSum(architecture, clipNorm: 1, unitsPerOne: 0x1p24)
      let rows = examples.rows
      sum.add(rows.span, of: examples.table, parameters: start.span)
      let whole = sum.sum
      examples.remove(row: 4)
      sum.reset()
      sum.add(rows.span, of: examples.table, parameters: start.span)
      let moved = norm(zip(whole, sum.sum).map { ($0 - $1) * 0x1p-24 })
      #expect(moved <= 1.001)
      #expect(whole.allSatisfy { $0.isFinite })
    }
  }

  /// A diverged model gives sums that say nothing, but they are finite: noise can be added to them.
  @Test(arguments: [Float.nan, .infinity, 3e38], [1, 15, 16, 17])
  func parametersThatDivergedContributeNothing(value: Float, batch: Int) {
    for architecture in architectures {
      var generator = SystemRandomNumberGenerator()
      let start = [Float](repeating: value, count: architecture.parameterCount)
      let examples = Examples.random(
        batch, features: 9, head: architecture.head, using: &generator)
      examples.remove(row: 0)
      let sum = ClippedGradientSum(architecture, clipNorm: 1, unitsPerOne: 0x1p24)
      let rows = examples.rows
      sum.add(rows.span, of: examples.table, parameters: start.span)
      #expect(norm(sum.sum) * 0x1p-24 <= 1.001 * Double(batch))
    }
  }

  @Test(arguments: Numerics.allCases)
  func tilesAndOrderDoNotMatterOnTheGrid(numerics: Numerics) throws {
    let architecture = try DenseArchitecture(
      features: 9, hidden: [12], activation: .tanh, head: .binary)
    var generator = SystemRandomNumberGenerator()
    let start = parameters(architecture)
    let examples = Examples.random(1024, features: 9, head: .binary, using: &generator)
    func sum(_ order: [Range<Int>]) -> [Double] {
      let sum = ClippedGradientSum(
        architecture, clipNorm: 0.2, unitsPerOne: 0x1p24, kernels: .fastest(numerics))
      let rows = examples.rows
      for range in order {
        sum.add(rows.span.extracting(range), of: examples.table, parameters: start.span)
      }
      return sum.sum
    }
    let t = TilePass.tileExamples
    let whole = sum([0..<1024])
    #expect(whole == sum([2 * t..<1024, 0..<2 * t]))
    #expect(whole == sum((0..<4).reversed().map { $0 * t..<min(1024, $0 * t + t) }))
    // Canonical sums do not depend on where tiles are cut, either.
    let other = sum([0..<100, 100..<101, 101..<700, 700..<1024])
    #expect((whole == other) == (numerics == .canonical))
  }

  /// Canonical sums have the same bits from every variant, on coarse and on fine grids.
  @Test(arguments: architectures, [0x1p18, 0x1p22, 0x1p26])
  func canonicalSumsAreTheSameFromEveryVariant(architecture: DenseArchitecture, scale: Double) {
    var generator = SystemRandomNumberGenerator()
    let start = parameters(architecture)
    let examples = Examples.random(
      300, features: 9, head: architecture.head, using: &generator)
    let sums = TileKernels.available(.canonical).map { kernels in
      let sum = ClippedGradientSum(
        architecture, clipNorm: 0.7, unitsPerOne: scale, kernels: kernels)
      let rows = examples.rows
      sum.add(rows.span, of: examples.table, parameters: start.span)
      return sum.sum
    }
    for sum in sums.dropFirst() { #expect(sum == sums[0]) }
    #expect(sums[0].contains { $0 != 0 } && sums[0].allSatisfy { $0 == $0.rounded() })
  }

  /// The fast path equals the reference over a product of shapes, with every instruction set.
  @Test(arguments: [1, 7, 9, 16, 784], [[], [1], [50], [50, 20], [256, 128]])
  func everyVariantAgreesWithTheReference(features: Int, hidden: [Int]) throws {
    let architecture = try DenseArchitecture(
      features: features, hidden: hidden, activation: .tanh, head: .regression)
    // Labels lie on one side of what a fresh network predicts: sums that cancel have no digits to
    // compare.
    var generator = SystemRandomNumberGenerator()
    let start = architecture.initialParameters(using: &generator)
    // The reference is slow: the largest batches are tried on small networks.
    let batches =
      architecture.parameterCount > 10_000 ? [1, 17] : [0, 1, 15, 16, 17, 256, 272, 1000]
    for batch in batches {
      let examples = Examples.random(
        batch, features: features, head: .regression, using: &generator)
      let reference = ReferenceNetwork(architecture, parameters: start.map(Double.init))
      let expected = reference.clippedSum(examples.inDouble, bound: 0.5)
      for kernels in Numerics.allCases.flatMap({ TileKernels.available($0) }) {
        let sum = ClippedGradientSum(
          architecture, clipNorm: 0.5, unitsPerOne: 0x1p40, kernels: kernels)
        let rows = examples.rows
        sum.add(rows.span, of: examples.table, parameters: start.span)
        let distance = norm(zip(sum.sum, expected).map { $0 * 0x1p-40 - $1 })
        #expect(distance <= 1e-5 * norm(expected), "\(kernels.name) \(kernels.numerics)")
      }
    }
  }
}
