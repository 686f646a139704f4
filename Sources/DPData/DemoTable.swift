internal import DPFiles
internal import Foundation

/// A made-up census table of the demo's size and shape, drawn from published rates.
///
/// No row of it is a person. The rates were computed once from the 5 % Public Use Microdata Sample
/// of the 2000 United States census, Fulton County, Georgia, 25,766 adults (public domain; published
/// in the repository opendp/cs208 as `FultonPUMS5full.csv`), and rounded to three decimals. They
/// are public, so the demo's privacy is for show, its work is real.
///
/// Columns are drawn one after the other, each given the earlier ones named in ``Rates``;
/// employment from a logistic model of the nine columns before it. Logistic regression on the table
/// reaches about the accuracy that it has on the real rows (0.67).
public enum DemoTable {
  /// The rows of the California sample that the table imitates, rounded up.
  public static let usualRows = 1_224_000

  /// The schema of the table, as YAML.
  public static let schemaText = """
    # The demo's table. Every fact here was known before the table was made.
    label: employed
    missing: drop
    na: ["", NA]
    columns:
      sex:             {type: binary}   # 1: female
      married:         {type: binary}
      black:           {type: binary}
      asian:           {type: binary}
      collegedegree:   {type: binary}
      employed:        {type: binary}
      militaryservice: {type: binary}
      uscitizen:       {type: binary}
      disability:      {type: binary}
      englishability:  {type: binary}
      blackfemale:     {type: ignore}   # black and sex together
      targetted:       {type: ignore}   # made from the label

    """

  /// The columns, in order.
  static let columns = [
    "sex", "married", "black", "asian", "collegedegree", "employed", "militaryservice",
    "uscitizen", "disability", "englishability", "blackfemale", "targetted",
  ]

  /// Writes the table to a file that only its owner can read.
  ///
  /// - Parameters:
  ///   - path: The CSV file to make.
  ///   - rows: At least 0.
  ///   - seed: The same seed gives the same bytes.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``FileError``; nothing is left behind then.
  /// - Complexity: O(rows), 24 bytes each; a fraction of a second for ``usualRows``.
  public static func write(
    to path: String, rows: Int = usualRows, seed: UInt64 = 1, overwrite: Bool = false
  ) throws {
    precondition(rows >= 0, "\(rows) rows asked for")
    var file = try AtomicFile(path: path, overwrite: overwrite)
    try file.write(columns.joined(separator: ",") + "\n")
    var random = SplitMix64(seed: seed)
    var text: [UInt8] = []
    text.reserveCapacity(1 << 16)
    for _ in 0..<rows {
      append(Person(using: &random), to: &text, using: &random)
      if text.count >= 1 << 16 - 64 {
        try file.write(text)
        text.removeAll(keepingCapacity: true)
      }
    }
    try file.write(text)
    try file.commit()
  }

  /// Appends a row; in 2 % of rows one of the first ten columns is missing.
  private static func append(
    _ person: Person, to text: inout [UInt8], using random: inout SplitMix64
  ) {
    let missing = random.chance(0.02) ? Int(random.next() % 10) : -1
    for column in person.values.indices {
      if column > 0 { text.append(UInt8(ascii: ",")) }
      if column == missing {
        text.append(UInt8(ascii: "N"))
        text.append(UInt8(ascii: "A"))
      } else {
        text.append(person.values[column] ? UInt8(ascii: "1") : UInt8(ascii: "0"))
      }
    }
    text.append(UInt8(ascii: "\n"))
  }

  /// One drawn row.
  private struct Person {
    let values: [12 of Bool]

    init(using random: inout SplitMix64) {
      let sex = random.chance(Rates.female)
      let black = random.chance(Rates.black[sex ? 1 : 0])
      let asian = !black && random.chance(Rates.asianIfNotBlack[sex ? 1 : 0])
      let race = black ? 1 : asian ? 2 : 0
      let college = random.chance(Rates.college[race][sex ? 1 : 0])
      let married = random.chance(Rates.married[race][(sex ? 2 : 0) + (college ? 1 : 0)])
      let military = random.chance(Rates.military[race][sex ? 1 : 0])
      let citizen = random.chance(Rates.citizen[race][college ? 1 : 0])
      let disability = random.chance(Rates.disability[race][college ? 1 : 0])
      let english = random.chance(Rates.english[race][citizen ? 1 : 0])
      var logit = Rates.employedIntercept
      let nine = [
        sex, married, black, asian, college, military, citizen, disability, english,
      ]
      for (weight, value) in zip(Rates.employedWeights, nine) where value { logit += weight }
      let employed = random.chance(1 / (1 + exp(-logit)))
      values = [
        sex, married, black, asian, college, employed, military, citizen, disability, english,
        black && sex, !sex && employed,
      ]
    }
  }

  /// The published rates; where there are rows, they are race (0 other, 1 black, 2 asian).
  private enum Rates {
    /// P(sex = 1), female.
    static let female = 0.527
    /// P(black | male, female).
    static let black = [0.382, 0.460]
    /// P(asian | not black; male, female).
    static let asianIfNotBlack = [0.058, 0.052]
    /// P(collegedegree | race; male, female): 13 and more of the census's steps of education.
    static let college = [[0.559, 0.499], [0.153, 0.175], [0.534, 0.484]]
    /// P(married | race; male without and with a degree, female without and with).
    static let married = [
      [0.479, 0.639, 0.494, 0.598], [0.329, 0.488, 0.238, 0.372], [0.549, 0.675, 0.687, 0.705],
    ]
    /// P(militaryservice | race; male, female).
    static let military = [[0.227, 0.027], [0.249, 0.053], [0.039, 0.008]]
    /// P(uscitizen | race; without, with a degree).
    static let citizen = [[0.856, 0.956], [0.981, 0.960], [0.564, 0.496]]
    /// P(disability | race; without, with a degree).
    static let disability = [[0.229, 0.092], [0.322, 0.162], [0.208, 0.113]]
    /// P(englishability | race; no citizen, citizen).
    static let english = [[0.543, 0.990], [0.887, 0.995], [0.727, 0.940]]
    /// Logistic regression of employed, without regularisation: the constant.
    static let employedIntercept = 1.202
    /// The weights of sex, married, black, asian, collegedegree, militaryservice, uscitizen,
    /// disability, englishability.
    static let employedWeights = [
      -0.652, -0.214, -0.088, -0.513, 1.093, -0.334, -0.392, -0.869, 0.076,
    ]
  }
}

/// A small reproducible generator, fit for made-up tables and nothing that must be secret.
///
/// - SeeAlso: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", figure 17.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word &>> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word &>> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word &>> 31)
  }

  /// True with the given probability, to within 2^-53.
  mutating func chance(_ probability: Double) -> Bool {
    Double(next() &>> 11) * 0x1p-53 < probability
  }
}
