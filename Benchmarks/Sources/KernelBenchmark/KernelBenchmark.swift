import CDPKernels
import Foundation

/// The loops of a training step, one by one, on a tile of 256 examples that stays in the cache.
///
/// `swift run -c release --package-path Benchmarks KernelBenchmark`: for each loop, model, instruction
/// set and kind of numerics the time of a tile for each example, and of what the registers alone
/// reach in multiply-adds, or the bytes that are read and written. Rounds take turns, so that other load
/// on the machine meets all alike; a row holds the median and the best of 15.
@main
struct KernelBenchmark {
  /// A loop on its tile.
  struct Candidate {
    let name: String
    /// Multiply-adds for an example; 0 where memory is what counts.
    let multiplyAdds: Double
    /// Bytes read and written for an example.
    let bytes: Double
    /// Multiply-adds a second of the registers alone.
    let peak: Double
    let call: () -> Void
  }

  static func main() {
    var candidates: [Candidate] = []
    for variant in 0..<Int32(4) {
      for canonical in 0..<Int32(2) {
        guard let loops = cdp_tile_kernels_variant(variant, canonical)?.pointee,
          let set = cdp_instruction_set_name(variant).map({ String(cString: $0) })
        else { continue }
        let kind = canonical == 1 ? "\(set), canonical" : set
        for (inputs, outputs) in [(9, 50), (784, 256)] {
          candidates += Tile(loops, inputs: inputs, outputs: outputs).candidates(kind)
        }
      }
    }
    report(candidates)
  }

  static func report(_ candidates: [Candidate]) {
    var times = [[Double]](repeating: [], count: candidates.count)
    for _ in 0..<15 {
      for (index, candidate) in candidates.enumerated() {
        times[index].append(seconds(of: candidate))
      }
    }
    print("one thread, a tile of 256 examples, 15 rounds: median and best\n")
    print("loop".padded(52) + " ns an example      Gmul-add/s  of peak       GB/s")
    for (candidate, times) in zip(candidates, times) {
      let sorted = times.sorted()
      let (median, best) = (sorted[sorted.count / 2] / 256, sorted[0] / 256)
      let rate = candidate.multiplyAdds / median
      print(
        candidate.name.padded(52)
          + String(format: "%8.2f %8.2f", median * 1e9, best * 1e9)
          + (rate > 0
            ? String(format: " %10.1f %7.0f %%", rate / 1e9, 100 * rate / candidate.peak)
            : String(repeating: " ", count: 20))
          + String(format: " %10.1f", candidate.bytes / median / 1e9))
    }
  }

  /// The time of a call: the mean over about a millisecond.
  static func seconds(of candidate: Candidate) -> Double {
    let clock = ContinuousClock()
    var calls = 1
    while true {
      let start = clock.now
      for _ in 0..<calls { candidate.call() }
      let seconds = (clock.now - start) / .seconds(1)
      if seconds > 1e-3 { return seconds / Double(calls) }
      calls *= 2
    }
  }
}

/// A layer's memory for a tile of 16 panels, as the library lays it out.
final class Tile {
  private let loops: cdp_tile_kernels
  private let inputs: Int
  private let outputs: Int
  private let panels = 16
  private let rows = 20_000
  private let features: UnsafeMutablePointer<UInt8>
  private let words: UnsafeMutablePointer<UInt16>
  private let floats: UnsafeMutablePointer<Float>
  private let a, d, weights, z, norms, factors, losses, labels: UnsafeMutablePointer<Float>
  private let sums: UnsafeMutablePointer<Double>
  private let broken: UnsafeMutablePointer<UInt8>
  private let drawn: [UInt32]

  init(_ loops: cdp_tile_kernels, inputs: Int, outputs: Int) {
    func room<T>(_ count: Int, _ value: () -> T) -> UnsafeMutablePointer<T> {
      let memory = UnsafeMutableRawPointer.allocate(
        byteCount: max(64, count * MemoryLayout<T>.stride), alignment: 64
      ).bindMemory(to: T.self, capacity: count)
      for index in 0..<count { (memory + index).initialize(to: value()) }
      return memory
    }
    func number() -> Float { .random(in: -1...1) }
    self.loops = loops
    self.inputs = inputs
    self.outputs = outputs
    let slack = Int(CDP_SLACK) + 1
    features = room(rows * inputs + 16) { .random(in: 0...1) }
    words = room(rows) { .random(in: 0...1023) & ~2 }
    floats = room(rows * inputs, number)
    a = room(panels * 16 * (inputs + slack), number)
    d = room(panels * 16 * (outputs + slack), number)
    z = room(panels * 16 * (outputs + slack), number)
    weights = room(inputs * outputs + outputs, number)
    norms = room(panels * 16) { 1 }
    factors = room(panels * 16) { 1 }
    losses = room(panels * 16) { 1 }
    labels = room(panels * 16) { 1 }
    sums = room(inputs * outputs + outputs) { 0 }
    broken = room(panels * 16) { 0 }
    drawn = (0..<panels * 16).map { _ in .random(in: 0..<20_000) }
  }

  private var peak: Double {
    let clock = ContinuousClock()
    return (0..<10).map { _ in
      let start = clock.now
      guard loops.peak(50_000, 0.5) != 0 else { return 0 }
      return Double(50_000 * loops.peak_width) / ((clock.now - start) / .seconds(1))
    }.max() ?? 1
  }

  func candidates(_ kind: String) -> [KernelBenchmark.Candidate] {
    let peak = peak
    func candidate(
      _ name: String, multiplyAdds: Int = 0, floats: Int, _ call: @escaping () -> Void
    ) -> KernelBenchmark.Candidate {
      KernelBenchmark.Candidate(
        name: "\(name), \(inputs) → \(outputs), \(kind)", multiplyAdds: Double(multiplyAdds),
        bytes: Double(4 * floats), peak: peak, call: call)
    }
    let size = inputs * outputs
    var list = [
      candidate("gather bytes", floats: inputs + inputs / 4) { self.gatherBytes() },
      candidate("gather floats", floats: 2 * inputs) { self.gatherFloats() },
      candidate("product", multiplyAdds: size, floats: inputs + outputs) {
        self.product(CDP_STORE)
      },
      candidate("product, tanh", multiplyAdds: size, floats: inputs + outputs) {
        self.product(CDP_TANH)
      },
      candidate("squared norms", multiplyAdds: outputs, floats: outputs) {
        self.loops.square_sums(
          self.d, self.outputs, self.stride(self.outputs), self.panels, self.norms)
      },
      candidate("clip", floats: 7) { self.clip() },
      candidate("scale", floats: 2 * outputs) {
        self.loops.scale(self.d, self.outputs, self.stride(self.outputs), self.panels, self.factors)
      },
      candidate("sum of products", multiplyAdds: size + outputs, floats: inputs + outputs) {
        self.outer()
      },
    ]
    if inputs < 14 {
      list.append(candidate("gather bits", floats: inputs + 1) { self.gatherBits() })
      list.append(
        candidate("binary head", floats: 4) {
          self.loops.binary_head(
            self.z, self.stride(self.outputs), self.labels, self.panels, self.d,
            self.stride(self.outputs), self.losses)
        })
    }
    return list
  }

  private func stride(_ units: Int) -> Int { 16 * (units + Int(CDP_SLACK) + 1) }

  private func gatherBytes() {
    drawn.withUnsafeBufferPointer { drawn in
      guard let drawn = drawn.baseAddress else { return }
      for panel in 0..<panels {
        loops.load_bytes(
          features, features + rows * inputs, inputs, drawn + 16 * panel, 16,
          a + panel * stride(inputs))
      }
    }
  }

  private func gatherFloats() {
    drawn.withUnsafeBufferPointer { drawn in
      guard let drawn = drawn.baseAddress else { return }
      for panel in 0..<panels {
        loops.load_floats(floats, inputs, drawn + 16 * panel, 16, a + panel * stride(inputs))
      }
    }
  }

  private func gatherBits() {
    var table = cdp_bit_rows(words: words, word_bytes: 2, label_bits: 2, width: inputs)
    drawn.withUnsafeBufferPointer { drawn in
      guard let drawn = drawn.baseAddress else { return }
      for panel in 0..<panels {
        loops.load_bits(
          &table, drawn + 16 * panel, 16, a + panel * stride(inputs), labels + 16 * panel)
      }
    }
  }

  private func product(_ epilogue: cdp_epilogue) {
    var call = cdp_product()
    call.weights = UnsafePointer(weights)
    call.row_stride = inputs
    call.depth_stride = 1
    call.rows = outputs
    call.depth = inputs
    call.bias = UnsafePointer(weights + inputs * outputs)
    call.in = UnsafePointer(a)
    call.in_stride = stride(inputs)
    call.out = z
    call.out_stride = stride(outputs)
    call.panels = panels
    call.epilogue = Int32(epilogue.rawValue)
    loops.product(&call)
  }

  private func clip() {
    var call = cdp_clip()
    call.layers = 1
    call.groups = 1
    call.clip = 1
    call.slack = 1
    call.reach = .infinity
    call.labels = UnsafePointer(labels)
    call.losses = UnsafePointer(losses)
    call.panels = panels
    call.broken = broken
    var a: UnsafePointer<Float>? = UnsafePointer(norms)
    var d: UnsafePointer<Float>? = UnsafePointer(norms)
    var outputs = Double(outputs)
    var factors: UnsafeMutablePointer<Float>? = factors
    withUnsafePointer(to: &a) { a in
      withUnsafePointer(to: &d) { d in
        withUnsafePointer(to: &outputs) { outputs in
          withUnsafePointer(to: &factors) { factors in
            call.a = a
            call.d = d
            call.outputs = outputs
            call.factors = factors
            _ = loops.clip(&call)
          }
        }
      }
    }
  }

  private func outer() {
    var call = cdp_outer()
    call.d = UnsafePointer(d)
    call.d_stride = stride(outputs)
    call.a = UnsafePointer(a)
    call.a_stride = stride(inputs)
    call.outputs = outputs
    call.inputs = inputs
    call.panels = panels
    call.scale = 0x1p18
    call.shift = 0x1.8p52
    call.largest = 2
    call.weights = sums
    call.biases = sums + inputs * outputs
    loops.outer(&call)
  }
}

extension String {
  /// The text, filled with spaces.
  fileprivate func padded(_ length: Int) -> String {
    padding(toLength: length, withPad: " ", startingAt: 0)
  }
}
