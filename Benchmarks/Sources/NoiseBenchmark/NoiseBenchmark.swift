import Crypto
import CryptoExtras
import FastDP
import Foundation

/// Noise, checked and then timed.
///
/// `swift run -c release --package-path Benchmarks NoiseBenchmark [DRAWS]`: the distribution over
/// DRAWS values (1e9 unless given; 0 leaves it out), then speed on one thread beside the cipher's.
/// Ends with status 1 where the distribution is wrong; each of its figures fails by chance with a
/// probability of 1e-6.
@main
struct NoiseBenchmark {
  static func main() {
    let draws = CommandLine.arguments.dropFirst().first.flatMap(Double.init) ?? 1e9
    var passed = true
    if draws > 0 {
      passed = Distribution.check("gaussian", draws: Int(draws)) { key, coordinates in
        GaussianNoise(key, coordinates: coordinates, grid: grid(.gaussian))
      }
      passed =
        Distribution.check("discrete", draws: Int(draws / 100)) { key, coordinates in
          DiscreteGaussianNoise(key, coordinates: coordinates, grid: grid(.discrete))
        } && passed
    }
    timeAll()
    exit(passed ? 0 : 1)
  }

  static func grid(_ kind: NoiseKind) -> NoiseGrid {
    NoiseGrid(noiseScale: 0.9, clipNorm: 1, parameters: 551, kind: kind)
  }

  /// Rounds take turns, so that other load on the machine meets all candidates alike.
  static func timeAll() {
    var candidates: [(name: String, bytesPerValue: Double, round: () -> Int)] = [
      ("AES-256-CTR alone", 6, cipherRound())
    ]
    for coordinates in [551, 1 << 20] {
      for set in GaussianNoise.instructionSets {
        let source = GaussianNoise(
          SecureKey(), coordinates: coordinates, grid: grid(.gaussian), instructionSet: set)
        candidates.append(
          ("gaussian, \(coordinates) a step, \(set)", 6, round(source, values: 1 << 23)))
      }
    }
    let discrete = DiscreteGaussianNoise(SecureKey(), coordinates: 551, grid: grid(.discrete))
    candidates.append(("discrete, 551 a step", 320, round(discrete, values: 1 << 17)))
    var rates = [[Double]](repeating: [], count: candidates.count)
    for _ in 0..<15 {
      for (index, candidate) in candidates.enumerated() {
        let start = processorSeconds
        let values = candidate.round()
        rates[index].append(Double(values) / (processorSeconds - start))
      }
    }
    print("\none thread, 15 rounds, by its processor time")
    print("million values/s, median and best; what the median takes of the cipher")
    for (candidate, rates) in zip(candidates, rates) {
      let sorted = rates.sorted()
      let median = sorted[sorted.count / 2]
      print(
        candidate.name.padding(toLength: 36, withPad: " ", startingAt: 0)
          + String(
            format: "%9.2f %9.2f %7.2f GB/s", median / 1e6, (sorted.last ?? 0) / 1e6,
            median * candidate.bytesPerValue / 1e9))
    }
  }

  /// The cipher on 48 MiB in pieces of 64 KiB, counted as the values that the bytes would make.
  static func cipherRound() -> () -> Int {
    let key = SymmetricKey(size: .bits256)
    let zeros = Data(count: 1 << 16)
    return {
      for piece in 0..<768 {
        let nonce = (0..<16).map { $0 == 12 ? UInt8(piece & 255) : 0 }
        guard let nonce = try? AES._CTR.Nonce(nonceBytes: nonce),
          let bytes = try? AES._CTR.encrypt(zeros, using: key, nonce: nonce),
          bytes.count == zeros.count
        else { fatalError("the cipher refused") }
      }
      return 768 << 16 / 6
    }
  }

  static func round(_ noise: some NoiseSource, values: Int) -> () -> Int {
    var source = noise
    var buffer = [Int32](repeating: 0, count: min(noise.coordinates, 1 << 14))
    var step = 0
    return {
      var made = 0
      while made < values {
        var first = 0
        while first < source.coordinates {
          if source.coordinates - first < buffer.count { first = source.coordinates - buffer.count }
          var span = buffer.mutableSpan
          source.fill(&span, step: step, from: first)
          first += buffer.count
          made += buffer.count
        }
        step += 1
      }
      return made
    }
  }

  /// What this thread has used of a processor: waiting for one does not count.
  static var processorSeconds: Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
