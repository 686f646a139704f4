import DPKernels
import Testing

@Suite struct ExampleTableTests {
  /// Widths around a vector of bytes; the last row ends with the memory.
  @Test(arguments: TileKernels.available(), [1, 3, 9, 15, 16, 17, 40])
  func rowsAreLoadedIntoTheirLanes(kernels: TileKernels, width: Int) {
    let features = (0..<20 * width).map { UInt8(truncatingIfNeeded: $0 &* 37) }
    let labels: [UInt8] = (0..<20).map { $0 == 3 ? 255 : UInt8($0) }
    let memory = Memory(features: features, labels: labels)
    let table = unsafe ExampleTable(
      features: .bytes(memory.features), labels: .bytes(memory.labels), count: 20, width: width,
      owner: memory)
    check(table, features.map(Float.init), kernels)
  }

  @Test(arguments: TileKernels.available(), [1, 3, 16, 17])
  func floatsAreLoadedIntoTheirLanes(kernels: TileKernels, width: Int) {
    let features = (0..<20 * width).map { Float($0) * 0.37 }
    let labels: [Float] = (0..<20).map { $0 == 3 ? .nan : Float($0) }
    let memory = Memory(features: features, labels: labels)
    let table = unsafe ExampleTable(
      features: .floats(memory.features), labels: .floats(memory.labels), count: 20, width: width,
      owner: memory)
    check(table, features, kernels)
  }

  /// Rows of bits in one word are the same table; widths around the sizes of words, with labels of 2
  /// and of 3 bits.
  @Test(arguments: TileKernels.available(), [1, 9, 13, 14, 15, 29, 30, 31, 45, 61, 62])
  func packedRowsAreTheSame(kernels: TileKernels, width: Int) throws {
    for classes in [2, 5] where width + 2 + classes / 5 <= 64 {
      let features = (0..<20 * width).map { UInt8($0 * $0 / 3 % 2) }
      let labels = (0..<20).map { $0 == 3 ? 255 : UInt8($0 % classes) }
      let memory = Memory(features: features, labels: labels)
      let table = unsafe ExampleTable(
        features: .bytes(memory.features), labels: .bytes(memory.labels), count: 20, width: width,
        owner: memory)
      let packed = try #require(table.packed())
      for row in 0..<20 {
        #expect(packed.features(of: row) == table.features(of: row))
        #expect(packed.label(of: row) == table.label(of: row) || row == 3)
      }
      check(packed, features.map(Float.init), kernels) { Float($0 % classes) }
    }
  }

  @Test func otherTablesAreNotPacked() {
    func packs(_ features: [UInt8], width: Int, labels: [UInt8]) -> Bool {
      let memory = Memory(features: features, labels: labels)
      let table = unsafe ExampleTable(
        features: .bytes(memory.features), labels: .bytes(memory.labels), count: labels.count,
        width: width, owner: memory)
      return table.packed() != nil
    }
    #expect(packs([0, 1, 1, 0], width: 2, labels: [0, 255]))
    #expect(!packs([0, 1, 2, 0], width: 2, labels: [0, 1]))
    #expect(!packs([UInt8](repeating: 1, count: 63), width: 63, labels: [1]))
    #expect(packs([UInt8](repeating: 1, count: 62), width: 62, labels: [1]))
    #expect(!packs([UInt8](repeating: 1, count: 62), width: 62, labels: [7]))
    let memory = Memory<Float>(features: [0, 1], labels: [0, 1])
    let table = unsafe ExampleTable(
      features: .floats(memory.features), labels: .floats(memory.labels), count: 2, width: 1,
      owner: memory)
    #expect(table.packed() == nil)
  }

  private func check(
    _ table: ExampleTable, _ features: [Float], _ kernels: TileKernels,
    label: (Int) -> Float = Float.init
  ) {
    let panels = Panels(units: table.width, count: 2, withOne: true)
    let labels = PanelRow(panels: 2)
    for count in [0, 1, 15, 16] {
      let rows = (0..<count).map { UInt32(($0 * 7 + 3) % 20) }
      for unit in 0..<table.width { panels[1, unit] = Lanes(repeating: 9) }
      table.prefetch(rows.span)
      table.load(rows.span, into: panels, labels, at: 1, with: kernels)
      let loaded = labels[1]
      for lane in 0..<16 {
        let row = lane < count ? Int(rows[lane]) : nil
        #expect(row == nil || row == 3 ? loaded[lane].isNaN : loaded[lane] == label(row ?? 0))
        for unit in 0..<table.width {
          let expected = row.map { features[$0 * table.width + unit] } ?? 0
          #expect(panels[1, unit][lane] == expected)
        }
      }
      #expect(panels[1, table.width] == Lanes(repeating: 1), "the unit of ones was overwritten")
    }
  }
}

/// Copies of a table's numbers that live as long as the object.
@safe private final class Memory<Element> {
  let features: UnsafeMutablePointer<Element>
  let labels: UnsafeMutablePointer<Element>

  init(features: [Element], labels: [Element]) {
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
