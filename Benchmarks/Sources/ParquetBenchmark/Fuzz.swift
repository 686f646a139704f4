import DPParquet
import Foundation

extension ParquetBenchmark {
  /// Reads mutated files for some seconds; crashes, hangs and memory beyond the promise end the program.
  static func fuzz(_ arguments: [String]) throws {
    let seconds = Int(arguments[0]) ?? 60
    var random = Mix(state: UInt64(arguments[1]) ?? 1)
    let seeds = try arguments.dropFirst(2).map {
      [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0)))
    }
    let end = ContinuousClock.now + .seconds(seconds)
    var (files, refused, slowest) = (0, 0, 0.0)
    while ContinuousClock.now < end {
      let bytes = mutate(seeds[random.below(seeds.count)], seeds, &random)
      let start = ContinuousClock.now
      do {
        try readAll(bytes, &random)
      } catch is ParquetError {
        refused += 1
      }
      let time = (ContinuousClock.now - start) / .seconds(1)
      slowest = max(slowest, time)
      guard time < 10 else {
        try Data(bytes).write(to: URL(fileURLWithPath: "hang.parquet"))
        fatalError("\(time) s for a file of \(bytes.count) bytes, kept as hang.parquet")
      }
      files += 1
    }
    print(
      "\(files) damaged files: \(refused) refused, \(files - refused) read;",
      "the slowest took \(slowest) s")
  }

  static func readAll(_ bytes: [UInt8], _ random: inout Mix) throws {
    let file = try ParquetFile(bytes: bytes, name: "damaged")
    var failure: ParquetError?
    for index in file.columns.indices where file.columns[index].refusal == nil {
      // A column that is damaged does not keep the others from being read.
      do {
        try readColumn(file, index, bytes.count, &random)
      } catch let error as ParquetError {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  static func readColumn(
    _ file: ParquetFile, _ index: Int, _ size: Int, _ random: inout Mix
  ) throws {
    let reader = try ParquetColumnReader(file, column: index, keepsIndices: random.below(2) == 0)
    for group in file.rowGroups.indices {
      try reader.select(rowGroup: group)
      var left = 50
      if random.below(3) == 0 { try reader.skip(random.below(reader.rowsLeft + 1)) }
      while left > 0, let part = try reader.read(upTo: [1, 7, 1000, 1 << 20][random.below(4)]) {
        left -= 1
        var text: [UInt8] = []
        for row in 0..<min(part.rowCount, 100) where !part.isNull(row) {
          let entry = part.entry(ofRow: row)
          part.appendText(ofEntry: entry, to: &text)
          _ = part.number(ofEntry: entry)
          if text.count > 1 << 16 { text.removeAll(keepingCapacity: true) }
        }
        precondition(file.memoryInUse <= 16 * size + 64_000_000, "\(file.memoryInUse) bytes in use")
      }
    }
  }

  static func mutate(_ seed: [UInt8], _ seeds: [[UInt8]], _ random: inout Mix) -> [UInt8] {
    var bytes = seed
    for _ in 0...random.below(6) {
      let place = random.below(bytes.count)
      switch random.below(8) {
      case 0: bytes[place] ^= 1 << UInt8(random.below(8))
      case 1: bytes[place] = UInt8(random.below(256))
      case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)]
      case 3:
        for at in place..<min(place + 1 + random.below(8), bytes.count) { bytes[at] = 0xFF }
      case 4: bytes.remove(at: place)
      case 5: bytes.insert(UInt8(random.below(256)), at: place)
      case 6:
        let other = seeds[random.below(seeds.count)]
        let from = random.below(other.count)
        let count = min(1 + random.below(64), other.count - from, bytes.count - place)
        bytes.replaceSubrange(place..<place + count, with: other[from..<from + count])
      default:
        // The footer describes everything: damage there more often.
        let tail = bytes.count - 1 - random.below(min(bytes.count, 700))
        bytes[tail] = UInt8(random.below(256))
      }
      if bytes.count < 16 { return bytes }
    }
    return bytes
  }

  /// SplitMix64.
  struct Mix {
    var state: UInt64

    mutating func below(_ bound: Int) -> Int {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return Int((z ^ (z >> 31)) % UInt64(bound))
    }
  }
}
