import Foundation
import TestSupport
import Testing

/// Real census records, where they lie beside the package.
struct RealDataTests {
  private static let path = SharedFile.path("data/FultonPUMS5full.csv") ?? ""

  /// Facts of the census's code book: 1 is none and 16 a doctorate; adults up to the top code.
  private static let schema = """
    label: employed
    columns:
      sex: {type: binary}
      age: {type: numeric, bounds: [18, 93]}
      educ: {type: categorical, categories: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}
      latino: {type: binary}
      black: {type: binary}
      asian: {type: binary}
      married: {type: binary}
      divorced: {type: binary}
      uscitizen: {type: binary}
      children: {type: binary}
      disability: {type: binary}
      militaryservice: {type: binary}
      englishability: {type: binary}
      employed: {type: binary}

    """

  /// The README's settings reach an accuracy at ε = 1 that was measured with care elsewhere: 0.742,
  /// where the larger class alone is 0.628 and 0.747 is reached without privacy.
  ///
  /// A run's accuracy is 0.7414 with a standard deviation of 0.0034 (12 runs), so that the mean of six
  /// fails by chance with a probability of about 3e-6.
  @Test(.enabled(if: !path.isEmpty, "the real rows are not here"))
  func privateTrainingLearnsFromRealRows() throws {
    let folder = try ScratchFolder()
    let schema = try folder.write(Self.schema, to: "fulton.yaml")
    var sum = 0.0
    for run in 0..<6 {
      let outcome = try succeed(
        "train", Self.path, "--schema", schema, "--out", folder.file("run-\(run)"), "--epsilon",
        "1", "--delta", "1e-5", "--epochs", "40", "--hidden", "16", "--clip", "0.5",
        "--learning-rate", "0.5", "--split-key", "\(run % 3)", "--json")
      #expect(try outcome.number("epsilon") <= 1 && outcome.number("delta") == 1e-5)
      #expect(try (20_300...20_900).contains(outcome.number("examples")))
      // One message: the columns that the schema does not name.
      #expect(outcome.errorLines.count == 1 && outcome.errors.contains("puma"))
      sum += try outcome.number("testAccuracy")
    }
    #expect(sum / 6 >= 0.735)
  }

  /// A draft of the real table can be used as it is.
  @Test(.enabled(if: !path.isEmpty, "the real rows are not here"))
  func draftOfRealRowsCanBeUsed() throws {
    let folder = try ScratchFolder()
    let draft = folder.file("draft.yaml")
    try succeed("schema", Self.path, "--label", "employed", "--out", draft)
    let prepared = try succeed(
      "prepare", Self.path, "--schema", draft, "--out", folder.file("d"), "--json")
    #expect(try prepared.number("rowsKept") == 25_766)
  }
}
