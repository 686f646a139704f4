internal import DPData

/// The rows of some files in Spark SQL: texts, as the native engine reads them, and ordinals.
///
/// Spark is told to give every task one block of one file (``configuration(blockSize:)``), so that the
/// place of a row in its task is its place in the block. A first pass counts the rows of each block; their
/// sums are the ordinals of the blocks' first rows, which the second pass looks up by the task's number.
/// So a row's ordinal is its place in the table, whatever the blocks are and whoever reads them.
struct SourceSQL: Equatable {
  /// How rows lie in the files.
  enum Form: Equatable {
    /// CSV without line ends within quotes: every line that is not empty is a record.
    case lines(delimiter: Unicode.Scalar)
    /// CSV with line ends within quotes: a file is read by one task, as a whole.
    case whole(delimiter: Unicode.Scalar)
    /// Parquet; the columns that are read.
    case parquet([Column])
  }

  /// A column of a Parquet file.
  struct Column: Equatable {
    /// The name that a schema has for it: without whitespace around it.
    let name: String
    /// Its name in the file.
    let nameInFile: String
    /// Its type, as Spark writes it.
    let type: String

    /// Whether it holds binary floating point, whose text is not the same everywhere.
    var isFloatingPoint: Bool { ["double", "float"].contains(type) }
  }

  /// A block that a task reads.
  struct Block: Equatable {
    /// The task's number.
    let task: Int
    /// The file's name, hashed as Spark does.
    let file: Int64
    /// Where it begins in the file.
    let start: Int
    /// Records in it.
    let count: Int
  }

  /// The place of a block's rows among all.
  struct Place: Equatable {
    let task: Int
    let file: Int64
    let start: Int
    /// The ordinal that the block's record 0 would have.
    let base: Int
    /// The first record that is a row: 1 where record 0 is the header.
    let firstRow: Int
  }

  /// A file or folder, as a pattern of Hadoop's.
  let path: String
  let form: Form

  /// What a session has to be told before blocks are counted.
  ///
  /// - Parameter blockSize: In bytes.
  /// - Returns: Settings.
  static func configuration(blockSize: Int) -> [(String, String)] {
    // Opening a file "costs" a whole block, so that no task gets two.
    [
      ("spark.sql.files.maxPartitionBytes", "\(blockSize)b"),
      ("spark.sql.files.openCostInBytes", "\(blockSize)b"),
    ]
  }

  // MARK: - Queries

  /// The first record of each file whose first block has one.
  ///
  /// - Parameter onlyFirst: Whether one will do: the source is one file.
  /// - Returns: A query of the file's hash, and the record.
  func headers(onlyFirst: Bool) -> String {
    switch form {
    case .lines, .whole:
      "SELECT f, value FROM (\(records)) WHERE r = 0 AND b = 0\(onlyFirst ? " LIMIT 1" : "")"
    case .parquet: preconditionFailure("the header of a Parquet file is its schema")
    }
  }

  /// The first record of each file, wherever it begins: behind a block of empty lines, too.
  ///
  /// - Returns: A query as ``headers(onlyFirst:)``, which reads everything.
  var laterHeaders: String {
    "SELECT f, min_by(value, b) FROM (\(records)) WHERE r = 0 GROUP BY f"
  }

  /// How many values the columns of Parquet files have in rows where some column has none.
  ///
  /// Columns without nulls are not read for it: the statistics of row groups say so.
  ///
  /// - Returns: A query of the file's hash, such rows, and for each column its values in them.
  var valuesBesideNulls: String {
    guard case .parquet(let columns) = form else { preconditionFailure("texts have no nulls") }
    let values = columns.indices.map { ", count(v\($0))" }.joined()
    let names = columns.enumerated().map { ", \(SQLText.name($1.nameInFile)) AS v\($0)" }.joined()
    let nulls = columns.map { "\(SQLText.name($0.nameInFile)) IS NULL" }
    return """
      SELECT f, count(*)\(values) FROM (SELECT xxhash64(_metadata.file_path) AS f\(names) \
      FROM parquet.\(SQLText.name(path)) WHERE \(nulls.joined(separator: " OR "))) GROUP BY f
      """
  }

  /// How many records every block has.
  ///
  /// - Returns: A query of the task, the least and largest hash of its files and start of its blocks,
  ///   its records, and those that end within quotes.
  var blocks: String {
    let open =
      switch form {
      case .lines(let delimiter): "count_if(\(Self.endsWithinQuotes(delimiter)))"
      case .whole, .parquet: "0L"
      }
    let values = "min(f), max(f), min(b), max(b), count(*), \(open)"
    return "SELECT p, \(values) FROM (\(records)) GROUP BY p"
  }

  /// Whether a file of the source ends within quotes.
  var isUnclosed: String {
    guard case .whole(let delimiter) = form else { preconditionFailure("records are cut by lines") }
    let pieces = "regexp_extract_all(value, \(Self.record(delimiter)), 0)"
    return """
      SELECT f FROM (SELECT \(Self.bytewise) AS value, f FROM (\(whole))) \
      WHERE length(array_join(\(pieces), '')) <> length(value) LIMIT 1
      """
  }

  /// Rows of texts, as ``RowSQL`` takes them.
  ///
  /// - Parameters:
  ///   - places: Of all the source's blocks.
  ///   - fields: For each field that is read its place in the header, and its name.
  ///   - fieldCount: How many fields the header has.
  ///   - doubles: The places among `fields` of those that some source has as doubles.
  /// - Returns: A query.
  func rows(
    _ places: [Place], fields: [(index: Int, name: String)], fieldCount: Int, doubles: Set<Int>
  ) -> String {
    let numbered = numbered(places)
    var values: [String]
    var inner: String
    switch form {
    case .lines(let delimiter), .whole(let delimiter):
      inner =
        "SELECT o, \(Self.fields(delimiter)) AS a, is_valid_utf8(value) AS valid FROM (\(numbered))"
      values = ["o", "size(a) <> \(fieldCount) AS ragged", "valid"]
      for (place, field) in fields.enumerated() {
        values.append("\(text(of: field)) AS t\(place)")
      }
    case .parquet(let columns):
      inner = numbered
      values = ["o", "false AS ragged"]
      var valid: [String] = []
      for (place, field) in fields.enumerated() {
        values.append("\(text(of: field)) AS t\(place)")
        guard let index = columns.firstIndex(where: { $0.name == field.name }),
          ["string", "binary"].contains(columns[index].type)
        else { continue }
        valid.append("coalesce(is_valid_utf8(CAST(v\(index) AS STRING)), true)")
      }
      values.append("\(valid.isEmpty ? "true" : valid.joined(separator: " AND ")) AS valid")
    }
    for place in doubles.sorted() {
      values.append("\(double(of: fields[place])) AS r\(place)")
    }
    return "SELECT \(values.joined(separator: ", ")) FROM (\(inner))"
  }

  /// The trimmed text of a field.
  private func text(of field: (index: Int, name: String)) -> String {
    guard case .parquet(let columns) = form else { return "trim(get(a, \(field.index)))" }
    guard let index = columns.firstIndex(where: { $0.name == field.name }) else {
      preconditionFailure("the file was not checked to have the column \(field.name)")
    }
    let text = "CAST(v\(index) AS STRING)"
    guard columns[index].isFloatingPoint else {
      return "trim(BOTH \(Self.whitespace) FROM \(text))"
    }
    return "CASE WHEN isnan(v\(index)) THEN 'nan' WHEN abs(v\(index)) = CAST('Infinity' AS DOUBLE) "
      + "THEN CASE WHEN v\(index) > 0 THEN 'inf' ELSE '-inf' END ELSE \(text) END"
  }

  /// The double of a field: the column itself, or the number that its text is.
  private func double(of field: (index: Int, name: String)) -> String {
    if case .parquet(let columns) = form,
      let index = columns.firstIndex(where: { $0.name == field.name }),
      columns[index].type == "double"
    {
      return "v\(index)"
    }
    return ColumnSQL.number(of: text(of: field))
  }

  // MARK: - Records

  /// All records with their place in the block (`r`), the block's start (`b`), the task (`p`) and the file's
  /// hash (`f`); the columns of Parquet as `v0`, `v1`, ..., whatever their names are.
  private var records: String {
    let place = "monotonically_increasing_id() & 8589934591L"
    switch form {
    case .lines:
      return """
        SELECT value, \(place) AS r, \(Self.block), _metadata.file_block_start AS b \
        FROM text.\(SQLText.name(path)) WHERE value <> ''
        """
    case .whole(let delimiter):
      let pieces =
        "filter(regexp_extract_all(value, \(Self.record(delimiter)), 1), x -> x <> '')"
      let bytes = "CAST(encode(value, 'ISO-8859-1') AS STRING)"
      return """
        SELECT CASE WHEN ok THEN value ELSE \(bytes) END AS value, CAST(r AS BIGINT) AS r, p, f, \
        0L AS b FROM (SELECT p, f, ok, posexplode(\(pieces)) AS (r, value) FROM (\
        SELECT \(Self.bytewise) AS value, is_valid_utf8(value) AS ok, p, f FROM (\(whole))))
        """
    case .parquet(let columns):
      let names = columns.enumerated().map { "\(SQLText.name($1.nameInFile)) AS v\($0), " }.joined()
      return """
        SELECT \(names)_metadata.row_index AS r, \(Self.block), _metadata.file_block_start AS b \
        FROM parquet.\(SQLText.name(path))
        """
    }
  }

  /// The task and the file of what is read.
  private static let block = "spark_partition_id() AS p, xxhash64(_metadata.file_path) AS f"

  /// Whole files.
  private var whole: String {
    """
    SELECT \(Self.withoutMark) AS value, \(Self.block) \
    FROM text.\(SQLText.name(path)) WITH (wholetext = 'true')
    """
  }

  /// The records that are rows, with their ordinals (`o`).
  private func numbered(_ places: [Place]) -> String {
    var bases = [Int](repeating: 0, count: (places.map(\.task).max() ?? 0) + 1)
    var files = [Int64](repeating: 0, count: bases.count)
    var starts = bases
    var firstRows = bases
    for place in places {
      bases[place.task] = place.base
      files[place.task] = place.file
      starts[place.task] = place.start
      firstRows[place.task] = place.firstRow
    }
    func look(_ values: [Int64]) -> String {
      values.allSatisfy { $0 == values[0] }
        ? "\(Self.literal(values[0]))"
        : "get(array(\(values.map(Self.literal).joined(separator: ", "))), p)"
    }
    let isSame = "\(look(files)) = f AND \(look(starts.map(Int64.init))) = b"
    let moved = SQLText.literal(Self.movedMessage)
    let columns: String =
      switch form {
      case .lines, .whole: "value"
      case .parquet(let columns): columns.indices.map { "v\($0)" }.joined(separator: ", ")
      }
    return """
      SELECT \(columns), CASE WHEN \(isSame) THEN r + \(look(bases.map(Int64.init))) \
      ELSE CAST(raise_error(\(moved)) AS BIGINT) END AS o FROM (\(records)) \
      WHERE r >= \(look(firstRows.map(Int64.init)))
      """
  }

  /// What Spark says where the files changed while they were read.
  static let movedMessage = "the tables changed while they were read"

  private static func literal(_ number: Int64) -> String {
    number == .min ? "(-9223372036854775807L - 1L)" : number < 0 ? "(\(number)L)" : "\(number)L"
  }

  // MARK: - Text

  /// ASCII whitespace, which does not count around a value.
  private static let whitespace = SQLText.literal("\t\n\u{0B}\u{0C}\r ")

  /// A whole file without its byte-order mark.
  private static let withoutMark =
    "CASE WHEN startswith(value, '\\ufeff') THEN substr(value, 2) ELSE value END"

  /// A record or file as text that regular expressions can read without losing bytes: where it is not
  /// UTF-8, one character for each byte.
  private static let bytewise =
    "CASE WHEN is_valid_utf8(value) THEN value ELSE decode(CAST(value AS BINARY), 'ISO-8859-1') END"

  /// One field with the delimiter before it, as a pattern.
  ///
  /// Group 1 is what stands between quotes, group 2 what stands behind them, or the whole field.
  private static func field(_ delimiter: Unicode.Scalar, ends: String = "") -> String {
    let mark = SQLText.regularExpression(delimiter)
    let spaces = delimiter == " " ? "" : " *+"
    return "\(mark)\(spaces)(?:\"([^\"]*+(?:\"\"[^\"]*+)*+)\"|(?!\"))([^\(mark)\(ends)]*+)"
  }

  /// A record as a pattern for whole files: group 1, behind empty lines.
  private static func record(_ delimiter: Unicode.Scalar) -> String {
    let mark = SQLText.regularExpression(delimiter)
    let spaces = delimiter == " " ? "" : " *+"
    let field =
      "\(spaces)(?:\"[^\"]*+(?:\"\"[^\"]*+)*+\"|(?!\"))[^\(mark)\\r\\n]*+"
    return SQLText.literal("\\G[\\r\\n]*+(\(field)(?:\(mark)\(field))*+)(?=[\\r\\n]|\\z)")
  }

  /// The fields of a record.
  ///
  /// Where there are no quotes and no whitespace but spaces, cutting at delimiters is all there is to do,
  /// since values are trimmed later.
  private static func fields(_ delimiter: Unicode.Scalar) -> String {
    let marks = ["\"", "\t", "\u{0B}", "\u{0C}"].filter { $0 != String(delimiter) }
    let isPlain = marks.map { "NOT contains(value, \(SQLText.literal($0)))" }
    let quoted = quotedFields("value", delimiter)
    let bytes =
      "transform(\(quotedFields(bytewise, delimiter)), x -> CAST(encode(x, 'ISO-8859-1') AS STRING))"
    return """
      CASE WHEN NOT is_valid_utf8(value) THEN \(bytes) \
      WHEN \(isPlain.joined(separator: " AND ")) \
      THEN split(value, \(SQLText.literal(splitPattern(delimiter)))) ELSE \(quoted) END
      """
  }

  private static func quotedFields(_ text: String, _ delimiter: Unicode.Scalar) -> String {
    let line = "concat(\(SQLText.literal(String(delimiter))), \(text))"
    let pattern = SQLText.literal(field(delimiter))
    return """
      zip_with(regexp_extract_all(\(line), \(pattern), 1), \
      regexp_extract_all(\(line), \(pattern), 2), \
      (q, t) -> trim(BOTH \(whitespace) FROM concat(replace(q, '\\u0022\\u0022', '\\u0022'), t)))
      """
  }

  /// Whether a quote opens in a line and does not close.
  private static func endsWithinQuotes(_ delimiter: Unicode.Scalar) -> String {
    let line = "concat(\(SQLText.literal(String(delimiter))), \(bytewise))"
    let pieces = "regexp_extract_all(\(line), \(SQLText.literal(field(delimiter))), 0)"
    return "contains(value, '\\u0022') "
      + "AND length(array_join(\(pieces), '')) <> length(\(line))"
  }

  /// The delimiter as Java splits by it fastest: one character that means nothing else, or one behind a
  /// backslash.
  private static func splitPattern(_ delimiter: Unicode.Scalar) -> String {
    ".$|()[{^?*+\\".unicodeScalars.contains(delimiter) ? "\\\(delimiter)" : String(delimiter)
  }
}
