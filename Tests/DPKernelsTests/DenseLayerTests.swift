import DPKernels
import Testing

@Suite struct DenseLayerTests {
  private var generator = SystemRandomNumberGenerator()

  private mutating func floats(_ count: Int) -> [Float] {
    (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
  }

  private mutating func lanes(_ count: Int) -> [Lanes] {
    (0..<count).map { _ in Lanes.random(in: -1...1, using: &generator) }
  }

  @Test(arguments: [1, 2, 7, 16, 33], [1, 3, 16, 50])
  mutating func layersAgreeWithTheDefinition(inputs: Int, outputs: Int) {
    let weights = floats(inputs * outputs)
    let bias = floats(outputs)
    let x = lanes(inputs)
    let d = lanes(outputs)
    var forward = [Lanes](repeating: Lanes(), count: outputs)
    var forwardSpan = forward.mutableSpan
    applyDense(weights.span, bias.span, to: x.span, into: &forwardSpan)
    var backward = [Lanes](repeating: Lanes(), count: inputs)
    var backwardSpan = backward.mutableSpan
    backpropagateDense(weights.span, d.span, into: &backwardSpan)
    for lane in [0, 5, 15] {
      for o in 0..<outputs {
        let exact = (0..<inputs).reduce(Double(bias[o])) {
          $0 + Double(weights[o * inputs + $1]) * Double(x[$1][lane])
        }
        #expect(abs(Double(forward[o][lane]) - exact) <= Double(inputs + 2) * 0x1p-22)
      }
      for i in 0..<inputs {
        let exact = (0..<outputs).reduce(0.0) {
          $0 + Double(weights[$1 * inputs + i]) * Double(d[$1][lane])
        }
        #expect(abs(Double(backward[i][lane]) - exact) <= Double(outputs + 2) * 0x1p-22)
      }
    }
    let norms = squaredNorms(x.span)
    let exact = x.reduce(0.0) { $0 + Double($1[7]) * Double($1[7]) }
    #expect(abs(norms[7] - exact) <= 1e-14 * exact)
  }

  @Test(arguments: [nil, 0x1p20, 0x1p26] as [Double?])
  mutating func outerProductsAreSummedOnTheGridInAnyOrder(unitsPerOne: Double?) {
    let tiles = (0..<40).map { _ in (d: lanes(3), a: lanes(5)) }
    func total(_ order: [Int]) -> [Double] {
      var sum = [Double](repeating: 0, count: 18)
      var span = sum.mutableSpan
      for tile in order {
        let (d, a) = tiles[tile]
        addOuterProducts(
          d.span, a.span, unitsPerOne: unitsPerOne, to: &span, weightsAt: 0, biasesAt: 15)
      }
      return sum
    }
    let forward = total(Array(0..<40))
    let scale = unitsPerOne ?? 1
    for o in 0..<3 {
      for i in 0..<5 {
        let exact = tiles.reduce(0.0) { sum, tile in
          (0..<16).reduce(sum) { $0 + Double(tile.d[o][$1]) * Double(tile.a[i][$1]) }
        }
        let allowed = 40 * (16 * 16 * 0x1p-23 + (unitsPerOne == nil ? 0 : 1 / scale))
        #expect(abs(forward[o * 5 + i] / scale - exact) <= allowed)
      }
    }
    guard unitsPerOne != nil else { return }
    #expect(forward.allSatisfy { $0 == $0.rounded() })
    #expect(total(Array((0..<40).reversed())) == forward)
    #expect(total((0..<40).shuffled()) == forward)
  }

  @Test func rowsAreLoadedIntoTheirLanes() {
    let features: [UInt8] = (0..<60).map { UInt8($0) }
    let labels: [UInt8] = (0..<20).map { $0 == 3 ? 255 : UInt8($0) }
    let memory = Memory(features: features, labels: labels)
    let table = unsafe ExampleTable(
      features: .bytes(memory.features), labels: .bytes(memory.labels), count: 20, width: 3,
      owner: memory)
    for count in [0, 1, 15, 16] {
      let rows = (0..<count).map { UInt32(($0 * 7 + 3) % 20) }
      var tile = [Lanes](repeating: Lanes(repeating: 9), count: 3)
      var span = tile.mutableSpan
      let loaded = table.load(rows.span, into: &span)
      for lane in 0..<16 {
        if lane < count {
          let row = Int(rows[lane])
          #expect((0..<3).allSatisfy { tile[$0][lane] == Float(row * 3 + $0) })
          #expect(row == 3 ? loaded[lane].isNaN : loaded[lane] == Float(row))
        } else {
          #expect(loaded[lane].isNaN && tile.allSatisfy { $0[lane] == 0 })
        }
      }
    }
  }
}

/// Copies of a table's bytes that live as long as the object.
@safe private final class Memory {
  let features: UnsafeMutablePointer<UInt8>
  let labels: UnsafeMutablePointer<UInt8>

  init(features: [UInt8], labels: [UInt8]) {
    // SAFETY: both blocks live until deinit and have room for what is copied into them.
    unsafe self.features = .allocate(capacity: features.count)
    unsafe self.labels = .allocate(capacity: labels.count)
    unsafe self.features.initialize(from: features, count: features.count)
    unsafe self.labels.initialize(from: labels, count: labels.count)
  }

  deinit {
    unsafe features.deallocate()
    unsafe labels.deallocate()
  }
}
