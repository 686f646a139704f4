internal import DPFiles
internal import DPKernels
public import DPModels
internal import Foundation

/// What a run came to.
public struct TrainingOutcome: Sendable {
  /// The plan that was run.
  public let plan: TrainingPlan
  /// What it guarantees.
  public let statement: Statement
  /// Whether it ended before its last step, and can be resumed.
  public let interrupted: Bool
  /// The steps whose results are in the model.
  public let stepsTaken: Int
  /// Rows of the training split that hold an example: an exact fact about the data.
  public let trainExamples: Int
  /// How well the model does on the test split: exact facts; nil for an interrupted run.
  public let evaluation: Evaluation?
  /// Seconds of training in this process.
  public let seconds: Double
  /// Examples drawn in this process, or on all ranks in these processes.
  public let examplesDrawn: Int
  /// What each rank did; none where one process was alone.
  public let ranks: [RankReport]

  /// Examples drawn per second of training.
  public var examplesPerSecond: Double { seconds > 0 ? Double(examplesDrawn) / seconds : 0 }
}

/// The operator's record of a run, `run.json`.
struct RunRecord: Codable {
  /// What the computer was.
  struct Environment: Codable {
    var operatingSystem = ProcessInfo.processInfo.operatingSystemVersionString
    var processors = ProcessInfo.processInfo.activeProcessorCount
    var architecture = RunRecord.architecture
    var instructionSet = TileKernels.fastest().name
  }

  /// Exact facts about the data: not private, and not to be released.
  struct Exact: Codable {
    var note = exactFactsNote
    /// A hash of the encoded rows: another table cannot take their place by mistake.
    var contentHash: String
    var trainSeconds: Double?
    var examplesPerSecond: Double?
    var trainExamples: Int?
    var testExamples: Int?
    var testAccuracy: Double?
    var testLoss: Double?
    var testAuc: Double?
    var testRmse: Double?
  }

  var fastdpVersion = Version.current
  /// "running", "interrupted" or "complete".
  var status: String
  var plan: TrainingPlan
  var planDigest: String
  var started: String
  var ended: String?
  /// How many processes have worked on the run.
  var processes: Int
  var chargedSteps: Int?
  /// The last entry that the run has seen of the ledger it is charged to; nil without a ledger.
  var ledgerHead: String?
  var stepsTaken: Int?
  var environment = Environment()
  /// Who took part, where there were several; of the last processes.
  var ranks: RanksRecord?
  /// Whether sums without noise ever crossed a network in clear.
  var isExposed: Bool?
  var exact: Exact

  private static var architecture: String {
    #if arch(x86_64)
    "x86_64"
    #elseif arch(arm64)
    "arm64"
    #else
    "other"
    #endif
  }

  /// The record as indented JSON.
  func text() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
  }

  /// Reads a run's record.
  ///
  /// - Parameter directory: The run's folder.
  /// - Throws: ``TrainingError`` when there is none or it is damaged.
  init(of directory: RunDirectory) throws {
    guard let data = FileManager.default.contents(atPath: directory.record) else {
      throw TrainingError(
        .notARun, "\(directory.path): holds no run; start one without --resume")
    }
    do {
      self = try JSONDecoder().decode(RunRecord.self, from: data)
    } catch {
      throw TrainingError(
        .notARun, "\(directory.record): is damaged; start a new run in another folder")
    }
  }

  init(plan: TrainingPlan, planDigest: String, contentHash: String) {
    status = "running"
    self.plan = plan
    self.planDigest = planDigest
    exact = Exact(contentHash: contentHash)
    started = Date().ISO8601Format()
    processes = 1
  }
}
