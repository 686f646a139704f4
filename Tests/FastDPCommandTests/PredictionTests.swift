import Foundation
import TestSupport
import Testing

/// What a model is good for: predictions, and figures that say how good they are.
struct PredictionTests {
  private let folder: ScratchFolder

  init() throws { folder = try ScratchFolder() }

  /// The test split of a dataset as a table of features, and its labels as the model sees them.
  private func testSplit(_ label: MadeTable.Label) throws -> (csv: String, labels: [Double]) {
    let data = try folder.data("data.safetensors")
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let file = try Safetensors(data)
    func bytes(_ name: String) throws -> [UInt8] {
      let range = try #require(file.tensors[name]?["data_offsets"] as? [Int])
      return Array(data[(8 + length + range[0])..<(8 + length + range[1])])
    }
    func floats(_ bytes: [UInt8]) -> [Float] {
      stride(from: 0, to: bytes.count, by: 4).map { start in
        Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << (8 * UInt32($1)) })
      }
    }
    let x = try floats(bytes("x_test"))
    let y = try bytes("y_test")
    let rows = stride(from: 0, to: x.count, by: 5).map { at -> String in
      let educ = x[at + 2] == 1 ? "low" : x[at + 3] == 1 ? "middle" : "high"
      // From [-1, 1] back to the declared bounds.
      return "\(Int((18 + 36 * (x[at] + 1)).rounded())),\(Int(x[at + 1])),\(educ)\n"
    }
    let labels = label == .income ? floats(y).map { Double($0) } : y.map { Double($0) }
    return ("age,sex,educ\n" + rows.joined(), labels)
  }

  /// The fields of a table whose fields hold neither commas nor line ends.
  ///
  /// A blank line is no row, as for every reader of CSV; an only field that is empty is quoted.
  private func fields(_ name: String) throws -> [[String]] {
    try folder.text(name).split(separator: "\n").map { line in
      line.split(separator: ",", omittingEmptySubsequences: false).map {
        $0 == "\"\"" ? "" : String($0)
      }
    }
  }

  /// The figures of `evaluate` are those of the predictions on the same rows, recomputed here.
  @Test(arguments: MadeTable.Label.allCases, [["--hidden", "none"], ["--hidden", "8,4"]])
  func evaluationIsThatOfThePredictions(label: MadeTable.Label, hidden: [String]) throws {
    let data = try folder.dataset(label: label)
    let run = folder.file("run")
    let trained = try succeed(
      ["train", data, "--out", run, "--epsilon", "8", "--steps", "100", "--json"] + hidden)
    let evaluated = try succeed("evaluate", run, data, "--json")
    let (csv, labels) = try testSplit(label)
    let table = try folder.write(csv, to: "test.csv")
    try succeed("predict", run, table, "--out", folder.file("p.csv"))
    let rows = try fields("p.csv")
    #expect(rows.count == labels.count + 1)
    #expect(try evaluated.number("examples") == Double(labels.count))
    if label == .income {
      // The label's bounds 0 and 1000 are -1 and 1 for the model.
      let errors = try zip(rows.dropFirst(), labels).map { row, label in
        try #require(Double(row[0])) - (500 + 500 * label)
      }
      let rmse = (errors.reduce(0) { $0 + $1 * $1 } / Double(errors.count)).squareRoot()
      let mae = errors.reduce(0) { $0 + abs($1) } / Double(errors.count)
      #expect(try abs(evaluated.number("rmse") / rmse - 1) < 1e-4)
      #expect(try abs(evaluated.number("mae") / mae - 1) < 1e-4)
      #expect(try trained.number("testRmse") == evaluated.number("rmse"))
    } else {
      let names = label == .employed ? ["0", "1"] : ["north", "south", "far east"]
      #expect(rows[0] == ["prediction"] + names.map { "probability_\($0)" })
      let figures = try figures(rows.dropFirst(), labels.map(Int.init), names)
      #expect(try abs(evaluated.number("accuracy") - figures.accuracy) < 1e-9)
      #expect(try abs(evaluated.number("balancedAccuracy") - figures.balanced) < 1e-9)
      #expect(try abs(evaluated.number("logLoss") - figures.logLoss) < 1e-4)
      #expect(try trained.number("testAccuracy") == evaluated.number("accuracy"))
      #expect(try trained.number("testLoss") == evaluated.number("logLoss"))
    }
  }

  private func figures(
    _ rows: ArraySlice<[String]>, _ labels: [Int], _ names: [String]
  ) throws -> (accuracy: Double, balanced: Double, logLoss: Double) {
    var hits = [Double](repeating: 0, count: names.count)
    var occurring = hits
    var loss = 0.0
    for (row, label) in zip(rows, labels) {
      let probabilities = try row.dropFirst().map { try #require(Double($0)) }
      try #require(probabilities.count == names.count)
      #expect(abs(probabilities.reduce(0, +) - 1) < 1e-5)
      #expect(probabilities.allSatisfy { (0...1).contains($0) })
      let best = try #require(probabilities.indices.max { probabilities[$0] < probabilities[$1] })
      #expect(row[0] == names[best])
      occurring[label] += 1
      if best == label { hits[label] += 1 }
      loss -= Foundation.log(probabilities[label])
    }
    let classes = occurring.indices.filter { occurring[$0] > 0 }
    let count = Double(labels.count)
    return (
      hits.reduce(0, +) / count,
      classes.reduce(0) { $0 + hits[$1] / occurring[$1] } / Double(classes.count), loss / count
    )
  }

  /// There is one row of predictions for each row of the table, in order; a row that the schema
  /// drops has empty fields, and the label's column may be there or not.
  @Test(arguments: MadeTable.Label.allCases)
  func everyRowHasItsPrediction(label: MadeTable.Label) throws {
    let data = try folder.dataset(rows: 600, label: label)
    let run = folder.file("run")
    try succeed("train", data, "--out", run, "--steps", "30")
    let made = MadeTable(rows: 100, label: label, seed: 9, missingEvery: 7)
    let whole = try folder.write(made.csv, to: "new.csv")
    let bare = try folder.write(made.csvWithoutLabel, to: "bare.csv")
    try succeed("predict", run, whole, "--out", folder.file("whole"))
    try succeed("predict", run, bare, "--out", folder.file("bare.out"))
    #expect(try folder.data("whole") == folder.data("bare.out"))
    let rows = try fields("whole")
    try #require(rows.count == 101)
    for (row, line) in zip(rows, made.lines).dropFirst() {
      #expect(row.count == rows[0].count)
      #expect(row.allSatisfy { $0.isEmpty == line.hasPrefix("NA,") }, "\(line): \(row)")
    }
    // Row by row the same: a table of one row gives that row.
    let line = made.lines[50]
    let single = try folder.write("\(made.lines[0])\n\(line)\n", to: "single.csv")
    try succeed("predict", run, single, "--out", folder.file("single.out"))
    #expect(try fields("single.out")[1] == rows[50])
  }

  /// Missing values that the schema imputes or marks do have predictions.
  @Test(arguments: ["missing: impute, impute: 50", "missing: indicator"])
  func imputedRowsHavePredictions(policy: String) throws {
    let schema = MadeTable.schema().replacing("[18, 90]", with: "[18, 90], \(policy)")
    let yaml = try folder.write(schema, to: "s.yaml")
    let table = try folder.write(MadeTable(rows: 600, missingEvery: 5).csv, to: "t.csv")
    let run = folder.file("run")
    let trained = try succeed(
      "train", table, "--schema", yaml, "--out", run, "--steps", "20", "--json")
    #expect(try trained.number("trainExamples") == trained.number("examples"))
    try succeed("predict", run, table, "--out", folder.file("p.csv"))
    #expect(try fields("p.csv").allSatisfy { !$0.contains("") })
  }

  /// Every optimizer learns the table, with every activation and any number of hidden layers.
  ///
  /// The least accuracy of 40 runs of every kind was 0.926, that of the labels' own noise 0.94.
  @Test(
    arguments: [
      ("momentum", "0.25"), ("sgd", "2.5"), ("adam", "0.05"), ("adagrad", "0.2"),
      ("rmsprop", "0.05"),
    ],
    [("none", "tanh"), ("50", "tanh"), ("50", "relu"), ("8,4", "tanh"), ("8,4", "relu")])
  func everyNetworkLearns(
    optimizer: (name: String, rate: String), network: (hidden: String, activation: String)
  ) throws {
    let data = try folder.dataset(rows: 2000)
    let outcome = try succeed(
      "train", data, "--out", folder.file("run"), "--json", "--optimizer", optimizer.name,
      "--learning-rate", optimizer.rate, "--hidden", network.hidden, "--activation",
      network.activation, "--noise-multiplier", "0.6", "--epochs", "20")
    // About half of the rows are of either class.
    #expect(try outcome.number("testAccuracy") > 0.85)
    let model = try Safetensors(folder.data("run/model.safetensors"))
    let widths = [5] + network.hidden.split(separator: ",").compactMap { Int($0) } + [1]
    #expect(model.tensors.count == 2 * (widths.count - 1))
    for (index, pair) in zip(widths, widths.dropFirst()).enumerated() {
      let shape = model.tensors["layers.\(index).weight"]?["shape"] as? [Int]
      #expect(shape == [pair.1, pair.0])
    }
  }

  /// The other heads learn too, with privacy.
  @Test func otherHeadsLearn() throws {
    let region = try folder.dataset(rows: 3000, label: .region)
    let classes = try succeed(
      "train", region, "--out", folder.file("classes"), "--epsilon", "8", "--json")
    #expect(try classes.number("testAccuracy") > 0.7)
    let income = try folder.write(MadeTable(rows: 3000, label: .income).csv, to: "i.csv")
    let schema = try folder.write(MadeTable.schema(.income), to: "i.yaml")
    let numbers = try succeed(
      "train", income, "--schema", schema, "--out", folder.file("numbers"), "--epsilon", "8",
      "--json")
    #expect(try numbers.number("testRmse") < 80)
  }

  /// A model is not applied to rows that another schema encoded.
  @Test func otherSchemaIsRefused() throws {
    let data = try folder.dataset(rows: 300)
    try succeed("train", data, "--out", folder.file("run"), "--steps", "2")
    let wider = MadeTable.schema().replacing("[18, 90]", with: "[0, 100]")
    let schema = try folder.write(wider, to: "wider.yaml")
    let outcome = try fastdp(
      "evaluate", folder.file("run"), folder.file("table.csv"), "--schema", schema, "--json")
    expectRefusal(outcome, outcome.status == 64 ? 64 : 65, naming: ["schema"])
  }
}
