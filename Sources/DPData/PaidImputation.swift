public import DPAccounting
public import DPMechanisms

/// Values in the place of missing ones that are estimated from the training rows, and paid for.
///
/// All estimated columns are counted in one histogram over declared bins: equal widths between the
/// bounds for numbers, the declared values for others. It is released once, with Gaussian noise:
/// see ``NoisyHistogram``. Means, medians and most frequent values are computed from what was
/// released, so they cost nothing more, and become declared values of the schema.
///
/// Only rows that are training examples are counted, at most m of each unit where the schema bounds
/// them: which rows are examples does not depend on the values that are sought.
public enum PaidImputation {
  /// What a schema's estimates cost.
  ///
  /// - Parameters:
  ///   - schema: A schema that asks for estimates.
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared; `zeroOut` where the schema bounds units.
  /// - Returns: One release in which every row takes part.
  /// - Throws: ``PrivacyError`` when σ is out of range, for another relation with units, and for
  ///   `addRemove`: rows are split by their places, so a row more or less would move other rows into
  ///   the training split and out of it, and the counts by any number.
  public static func mechanism(
    of schema: Schema, noiseMultiplier: Double, relation: NeighbouringRelation
  ) throws(PrivacyError) -> PoissonSubsampledGaussian {
    guard relation != .addRemove else {
      throw PrivacyError(
        .parameterOutOfRange,
        "relation is add-remove, but rows are split by their places, which a row more or less would "
          + "move; register the source for zero-out, which has the same epsilon for the same noise")
    }
    let sigma = try NoiseMultiplier(noiseMultiplier).value
    let histogram = histogram(of: schema.estimatedColumns.map(EstimateBins.init), schema, sigma)
    // σ counts against what a unit moves; of its m rows each moves an m-th of that.
    let rows = schema.maxRowsPerUnit ?? 1
    return try PoissonSubsampledGaussian(
      samplingRate: 1, noiseMultiplier: sigma * Double(rows) / (1 + histogram.excess),
      relation: relation, groupSize: rows)
  }

  /// Estimates what a schema asks for, and charges it first.
  ///
  /// | what ends it | charged |
  /// |---|---|
  /// | an unreadable table, too many rejected rows, a budget without room | nothing |
  /// | anything after the charge | the release, though nobody saw it |
  ///
  /// - Parameters:
  ///   - schema: A schema that asks for estimates.
  ///   - tables: The tables that are to be prepared; they are read from front to back.
  ///   - options: What they are to be prepared with.
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared.
  ///   - ledger: Charged one step, durably, before any noise is drawn.
  ///   - key: Fresh for every call.
  ///   - onProgress: Called about once per MiB; what it throws ends the pass.
  /// - Returns: The schema with the values, and what to record of them.
  /// - Throws: ``DataError``, ``PrivacyError`` or the error of a file.
  /// - Complexity: One pass over the tables.
  public static func resolve(
    _ schema: Schema, tables: [String], options: PrepareOptions, noiseMultiplier: Double,
    relation: NeighbouringRelation, ledger: any PrivacyLedger, key: some RunKey = SecureKey(),
    onProgress: (PrepareProgress) throws -> Void = { _ in }
  ) throws -> (schema: Schema, released: Provenance.Imputation) {
    try resolve(
      schema, noiseMultiplier: noiseMultiplier, relation: relation, ledger: ledger, key: key
    ) { bins in
      try withoutActuallyEscaping(onProgress) {
        try count(bins, schema, tables, options, onProgress: $0)
      }
    }
  }

  /// Estimates what a schema asks for from exact counts that somebody else makes, and charges it first.
  ///
  /// - Parameters:
  ///   - schema: A schema that asks for estimates.
  ///   - noiseMultiplier: σ.
  ///   - relation: Which two tables are compared.
  ///   - ledger: Charged one step, durably, before any noise is drawn.
  ///   - key: Fresh for every call.
  ///   - counting: Counts the training examples of the schema with any values, for each column in its
  ///     bins; it throws where more rows are rejected than may be. Called once, when there is room.
  /// - Returns: The schema with the values, and what to record of them.
  /// - Throws: As there.
  package static func resolve(
    _ schema: Schema, noiseMultiplier: Double, relation: NeighbouringRelation,
    ledger: any PrivacyLedger, key: some RunKey = SecureKey(),
    counting: ([EstimateBins]) throws -> [[Int]]
  ) throws -> (schema: Schema, released: Provenance.Imputation) {
    let mechanism = try mechanism(
      of: schema, noiseMultiplier: noiseMultiplier, relation: relation)
    try ledger.checkRoom(for: 1, of: mechanism)
    let bins = schema.estimatedColumns.map(EstimateBins.init)
    let counts = try counting(bins)
    try ledger.reserve(0..<1, of: mechanism)
    let histogram = histogram(of: bins, schema, noiseMultiplier)
    let released = histogram.release(counts.flatMap(\.self), key: key)
    var rest = released[...]
    var values: [Provenance.Imputation.Value] = []
    for bin in bins {
      values.append(bin.value(Array(rest.prefix(bin.count))))
      rest = rest.dropFirst(bin.count)
    }
    let texts = Dictionary(uniqueKeysWithValues: values.map { ($0.column, $0.value) })
    return (
      try schema.resolved(with: texts),
      Provenance.Imputation(noiseMultiplier: noiseMultiplier, values: values)
    )
  }

  /// What a preparation says to a schema whose estimates were not made.
  package static func unresolved(_ schema: Schema) -> DataError {
    let names = schema.estimatedColumns.map { "\"\($0.name)\"" }.joined(separator: ", ")
    return DataError(
      .invalidOption,
      "the schema replaces missing values of \(names) by estimates from the rows, which cost privacy;"
        + " make a dataset file with 'fastdp prepare --ledger FILE', or declare values")
  }

  private static func histogram(
    of bins: [EstimateBins], _ schema: Schema, _ noiseMultiplier: Double
  ) -> NoisyHistogram {
    NoisyHistogram(
      bins: max(1, bins.reduce(0) { $0 + $1.count }), columns: max(1, bins.count),
      rowsPerUnit: schema.maxRowsPerUnit ?? 1, noiseMultiplier: noiseMultiplier)
  }

  /// Lists all rejected rows where that is asked for, and throws for the first.
  private static func list(
    _ schema: Schema, _ tables: [String], _ options: PrepareOptions
  ) throws {
    _ = try Dataset.clean(tables: tables, schema: schema, options: options, write: { _ in })
  }

  /// The exact counts, which nobody may see.
  package static func count(
    _ bins: [EstimateBins], _ schema: Schema, _ tables: [String], _ options: PrepareOptions,
    onProgress: @escaping (PrepareProgress) throws -> Void
  ) throws -> [[Int]] {
    var counts = bins.map { [Int](repeating: 0, count: $0.count) }
    let filled = try schema.withAnyValues()
    let walk = TableWalk(
      tables: tables, schema: filled, options: options, onMessage: { _ in },
      onProgress: onProgress)
    let na = MissingTokens(schema.na)
    var plans: [ColumnPlan] = []
    var rejected = 0
    func begin(_ header: TableHeader) { plans = bins.map { $0.plan(schema, header) } }
    func take(_ row: TableWalk.Row) throws {
      if case .rejected(let fault) = row.encoding {
        rejected += 1
        if rejected > options.maxRejected {
          if options.rejects != nil { try list(filled, tables, options) }
          throw RejectedRow(fault, in: row.record).error(row.header)
        }
      }
      guard row.isTrainingExample else { return }
      for (index, plan) in plans.enumerated() {
        let bytes = unsafe row.record.trimmedField(plan.field)
        var code = 0.0
        guard unsafe !na.contains(bytes), unsafe plan.readLabel(bytes, into: &code) == nil,
          let bin = bins[index].bin(ofCode: code)
        else { continue }
        counts[index][bin] += 1
      }
    }
    _ = try walk.forEachRow(onTable: begin, take)
    return counts
  }
}

/// The bins of one estimated column.
package struct EstimateBins {
  package let column: Schema.Column
  let estimate: Schema.Estimate
  /// The bounds of numbers.
  package let bounds: ClosedRange<Double>?
  /// The values of others.
  package let texts: [String]

  private static let usualCount = 32

  package init(_ column: Schema.Column) {
    self.column = column
    estimate = column.impute.flatMap(Schema.Estimate.init) ?? .mostFrequent
    bounds = column.bounds
    switch column.type {
    case .numeric, .standard: texts = []
    case .binary(let values): texts = values ?? ["0", "1"]
    case .categorical(let categories, _), .ordinal(let categories): texts = categories
    case .hashed, .derived, .ignore:
      preconditionFailure("a checked schema has no estimate of \(column.name)")
    }
  }

  /// How many there are.
  package var count: Int { bounds == nil ? texts.count : column.bins ?? EstimateBins.usualCount }

  /// How the column's values are read: numbers from -1 at the lower bound to 1 at the upper, others
  /// as the index of their text.
  func plan(_ schema: Schema, _ header: TableHeader) -> ColumnPlan {
    guard let field = header.field(of: column.name) else {
      preconditionFailure("the header was not checked to have the column \(column.name)")
    }
    let type: Schema.ColumnType =
      if let bounds {
        .numeric(bounds: bounds)
      } else if case .binary = column.type {
        column.type
      } else {
        .categorical(categories: texts, other: false)
      }
    return ColumnPlan(
      Schema.Column(name: column.name, type: type, missing: .drop), schema: schema, field: field,
      offset: 0)
  }

  /// The bin of a value; nil for one that has none, an undeclared text.
  func bin(ofCode code: Double) -> Int? {
    guard bounds != nil else { return Int(code) }
    return min(count - 1, Int((code + 1) / 2 * Double(count)))
  }

  /// The estimate from noisy counts.
  func value(_ counts: [Double]) -> Provenance.Imputation.Value {
    let text =
      if let bounds {
        "\(number(counts, bounds))"
      } else {
        texts[mostFrequent(counts)]
      }
    return .init(column: column.name, estimate: estimate, value: text)
  }

  private func mostFrequent(_ counts: [Double]) -> Int {
    counts.indices.max { counts[$0] < counts[$1] } ?? 0
  }

  private func number(_ counts: [Double], _ bounds: ClosedRange<Double>) -> Double {
    let total = counts.reduce(0, +)
    let share =
      switch estimate {
      case .mostFrequent: middle(mostFrequent(counts))
      // Where noise is all there is, the middle of the bounds is as good as anything.
      case _ where total <= 0: 0.5
      case .mean: counts.indices.reduce(0) { $0 + counts[$1] * middle($1) } / total
      case .median: median(counts, half: total / 2)
      }
    let width = bounds.upperBound - bounds.lowerBound
    let value = bounds.lowerBound + min(max(share, 0), 1) * width
    return min(max(value, bounds.lowerBound), bounds.upperBound)
  }

  /// The middle of a bin, as a share of the bounds' width.
  private func middle(_ bin: Int) -> Double { (Double(bin) + 0.5) / Double(count) }

  /// Where the running sum first reaches half of the total, taking values as spread evenly in a bin.
  private func median(_ counts: [Double], half: Double) -> Double {
    var below = 0.0
    for (bin, count) in counts.enumerated() {
      if below + count >= half, count > 0 {
        return (Double(bin) + (half - below) / count) / Double(self.count)
      }
      below += count
    }
    return 0.5
  }
}
