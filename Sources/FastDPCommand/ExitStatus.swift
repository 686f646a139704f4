import ArgumentParser
import DPCollectives
import DPLedger
import DPSpark
import FastDP

/// What the program ends with: statuses of sysexits.h, and 130 for an interrupt.
enum ExitStatus {
  /// A status, and the one line that goes with it.
  case status(Int32, String?)
  /// Help or the version was asked for.
  case help

  static let usage: Int32 = 64
  static let badData: Int32 = 65
  static let missingInput: Int32 = 66
  static let unavailable: Int32 = 69
  static let internalFault: Int32 = 70
  static let cannotCreate: Int32 = 73
  static let inputOutput: Int32 = 74
  static let refused: Int32 = 77
  static let interrupted: Int32 = 130

  /// The status of an error.
  init(of error: any Error) {
    switch error {
    case let error as CommandError: self = .status(error.status, error.message)
    case let error as DataError:
      self = .status(
        error.code == .invalidOption ? ExitStatus.usage : ExitStatus.badData, "\(error)")
    case let error as FileError: self = .status(ExitStatus.code(of: error), "\(error)")
    case let error as PrivacyError:
      self = .status(
        error.code == .budgetExceeded ? ExitStatus.refused : ExitStatus.usage, "\(error)")
    case let error as TrainingError: self = .status(ExitStatus.code(of: error), "\(error)")
    case let error as ModelError:
      self = .status(
        error.code == .malformedFile ? ExitStatus.badData : ExitStatus.usage, "\(error)")
    case let error as CollectiveError: self = .status(ExitStatus.code(of: error), "\(error)")
    case let error as LedgerError: self = .status(ExitStatus.code(of: error), "\(error)")
    case let error as SparkError: self = .status(error.status, error.message)
    default: self = ExitStatus.ofParser(error)
    }
  }

  private static func code(of error: FileError) -> Int32 {
    switch error.code {
    case .missing, .cannotRead: missingInput
    case .cannotCreate, .alreadyExists: cannotCreate
    case .inputOutput: inputOutput
    default: badData
    }
  }

  private static func code(of error: CollectiveError) -> Int32 {
    switch error.code {
    case .invalidOption: usage
    case .system: inputOutput
    default: unavailable
    }
  }

  private static func code(of error: LedgerError) -> Int32 {
    switch error.code {
    case .missing: missingInput
    case .alreadyExists, .cannotCreate: cannotCreate
    case .inputOutput: inputOutput
    case .unknownName, .invalidRequest: usage
    default: badData
    }
  }

  private static func code(of error: TrainingError) -> Int32 {
    switch error.code {
    case .runExists, .runInUse: cannotCreate
    case .notARun: missingInput
    case .otherSchema: badData
    case .ranksDiverged: internalFault
    default: usage
    }
  }

  private static func ofParser(_ error: any Error) -> ExitStatus {
    let code = FastDPCommand.exitCode(for: error).rawValue
    if code == 0 { return .help }
    if let code = error as? ExitCode { return .status(code.rawValue, nil) }
    guard code == usage else {
      return .status(
        internalFault, "an internal fault: \(error); please report it with the command line")
    }
    let message = FastDPCommand.message(for: error).split(separator: "\n").first ?? "wrong usage"
    let command = CommandLine.arguments.dropFirst().prefix { !$0.hasPrefix("-") }.first
    let names = FastDPCommand.configuration.subcommands.compactMap { $0.configuration.commandName }
    let place = command.flatMap { names.contains($0) ? " \($0)" : nil } ?? ""
    return .status(usage, "\(message); see 'fastdp\(place) --help'")
  }
}

/// A request that the command itself cannot answer.
struct CommandError: Error {
  /// The status to end with.
  let status: Int32
  /// What, where, and what to do, in one line.
  let message: String

  /// A command line that makes no sense.
  static func usage(_ message: String) -> CommandError {
    CommandError(status: ExitStatus.usage, message: message)
  }
}
