internal import Crypto
internal import Foundation

/// The 256-bit secret from which all randomness of one run, up to its next restart, is derived.
///
/// A key lives in memory only: it is never written, printed or put into a checkpoint, and its bytes
/// are zeroed when the last copy goes away (numbers that were made from it are not). The two kinds are different types, so that a guarantee
/// can be tied to the secure one.
public protocol RunKey: Sendable {
  /// Whether nobody outside the run can know the key.
  var isSecret: Bool { get }

  /// The key of one stream.
  ///
  /// - Parameter domain: What the stream is for; different domains give unrelated streams.
  /// - Returns: Key material for ``KeyStream`` alone.
  func derivedKey(for domain: RandomnessDomain) -> StreamKey
}

/// What a stream of random bytes is for.
public enum RandomnessDomain: String, Sendable, CaseIterable {
  /// Which records take part in a step.
  case sampling
  /// What sampling reads when a block of records uses more than its share of `sampling`.
  case samplingOverflow
  /// The noise that is added to the clipped sum.
  case noise
  /// The discrete Gaussian noise that is added to the clipped sum.
  case discreteNoise
  /// What discrete noise reads when a coordinate uses more than its share of `discreteNoise`.
  case discreteNoiseOverflow
  /// The model's first parameters.
  case initialisation
}

/// The key of one stream of one run.
public struct StreamKey: Sendable {
  let symmetric: SymmetricKey

  /// Derives a stream's key by HKDF-SHA-256, with the domain as context.
  init(from secret: SymmetricKey, domain: RandomnessDomain) {
    symmetric = HKDF<SHA256>.deriveKey(
      inputKeyMaterial: secret, info: Data("fastdp.stream.1.\(domain.rawValue)".utf8),
      outputByteCount: 32)
  }
}

/// A key drawn from the operating system's secure generator.
public struct SecureKey: RunKey {
  private let secret: SymmetricKey

  /// Draws a fresh key.
  public init() {
    secret = SymmetricKey(size: .bits256)
  }

  /// The key that another rank of the run drew.
  ///
  /// - Parameter bytes: 32 bytes, which the caller clears.
  package init(_ bytes: [UInt8]) {
    precondition(bytes.count == 32, "a key of \(bytes.count) bytes")
    secret = SymmetricKey(data: bytes)
  }

  /// The key's bytes, to be sent to ranks of the run, encrypted, and cleared.
  package var bytes: [UInt8] { unsafe secret.withUnsafeBytes { unsafe Array($0) } }

  /// True.
  public var isSecret: Bool { true }

  /// The key of one stream.
  ///
  /// - Parameter domain: What the stream is for.
  /// - Returns: Key material for ``KeyStream``.
  public func derivedKey(for domain: RandomnessDomain) -> StreamKey {
    StreamKey(from: secret, domain: domain)
  }
}

/// A key made from a number that anyone can guess: for tests and benchmarks.
///
/// Whoever knows the seed can subtract the noise, so a run with such a key has no guarantee.
public struct InsecureKey: RunKey {
  private let secret: SymmetricKey

  /// Makes the key of a seed.
  ///
  /// - Parameter seed: Any number; equal seeds give equal streams.
  public init(seed: UInt64) {
    let text = Data("fastdp.insecure-seed.1.\(seed)".utf8)
    secret = SymmetricKey(data: SHA256.hash(data: text))
  }

  /// False.
  public var isSecret: Bool { false }

  /// The key of one stream.
  ///
  /// - Parameter domain: What the stream is for.
  /// - Returns: Key material for ``KeyStream``.
  public func derivedKey(for domain: RandomnessDomain) -> StreamKey {
    StreamKey(from: secret, domain: domain)
  }
}
