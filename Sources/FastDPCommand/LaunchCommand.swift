import ArgumentParser
import DPCollectives
import DPFiles
import FastDP
import Foundation

/// The subcommand `fastdp launch`.
struct LaunchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "launch",
    abstract: "Start ranks on this host that train together, or make their secret.",
    discussion: """
      Starts N processes of this program with what stands behind '--'. They find each other by \
      themselves. Rank 0's standard output is the output; everything else goes to standard error \
      behind the rank's number. When one rank fails, all end, with the status of the first; Ctrl-C \
      and SIGTERM reach all, which write a checkpoint and end with 130.

      --restarts K starts all ranks anew when one has died or lost another, at most K times: from \
      the last checkpoint, with a new secret and key. Steps that may have run stay charged.

      For ranks on several hosts, or by mpirun, srun and torchrun, see docs/launch.md. They need a \
      secret that all of them know:

        fastdp launch secret --out ranks.secret

      Examples:
        fastdp launch --ranks 4 -- train people.safetensors --out run
        fastdp launch --ranks 2 --restarts 3 -- train people.safetensors --out run --epsilon 0.5
        fastdp launch --ranks 2 -- bench allreduce --sizes 4,65536
      """,
    subcommands: [LaunchRanksCommand.self, LaunchSecretCommand.self],
    defaultSubcommand: LaunchRanksCommand.self)
}

/// `fastdp launch --ranks N -- train ...`.
struct LaunchRanksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ranks", abstract: "Start ranks on this host (what 'launch' does by itself).")

  @Option(help: "How many ranks, at most 256.")
  var ranks: Int

  @Option(help: "How often all ranks are started anew when one fails. (default: 0)")
  var restarts: Int?

  @Option(help: "How long ranks may take to end when they are told to. (default: 30s)")
  var timeout: Seconds?

  @Argument(parsing: .postTerminator, help: "The subcommand to run on every rank.")
  var command: [String] = []

  func validate() throws {
    guard (1...256).contains(ranks) else {
      throw ValidationError("ranks is \(ranks); it must be at least 1 and at most 256")
    }
    guard (0...1_000_000).contains(restarts ?? 0) else {
      throw ValidationError("restarts must be at least 0 and at most 1000000")
    }
    guard command.first.map({ !$0.hasPrefix("-") && $0 != "launch" }) == true else {
      throw ValidationError("say what to run behind '--', as in: launch --ranks 2 -- train DATA")
    }
  }

  func run() throws {
    ProcessControl.watchSignals()
    let program = Bundle.main.executablePath ?? CommandLine.arguments[0]
    var launcher = RankLauncher(
      ranks: ranks, command: [program] + command,
      environment: ProcessInfo.processInfo.environment)
    launcher.restarts = restarts ?? 0
    if let timeout { launcher.patience = timeout.duration }
    launcher.shouldStop = { ProcessControl.isStopRequested }
    launcher.onLine = { rank, line in Console.write(rank: rank, line) }
    launcher.onMessage = Console.message
    let earlier = LaunchRanksCommand.record(of: command)
    launcher.restartCommand = { [program] + LaunchRanksCommand.resuming(command, besides: earlier) }
    let status = try launcher.run()
    if status != 0 { throw ExitCode(status) }
  }

  /// The command that goes on with a run, where this job has begun one.
  ///
  /// - Parameters:
  ///   - command: What ranks were started with.
  ///   - earlier: The record of an older run in the folder, which is not to be gone on with.
  /// - Returns: The command to start ranks anew with.
  private static func resuming(_ command: [String], besides earlier: RecordMark?) -> [String] {
    guard command.first == "train", !command.contains("--resume"),
      let mark = record(of: command), mark != earlier
    else { return command }
    return command.filter { $0 != "--overwrite" } + ["--resume"]
  }

  /// What tells one record of a run from another: every run writes its own file.
  private struct RecordMark: Equatable {
    let number: Int?
    let written: Date?
  }

  private static func record(of command: [String]) -> RecordMark? {
    guard let out = folder(command),
      let facts = try? FileManager.default.attributesOfItem(atPath: RunDirectory(path: out).record)
    else { return nil }
    return RecordMark(
      number: facts[.systemFileNumber] as? Int, written: facts[.modificationDate] as? Date)
  }

  private static func folder(_ command: [String]) -> String? {
    if let place = command.lastIndex(of: "--out"), place + 1 < command.count {
      return command[place + 1]
    }
    return command.last { $0.hasPrefix("--out=") }.map { String($0.dropFirst(6)) }
  }
}

/// `fastdp launch secret --out FILE`.
struct LaunchSecretCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "secret",
    abstract: "Make the secret that ranks on several hosts know each other by.",
    discussion: """
      Writes 32 random bytes, as 64 hexadecimal digits, to a new file that only you can read. Copy \
      it to all hosts by a way that you trust, and give it to all ranks by --secret-file or \
      FASTDP_SECRET_FILE. Who has it can join the ranks and read what they exchange.
      """)

  @Option(help: "The file to make.")
  var out: String

  func run() throws {
    do {
      try GroupSecret.create(at: out)
    } catch {
      throw CommandError(status: ExitStatus.cannotCreate, message: "\(error)")
    }
  }
}
