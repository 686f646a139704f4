import CDPParquet
import DPParquet
import TestSupport
import Testing

/// The loops over bytes, against plain definitions.
struct LoopTests {
  /// Snappy's format, read by its definition.
  private func snappyReference(_ input: [UInt8]) -> [UInt8]? {
    var at = 0
    var length = 0
    var shift = 0
    repeat {
      length |= Int(input[at] & 127) << shift
      shift += 7
      at += 1
    } while input[at - 1] >= 128
    var output: [UInt8] = []
    while at < input.count {
      let tag = Int(input[at])
      at += 1
      func number(_ bytes: Int) -> Int {
        defer { at += bytes }
        return (0..<bytes).reduce(0) { $0 | Int(input[at + $1]) << (8 * $1) }
      }
      switch tag & 3 {
      case 0:
        let size = (tag >> 2 < 60 ? tag >> 2 : number((tag >> 2) - 59)) + 1
        output += input[at..<at + size]
        at += size
      case 1:
        let offset = (tag >> 5) << 8 | number(1)
        for _ in 0..<(tag >> 2 & 7) + 4 { output.append(output[output.count - offset]) }
      default:
        let offset = number(tag & 3 == 2 ? 2 : 4)
        for _ in 0..<(tag >> 2) + 1 { output.append(output[output.count - offset]) }
      }
    }
    return output.count == length ? output : nil
  }

  private enum Loop { case snappy, lz4 }

  private func uncompress(_ input: [UInt8], count: Int, by loop: Loop) -> [UInt8]? {
    var output = [UInt8](repeating: 0xAA, count: count)
    let status = unsafe input.withUnsafeBufferPointer { from in
      unsafe output.withUnsafeMutableBufferPointer { to in
        switch loop {
        case .snappy:
          unsafe cdp_snappy_uncompress(from.baseAddress, from.count, to.baseAddress, to.count)
        case .lz4: unsafe cdp_lz4_uncompress(from.baseAddress, from.count, to.baseAddress, to.count)
        }
      }
    }
    return status == 0 ? output : nil
  }

  /// Bytes with repeats near and far.
  private func material(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      if bytes.count > 4, Bool.random(using: &generator) {
        let offset = Int.random(in: 1...bytes.count, using: &generator)
        for _ in 0..<Int.random(in: 1...200, using: &generator) {
          bytes.append(bytes[bytes.count - offset])
        }
      } else {
        for _ in 0..<Int.random(in: 1...70, using: &generator) {
          bytes.append(UInt8.random(in: 0...255, using: &generator))
        }
      }
    }
    return Array(bytes.prefix(count))
  }

  @Test(arguments: [0, 1, 3, 4, 15, 16, 17, 59, 60, 61, 64, 100, 255, 300, 4096, 65_536, 200_000])
  func snappyComesBack(count: Int) {
    var generator = SeededGenerator(seed: UInt64(count))
    for _ in 0..<4 {
      let bytes = material(count, &generator)
      let packed = compress(bytes)
      #expect(snappyReference(packed) == bytes)
      #expect(uncompress(packed, count: count, by: .snappy) == bytes)
      #expect(uncompress(packed, count: count + 1, by: .snappy) == nil)
    }
  }

  private func compress(_ bytes: [UInt8]) -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: cdp_snappy_bound(bytes.count)) { target, size in
      unsafe bytes.withUnsafeBufferPointer {
        size = unsafe cdp_snappy_compress($0.baseAddress, $0.count, target.baseAddress)
      }
    }
  }

  /// LZ4 blocks of every kind of sequence, made by hand: literals, then a copy.
  @Test func lz4ReadsItsSequences() {
    func block(_ literals: Int, offset: Int, run: Int) -> (packed: [UInt8], bytes: [UInt8]) {
      func extra(_ value: Int) -> [UInt8] {
        guard value >= 15 else { return [] }
        return [UInt8](repeating: 255, count: (value - 15) / 255) + [UInt8((value - 15) % 255)]
      }
      let text = (0..<literals).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      var packed = [UInt8(min(literals, 15) << 4 | min(run - 4, 15))] + extra(literals) + text
      packed += [UInt8(offset & 255), UInt8(offset >> 8)] + extra(run - 4)
      packed += [0x50] + Array("after".utf8)
      var bytes = text
      for _ in 0..<run { bytes.append(bytes[bytes.count - offset]) }
      return (packed, bytes + Array("after".utf8))
    }
    for literals in [1, 14, 15, 16, 269, 270, 271, 700] {
      for offset in [1, 2, 7, 8, 9, 15, 16, 300] where offset <= literals {
        for run in [4, 5, 18, 19, 20, 273, 274, 275, 1000] {
          let (packed, bytes) = block(literals, offset: offset, run: run)
          #expect(uncompress(packed, count: bytes.count, by: .lz4) == bytes)
          #expect(uncompress(packed, count: bytes.count - 1, by: .lz4) == nil)
        }
      }
    }
  }

  /// The check value that every description of this CRC gives.
  @Test func theChecksumIsThatOfGzip() {
    let bytes = Array("123456789".utf8)
    let value = unsafe bytes.withUnsafeBufferPointer { unsafe cdp_crc32($0.baseAddress, $0.count) }
    #expect(value == 0xCBF4_3926)
  }

  /// Runs come back, by every loop, in pieces of any size.
  @Test(arguments: 0...32, [0, 1, 7, 8, 9, 31, 64, 1000])
  func runsComeBack(width: Int, count: Int) {
    var generator = SeededGenerator(seed: UInt64(width * 2000 + count))
    let highest = UInt32((UInt64(1) << UInt64(width)) - 1)
    var values: [UInt32] = []
    while values.count < count {
      let value = UInt32.random(in: 0...highest, using: &generator)
      let times = Bool.random(using: &generator) ? 1 : Int.random(in: 1...40, using: &generator)
      values += repeatElement(value, count: times)
    }
    values = Array(values.prefix(count))
    let bytes = RunEncoder.encode(values, width: width)
    for piece in [1, 5, 8, 13, 2000] {
      for portable in [false, true] {
        #expect(decode(bytes, width, count, piece: piece, portable: portable) == values)
      }
    }
  }

  private func decode(
    _ bytes: [UInt8], _ width: Int, _ count: Int, piece: Int, portable: Bool
  ) -> [UInt32] {
    unsafe bytes.withUnsafeBufferPointer { from in
      var runs = unsafe cdp_runs()
      unsafe cdp_runs_begin(&runs, from.baseAddress, from.count, UInt32(width))
      var result: [UInt32] = []
      var highest: UInt32 = 0
      while result.count < count {
        var part = [UInt32](repeating: 0, count: min(piece, count - result.count))
        let size = part.count
        let read =
          portable
          ? unsafe cdp_runs_next_portable(&runs, &part, size, &highest)
          : unsafe cdp_runs_next(&runs, &part, size, &highest)
        guard read == size else { return result }
        result += part
      }
      return highest == (result.max() ?? 0) ? result : []
    }
  }

  /// Bits land at any place of a bitmap, and leave the others alone.
  @Test(arguments: [0, 1, 7, 8, 33, 64], [1, 8, 31, 32, 33, 500])
  func bitsLandWhereTheyShould(first: Int, count: Int) {
    var generator = SeededGenerator(seed: UInt64(first * 1000 + count))
    var values: [UInt32] = []
    while values.count < count {
      values += repeatElement(
        UInt32.random(in: 0...1, using: &generator),
        count: Int.random(in: 1...60, using: &generator))
    }
    values = Array(values.prefix(count))
    let bytes = RunEncoder.encode(values, width: 1)
    var bitmap = [UInt8](repeating: 0xFF, count: (first + count) / 8 + 16)
    var ones = 0
    let read = unsafe bytes.withUnsafeBufferPointer { from in
      var runs = unsafe cdp_runs()
      unsafe cdp_runs_begin(&runs, from.baseAddress, from.count, 1)
      return unsafe cdp_runs_bits(&runs, &bitmap, first, count, &ones)
    }
    #expect(read == count && ones == values.count { $0 == 1 })
    for place in 0..<bitmap.count * 8 {
      let bit = bitmap[place / 8] >> UInt8(place % 8) & 1
      let inside = place >= first && place < first + count
      #expect(bit == (inside ? UInt8(values[place - first]) : 1))
    }
  }

  /// Dense values move to the places of the ones.
  @Test(arguments: [0, 1, 8, 9, 100], [0, 3])
  func valuesSpread(count: Int, first: Int) {
    var generator = SeededGenerator(seed: UInt64(count))
    let bits = (0..<count).map { _ in Bool.random(using: &generator) }
    var bitmap = [UInt8](repeating: 0, count: (first + count) / 8 + 16)
    for (row, bit) in bits.enumerated() where bit {
      bitmap[(first + row) / 8] |= 1 << UInt8((first + row) % 8)
    }
    let dense = bits.count { $0 }
    var values = (0..<count).map { UInt64($0 < dense ? $0 + 1 : 999) }
    unsafe cdp_spread8(&values, dense, bitmap, first, count)
    var next: UInt64 = 0
    for row in 0..<count {
      if bits[row] { next += 1 }
      #expect(values[row] == (bits[row] ? next : 0))
    }
  }
}
