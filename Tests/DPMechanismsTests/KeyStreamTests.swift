import DPMechanisms
import Testing

@Suite struct KeyStreamTests {
  /// NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt: keystream = plaintext XOR ciphertext.
  @Test func agreesWithTheStandard() {
    let key = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    let plain = bytes(
      "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        + "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
    let cipher = bytes(
      "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        + "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6")
    var stream = KeyStream(cipherKey: key)
    let counter: UInt128 = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff
    for block in 0..<4 {
      let words = stream.words(at: counter + UInt128(block))
      let expected = zip(plain, cipher).map { $0 ^ $1 }[block * 16..<block * 16 + 16]
      #expect(littleEndian(words.0) + littleEndian(words.1) == Array(expected))
    }
  }

  /// Any order of asking gives the same bytes, also where the counter carries past 32 and 64 bits.
  @Test(arguments: [0, 4095, 1 << 32 - 3, UInt128(1) << 64 - 3, UInt128(1) << 100] as [UInt128])
  func positionsDoNotDependOnTheWayThere(start: UInt128) {
    let key = SecureKey()
    var forward = KeyStream(key, domain: .noise)
    let walked = (0..<6).map { forward.words(at: start + UInt128($0)) }
    for offset in (0..<6).reversed() {
      var jumped = KeyStream(key, domain: .noise)
      #expect(jumped.words(at: start + UInt128(offset)) == walked[offset])
      #expect(forward.words(at: start + UInt128(offset)) == walked[offset])
    }
  }

  /// Whatever part of a stretch is said to be read next, short or long, and whatever is then read: the
  /// bytes at a position are the same.
  @Test(arguments: [0, 100, UInt128(1) << 64 - 700] as [UInt128])
  func expectationsChangeNoBytes(start: UInt128) {
    let key = SecureKey()
    let lengths: [UInt128] = [1, 40, 300, 700, 4096, 9000]
    var expecting = KeyStream(key, domain: .noise)
    var reading = KeyStream(key, domain: .noise)
    for all in lengths {
      for count in lengths where count <= all {
        for skipped in Set([0, (all - count) / 2, all - count]) {
          let part = start + skipped..<start + skipped + count
          expecting.expect(part, of: start..<start + all)
          for block in stride(from: part.lowerBound, to: part.upperBound, by: 61) {
            let (expected, read) = (expecting.words(at: block), reading.words(at: block))
            #expect(expected == read, "\(count) of \(all) at \(block)")
          }
          // Nobody is held to what was said.
          #expect(
            expecting.words(at: part.upperBound + 5) == reading.words(at: part.upperBound + 5))
        }
      }
    }
  }

  /// A part of 4 KiB or more, of a stretch of which as much is left out, is lent whole by one call, and
  /// nothing behind it.
  @Test func longPartsAreMadeAlone() {
    var stream = KeyStream(SecureKey(), domain: .sampling)
    stream.expect(1000..<2000, of: 0..<3000)
    var bytes = 0
    #expect(
      stream.withRecords(at: 1000, ofBlocks: 1, atMost: 5000) { bytes = $0.byteCount } == 1000)
    #expect(bytes == 16_000)
    // Ranks that read different short parts of one stretch have the same window.
    stream.expect(90..<100, of: 10..<100)
    #expect(stream.withRecords(at: 10, ofBlocks: 1, atMost: 5000) { _ in } == 4096)
    #expect(stream.withRecords(at: 90, ofBlocks: 1, atMost: 5000) { _ in } == 4016)
  }

  @Test func keysAndDomainsGiveDifferentStreams() {
    var first = Set<UInt64>()
    let keys: [any RunKey] = [
      SecureKey(), SecureKey(), InsecureKey(seed: 1), InsecureKey(seed: 2),
    ]
    for key in keys {
      for domain in RandomnessDomain.allCases { first.insert(firstWord(key, domain)) }
    }
    #expect(first.count == keys.count * RandomnessDomain.allCases.count)
    #expect(firstWord(InsecureKey(seed: 7), .noise) == firstWord(InsecureKey(seed: 7), .noise))
    #expect(SecureKey().isSecret && !InsecureKey(seed: 0).isSecret)
  }

  @Test func theGeneratorReadsTheStreamInOrder() {
    let key = SecureKey()
    var generator = StreamGenerator(key, domain: .initialisation)
    var stream = KeyStream(key, domain: .initialisation)
    for block in 0..<5000 as Range<UInt128> {
      let words = stream.words(at: block)
      #expect(generator.next() == words.0)
      #expect(generator.next() == words.1)
    }
  }

  private func firstWord(_ key: some RunKey, _ domain: RandomnessDomain) -> UInt64 {
    var stream = KeyStream(key, domain: domain)
    return stream.words(at: 0).0
  }

  private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8).map { $0 <= 57 ? $0 - 48 : $0 - 87 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private func littleEndian(_ word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) }
  }
}
