import Foundation
import TestSupport
import Testing

/// A table that cannot be used is refused in one line that says where, and nothing is written.
struct BadTableTests {
  /// A table with one fault.
  struct Fault: Sendable, CustomTestStringConvertible {
    let name: String
    /// Its text; `\u{E000}` stands for a byte that is not UTF-8.
    let text: String
    /// What the line has to name after the file: the place, or the column.
    let named: [String]
    /// Whether a prediction needs what is missing.
    var spoilsPrediction = true
    var testDescription: String { name }
  }

  /// Rows around the fault, with cells that no message may show.
  private static let header = "age,sex,educ,employed\n"
  private static let rows = "88.125,1,low,0\n88.125,0,high,1\n"

  private static let faults: [Fault] = [
    Fault(name: "empty file", text: "", named: [":1:1: "]),
    Fault(name: "only line ends", text: "\n\r\n", named: [":1:1: "]),
    Fault(name: "header only", text: header, named: [":1:1: "], spoilsPrediction: false),
    Fault(
      name: "label not in the header", text: "age,sex,educ,job\n" + rows,
      named: [":1:1: ", "\"employed\""], spoilsPrediction: false),
    Fault(
      name: "column not in the file", text: "years,sex,educ,employed\n" + rows,
      named: [":1:1: ", "\"age\""]),
    Fault(
      name: "column twice", text: "age,sex,educ,employed,age\n88.125,1,low,0,88.125\n",
      named: [":1:23: ", "\"age\""]),
    Fault(
      name: "text in a numeric column", text: header + rows + "1,1,low,0\nSECRET,0,low,1\n",
      named: [":5:1: ", "\"age\""]),
    Fault(
      name: "text in a binary column", text: header + rows + "88.125,SECRET,low,1\n",
      named: [":4:8: ", "\"sex\""]),
    Fault(
      name: "undeclared category", text: header + rows + "88.125,1,SECRET,0\n",
      named: [":4:10: ", "\"educ\""]),
    Fault(
      name: "undeclared label", text: header + rows + "88.125,1,low,SECRET\n",
      named: [":4:14: ", "\"employed\""], spoilsPrediction: false),
    Fault(
      name: "row with too few fields", text: header + rows + "88.125,1,SECRET\n",
      named: [":4:", "3", "4"]),
    Fault(
      name: "row with too many fields", text: header + "88.125,1,low,0,SECRET\n" + rows,
      named: [":2:", "5", "4"]),
    Fault(
      name: "quote that is not closed",
      text: header + rows + "88.125,1,\"SECRET,0\n88.125,1,low,1\n", named: [":4:10: "]),
    Fault(
      name: "invalid UTF-8", text: header + rows + "88.125,1,lo\u{E000}SECRET,0\n",
      named: [":4:10: ", "\"educ\"", "UTF-8"]),
    Fault(
      name: "invalid UTF-8 in the header", text: "age,sex,ed\u{E000},employed\n" + rows,
      named: [":1:9: ", "UTF-8"]),
    Fault(
      name: "NaN", text: header + rows + "nan,1,low,0\n", named: [":4:1: ", "\"age\""]),
    Fault(
      name: "infinity", text: header + rows + "-Infinity,1,low,0\n", named: [":4:1: ", "\"age\""]),
    Fault(
      name: "a number too large", text: header + rows + "1e999,1,low,0\n",
      named: [":4:1: ", "\"age\""]),
    Fault(
      name: "a line end in the middle of the file", text: header + "88.125,1,\"lo\nw\",0\n" + rows,
      named: [":2:10: ", "\"educ\""]),
    Fault(
      name: "one class only", text: header + "88.125,1,low,1\n88.125,0,high,1\n",
      named: ["\"employed\""], spoilsPrediction: false),
  ]

  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// The commands that read a table for training.
  private enum Command: CaseIterable {
    case prepare
    case train
    case evaluate

    func arguments(_ folder: ScratchFolder) -> [String] {
      let table = [folder.file("t.csv"), "--schema", folder.file("s.yaml")]
      let all = ["--test-fraction", "0"]
      return switch self {
      case .prepare: ["prepare"] + table + all + ["--out", folder.file("d.safetensors"), "--json"]
      case .train: ["train"] + table + all + ["--out", folder.file("run"), "--json"]
      case .evaluate: ["evaluate", folder.file("model")] + table + all + ["--json"]
      }
    }
  }

  private func write(_ text: String) throws {
    _ = try folder.write(MadeTable.schema(), to: "s.yaml")
    let parts = text.split(separator: "\u{E000}", omittingEmptySubsequences: false)
    _ = try folder.write(Data(parts.map { Data($0.utf8) }.joined(separator: [0xFF])), to: "t.csv")
  }

  private func trainModel() throws {
    let scratch = try ScratchFolder()
    defer { withExtendedLifetime(scratch) {} }
    let data = try scratch.dataset(rows: 300)
    try succeed("train", data, "--out", folder.file("model"), "--steps", "2", "--hidden", "none")
  }

  /// Every fault ends `prepare` and `train` with status 65 at its place.
  @Test(arguments: faults)
  func faultIsRefused(_ fault: Fault) throws {
    try write(fault.text)
    for command in [Command.prepare, .train] {
      try expectRefusal(
        command.arguments(folder), 65, in: folder, naming: [folder.file("t.csv")] + fault.named,
        hiding: ["SECRET", "88.125"])
    }
  }

  /// Every fault that concerns features ends `predict` and `evaluate` with status 65 at its place.
  @Test func faultIsRefusedByModel() throws {
    try trainModel()
    for fault in Self.faults where fault.spoilsPrediction {
      try write(fault.text)
      let predict = [
        "predict", folder.file("model"), folder.file("t.csv"), "--out", folder.file("p.csv"),
      ]
      for arguments in [predict, Command.evaluate.arguments(folder)] {
        try expectRefusal(
          arguments, 65, in: folder, naming: [folder.file("t.csv")] + fault.named,
          hiding: ["SECRET", "88.125"])
      }
    }
  }

  /// Each text that means no finite number is refused in a numeric column.
  @Test(arguments: ["NaN", "nan", "inf", "+inf", "-inf", "Infinity", "-1e400", "0x10", "1,5"])
  func onlyFiniteNumbersAreNumbers(text: String) throws {
    try write(Self.header + Self.rows + "\"\(text)\",1,low,0\n")
    try expectRefusal(
      Command.prepare.arguments(folder), 65, in: folder,
      naming: [folder.file("t.csv") + ":4:1: ", "\"age\""])
  }

  /// What is not there has status 66, and the line names it.
  @Test func missingInputIsRefused() throws {
    try write(Self.header + Self.rows)
    let absent = folder.file("absent")
    for arguments in [
      ["prepare", absent, "--schema", folder.file("s.yaml"), "--out", folder.file("d")],
      ["prepare", folder.file("t.csv"), "--schema", absent, "--out", folder.file("d")],
      ["prepare", folder.file("t.csv"), absent, "--schema", folder.file("s.yaml"), "--out", "x"],
      ["train", absent, "--out", folder.file("run")],
      ["train", absent, "--schema", folder.file("s.yaml"), "--out", folder.file("run")],
      ["train", folder.file("t.csv"), "--schema", absent, "--out", folder.file("run")],
      ["train", folder.file("t.csv"), "--config", absent, "--out", folder.file("run")],
      ["train", folder.file("t.csv"), "--schema", folder.file("s.yaml"), "--out", absent]
        + ["--resume"],
      ["evaluate", absent, folder.file("t.csv")],
      ["predict", absent, folder.file("t.csv"), "--out", folder.file("p.csv")],
      ["schema", absent, "--label", "employed"],
    ] {
      try expectRefusal(arguments, 66, in: folder, naming: [absent])
    }
  }

  /// What is there but is another kind of file is said to be that.
  @Test func otherKindsOfFilesAreRefused() throws {
    try write(Self.header + Self.rows)
    let table = folder.file("t.csv")
    try expectRefusal(
      ["train", table, "--out", folder.file("run")], 65, in: folder, naming: [table, "schema"])
    try expectRefusal(
      ["prepare", table, "--schema", table, "--out", folder.file("d")], 65, in: folder,
      naming: [table], hiding: ["88.125"])
    try expectRefusal(
      ["prepare", folder.path, "--schema", folder.file("s.yaml"), "--out", folder.file("d")], 66,
      in: folder, naming: [folder.path])
    try expectRefusal(
      ["evaluate", folder.path, table], 66, in: folder, naming: [folder.path])
  }

  /// A dataset or model whose bytes were damaged is refused, whatever byte it is.
  @Test func damagedFilesAreRefused() throws {
    let data = try folder.dataset(rows: 200)
    let whole = try folder.data("data.safetensors")
    for count in [0, 1, 7, 8, 9, 100, whole.count / 2, whole.count - 1] {
      _ = try folder.write(whole.prefix(count), to: "cut")
      try expectRefusal(
        ["train", folder.file("cut"), "--out", folder.file("run")], 65, in: folder,
        naming: [folder.file("cut")])
    }
    try succeed("train", data, "--out", folder.file("model"), "--steps", "2")
    let model = try folder.data("model/model.safetensors")
    for count in [0, 9, model.count - 1] {
      _ = try folder.write(model.prefix(count), to: "model/model.safetensors")
      try expectRefusal(
        ["evaluate", folder.file("model"), data], 65, in: folder, naming: [folder.file("model")])
    }
  }

  /// Rejected rows are tolerated up to the number given, and listed without their cells.
  @Test func rejectedRowsAreToleratedAndListed() throws {
    let bad = "SECRET,1,low,0\n88.125,1\n"
    try write(Self.header + Self.rows + bad)
    let prepare = Command.prepare.arguments(folder) + ["--rejects", folder.file("bad.csv")]
    let refused = try fastdp(prepare + ["--max-rejected", "1"])
    expectRefusal(refused, 65, naming: [folder.file("t.csv") + ":4:1: "], hiding: ["SECRET"])
    #expect(!folder.holds("d.safetensors"))
    let kept = try fastdp(prepare + ["--max-rejected", "2", "--overwrite"])
    #expect(kept.status == 0, "\(kept.errors)")
    #expect(try kept.number("rowsRejected") == 2 && kept.number("rowsKept") == 2)
    let rejects = try folder.text("bad.csv")
    #expect(rejects.split(separator: "\n").count == 3 && rejects.contains("t.csv,5,"))
    #expect(!rejects.contains("SECRET") && !rejects.contains("88.125"))
    #expect(try folder.mode("bad.csv") == 0o600)
  }

  /// A schema with a fault is refused at its line, before any table is looked at.
  @Test(
    arguments: [
      ("label: employed\ncolumns:\n  employed: {type: binary}\n  age: {type: integer}\n", ":4:"),
      ("label: employed\ncolumns:\n  employed: {type: binary}\n  age: {type: numeric}\n", ":4:"),
      ("label: employed\ncolour: red\ncolumns:\n  employed: {type: binary}\n", ":2:"),
      ("label: job\ncolumns:\n  employed: {type: binary}\n  sex: {type: binary}\n", ":1:"),
      ("label: employed\ncolumns:\n  employed: {type: ignore}\n  sex: {type: binary}\n", ":3:"),
      ("label: employed\ncolumns: [\n", ":"),
      ("", ":"),
    ])
  func badSchemaIsRefused(text: String, place: String) throws {
    try write(Self.header + Self.rows)
    _ = try folder.write(text, to: "s.yaml")
    for command in [Command.prepare, .train] {
      try expectRefusal(
        command.arguments(folder), 65, in: folder, naming: [folder.file("s.yaml") + place])
    }
  }
}
