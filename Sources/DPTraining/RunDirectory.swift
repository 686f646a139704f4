internal import DPFiles
internal import Foundation

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// The folder of one run, readable by its owner only.
///
/// | file | for whom |
/// |---|---|
/// | `model.safetensors` | may leave the house |
/// | `statement.json`, `statement.txt` | may leave the house |
/// | `run.json`, `metrics.jsonl` | the operator: they hold exact facts about the data |
/// | `charges` | the steps that are paid for, written before they are taken |
/// | `checkpoints/` | where an interrupted run goes on from; no keys |
public struct RunDirectory: Hashable, Sendable {
  /// The folder.
  public let path: String

  /// The trained model.
  public var model: String { path + "/model.safetensors" }
  /// The guarantee, for programs.
  public var statement: String { path + "/statement.json" }
  /// The guarantee, for people.
  public var statementText: String { path + "/statement.txt" }
  /// The operator's record.
  public var record: String { path + "/run.json" }
  /// The operator's measurements, one line for each interval.
  public var metrics: String { path + "/metrics.jsonl" }
  /// The write-ahead record of steps.
  public var charges: String { path + "/charges" }
  /// The folder of checkpoints.
  public var checkpoints: String { path + "/checkpoints" }

  private static let names: Set<String> = [
    "model.safetensors", "statement.json", "statement.txt", "run.json", "metrics.jsonl", "charges",
    "checkpoints",
  ]

  /// Names the folder of a run, which need not exist.
  ///
  /// - Parameter path: The folder.
  public init(path: String) {
    self.path = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  }

  /// Checks that a new run may use the folder, and changes nothing.
  ///
  /// - Parameter overwrite: Whether an older run may be replaced.
  /// - Throws: ``TrainingError`` when the folder holds something already, ``FileError`` when it
  ///   cannot be looked into.
  public func checkFree(overwrite: Bool) throws {
    var isFolder: ObjCBool = false
    let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    guard exists else { return }
    guard isFolder.boolValue else {
      throw TrainingError(.runExists, "\(path): is a file; name a folder for the run")
    }
    let contents = try contents()
    guard !contents.isEmpty else { return }
    let foreign =
      contents.filter { !RunDirectory.isOwn($0) }
      + filesAmongCheckpoints().filter { !RunDirectory.isCheckpoint($0) }
    guard foreign.isEmpty else {
      throw TrainingError(
        .runExists,
        "\(path): holds \(foreign.count) file(s) that are no part of a run, which --overwrite does "
          + "not touch; name another folder")
    }
    guard overwrite else {
      throw TrainingError(
        .runExists,
        "\(path): holds a run already; --resume goes on with it, --overwrite replaces it")
    }
  }

  /// Whether a name is that of a run's file, or of one that a crash kept from getting its name.
  private static func isOwn(_ name: String) -> Bool {
    names.contains(name)
      || name.hasSuffix(".partial") && names.contains { name.hasPrefix(".\($0).") }
  }

  private static func isCheckpoint(_ name: String) -> Bool {
    name.hasPrefix("step-") && name.hasSuffix(".safetensors")
      || name.hasPrefix(".step-") && name.hasSuffix(".partial")
  }

  private func filesAmongCheckpoints() -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: checkpoints)) ?? []
  }

  private func contents() throws -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw FileError(.cannotRead, "\(path): cannot be listed; ask its owner")
    }
  }

  /// Makes the folder, or empties it of an older run, and locks it.
  ///
  /// - Parameter overwrite: Whether an older run may be replaced.
  /// - Returns: The lock, and whether the folder is new.
  /// - Throws: As ``checkFree(overwrite:)`` and ``lock()``; ``FileError`` when the folder cannot be
  ///   made or emptied.
  func create(overwrite: Bool) throws -> (lock: FolderLock, isNew: Bool) {
    let isNew = unsafe mkdir(path, 0o700) == 0
    guard isNew || errno == EEXIST else {
      throw FileError(
        .cannotCreate, "\(path): the folder cannot be made; its parent must exist and be writable")
    }
    try checkFree(overwrite: overwrite)
    let lock = try lock()
    // Looked at again: nobody else can change it now.
    try checkFree(overwrite: overwrite)
    guard unsafe access(path, W_OK | X_OK) == 0 else {
      throw FileError(.cannotCreate, "\(path): may not be written to; choose another folder")
    }
    try removeOwnFiles()
    _ = unsafe chmod(path, 0o700)
    return (lock, isNew)
  }

  /// Keeps other processes from training into the folder.
  ///
  /// - Returns: What holds the lock.
  /// - Throws: ``TrainingError`` when another process has it, or there is no such folder.
  func lock() throws -> FolderLock {
    let lock: FolderLock?
    do {
      lock = try FolderLock(path: path)
    } catch {
      throw TrainingError(.notARun, "\(path): holds no run; start one without --resume")
    }
    guard let lock else {
      throw TrainingError(
        .runInUse, "\(path): another process is training into this folder; wait until it ends")
    }
    return lock
  }

  private func removeOwnFiles() throws {
    for name in try contents() where RunDirectory.isOwn(name) {
      do {
        try FileManager.default.removeItem(atPath: "\(path)/\(name)")
      } catch {
        throw FileError(.cannotCreate, "\(path)/\(name): cannot be removed; name another folder")
      }
    }
  }

  /// Whether steps may have been taken in the folder: anything is there that a step needs or leaves.
  var hasSteps: Bool {
    [charges, metrics, checkpoints, model].contains {
      FileManager.default.fileExists(atPath: $0)
    }
  }

  /// Removes a run that never took a step.
  ///
  /// - Parameter isNew: Whether the folder was made for it.
  func removeUnstarted(isNew: Bool) {
    try? removeOwnFiles()
    if isNew { _ = unsafe rmdir(path) }
  }

  /// Replaces a text file of the run, whole or not at all.
  func write(_ text: String, to path: String) throws {
    var file = try AtomicFile(path: path, overwrite: true)
    try file.write(text)
    try file.commit()
  }

  /// Writes a checkpoint and removes those before it.
  func write(_ checkpoint: Checkpoint) throws {
    if unsafe mkdir(checkpoints, 0o700) != 0, errno != EEXIST {
      throw FileError(.inputOutput, "\(checkpoints): the folder cannot be made; free some space")
    }
    let older = checkpointNames()
    let name = "step-\(checkpoint.steps).safetensors"
    try checkpoint.write(to: "\(checkpoints)/\(name)")
    for file in older where file != name {
      try? FileManager.default.removeItem(atPath: "\(checkpoints)/\(file)")
    }
  }

  /// The checkpoint to go on from, or nil where there is none.
  func latestCheckpoint(plan: TrainingPlan, planDigest: String) throws -> Checkpoint? {
    let candidates = checkpointNames().compactMap { name -> (Int, String)? in
      guard let steps = Int(name.dropFirst(5).dropLast(".safetensors".count)) else { return nil }
      return (steps, name)
    }
    guard let newest = candidates.max(by: { $0.0 < $1.0 }) else { return nil }
    return try Checkpoint(
      contentsOf: "\(checkpoints)/\(newest.1)", plan: plan, planDigest: planDigest)
  }

  /// Removes all checkpoints, which a finished run does not need.
  func removeCheckpoints() {
    try? FileManager.default.removeItem(atPath: checkpoints)
  }

  private func checkpointNames() -> [String] {
    filesAmongCheckpoints().filter { $0.hasPrefix("step-") && RunDirectory.isCheckpoint($0) }
  }
}
