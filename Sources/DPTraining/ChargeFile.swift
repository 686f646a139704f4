package import DPAccounting
internal import DPFiles
internal import Foundation

/// A run's own write-ahead record of its steps: the file `charges`.
///
/// Each line is the SHA-256 of the line before and of the rest of its own line, a space, and a JSON
/// object. A line is on disk before ``reserve(_:of:)`` returns. A last line that a crash cut short
/// was never acknowledged, so none of its steps ran; any other disagreement is an error.
///
/// The run's folder is locked while the file is open: there is one writer at a time.
package final class ChargeFile: PrivacyLedger {
  /// One line.
  private struct Entry: Codable {
    var kind: String
    var plan: String?
    var from: Int?
    var to: Int?
    var time: String?
  }

  /// The number of steps that the plan allows.
  private let budget: Int
  private let path: String
  private let file: LineFile
  private var head: String
  /// The steps that are charged: all from 0 on.
  package private(set) var charged = 0
  /// Where the last reserved range begins: what is before may have run.
  private var lastStart = 0

  /// Makes the file of a new run.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - planDigest: Identifies the plan.
  ///   - budget: T, the number of steps that the plan allows.
  /// - Returns: The file, open and locked.
  /// - Throws: ``FileError`` when the file exists or cannot be made.
  package static func create(path: String, planDigest: String, budget: Int) throws -> ChargeFile {
    var file = try AtomicFile(path: path, overwrite: false)
    let entry = Entry(kind: "plan", plan: planDigest, time: ChargeFile.now())
    try file.write(ChargeFile.line(entry, after: "").text + "\n")
    try file.commit()
    return try ChargeFile(path: path, planDigest: planDigest, budget: budget)
  }

  /// Opens and checks the file of a run.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - planDigest: Identifies the plan; must be the one that the file was made with.
  ///   - budget: T, the number of steps that the plan allows.
  /// - Throws: ``FileError`` when it cannot be read or was changed, ``TrainingError`` when it
  ///   belongs to another plan.
  package init(path: String, planDigest: String, budget: Int) throws {
    self.budget = budget
    self.path = path
    file = try LineFile(path: path, creating: false)
    head = ""
    try replay(planDigest: planDigest)
  }

  private func replay(planDigest: String) throws {
    let bytes = try [UInt8](MappedBytes(contentsOf: path))
    let complete = bytes.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    var entries = 0
    for line in bytes[..<complete].split(separator: UInt8(ascii: "\n")) {
      let text = String(decoding: line, as: UTF8.self)
      let json = Data(text.dropFirst(65).utf8)
      guard let entry = try? JSONDecoder().decode(Entry.self, from: json),
        ChargeFile.digest(of: String(decoding: json, as: UTF8.self), after: head)
          == text.prefix(64), text.dropFirst(64).first == " "
      else {
        throw FileError(
          .malformed,
          "\(path):\(entries + 1): the record of charges was changed; the run cannot be resumed")
      }
      head = String(text.prefix(64))
      try apply(entry, first: entries == 0, planDigest: planDigest)
      entries += 1
    }
    guard entries > 0 else {
      throw FileError(.malformed, "\(path): is empty; the run cannot be resumed")
    }
    if complete < bytes.count { try file.truncate(to: complete) }
  }

  private func apply(_ entry: Entry, first: Bool, planDigest: String) throws {
    switch (entry.kind, entry.from, entry.to) {
    case ("plan", _, _) where first:
      guard entry.plan == planDigest else {
        throw TrainingError(
          .changedPlan, "\(path): the charges belong to another plan; resume with the same options")
      }
    case ("reserve", let from?, let to?) where from == charged && to > from && to <= budget:
      (lastStart, charged) = (from, to)
    case ("release", let from?, let to?) where to == charged && from < to && from >= lastStart:
      charged = from
    default:
      throw FileError(
        .malformed, "\(path): the record of charges contradicts itself; the run cannot be resumed")
    }
  }

  /// Charges a range of steps, durably, before any of them runs.
  ///
  /// - Parameters:
  ///   - steps: The next steps of the run.
  ///   - mechanism: What each of the steps releases.
  /// - Throws: ``PrivacyError`` with `budgetExceeded` when they are more than the plan allows,
  ///   ``FileError`` when they cannot be recorded.
  package func reserve(_ steps: Range<Int>, of mechanism: PoissonSubsampledGaussian) throws {
    precondition(
      steps.lowerBound == charged && !steps.isEmpty, "steps \(steps), \(charged) are charged")
    guard steps.upperBound <= budget else {
      throw PrivacyError(
        .budgetExceeded,
        "step \(steps.upperBound) is beyond the \(budget) steps that the run's epsilon allows; "
          + "start a new run with a larger epsilon")
    }
    try append(Entry(kind: "reserve", from: steps.lowerBound, to: steps.upperBound))
    (lastStart, charged) = (steps.lowerBound, steps.upperBound)
  }

  /// Takes back the end of the last reserved range: steps that did not run and never will.
  ///
  /// - Parameter steps: The unused tail of the last reserved range.
  /// - Throws: ``FileError``; the range then stays charged.
  package func release(_ steps: Range<Int>) throws {
    guard !steps.isEmpty else { return }
    precondition(
      steps.upperBound == charged && steps.lowerBound >= lastStart,
      "steps \(steps), \(lastStart)..<\(charged) were reserved last")
    try append(Entry(kind: "release", from: steps.lowerBound, to: steps.upperBound))
    charged = steps.lowerBound
  }

  /// Appends a line and waits until it is on disk.
  private func append(_ entry: Entry) throws {
    var entry = entry
    entry.time = ChargeFile.now()
    let line = try ChargeFile.line(entry, after: head)
    try file.append(line.text, durably: true)
    head = line.digest
  }

  private static func line(_ entry: Entry, after head: String) throws -> (
    text: String, digest: String
  ) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let json = String(decoding: try encoder.encode(entry), as: UTF8.self)
    let digest = digest(of: json, after: head)
    return ("\(digest) \(json)", digest)
  }

  private static func digest(of json: String, after head: String) -> String {
    hexDigest(of: Data((head + json).utf8))
  }

  private static func now() -> String { Date().ISO8601Format() }
}

extension [UInt8] {
  /// A copy of mapped bytes.
  fileprivate init(_ mapped: MappedBytes) {
    // SAFETY: the buffer is valid while `mapped` lives, which is through the copy.
    self = unsafe Array(mapped.buffer)
  }
}
