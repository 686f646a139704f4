import DPFiles
import FastDP
import Foundation

/// What people and programs see: results on standard output, everything else on standard error.
enum Console {
  /// An error's one line.
  static func error(_ line: String) { write("fastdp: \(line)\n", to: .standardError) }

  /// A line for the operator.
  static func message(_ line: String) {
    clearProgress()
    write("fastdp: \(line)\n", to: .standardError)
  }

  /// A line that a rank has said.
  static func write(rank: Int, _ line: String) {
    write("[\(rank)] \(line)\n", to: .standardError)
  }

  /// A result for people.
  static func print(_ text: String) { write(text + "\n", to: .standardOutput) }

  /// A result for programs: one JSON object.
  static func print(_ value: JSONValue) { write(value.text() + "\n", to: .standardOutput) }

  /// A piece of a result that is a file of its own.
  static func print(_ bytes: [UInt8]) { write(Data(bytes), to: .standardOutput) }

  /// A table of names and values for people.
  static func print(_ rows: [(String, String)]) {
    let width = (rows.map(\.0.count).max() ?? 0) + 2
    for (name, value) in rows {
      print(name.padding(toLength: width, withPad: " ", startingAt: 0) + value)
    }
  }

  /// A line that the next one replaces, on a terminal; nothing elsewhere.
  static func progress(_ line: String) {
    guard ProcessControl.hasTerminal else { return }
    write("\r\u{1B}[2K\(line)", to: .standardError)
  }

  /// Removes the progress line.
  static func clearProgress() {
    guard ProcessControl.hasTerminal else { return }
    write("\r\u{1B}[2K", to: .standardError)
  }

  private static func write(_ text: String, to handle: FileHandle) {
    write(Data(text.utf8), to: handle)
  }

  /// A result that nobody gets is no result: where it cannot be written, the program ends with 74.
  private static func write(_ data: Data, to handle: FileHandle) {
    do {
      try handle.write(contentsOf: data)
    } catch {
      guard handle === FileHandle.standardOutput else { return }
      Console.error("standard output: cannot be written to; check where it leads")
      ProcessControl.exit(ExitStatus.inputOutput)
    }
  }
}

extension Double {
  /// The number with so many decimals.
  func fixed(_ decimals: Int) -> String {
    formatted(
      .number.precision(.fractionLength(decimals)).grouping(.never).locale(Locale(identifier: "C")))
  }

  /// The number with so many significant digits.
  func significant(_ digits: Int) -> String {
    guard isFinite else { return "\(self)" }
    let magnitude = self == 0 ? 0 : Int(Foundation.log10(abs(self)).rounded(.down))
    guard magnitude >= -5, magnitude < 15 else { return "\(self)" }
    return fixed(max(0, digits - 1 - magnitude))
  }

  /// A rate in words: "2.1 M".
  var compact: String {
    switch abs(self) {
    case 1e9...: "\((self / 1e9).significant(3)) G"
    case 1e6...: "\((self / 1e6).significant(3)) M"
    case 1e3...: "\((self / 1e3).significant(3)) k"
    default: significant(3)
    }
  }
}

extension Int {
  /// The number with commas between thousands.
  var grouped: String {
    formatted(.number.grouping(.automatic).locale(Locale(identifier: "en_US")))
  }
}
