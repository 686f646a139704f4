import Foundation
import TestSupport
import Testing

/// The folder of a run, looked into from outside.
struct RunFolder {
  let path: String

  /// What a run may consist of.
  private static let names: Set<String> = [
    "model.safetensors", "statement.json", "statement.txt", "run.json", "metrics.jsonl", "charges",
    "checkpoints",
  ]

  init(_ path: String) { self.path = path }

  /// A file's bytes.
  func data(_ name: String) throws -> Data {
    try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)"))
  }

  /// A file's text.
  func text(_ name: String) throws -> String { String(decoding: try data(name), as: UTF8.self) }

  /// A file that holds one JSON object.
  func json(_ name: String) throws -> [String: Any] { try jsonObject(data(name)) }

  /// Whether there is a file or folder of that name.
  func holds(_ name: String) -> Bool {
    FileManager.default.fileExists(atPath: "\(path)/\(name)")
  }

  /// The steps that are paid for; 0 where the run has no charges yet.
  func chargedSteps() throws -> Int {
    holds("charges") ? try Charges(text("charges")).steps : 0
  }

  /// The steps of the last checkpoint, 0 where there is none; what a killed process has not renamed is none.
  func checkpointSteps() throws -> Int {
    guard holds("checkpoints") else { return 0 }
    let names = try FileManager.default.contentsOfDirectory(atPath: "\(path)/checkpoints")
    return names.compactMap { $0.wholeMatch(of: /step-(\d+)\.safetensors/).flatMap { Int($0.1) } }
      .max() ?? 0
  }

  /// Checks that every file there is has a known name, is whole, and is the owner's alone.
  func expectWholeFiles(sourceLocation: SourceLocation = #_sourceLocation) throws {
    for (name, data) in try ScratchFolder.contents(of: path) {
      let parts = name.split(separator: "/")
      let isKnown =
        parts.count == 1
        ? Self.names.contains(name)
        : name.wholeMatch(of: /checkpoints\/step-\d+\.safetensors/) != nil
      let isHidden = parts.last?.hasPrefix(".") == true && name.hasSuffix(".partial")
      #expect(isKnown || isHidden, "\(name) is no part of a run", sourceLocation: sourceLocation)
      try expectWhole(name, data, sourceLocation)
    }
  }

  private func expectWhole(
    _ name: String, _ data: Data, _ sourceLocation: SourceLocation
  ) throws {
    let text = String(decoding: data, as: UTF8.self)
    let kind = name.split(separator: "/").last.map(String.init) ?? name
    let comment: Comment = "\(name) is not whole: \(text.suffix(200))"
    if kind.contains(".safetensors") {
      #expect(throws: Never.self, comment, sourceLocation: sourceLocation) {
        try Safetensors(data)
      }
    } else if kind.contains(".jsonl") {
      let lines = text.split(separator: "\n")
      #expect(
        data.isEmpty || text.hasSuffix("\n") && lines.allSatisfy(Self.isObject), comment,
        sourceLocation: sourceLocation)
    } else if kind.contains(".json") {
      #expect(Self.isObject(Substring(text)), comment, sourceLocation: sourceLocation)
    } else if kind.contains("charges") {
      #expect(text.hasSuffix("}\n"), comment, sourceLocation: sourceLocation)
      _ = try Charges(text)
    } else if kind.contains("statement.txt") {
      #expect(text.contains("Data owner: "), comment, sourceLocation: sourceLocation)
    }
  }

  private static func isObject(_ text: Substring) -> Bool {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8))) is [String: Any]
  }

  /// Checks that a run is at its end: the files of a finished run, and no others.
  func expectComplete(sourceLocation: SourceLocation = #_sourceLocation) throws {
    try expectWholeFiles(sourceLocation: sourceLocation)
    let names = try FileManager.default.contentsOfDirectory(atPath: path)
    #expect(
      Set(names).subtracting(["checkpoints"]) == Self.names.subtracting(["checkpoints"]),
      sourceLocation: sourceLocation)
    let steps = try #require(json("statement.json")["steps"] as? Int)
    #expect(try chargedSteps() == steps, sourceLocation: sourceLocation)
    #expect(
      try json("run.json")["status"] as? String == "complete", sourceLocation: sourceLocation)
  }
}

/// Waits until something is so, and fails when it does not come about.
func waitUntil(
  timeout: Double = 30, sourceLocation: SourceLocation = #_sourceLocation,
  _ condition: () throws -> Bool
) throws {
  let deadline = ContinuousClock.now + .seconds(timeout)
  while try !condition() {
    try #require(
      ContinuousClock.now < deadline, "it did not come about within \(timeout) s",
      sourceLocation: sourceLocation)
    Thread.sleep(forTimeInterval: 0.002)
  }
}
