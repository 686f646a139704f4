internal import Crypto

#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What a connection is for.
enum ConnectionRole: UInt8 {
  /// Signs of life, faults and exchanges.
  case control = 1
  /// Vectors.
  case data = 2
  /// A descriptor of shared memory.
  case memory = 3
}

/// What a rank says of itself before it is known whether it speaks the truth.
struct HandshakeClaim: Equatable {
  /// What the connection is for.
  var role: ConnectionRole
  /// How often the group was started anew.
  var generation: UInt32
  /// Ranks of the group.
  var ranks: UInt32
  /// The rank that calls.
  var from: UInt32
  /// The rank that is called.
  var to: UInt32
}

/// How two ranks prove to each other that they know the group's secret.
///
/// | | who | bytes |
/// |---|---|---|
/// | hello | caller | "fDPh", version, role, generation, ranks, from, to, 32 random bytes, a fresh X25519 key |
/// | challenge | called | "fDPc", version, status, generation, ranks, from, to, 32 random bytes, a fresh X25519 key, HMAC |
/// | proof | caller | HMAC, length, a sealed greeting |
/// | welcome | called | HMAC |
///
/// Until it is welcome a caller does not know whether it was heard: where strangers call in masses it
/// may be sent away unheard, and calls again.
///
/// Each HMAC-SHA256 is over a label and all bytes so far, under a key that HKDF derives from the
/// secret; keys of the connection are derived from the secret, the agreed X25519 key and the hash of
/// hello and challenge, one for each direction. So neither a recording nor a secret that is found
/// later opens what was said, nothing can be taken from one connection to another, and nobody who
/// does not know the secret learns more than which rank of how many listens, of which generation and
/// version. At most 4 KiB are read before.
enum Handshake {
  /// The version of these messages; their first eight bytes stay as they are in all versions.
  static let version: UInt16 = 1
  static let helloBytes = 24 + 64
  static let challengeBytes = 24 + 64 + 32
  static let proofBytes = 32 + 2
  static let welcomeBytes = 32
  /// The longest greeting, sealed.
  static let greetingLimit = 2048

  fileprivate static let callerLetters = Array("fDPh".utf8)
  fileprivate static let calledLetters = Array("fDPc".utf8)

  fileprivate static func head(
    _ letters: [UInt8], _ second: UInt8, _ claim: HandshakeClaim
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw(letters)
    writer.number(version)
    writer.number(second)
    writer.number(UInt8(0))
    for field in [claim.generation, claim.ranks, claim.from, claim.to] { writer.number(field) }
    return writer.bytes
  }

  /// Both sides' view of what was said, as far as it is needed for keys.
  fileprivate static func keys(
    _ secret: GroupSecret, _ own: Curve25519.KeyAgreement.PrivateKey, _ other: [UInt8],
    _ transcript: [UInt8], called: Bool
  ) -> HandshakeKeys? {
    guard let peer = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: other),
      let agreed = try? own.sharedSecretFromKeyAgreement(with: peer)
    else { return nil }
    var known = secret.bytes
    var fresh = unsafe agreed.withUnsafeBytes { unsafe [UInt8]($0) }
    var material = known + fresh
    let input = SymmetricKey(data: material)
    known.erase()
    fresh.erase()
    material.erase()
    let salt = Array(SHA256.hash(data: transcript))
    func pair(_ purpose: String) -> ConnectionKeys {
      func key(_ direction: String) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
          inputKeyMaterial: input, salt: salt, info: Array("fastDP 1 \(purpose) \(direction)".utf8),
          outputByteCount: 32)
      }
      let keys = ConnectionKeys(sending: key("to called"), receiving: key("to caller"))
      return called ? keys.reversed : keys
    }
    return HandshakeKeys(control: pair("control"), data: pair("data"))
  }

  fileprivate static func code(
    _ secret: GroupSecret, _ label: String, _ transcript: [UInt8]
  ) -> HMAC<SHA256>.MAC {
    HMAC<SHA256>.authenticationCode(
      for: Array(label.utf8) + transcript, using: authenticationKey(secret))
  }

  fileprivate static func isValid(
    _ code: [UInt8], _ secret: GroupSecret, _ label: String, _ transcript: [UInt8]
  ) -> Bool {
    HMAC<SHA256>.isValidAuthenticationCode(
      code, authenticating: Array(label.utf8) + transcript, using: authenticationKey(secret))
  }

  private static func authenticationKey(_ secret: GroupSecret) -> SymmetricKey {
    HKDF<SHA256>.deriveKey(
      inputKeyMaterial: secret.key, info: Array("fastDP 1 authentication".utf8),
      outputByteCount: 32)
  }
}

/// What the called one says to a caller that it has let in.
struct HandshakeWelcome {
  fileprivate let secret: GroupSecret
  fileprivate let transcript: [UInt8]

  /// What it says.
  var bytes: [UInt8] { Array(Handshake.code(secret, "fastDP 1 welcome", transcript)) }

  /// Whether bytes are what it says.
  func isValid(_ bytes: [UInt8]) -> Bool {
    Handshake.isValid(bytes, secret, "fastDP 1 welcome", transcript)
  }
}

/// The keys of a connection: one pair for records of control, one for vectors.
struct HandshakeKeys {
  let control: ConnectionKeys
  let data: ConnectionKeys
}

/// The caller's side, free of sockets and clocks.
struct CallerHandshake {
  /// The first message.
  let hello: [UInt8]
  private let claim: HandshakeClaim
  private let secret: GroupSecret
  private let key = Curve25519.KeyAgreement.PrivateKey()

  /// How a challenge was answered.
  enum Answer {
    /// The called one knows the secret: a proof for it, the connection's keys, and what it says when it
    /// has let this one in.
    case proof([UInt8], HandshakeKeys, RecordSealer, HandshakeWelcome)
    /// The called one is not who it should be.
    case refusal(CollectiveError)
  }

  init(_ claim: HandshakeClaim, _ secret: GroupSecret) {
    self.claim = claim
    self.secret = secret
    hello =
      Handshake.head(Handshake.callerLetters, claim.role.rawValue, claim)
      + GroupSecret().bytes + key.publicKey.rawRepresentation
  }

  /// Answers a challenge of ``Handshake/challengeBytes`` bytes.
  func answer(_ challenge: [UInt8], greeting: [UInt8], _ place: String) -> Answer {
    func refusal(_ why: String) -> Answer {
      .refusal(CollectiveError(.refused, why, peer: Int(claim.to)))
    }
    guard Array(challenge.prefix(4)) == Handshake.calledLetters else {
      return refusal(
        "what answers at \(place) is not fastDP: another program has the port; give all ranks "
          + "another one")
    }
    var reader = ByteReader(challenge)
    _ = reader.raw(4)
    let version = reader.number(UInt16.self) ?? 0
    guard version == Handshake.version else {
      return refusal(
        "rank \(claim.to) at \(place) speaks version \(version) of the protocol, rank "
          + "\(claim.from) version \(Handshake.version); use the same fastdp on all hosts")
    }
    let body = Array(challenge.prefix(Handshake.challengeBytes - 32))
    guard
      Handshake.isValid(
        Array(challenge.suffix(32)), secret, "fastDP 1 called", hello + body)
    else {
      return refusal(
        "rank \(claim.to) at \(place) does not have rank \(claim.from)'s secret; give all ranks "
          + "the same secret file")
    }
    _ = reader.raw(2)
    let fields = (0..<4).map { _ in reader.number(UInt32.self) ?? 0 }
    guard fields[0] == claim.generation else {
      return refusal(
        "rank \(claim.to) at \(place) is of generation \(fields[0]), rank \(claim.from) of "
          + "\(claim.generation); start all ranks anew")
    }
    // Of other numbers of ranks the called one hears by the proof, and tells all.
    guard fields[1] == claim.ranks || claim.role == .control, fields[2] == claim.to else {
      return refusal(
        "rank \(fields[2]) of \(fields[1]) answers at \(place), where rank \(claim.from) of "
          + "\(claim.ranks) looks for rank \(claim.to); start all ranks with the same number of "
          + "ranks and the same address of rank 0")
    }
    return proof(challenge, greeting) ?? refusal("rank \(claim.to) at \(place) sent a broken key")
  }

  private func proof(_ challenge: [UInt8], _ greeting: [UInt8]) -> Answer? {
    let other = Array(challenge[56..<88])
    guard
      let keys = Handshake.keys(secret, key, other, hello + challenge, called: false)
    else { return nil }
    var sealer = RecordSealer(keys.control.sending)
    guard let box = try? sealer.seal(greeting) else { return nil }
    let sealed = [UInt8](box.ciphertext + box.tag)
    var writer = ByteWriter()
    writer.raw(Array(Handshake.code(secret, "fastDP 1 caller", hello + challenge + sealed)))
    writer.number(UInt16(sealed.count))
    writer.raw(sealed)
    let welcome = HandshakeWelcome(
      secret: secret, transcript: hello + challenge + writer.bytes)
    return .proof(writer.bytes, keys, sealer, welcome)
  }
}

/// The called one's side, free of sockets and clocks.
struct CalledHandshake {
  private let own: HandshakeClaim
  private let secret: GroupSecret
  private let key = Curve25519.KeyAgreement.PrivateKey()
  private var incoming: [UInt8] = []
  private var hello: [UInt8] = []
  private var challenge: [UInt8] = []
  private(set) var claim: HandshakeClaim?

  /// Where the handshake is.
  enum Progress {
    /// More bytes are to come.
    case waiting
    /// These bytes are to be sent, and then more are to come.
    case send([UInt8])
    /// The caller knows the secret, and is to be welcomed.
    case done(HandshakeClaim, greeting: [UInt8], HandshakeKeys, RecordOpener, HandshakeWelcome)
    /// The caller does not get in; what to send before the end, and why, for people.
    case refused([UInt8], String)
  }

  /// Waits for a caller.
  ///
  /// - Parameters:
  ///   - rank: The rank that is called.
  ///   - ranks: Ranks of its group.
  ///   - generation: Its group's.
  ///   - secret: Its group's.
  init(rank: Int, ranks: Int, generation: UInt32, secret: GroupSecret) {
    own = HandshakeClaim(
      role: .control, generation: generation, ranks: UInt32(ranks), from: UInt32(rank), to: 0)
    self.secret = secret
  }

  /// How many bytes may be read next, so that nothing is read that belongs to what follows.
  var wanted: Int {
    if hello.isEmpty { return Handshake.helloBytes - incoming.count }
    guard incoming.count >= Handshake.proofBytes else {
      return Handshake.proofBytes - incoming.count
    }
    return Handshake.proofBytes + greetingCount - incoming.count
  }

  private var greetingCount: Int { Int(incoming[32]) | Int(incoming[33]) << 8 }

  /// Takes bytes that came, at most ``wanted`` of them.
  mutating func take(_ bytes: some Sequence<UInt8>) -> Progress {
    incoming += bytes
    return hello.isEmpty ? takeHello() : takeProof()
  }

  private mutating func takeHello() -> Progress {
    let letters = Handshake.callerLetters
    guard incoming.prefix(4).elementsEqual(letters.prefix(incoming.count)) else {
      return .refused([], "it does not speak fastDP's protocol")
    }
    if incoming.count >= 6 {
      let version = UInt16(incoming[4]) | UInt16(incoming[5]) << 8
      guard version == Handshake.version else {
        let answer = Handshake.head(Handshake.calledLetters, 1, own)
        let padding = Array(
          repeating: UInt8(0), count: Handshake.challengeBytes - answer.count)
        return .refused(
          answer + padding,
          "it speaks version \(version) of the protocol, this rank version \(Handshake.version); "
            + "use the same fastdp on all hosts")
      }
    }
    guard incoming.count == Handshake.helloBytes else { return .waiting }
    guard let claim = readClaim() else { return .refused([], "its first message is malformed") }
    self.claim = claim
    hello = incoming
    incoming = []
    var answer = own
    answer.to = claim.from
    let body =
      Handshake.head(Handshake.calledLetters, 0, answer) + GroupSecret().bytes
      + key.publicKey.rawRepresentation
    challenge = body + Array(Handshake.code(secret, "fastDP 1 called", hello + body))
    return .send(challenge)
  }

  private func readClaim() -> HandshakeClaim? {
    var reader = ByteReader(incoming)
    _ = reader.raw(6)
    guard let role = reader.number(UInt8.self).flatMap(ConnectionRole.init), reader.raw(1) == [0],
      let generation = reader.number(UInt32.self), let ranks = reader.number(UInt32.self),
      let from = reader.number(UInt32.self), let to = reader.number(UInt32.self)
    else { return nil }
    return HandshakeClaim(role: role, generation: generation, ranks: ranks, from: from, to: to)
  }

  private mutating func takeProof() -> Progress {
    guard incoming.count >= Handshake.proofBytes else { return .waiting }
    guard greetingCount <= Handshake.greetingLimit, greetingCount >= RecordSealer.overhead else {
      return .refused([], "its proof is malformed")
    }
    let end = Handshake.proofBytes + greetingCount
    guard incoming.count == end, let claim else { return .waiting }
    let sealed = Array(incoming[Handshake.proofBytes..<end])
    guard
      Handshake.isValid(
        Array(incoming.prefix(32)), secret, "fastDP 1 caller", hello + challenge + sealed)
    else {
      return .refused([], "it calls itself rank \(claim.from) and does not know the secret")
    }
    guard
      let keys = Handshake.keys(
        secret, key, Array(hello[56..<88]), hello + challenge, called: true)
    else { return .refused([], "its key is broken") }
    var opener = RecordOpener(keys.control.receiving)
    guard let greeting = opener.open(sealed) else {
      return .refused([], "its greeting is not sealed as agreed")
    }
    let welcome = HandshakeWelcome(secret: secret, transcript: hello + challenge + incoming)
    return .done(claim, greeting: [UInt8](greeting), keys, opener, welcome)
  }
}
