public import DPCollectives
internal import DPFiles
internal import DPKernels
internal import DPMechanisms
internal import Foundation

/// The ranks that train together, as a trainer needs them.
///
/// Rank 0 leads: it has the run's folder, its charges and its key. The others follow, and hold rows.
public final class TrainingRanks {
  /// This rank.
  public var rank: Int { communicator.rank }
  /// How many there are.
  public var count: Int { communicator.ranks }
  /// Whether this rank has the run's folder.
  public var leads: Bool { rank == 0 }
  /// The hosts of the ranks.
  public let hosts: [String]
  /// How ranks are linked, for the record: "shm", "tcp".
  public let transport: String
  /// How traffic between ranks is protected, for the record.
  public let protection: String
  /// Whether sums without noise may be read on a network between ranks.
  public let isExposed: Bool

  package let communicator: Communicator
  /// Which algorithm sums vectors of which length, for the record.
  var algorithms: String {
    communicator.isOverMPI ? "Open MPI's" : communicator.algorithms.description
  }
  private let exchange: ([UInt8]) throws(CollectiveError) -> [[UInt8]]
  private let secrets: (inout [UInt8]) throws(CollectiveError) -> Void
  private let abortion: (String) -> Void

  /// Ranks that nobody else can listen to: threads of a process, or processes that one has started.
  package init(_ communicator: Communicator, transport: String = "memory") {
    self.communicator = communicator
    self.transport = transport
    hosts = communicator.hosts.map { "host \($0)" }
    protection = "none needed: one host"
    isExposed = false
    exchange = { bytes throws(CollectiveError) in
      try TrainingRanks.gather(bytes, over: communicator)
    }
    secrets = { key throws(CollectiveError) in
      var words = key.map { Int32($0) }
      var span = words.mutableSpan
      try communicator.broadcast(&span, from: 0)
      for index in key.indices { key[index] = UInt8(truncatingIfNeeded: words[index]) }
      for index in words.indices { words[index] = 0 }
    }
    abortion = { _ in }
  }

  /// Ranks that have found each other.
  ///
  /// - Parameters:
  ///   - group: The group; its owner closes it.
  ///   - sums: The same ranks by another way, which vectors are summed on; nil for the group's own.
  public init(_ group: RankGroup, sumsBy sums: Communicator? = nil) {
    communicator = sums ?? group.communicator
    hosts = group.hosts
    transport = communicator.isOverMPI ? "mpi" : group.links.rawValue
    protection = group.trafficProtection.rawValue
    isExposed = group.trafficProtection == .unencrypted
    exchange = { bytes throws(CollectiveError) in try group.gather(bytes) }
    secrets = { secret throws(CollectiveError) in try group.broadcastSecret(&secret) }
    abortion = { group.abort($0) }
  }

  /// A rank's name for people: "rank 2 (host)".
  ///
  /// - Parameter rank: Any of the ranks.
  /// - Returns: Its number and host.
  public func name(of rank: Int) -> String { "rank \(rank) (\(hosts[rank]))" }

  /// Tells the other ranks, as far as possible, that this one has to end.
  func abort(_ reason: String) { abortion(reason) }

  // MARK: What ranks tell each other

  /// Every rank's bytes, on every rank.
  func gather(_ bytes: [UInt8]) throws(CollectiveError) -> [[UInt8]] { try exchange(bytes) }

  private static func gather(
    _ bytes: [UInt8], over communicator: Communicator
  ) throws(CollectiveError) -> [[UInt8]] {
    let rank = communicator.rank
    var lengths = [Int64](repeating: 0, count: communicator.ranks)
    lengths[rank] = Int64(bytes.count)
    var span = lengths.mutableSpan
    try communicator.allGather(&span)
    var all: [[UInt8]] = []
    for (sender, length) in lengths.enumerated() {
      var words = [Int32](repeating: 0, count: Int(length))
      if sender == rank { words = bytes.map { Int32($0) } }
      var span = words.mutableSpan
      try communicator.broadcast(&span, from: sender)
      all.append(words.map { UInt8(truncatingIfNeeded: $0) })
    }
    return all
  }

  /// Every rank's value, on every rank.
  func gather<Value: Codable>(_ value: Value) throws -> [Value] {
    try gather([UInt8](JSONEncoder().encode(value))).map {
      try JSONDecoder().decode(Value.self, from: Data($0))
    }
  }

  /// What rank 0 has to say.
  private struct Answer<Value: Codable>: Codable {
    var value: Value?
    var failure: String?
  }

  /// Does something on rank 0 alone, whose result or failure all ranks get.
  ///
  /// - Parameter work: What rank 0 does.
  /// - Returns: Its result.
  /// - Throws: What `work` throws, on rank 0; ``CollectiveError`` that tells it on the others.
  func fromLeader<Value: Codable>(_ work: () throws -> Value) throws -> Value {
    var answer = Answer<Value>()
    var failure: (any Error)?
    if leads {
      do { answer.value = try work() } catch {
        failure = error
        answer.failure = "\(error)"
      }
    }
    let told = try gather(answer)[0]
    if let failure { throw failure }
    guard let value = told.value else {
      throw CollectiveError(
        .broken, "\(name(of: 0)) ended the run: \(told.failure ?? "for no reason it gave")",
        peer: 0)
    }
    return value
  }

  /// Gives every rank the key that rank 0 has drawn.
  func share(_ key: SecureKey) throws(CollectiveError) -> SecureKey {
    var bytes = leads ? key.bytes : [UInt8](repeating: 0, count: 32)
    defer { for index in bytes.indices { bytes[index] = 0 } }
    try secrets(&bytes)
    return SecureKey(bytes)
  }

  /// Gives every rank rank 0's parameters and optimizer state.
  func share(_ state: ModelState) throws(CollectiveError) -> ModelState {
    var steps = [Int64(state.optimizerSteps)]
    var span = steps.mutableSpan
    try communicator.broadcast(&span, from: 0)
    let parameters = try share(state.parameters)
    var remembered: [[Float]] = []
    for vector in state.optimizerState { remembered.append(try share(vector)) }
    return ModelState(
      parameters: parameters, optimizerSteps: Int(steps[0]), optimizerState: remembered)
  }

  /// Gives every rank a vector of rank 0's, of the same length on all.
  func share(_ vector: [Float]) throws(CollectiveError) -> [Float] {
    var vector = vector
    try broadcast(&vector, from: 0)
    return vector
  }

  /// Gives every rank a vector that one has, of the same length on all.
  func broadcast(_ vector: inout [Float], from root: Int) throws(CollectiveError) {
    var span = vector.mutableSpan
    try communicator.broadcast(&span, from: root)
  }

  // MARK: What ranks agree on

  /// Checks that all ranks say the same.
  ///
  /// - Parameter facts: Names and values.
  /// - Throws: ``TrainingError`` that names the rank, its host, the fact and both values.
  func agree(on facts: [String: String]) throws {
    let all = try gather(facts)
    for (rank, others) in all.enumerated() where others != all[0] {
      // What both have says most, and hashes say only that something differs.
      let names = Set(others.keys).union(all[0].keys).sorted {
        (weight($0, others, all[0]), $0) < (weight($1, others, all[0]), $1)
      }
      let fact = names.first { others[$0] != all[0][$0] }
      guard let fact else { continue }
      throw TrainingError(
        .ranksDiffer,
        "\(name(of: rank)) has \(fact) '\(others[fact] ?? "")' and \(name(of: 0)) "
          + "'\(all[0][fact] ?? "")'; start all ranks with the same program, data and options")
    }
  }

  private func weight(_ fact: String, _ one: [String: String], _ two: [String: String]) -> Int {
    (one[fact] == nil || two[fact] == nil ? 1 : 0) + (fact.hasSuffix("hash") ? 2 : 0)
  }

  /// Checks that the ranks' rows are disjoint and are all rows.
  ///
  /// - Parameter share: This rank's rows.
  /// - Throws: ``TrainingError`` that names the ranks and the remedy.
  package func check(_ share: RowShare) throws {
    let all = try gather([share.rows.lowerBound, share.rows.upperBound, share.total])
    guard let total = all.first?[2] else { return }
    for (rank, facts) in all.enumerated() where facts[2] != total {
      throw TrainingError(
        .ranksDiffer,
        "\(name(of: rank)) has a part of \(facts[2]) rows and \(name(of: 0)) one of \(total); give "
          + "all ranks shards of one table")
    }
    let held = all.enumerated().filter { $0.element[0] < $0.element[1] }
    let parts = held.sorted { ($0.element[0], $0.offset) < ($1.element[0], $1.offset) }
    var end = 0
    var last = 0
    for (rank, facts) in parts {
      guard facts[0] >= end else {
        throw TrainingError(
          .ranksDiffer,
          "\(name(of: last)) and \(name(of: rank)) both have row \(facts[0]); give every rank a shard "
            + "of its own")
      }
      guard facts[0] == end else { throw missing(end..<facts[0]) }
      (end, last) = (facts[1], rank)
    }
    guard end == total else { throw missing(end..<total) }
  }

  private func missing(_ rows: Range<Int>) -> TrainingError {
    TrainingError(
      .ranksDiffer,
      "no rank has rows \(rows.lowerBound) to \(rows.upperBound - 1); start one rank for every shard"
    )
  }

  /// Checks that all ranks have come to the same parameters and optimizer state, bit for bit.
  ///
  /// - Parameters:
  ///   - state: What this rank has come to.
  ///   - step: After which step, for the error.
  /// - Throws: ``TrainingError`` that names the rank that differs from rank 0.
  package func compare(_ state: ModelState, after step: Int) throws {
    var hashes = [Int64](repeating: 0, count: count)
    hashes[rank] = Int64(bitPattern: state.hash)
    var span = hashes.mutableSpan
    try communicator.allGather(&span)
    guard let rank = hashes.firstIndex(where: { $0 != hashes[0] }) else { return }
    throw TrainingError(
      .ranksDiverged,
      "\(name(of: rank)) has come to other parameters than \(name(of: 0)) after step \(step); do not "
        + "use the model, and see whether the memory of either host is faulty")
  }
}

extension ModelState {
  /// A hash of all bits.
  fileprivate var hash: UInt64 {
    ([parameters] + optimizerState).reduce(UInt64(optimizerSteps)) { seed, vector in
      // SAFETY: the array lives through the call.
      unsafe vector.withUnsafeBytes { unsafe XXH64.hash($0, seed: seed) }
    }
  }
}

/// What one rank did in a run, for the operator.
public struct RankReport: Sendable, Codable {
  /// The rank.
  public var rank: Int
  /// Its host.
  public var host: String
  /// The first row it drew from, and the one after its last.
  public var rows: [Int]
  /// Its threads.
  public var threads: Int
  /// The instruction set that it used.
  public var instructionSet: String
  /// Microseconds of its own work in an average step.
  public var computeMicroseconds: Double
  /// Microseconds of an average step that it waited for the last rank.
  public var waitMicroseconds: Double
  /// Microseconds of an average step that the sum itself took.
  public var transferMicroseconds: Double
}

/// What a run's record says of the ranks that carried it out.
struct RanksRecord: Codable {
  var transport: String
  var trafficProtection: String
  /// Which algorithm summed vectors of which length.
  var algorithms: String
  var ranks: [RankReport]
}
