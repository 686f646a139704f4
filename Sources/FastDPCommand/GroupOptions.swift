import ArgumentParser
import DPCollectives
import FastDP
import Foundation

/// How this process finds the other ranks of its group.
///
/// A launcher says it by environment variables; options say it by hand, and come before them.
struct GroupOptions: ParsableArguments {
  @Option(help: "This process's rank, from 0, where no launcher says it.")
  var rank: Int?

  @Option(help: "How many ranks there are, where no launcher says it.")
  var ranks: Int?

  @Option(help: "HOST:PORT at which rank 0 listens, where no launcher says it.")
  var master: String?

  @Option(
    name: .customLong("secret-file"),
    help: "The secret that ranks know each other by ('fastdp launch secret' makes one).")
  var secretFile: String?

  @Option(help: "Rank 0's address that other hosts reach. (default: the loopback interface)")
  var bind: String?

  @Option(help: "How ranks exchange vectors: auto, shm, tcp. (default: auto)")
  var transport: GroupTransport?

  @Option(help: "How long a rank waits for another: 30s, 5m. (default: 30s)")
  var timeout: Seconds?

  @Flag(
    name: .customLong("accept-unencrypted-traffic"),
    help: "UNSAFE: let sums without noise travel between hosts in clear; the statement says so.")
  var acceptsUnencryptedTraffic = false

  /// This process's place; nil where it is alone.
  func environment(
    _ variables: [String: String] = ProcessInfo.processInfo.environment
  ) throws -> LaunchEnvironment? {
    guard rank != nil || ranks != nil || master != nil else {
      let place = try LaunchEnvironment.detect(withSecret(variables))
      guard place != nil || (secretFile == nil && bind == nil) else {
        throw CommandError.usage(
          "--secret-file and --bind are for ranks, and nobody says which rank this is; add --rank, "
            + "--ranks and --master, or leave them out")
      }
      return place
    }
    guard let rank, let ranks, let master else {
      let missing = [
        rank == nil ? "--rank" : nil, ranks == nil ? "--ranks" : nil,
        master == nil ? "--master" : nil,
      ].compactMap(\.self)
      throw CommandError.usage(
        "\(missing.joined(separator: " and ")) \(missing.count > 1 ? "are" : "is") missing: --rank, --ranks "
          + "and --master go together; 'fastdp launch --ranks N' starts ranks on one host by itself"
      )
    }
    return try LaunchEnvironment(
      rank: rank, ranks: ranks, master: master, secretFile: secretFile, variables: variables)
  }

  private func withSecret(_ variables: [String: String]) -> [String: String] {
    guard let secretFile else { return variables }
    return variables.merging(["FASTDP_SECRET_FILE": secretFile]) { $1 }
  }

  /// How long to wait for another rank.
  var patience: Duration { timeout?.duration ?? .seconds(30) }

  /// Finds the other ranks.
  ///
  /// Where the group fails later and this process is stuck elsewhere, it is ended.
  ///
  /// - Parameters:
  ///   - place: This process's.
  ///   - vectorBytes: Bytes of vectors that have room in shared memory.
  /// - Returns: The group.
  /// - Throws: ``CollectiveError``.
  func join(_ place: LaunchEnvironment, vectorBytes: Int = 1 << 26) throws -> RankGroup {
    let members = try RankGroup.join(place, options: options(vectorBytes: vectorBytes))
    members.onUnheededFault(after: min(patience, .seconds(5))) {
      Console.error("\($0)")
      ProcessControl.endAtOnce(ExitStatus.unavailable)
    }
    return members
  }

  /// How to wait, and what to use.
  private func options(vectorBytes: Int) -> RendezvousOptions {
    RendezvousOptions(
      timeout: patience, transport: transport ?? .auto, bind: bind,
      acceptsUnencryptedTraffic: acceptsUnencryptedTraffic, vectorBytes: vectorBytes)
  }
}
