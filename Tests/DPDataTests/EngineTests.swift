import DPData
import DPFiles
import Foundation
import TestSupport
import Testing

/// A schema's encoding written out plainly, over the reference reader's records: what the engine must
/// give for any chunks and threads.
private struct ReferencePreparation {
  var train: [[Float]] = []
  var test: [[Float]] = []
  var trainLabels: [Float?] = []
  var testLabels: [Float?] = []
  var missing = 0
  /// `line,column,reason` as the rejects file has them.
  var rejects: [String] = []

  private enum Value {
    case features([Float])
    case missing
    case wrong(String)
  }

  static let schema = """
    label: y
    na: ["", NA, "?"]
    columns:
      a: {type: binary}
      b: {type: numeric, bounds: [-2, 6]}
      c: {type: categorical, categories: [u, "v w", a longer category, "1"], other: true}
      d: {type: categorical, categories: [p, q], missing: indicator}
      e: {type: numeric, bounds: [0, 4], missing: impute, impute: 1}
      f: {type: binary, values: [no, "yes, \\"indeed\\""]}
      y: {type: binary}
    """
  static let header = ["b", "y", "skip", "c", "a", "d", "e", "f"]

  init(_ table: ReferenceCSV, delimiter: UInt8) {
    var split = RowSplit(key: 5, testFraction: 0.3)
    for (ordinal, record) in table.records.dropFirst().enumerated() {
      let isTest = split.isTest(ordinal: ordinal)
      let outcome = Self.encode(record)
      switch outcome {
      case .row(let features, let label):
        if isTest {
          test.append(features)
          testLabels.append(label)
        } else {
          train.append(features)
          trainLabels.append(label)
        }
        continue
      case .missing: missing += 1
      case .rejected(let line, let column, let reason):
        rejects.append("\(line),\(column),\(reason)")
      }
      if !isTest {
        train.append(Array(repeating: 0, count: 12))
        trainLabels.append(nil)
      }
    }
  }

  private enum Outcome {
    case row([Float], Float)
    case missing
    case rejected(line: Int, column: String, reason: String)
  }

  private static func encode(_ record: [ReferenceCSV.Field]) -> Outcome {
    guard record.count == header.count else {
      let place = record.count > header.count ? record[header.count] : record[0]
      return .rejected(
        line: record.count > header.count ? place.line : record[0].line, column: "",
        reason: "\"the row has \(record.count) fields, the header \(header.count)\"")
    }
    for (field, name) in zip(record, header) where !isUTF8(field.text) {
      return .rejected(
        line: field.line, column: name, reason: "\"column \"\"\(name)\"\" is not UTF-8\"")
    }
    var values: [String: Value] = [:]
    for (field, name) in zip(record, header) where name != "skip" {
      let text = String(decoding: trimmed(field.text), as: UTF8.self)
      let value = ["", "NA", "?"].contains(text) ? .missing : read(name, text)
      if case .wrong(let reason) = value {
        return .rejected(
          line: field.line, column: name, reason: "\"column \"\"\(name)\"\" \(reason)\"")
      }
      values[name] = value
    }
    var features: [Float] = []
    for name in ["a", "b", "c", "d", "e", "f"] {
      switch (name, values[name]) {
      case ("d", .missing): features += [0, 0, 1]
      case ("d", .features(let value)): features += value + [0]
      case ("e", .missing): features.append(-0.5)
      case (_, .features(let value)): features += value
      default: return .missing
      }
    }
    guard case .features(let label) = values["y"] else { return .missing }
    return .row(features, label[0])
  }

  private static func read(_ name: String, _ text: String) -> Value {
    switch name {
    case "a", "y":
      if ["0", "false"].contains(text.lowercased()) { return .features([0]) }
      if ["1", "true"].contains(text.lowercased()) { return .features([1]) }
      return .wrong("is neither of its two values")
    case "b", "e":
      let bounds = name == "b" ? -2.0...6.0 : 0...4
      guard isNumber(text), let number = Double(text.hasSuffix(".") ? text + "0" : text) else {
        let lower = text.lowercased()
        let names = ["nan", "inf", "infinity"].flatMap { [$0, "+" + $0, "-" + $0] }
        return .wrong(names.contains(lower) ? "is NaN or infinite" : "is not a number")
      }
      guard number.isFinite else { return .wrong("is NaN or infinite") }
      let clamped = min(max(number, bounds.lowerBound), bounds.upperBound)
      let share = (clamped - bounds.lowerBound) / (bounds.upperBound - bounds.lowerBound)
      return .features([Float(2 * share - 1)])
    case "c":
      let place = ["u", "v w", "a longer category", "1"].firstIndex(of: text) ?? 4
      return .features((0..<5).map { $0 == place ? 1 : 0 })
    case "d":
      guard let place = ["p", "q"].firstIndex(of: text) else {
        return .wrong("is not one of its declared categories")
      }
      return .features((0..<2).map { $0 == place ? 1 : 0 })
    default:
      guard let place = ["no", "yes, \"indeed\""].firstIndex(of: text) else {
        return .wrong("is neither of its two values")
      }
      return .features([Float(place)])
    }
  }

  private static func isNumber(_ text: String) -> Bool {
    text.wholeMatch(of: /[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/) != nil
  }

  private static func isUTF8(_ bytes: [UInt8]) -> Bool {
    String(validating: bytes, as: UTF8.self) != nil
  }

  private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
    let rest = bytes.drop(while: isSpace)
    return Array(rest[..<((rest.lastIndex { !isSpace($0) } ?? rest.startIndex - 1) + 1)])
  }
}

/// Makes tables of everything that is allowed, and much that is not.
private struct TableMaker {
  var random: SeededGenerator

  mutating func table(rows: Int, delimiter: UInt8) -> [UInt8] {
    let separator = String(UnicodeScalar(delimiter))
    var text = Array(ReferencePreparation.header.joined(separator: separator).utf8)
    text += lineEnd()
    for _ in 0..<rows {
      if chance(0.03) { text += lineEnd() }
      var fields = ReferencePreparation.header.map { field($0, separator) }
      if chance(0.03) { fields.removeLast() }
      if chance(0.03) { fields.append(Array("x".utf8)) }
      text += Array(fields.joined(separator: Array(separator.utf8)))
      text += lineEnd()
    }
    if chance(0.3) { text.removeLast() }
    return text
  }

  private mutating func chance(_ probability: Double) -> Bool {
    Double.random(in: 0..<1, using: &random) < probability
  }

  private mutating func pick(_ texts: [String]) -> String {
    texts[Int.random(in: 0..<texts.count, using: &random)]
  }

  private mutating func lineEnd() -> [UInt8] {
    Array(pick(["\n", "\n", "\n", "\r\n", "\r", "\n\n"]).utf8)
  }

  private mutating func field(_ name: String, _ separator: String) -> [UInt8] {
    let usual: [String]
    let odd: [String]
    switch name {
    case "a", "y": (usual, odd) = (["0", "1"], ["true", "FaLsE", "TRUE", "2", "10", "NA", ""])
    case "b", "e":
      (usual, odd) = (
        ["3", "-1.25", "4e0", "0.1", "2.5000001", "123456789"],
        [
          "NA", "?", "", "1e999", "-inf", "nan", "x", "1.", ".5", "+5E-1", "0x1", "1 2", "-",
          "1.00000000000000000000000000000001", "17976931348623157e292", "1e",
        ]
      )
    case "c":
      (usual, odd) = (["u", "1", "v w"], ["a longer category", "12345678", "", "w", "\u{E9}"])
    case "d": (usual, odd) = (["p", "q"], ["", "NA", "r", "p\u{0}", "longer than eight"])
    case "f": (usual, odd) = (["no"], ["yes, \"indeed\"", "yes", "NA"])
    default:
      (usual, odd) = (["", "7", "text"], ["a\"b", "\"", "line\nline", "\r", "\u{E9}", "a,b"])
    }
    let text = chance(0.08) ? pick(odd) : pick(usual)
    var bytes = Array(text.utf8)
    let mustQuote = text.contains { [separator, "\"", "\n", "\r"].contains(String($0)) }
    if (mustQuote && !chance(0.1)) || chance(0.1) {
      bytes = Array("\"\(text.replacing("\"", with: "\"\""))\"".utf8)
      if chance(0.1) { bytes += Array("z".utf8) }
    }
    if chance(0.05) { bytes = [0x20, 0x20] + bytes }
    if chance(0.05) { bytes += Array(pick([" ", "\t"]).utf8) }
    if chance(0.02) { bytes = Array("\t".utf8) + bytes }
    if chance(0.005) { bytes.append(0xFF) }
    return bytes
  }
}

struct EngineTests {
  let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  private func check(
    _ bytes: [UInt8], delimiter: UInt8, _ expected: ReferencePreparation,
    _ change: (inout PrepareOptions) -> Void
  ) throws {
    let path = try folder.write(bytes, to: "t.csv")
    let rejects = folder.file("rejects.csv")
    var options = PrepareOptions()
    options.delimiter = delimiter
    options.testFraction = 0.3
    options.splitKey = 5
    options.maxRejected = .max
    options.rejects = rejects
    options.overwrite = true
    change(&options)
    let (data, report) = try Dataset.prepare(
      tables: [path], schema: Schema(text: ReferencePreparation.schema, file: "s"),
      options: options)
    let lines = try String(contentsOfFile: rejects, encoding: .utf8)
      .split(separator: "\n").dropFirst().map { $0.dropFirst(path.utf8.count + 1) }
    try #require(lines.map(String.init) == expected.rejects)
    try #require(report.rowsMissing == expected.missing)
    try #require((0..<data.train.count).map(data.train.features(of:)) == expected.train)
    try #require((0..<data.train.count).map(data.train.label(of:)) == expected.trainLabels)
    try #require((0..<data.test.count).map(data.test.features(of:)) == expected.test)
    try #require((0..<data.test.count).map(data.test.label(of:)) == expected.testLabels)
    // The file is the dataset, byte for byte.
    let file = folder.file("d.safetensors")
    options.rejects = nil
    _ = try Dataset.prepare(
      tables: [path], schema: data.schema, to: file, options: options)
    let copy = folder.file("copy.safetensors")
    try data.write(to: copy, overwrite: true)
    try #require(
      FileManager.default.contentsEqual(atPath: file, andPath: copy), "the file differs")
  }

  /// Random tables with quotes, delimiters, every line end and bad rows give what the plain reader and
  /// the written-out rules give, for any chunks, threads and instruction set, with and without the
  /// loop in C.
  @Test(arguments: [0x2C, 0x3B, 0x09] as [UInt8], 0..<8)
  func anyChunksAndThreadsGiveTheReference(delimiter: UInt8, seed: Int) throws {
    var maker = TableMaker(random: SeededGenerator(seed: UInt64(seed) &* 77 &+ UInt64(delimiter)))
    let bytes = maker.table(rows: 150, delimiter: delimiter)
    let table = ReferenceCSV(bytes, delimiter: delimiter)
    guard table.ending == .whole else { return }
    let expected = ReferencePreparation(table, delimiter: delimiter)
    for (chunkSize, threads) in [(1, 1), (2, 3), (7, 2), (64, 4), (300, 2), (1 << 17, 1)] {
      try check(bytes, delimiter: delimiter, expected) {
        $0.chunkSize = chunkSize
        $0.threads = threads
        $0.usesRowPlan = (chunkSize + seed) % 3 != 0
        $0.scanVariant = TableScanVariants.all[(seed + threads) % TableScanVariants.all.count]
      }
    }
  }

  /// Tables of one clean kind, as most are, of many rows.
  @Test(arguments: 1...4)
  func cleanTablesAreTheSameForAnyThreads(threads: Int) throws {
    let lines = (0..<5000).map { "\(Double($0 % 80) / 10 - 2),\($0 % 2),x,u,1,p,2,no" }
    let text = ([ReferencePreparation.header.joined(separator: ",")] + lines).joined(
      separator: "\n")
    let bytes = Array(text.utf8)
    let expected = ReferencePreparation(ReferenceCSV(bytes), delimiter: 0x2C)
    try check(bytes, delimiter: 0x2C, expected) {
      $0.threads = threads
      $0.chunkSize = 4096
    }
  }

  /// The first error in the order of the table is the one that is thrown, whichever thread is first.
  @Test(arguments: [1, 3, 50, 1 << 17], 1...4)
  func firstErrorInOrderIsThrown(chunkSize: Int, threads: Int) throws {
    let good = "1,0,x,u,1,p,2,no"
    let bad = ["x,0,x,u,1,p,2,no", "1,0,x,u", "1,0,x,u,1,p,2,\"no"]
    let text =
      ([ReferencePreparation.header.joined(separator: ",")]
      + Array(repeating: good, count: 40) + bad).joined(separator: "\n")
    let path = try folder.write(Array(text.utf8), to: "t.csv")
    for (maxRejected, line, code) in [
      (0, 42, DataError.Code.notANumber), (1, 42, .notANumber), (2, 44, .unclosedQuote),
    ] {
      var options = PrepareOptions()
      options.chunkSize = chunkSize
      options.threads = threads
      options.maxRejected = maxRejected
      let error = #expect(throws: DataError.self) {
        _ = try Dataset.prepare(
          tables: [path], schema: Schema(text: ReferencePreparation.schema, file: "s"),
          to: folder.file("d"), options: options)
      }
      #expect(error?.code == code && error?.location?.line == line, "\(maxRejected)")
      #expect(try folder.names == ["t.csv"])
    }
  }
}

/// The variants of the scan that this processor can run.
enum TableScanVariants {
  static let all: [Int] = (0..<3).filter(PrepareOptions.hasScanVariant)
}
