import FastDP
import Foundation

/// What a step costs besides its gradients: sampling, noise, update.
///
/// `swift run -c release --package-path Benchmarks StepBenchmark`: for each phase the time of a step
/// and of each record drawn or coordinate updated, on one thread. Rounds take turns, so that other
/// load on the machine meets all phases alike; a row holds the median and the best of 15.
@main
struct StepBenchmark {
  /// A phase: one call of `round` does `steps` steps on `items` records or coordinates in all.
  struct Phase {
    let name: String
    let steps: Int
    /// Returns the number of items.
    let round: () -> Int
  }

  static func main() throws {
    var phases: [Phase] = []
    for (n, batchSize) in [(979_200, 256), (979_200, 4096), (60_000, 512), (60_000, 20_000)] {
      for set in PoissonSampler.instructionSets {
        phases.append(try sampling(n, batchSize, set))
      }
    }
    for coordinates in [551, 234_000] {
      phases.append(noise(coordinates))
      for rule in OptimizerRule.allCases { phases.append(update(rule, coordinates)) }
    }
    report(phases)
  }

  static func report(_ phases: [Phase]) {
    var times = [[(step: Double, item: Double)]](repeating: [], count: phases.count)
    for _ in 0..<15 {
      for (index, phase) in phases.enumerated() {
        let start = processorSeconds
        let items = phase.round()
        let seconds = processorSeconds - start
        times[index].append((seconds / Double(phase.steps), seconds / Double(items)))
      }
    }
    print("one thread, 15 rounds, by its processor time: median and best\n")
    print("phase".padded(44) + "     µs a step           ns an item")
    for (phase, times) in zip(phases, times) {
      let sorted = times.sorted { $0.step < $1.step }
      let (median, best) = (sorted[sorted.count / 2], sorted[0])
      print(
        phase.name.padded(44)
          + String(
            format: "%9.3f %9.3f %9.3f %9.3f", median.step * 1e6, best.step * 1e6,
            median.item * 1e9, best.item * 1e9))
    }
  }

  /// The sample of whole steps, the cipher included; items are records drawn.
  static func sampling(_ n: Int, _ batchSize: Int, _ set: String) throws -> Phase {
    let rate = try SamplingRate(Double(batchSize) / Double(n))
    var sampler = try PoissonSampler(
      SecureKey(), samplingRate: rate, blocks: RecordBlocks(records: n, samplingRate: rate),
      instructionSet: set)
    let steps = max(10, (1 << 20) / batchSize)
    var records: [UInt32] = []
    var step = 0
    return Phase(name: "sample \(batchSize) of \(n), \(set)", steps: steps) {
      var drawn = 0
      for _ in 0..<steps {
        records.removeAll(keepingCapacity: true)
        sampler.appendSample(step: step, to: &records)
        drawn += records.count
        step += 1
      }
      return drawn
    }
  }

  /// Noise for all coordinates, the cipher included.
  static func noise(_ coordinates: Int) -> Phase {
    let grid = NoiseGrid(noiseScale: 0.9, clipNorm: 1, parameters: coordinates)
    var source = GaussianNoise(SecureKey(), coordinates: coordinates, grid: grid)
    var units = [Int32](repeating: 0, count: coordinates)
    let steps = max(5, (1 << 20) / coordinates)
    var step = 0
    return Phase(name: "noise for \(coordinates)", steps: steps) {
      for _ in 0..<steps {
        var span = units.mutableSpan
        source.fill(&span, step: step, from: 0)
        step += 1
      }
      return steps * coordinates
    }
  }

  /// Adding noise, scaling and the optimizer's step; items are coordinates.
  static func update(_ rule: OptimizerRule, _ coordinates: Int) -> Phase {
    var optimizer = Optimizer(rule, parameterCount: coordinates)
    var parameters = [Float](repeating: 0.1, count: coordinates)
    let sum = (0..<coordinates).map { Double($0 * 7919 % 1000) - 500 }
    let noise = (0..<coordinates).map { Int32($0 * 6271 % 997) - 498 }
    let steps = max(10, (1 << 23) / coordinates)
    return Phase(name: "\(rule) on \(coordinates)", steps: steps) {
      for _ in 0..<steps {
        optimizer.begin(learningRate: 0.01, scale: 1e-6)
        var span = parameters.mutableSpan
        optimizer.apply(sum.span, noise.span, to: &span)
      }
      return steps * coordinates
    }
  }

  /// What this thread has used of a processor: waiting for one does not count.
  static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}

extension String {
  /// The text, filled with spaces.
  fileprivate func padded(_ length: Int) -> String {
    padding(toLength: length, withPad: " ", startingAt: 0)
  }
}
