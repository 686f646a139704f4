/// How ranks find each other and what they use.
public struct RendezvousOptions: Sendable {
  /// How long to wait for the other ranks, and how long any later wait may take.
  public var timeout: Duration
  /// How vectors travel.
  public var transport: GroupTransport
  /// The address of rank 0's host at which it listens; nil for the loopback interface alone.
  public var bind: String?
  /// Whether vectors may travel in clear on a network: sums without noise can be read there.
  public var acceptsUnencryptedTraffic: Bool
  /// Bytes of shared memory that each rank may reserve for vectors; the largest of all ranks counts.
  public var vectorBytes: Int
  /// What this rank says of its host in the place of the truth: for tests.
  package var hostKey: String?

  /// Options.
  ///
  /// - Parameters:
  ///   - timeout: How long to wait for the other ranks, and how long any later wait may take.
  ///   - transport: How vectors travel.
  ///   - bind: The address of rank 0's host at which it listens; nil for the loopback interface.
  ///   - acceptsUnencryptedTraffic: Whether vectors may travel in clear on a network.
  ///   - vectorBytes: Bytes of shared memory that each rank may reserve for vectors.
  public init(
    timeout: Duration = .seconds(30), transport: GroupTransport = .auto, bind: String? = nil,
    acceptsUnencryptedTraffic: Bool = false, vectorBytes: Int = 1 << 26
  ) {
    self.timeout = timeout
    self.transport = transport
    self.bind = bind
    self.acceptsUnencryptedTraffic = acceptsUnencryptedTraffic
    self.vectorBytes = vectorBytes
  }
}
