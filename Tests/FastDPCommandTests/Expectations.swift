import Foundation
import TestSupport
import Testing

/// Checks the form that every error has: a status, one line, nothing on standard output.
///
/// - Parameters:
///   - outcome: How the program ended.
///   - status: What it has to end with.
///   - named: What the line has to name: the file, the place, the setting.
///   - hidden: What it may not show: the cells of the table.
///   - messages: How many lines for the operator stand before it.
///   - sourceLocation: Where a failure is shown.
func expectRefusal(
  _ outcome: Outcome, _ status: Int32, naming named: [String] = [], hiding hidden: [String] = [],
  messages: Int = 0, sourceLocation: SourceLocation = #_sourceLocation
) {
  let said = Comment(
    rawValue: "status \(outcome.status), output: \(outcome.output), errors: \(outcome.errors)")
  let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false)
  // The last line ends like every other, so an empty piece follows it.
  let isOneLine =
    lines.count == messages + 2 && lines.last == "" && !outcome.errors.contains("\r")
    && lines.dropLast().allSatisfy { $0.hasPrefix("fastdp: ") && $0.count > 20 }
  let isNamed = named.allSatisfy(outcome.errors.contains)
  let isDiscreet = !hidden.contains(where: outcome.errors.contains)
  guard outcome.status == status else {
    Issue.record("the status is not \(status): \(said)", sourceLocation: sourceLocation)
    return
  }
  #expect(outcome.output.isEmpty, said, sourceLocation: sourceLocation)
  #expect(isOneLine, said, sourceLocation: sourceLocation)
  #expect(isNamed, "\(named) in \(said)", sourceLocation: sourceLocation)
  #expect(isDiscreet, "\(hidden) in \(said)", sourceLocation: sourceLocation)
}

/// Checks that a command is refused and leaves every file in a folder as it was.
func expectRefusal(
  _ arguments: [String], _ status: Int32, in folder: ScratchFolder, naming named: [String] = [],
  hiding hidden: [String] = [], messages: Int = 0,
  sourceLocation: SourceLocation = #_sourceLocation
) throws {
  let before = try folder.contents()
  expectRefusal(
    try fastdp(arguments), status, naming: named, hiding: hidden, messages: messages,
    sourceLocation: sourceLocation)
  let after = try folder.contents()
  let changed = Set(after.keys).union(before.keys).filter { after[$0] != before[$0] }.sorted()
  #expect(changed.isEmpty, "\(arguments)", sourceLocation: sourceLocation)
}

/// Checks that a JSON object has these keys and no others.
func expectKeys(
  _ object: [String: Any], _ keys: [String], sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(object.keys.sorted() == keys.sorted(), sourceLocation: sourceLocation)
}

/// A safetensors file, taken apart.
struct Safetensors {
  /// The header without its `__metadata__`: what each tensor is.
  let tensors: [String: [String: Any]]
  /// The file's own texts.
  let metadata: [String: String]

  /// Reads a file; one that is cut short or too long is a failure.
  init(_ data: Data) throws {
    try #require(data.count >= 8, "shorter than its length field")
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    try #require(length >= 2 && 8 + length <= data.count, "cut short in its header")
    let header = try jsonObject(data.dropFirst(8).prefix(length))
    metadata = header["__metadata__"] as? [String: String] ?? [:]
    tensors = header.compactMapValues { $0 as? [String: Any] }.filter { $0.key != "__metadata__" }
    let ends = tensors.values.compactMap { ($0["data_offsets"] as? [Int])?.last }
    try #require(ends.count == tensors.count && !tensors.isEmpty, "no tensors")
    try #require(ends.max() == data.count - 8 - length, "its length is not what its header says")
  }
}

/// What the file `charges` of a run says.
struct Charges {
  /// The steps that are paid for.
  private(set) var steps = 0

  /// Reads a run's charges; a whole line that is no JSON, or out of order, is a failure.
  init(_ text: String) throws {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    for line in lines {
      let entry = try jsonObject(Data(line.drop { $0 != "{" }.utf8))
      let from = entry["from"] as? Int
      let end = entry["to"] as? Int
      switch entry["kind"] as? String {
      case "plan": continue
      case "reserve":
        #expect(from == steps, "\(line)")
        steps = try #require(end)
      case "release":
        #expect(end == steps, "\(line)")
        steps = try #require(from)
      default: Issue.record("an unknown entry: \(line)")
      }
    }
  }
}
