internal import DPData

/// A schema in Spark SQL: from rows of texts to rows of codes.
///
/// The statement is a pile of projections, each of which uses what the one below it names, so that
/// nothing is computed twice. A row of texts (``SourceSQL``) has `o`, its ordinal; `ragged`, whether it
/// has another number of fields than the header; `valid`, whether it is UTF-8; and of each field that is
/// read the text `t0`, `t1`, ... and the double `r0`, ... where the table has one. What comes out is
/// described by ``PreparedFolder``.
struct RowSQL {
  let schema: Schema
  /// The columns of the table that are read.
  let fieldNames: [String]
  private let options: PrepareOptions
  private let columns: [ColumnSQL]
  private let label: ColumnSQL
  private let filter: ConditionSQL?
  private let unit: FieldSQL?
  private let identifiers: [FieldSQL]
  private let splitField: FieldSQL?

  /// Translates a schema.
  ///
  /// - Parameters:
  ///   - schema: Asks for no estimates.
  ///   - options: The split.
  ///   - fieldNames: All of ``fieldNames(of:)``, in the order of the first table.
  init(_ schema: Schema, _ options: PrepareOptions, fieldNames: [String]) {
    self.schema = schema
    self.options = options
    self.fieldNames = fieldNames
    let places = Dictionary(uniqueKeysWithValues: fieldNames.enumerated().map { ($1, $0) })
    func field(_ name: String) -> FieldSQL {
      guard let index = places[name] else {
        preconditionFailure("the tables were not checked to have the column \(name)")
      }
      return FieldSQL(index: index, na: schema.na)
    }
    columns = schema.featureColumns.map { ColumnSQL($0, schema, field: field) }
    label = ColumnSQL(schema.labelColumn, schema, field: field)
    filter = schema.filter.map { ConditionSQL($0, field: field) }
    unit = schema.unit.map(field)
    identifiers = [schema.unit, schema.id].compactMap(\.self).map(field)
    splitField = identifiers.first
  }

  /// The columns of a table that a schema reads, in no order.
  static func fieldNames(of schema: Schema) -> Set<String> {
    let columns = schema.featureColumns + [schema.labelColumn]
    let conditions = columns.compactMap(\.condition) + [schema.filter].compactMap(\.self)
    return Set(columns.filter { $0.condition == nil }.map(\.name))
      .union([schema.unit, schema.id].compactMap(\.self)).union(conditions.flatMap(\.columns))
  }

  /// The fields whose texts are looked at, other than for being missing or numbers.
  var textFields: Set<String> {
    let conditions = (columns + [label]).compactMap(\.condition) + [filter].compactMap(\.self)
    let fields =
      (columns + [label]).compactMap(\.textField) + conditions.flatMap(\.textFields) + identifiers
    return Set(fields.map { fieldNames[$0.index] })
  }

  /// The rows, encoded.
  ///
  /// - Parameters:
  ///   - rows: A query for rows of texts.
  ///   - doubles: The places of the fields that the rows have as doubles.
  /// - Returns: A query with ``PreparedFolder``'s columns.
  func encoded(_ rows: String, doubles: Set<Int>) -> String {
    let codes = columns.enumerated().flatMap { index, column -> [String] in
      let imputed = column.imputed.map { "coalesce(c\(index), CASE WHEN u\(index) THEN \($0) END)" }
      return ["CASE WHEN s = 0 THEN \(imputed ?? "c\(index)") END AS x\(index)"]
        + (column.indicates
          ? ["CASE WHEN s = 0 THEN CASE WHEN u\(index) THEN 1Y ELSE 0Y END END AS m\(index)"] : [])
    }
    return """
      SELECT o AS \(PreparedFolder.ordinal), test AS \(PreparedFolder.isTest), \
      CAST(s AS INT) AS \(PreparedFolder.status), CASE WHEN s = 0 THEN cy END AS y, \
      \(codes.joined(separator: ", ")) FROM (\(judged(rows, doubles: doubles)))
      """
  }

  /// The training examples, each with its bins of the columns that are estimated.
  ///
  /// - Parameters:
  ///   - rows: A query for rows of texts.
  ///   - doubles: The places of the fields that the rows have as doubles.
  ///   - bins: For each estimated column the expression of its bin.
  /// - Returns: A query of `c`, the column's place, `b`, the bin, and the count; where `c` is -1, of
  ///   rejected rows.
  func counted(_ rows: String, doubles: Set<Int>, bins: [String]) -> String {
    let pairs = bins.enumerated().map { "\($0), CASE WHEN s = 0 AND NOT test THEN \($1) END" }
    let rejected = "-1, CASE WHEN s >= \(RejectReason.Status.rejected) THEN 0 END"
    return """
      SELECT c, b, count(*) AS n FROM (SELECT stack(\(bins.count + 1), \
      \((pairs + [rejected]).joined(separator: ", "))) AS (c, b) \
      FROM (\(judged(rows, doubles: doubles)))) WHERE b IS NOT NULL GROUP BY c, b
      """
  }

  /// The field of a column that is read.
  func field(_ name: String) -> FieldSQL? {
    fieldNames.firstIndex(of: name).map { FieldSQL(index: $0, na: schema.na) }
  }

  // MARK: - Layers, from the bottom

  /// Adds what is a number.
  private func read(_ rows: String, doubles: Set<Int>) -> String {
    let numbers = numericFields.map { field in
      let number =
        doubles.contains(field.index) ? field.double : ColumnSQL.number(of: field.text)
      return "\(number) AS \(field.anyNumber)"
    }
    return numbers.isEmpty ? rows : "SELECT *, \(numbers.joined(separator: ", ")) FROM (\(rows))"
  }

  private var numericFields: [FieldSQL] {
    let fields = (columns + [label]).flatMap(\.numericFields) + (filter?.numericFields ?? [])
    return Set(fields).sorted { $0.index < $1.index }
  }

  /// Adds finite numbers and the split.
  private func split(_ rows: String, doubles: Set<Int>) -> String {
    let largest = SQLText.literal(Double.greatestFiniteMagnitude)
    let numbers = numericFields.map {
      "CASE WHEN NOT \($0.isMissing) AND abs(\($0.anyNumber)) <= \(largest) "
        + "THEN \($0.anyNumber) END AS \($0.number)"
    }
    let key = SQLText.literal("\(options.splitKey):")
    var place = "CAST(o AS STRING)"
    if let field = splitField {
      place =
        "CASE WHEN NOT \(field.isMissing) AND (valid OR is_valid_utf8(\(field.text))) "
        + "THEN \(field.text) ELSE \(place) END"
    }
    let threshold = UInt64((options.testFraction * 0x1p53).rounded())
    let isTest =
      "shiftrightunsigned(xxhash64(concat(\(key), \(place))), 11) < \(threshold)L AS test"
    return "SELECT *, \((numbers + [isTest]).joined(separator: ", ")) "
      + "FROM (\(read(rows, doubles: doubles)))"
  }

  /// Adds codes, and whether each is missing.
  private func coded(_ rows: String, doubles: Set<Int>) -> String {
    let codes = columns.enumerated().map { "\($1.code) AS c\($0), \($1.isMissing) AS u\($0)" }
    let label = "\(label.code) AS cy, \(label.isMissing) AS uy"
    let filter = filter.map { ["\($0.expression) AS f"] } ?? []
    return "SELECT *, \((codes + [label] + filter).joined(separator: ", ")) "
      + "FROM (\(split(rows, doubles: doubles)))"
  }

  /// Adds the status, before units are bounded, and after.
  private func judged(_ rows: String, doubles: Set<Int>) -> String {
    guard let limit = schema.maxRowsPerUnit, let unit else {
      return "SELECT *, \(status) AS s FROM (\(coded(rows, doubles: doubles)))"
    }
    let isCandidate = "(s0 = \(RejectReason.Status.kept) AND NOT test)"
    // Rows that are no candidates get windows of their own, so that no task gets all of them.
    let rank =
      "row_number() OVER (PARTITION BY CASE WHEN \(isCandidate) THEN \(unit.text) END, "
      + "CASE WHEN \(isCandidate) THEN -1L ELSE o END ORDER BY o)"
    return """
      SELECT *, CASE WHEN \(isCandidate) AND k > \(limit) THEN \(RejectReason.Status.bounded) \
      ELSE s0 END AS s FROM (SELECT *, \(rank) AS k FROM (SELECT *, \(status) AS s0 \
      FROM (\(coded(rows, doubles: doubles)))))
      """
  }

  /// What becomes of a row, by the first rule that holds.
  private var status: String {
    var cases = [
      "WHEN ragged THEN \(RejectReason.ragged.status(nil))",
      "WHEN NOT valid THEN \(RejectReason.invalidText.status(nil))",
    ]
    cases += identifiers.map {
      "WHEN \($0.isMissing) THEN \(RejectReason.missingIdentifier.status($0))"
    }
    if let filter {
      cases += filter.numericFields.sorted { $0.index < $1.index }.map(numberFault)
      cases.append("WHEN NOT coalesce(f, false) THEN \(RejectReason.Status.filtered)")
    }
    cases += faults
    let missing = columns.enumerated().filter(\.element.drops).map { "u\($0.offset)" } + ["uy"]
    cases.append("WHEN \(missing.joined(separator: " OR ")) THEN \(RejectReason.Status.missing)")
    let kept = RejectReason.Status.kept
    let rule = "CASE \(cases.joined(separator: " ")) ELSE \(kept) END"
    return isUsual.map { "IF(\($0), \(kept), \(rule))" } ?? rule
  }

  /// Whether a row is what most are: kept, as its codes alone say; nil where they do not say it.
  private var isUsual: String? {
    guard filter == nil, (columns + [label]).allSatisfy({ $0.condition == nil }) else { return nil }
    let codes = columns.indices.map { "c\($0) IS NOT NULL" } + ["cy IS NOT NULL"]
    let conditions = ["NOT ragged", "valid"] + identifiers.map { "NOT \($0.isMissing)" } + codes
    return conditions.joined(separator: " AND ")
  }

  /// The values that columns and derived columns do not allow, in the order of the fields.
  private var faults: [String] {
    var faults: [(Int, String)] = []
    for (name, column) in columns.enumerated().map({ ("\($0)", $1) }) + [("y", label)] {
      faults += column.numericFields.map { ($0.index, numberFault($0)) }
      if let reason = column.reason, let field = column.field {
        faults.append(
          (field.index, "WHEN NOT u\(name) AND c\(name) IS NULL THEN \(reason.status(field))"))
      }
    }
    return faults.enumerated().sorted { ($0.element.0, $0.offset) < ($1.element.0, $1.offset) }
      .map(\.element.1)
  }

  private func numberFault(_ field: FieldSQL) -> String {
    let names = ["nan", "inf", "infinity"].flatMap { [$0, "+\($0)", "-\($0)"] }
      .map { SQLText.literal($0) }.joined(separator: ", ")
    return "WHEN \(field.isNoNumber) THEN CASE WHEN \(field.anyNumber) IS NOT NULL "
      + "OR lower(\(field.text)) IN (\(names)) THEN \(RejectReason.notFinite.status(field)) "
      + "ELSE \(RejectReason.notANumber.status(field)) END"
  }
}
