import ArgumentParser
import DPCollectives
import DPFiles
import FastDP
import Foundation

/// The program `fastdp`.
@main
struct FastDPCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fastdp",
    abstract: "Train models on sensitive tables with differential privacy.",
    discussion: """
      From a raw table to a private model:

        fastdp schema people.csv --label employed --out people.yaml
        fastdp prepare people.csv --schema people.yaml --out people.safetensors
        fastdp train people.safetensors --out run --epsilon 1
        fastdp evaluate run people.safetensors
        fastdp predict run new.csv --out predictions.csv

      'fastdp demo' does all of it on a synthetic census of 1,224,000 rows.
      'fastdp SUBCOMMAND --help' has every option, with examples.

      Exit status: 0 done; 64 usage; 65 bad input data; 66 input missing; 69 a peer is \
      unavailable; 70 internal fault; 73 cannot create output; 74 I/O error; 77 privacy budget \
      refused; 130 interrupted.
      """,
    version: Version.current,
    subcommands: [
      DemoCommand.self, SchemaCommand.self, InspectCommand.self, PrepareCommand.self,
      TrainCommand.self,
      EvaluateCommand.self, PredictCommand.self, PrivacyCommand.self, LedgerCommand.self,
      LaunchCommand.self, BenchCommand.self, SimulateCommand.self,
    ])

  static func main() {
    ProcessControl.disableCoreDumps()
    RankLauncher.followLauncher(ProcessInfo.processInfo.environment)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      end(with: error)
    }
  }

  /// Says in one line what went wrong, and ends with the status that tells its kind.
  private static func end(with error: any Error) -> Never {
    let status = ExitStatus(of: error)
    switch status {
    case .help: exit(withError: error)
    case .status(let code, let line):
      if let line { Console.error(line) }
      ProcessControl.exit(code)
    }
  }
}
