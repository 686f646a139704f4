import Crypto
import DPAccounting
import DPFiles
import DPTraining
import Foundation
import TestSupport
import Testing

@Suite struct ChargeFileTests {
  private let folder: ScratchFolder
  private let mechanism: PoissonSubsampledGaussian

  init() throws {
    folder = try ScratchFolder()
    mechanism = try PoissonSubsampledGaussian(samplingRate: 0.1, noiseMultiplier: 1)
  }

  private var path: String { folder.file("charges") }

  private func create(budget: Int = 100) throws -> ChargeFile {
    try ChargeFile.create(path: path, planDigest: "plan", budget: budget)
  }

  private func reopen(budget: Int = 100) throws -> ChargeFile {
    try ChargeFile(path: path, planDigest: "plan", budget: budget)
  }

  @Test func chargesSurviveTheProcess() throws {
    do {
      let file = try create()
      try file.reserve(0..<10, of: mechanism)
      try file.reserve(10..<50, of: mechanism)
      try file.release(45..<50)
      try file.reserve(45..<46, of: mechanism)
    }
    #expect(try reopen().charged == 46)
  }

  /// A file of these entries, each of which is (kind, from, to), with hashes that are right.
  private func write(_ entries: [(String, Int, Int)]) throws {
    var head = ""
    var text = ""
    for json in [#"{"kind":"plan","plan":"plan"}"#]
      + entries.map({ #"{"from":\#($0.1),"kind":"\#($0.0)","to":\#($0.2)}"# })
    {
      head = SHA256.hash(data: Data((head + json).utf8)).map { String(format: "%02x", $0) }.joined()
      text += "\(head) \(json)\n"
    }
    _ = try folder.write(text, to: "charges")
  }

  /// Steps before the last reserved range may have run: no record that gives them back is believed,
  /// nor one that goes beyond the plan, though its hashes are right.
  @Test func onlyTheLastRangeIsReleased() throws {
    try write([("reserve", 0, 10), ("reserve", 10, 20), ("release", 12, 20), ("release", 10, 12)])
    #expect(try reopen().charged == 10)
    for wrong in [
      [("reserve", 0, 10), ("reserve", 10, 20), ("release", 5, 20)],
      [("reserve", 0, 10), ("reserve", 10, 20), ("release", 12, 20), ("release", 9, 12)],
      [("reserve", 0, 10), ("reserve", 9, 20)], [("reserve", 0, 10), ("reserve", 11, 20)],
      [("reserve", 0, 101)], [("reserve", -1, 10)], [("release", 0, 0)],
    ] {
      try write(wrong)
      #expect(throws: FileError.self) { _ = try reopen() }
    }
  }

  @Test func theBudgetIsNeverPassed() throws {
    let file = try create(budget: 20)
    try file.reserve(0..<20, of: mechanism)
    #expect(throws: PrivacyError.self) { try file.reserve(20..<21, of: mechanism) }
    #expect(file.charged == 20)
  }

  /// A line that a crash cut short was never acknowledged; every cut leaves a file that opens.
  @Test func anyCutOfTheLastLineIsRepaired() throws {
    do {
      let file = try create()
      try file.reserve(0..<10, of: mechanism)
    }
    let before = try Data(contentsOf: URL(filePath: path))
    do { try reopen().reserve(10..<30, of: mechanism) }
    let after = try Data(contentsOf: URL(filePath: path))
    for length in before.count..<after.count {
      try after.prefix(length).write(to: URL(filePath: path))
      let file = try reopen()
      #expect(file.charged == 10)
      try file.reserve(10..<12, of: mechanism)
    }
    try after.write(to: URL(filePath: path))
    #expect(try reopen().charged == 30)
  }

  /// Any changed byte, dropped or swapped line is noticed.
  @Test func changesAreNoticed() throws {
    do {
      let file = try create()
      for step in 0..<5 { try file.reserve(step..<step + 1, of: mechanism) }
    }
    let good = try Data(contentsOf: URL(filePath: path))
    for index in stride(from: 0, to: good.count - 1, by: 7) {
      var bad = good
      bad[index] ^= 1
      try bad.write(to: URL(filePath: path))
      #expect(throws: (any Error).self, "byte \(index)") { _ = try reopen() }
    }
    let lines = String(decoding: good, as: UTF8.self).split(separator: "\n").map { "\($0)\n" }
    for dropped in 0..<5 {
      var fewer = lines
      fewer.remove(at: dropped)
      try Data(fewer.joined().utf8).write(to: URL(filePath: path))
      #expect(throws: (any Error).self) { _ = try reopen() }
    }
  }

  @Test func aPlanOwnsItsCharges() throws {
    do { _ = try create() }
    #expect(throws: TrainingError.self) {
      _ = try ChargeFile(path: path, planDigest: "another", budget: 100)
    }
    #expect(throws: (any Error).self) { _ = try create() }
  }
}
