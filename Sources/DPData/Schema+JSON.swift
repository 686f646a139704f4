internal import DPFiles

extension Schema {
  /// The schema as one line of JSON, in the form that ``init(text:file:)`` reads.
  ///
  /// Equal schemas have equal text. Keys have a fixed order; columns have theirs. This is the text
  /// that dataset and model files carry.
  public var canonicalJSON: String {
    var parts = ["\"label\":\(label.quotedJSON)"]
    if let id { parts.append("\"id\":\(id.quotedJSON)") }
    if let unit { parts.append("\"unit\":\(unit.quotedJSON)") }
    if let maxRowsPerUnit { parts.append("\"max_rows_per_unit\":\(maxRowsPerUnit)") }
    if let filter { parts.append("\"where\":\(filter.description.quotedJSON)") }
    if let imputationNoise {
      parts.append("\"imputation\":{\"noise_multiplier\":\(imputationNoise)}")
    }
    parts.append("\"missing\":\"\(missing.rawValue)\"")
    parts.append("\"na\":\(na.quotedJSON)")
    parts.append("\"columns\":\(tableColumns.canonicalJSON)")
    let derived = Array(columns.dropFirst(tableColumns.count))
    if !derived.isEmpty { parts.append("\"derive\":\(derived.canonicalJSON)") }
    return "{\(parts.joined(separator: ","))}"
  }

  /// A hash of ``canonicalJSON`` that is the same in every process and on every machine.
  public var stableHash: UInt64 { XXH64.hash(canonicalJSON) }
}

extension Schema: Codable {
  /// Reads the text that ``encode(to:)`` wrote.
  ///
  /// - Parameter decoder: Holds a single string.
  /// - Throws: ``DataError`` for a wrong schema, `DecodingError` where there is no string.
  public init(from decoder: any Decoder) throws {
    try self.init(text: decoder.singleValueContainer().decode(String.self), file: "schema")
  }

  /// Writes ``canonicalJSON`` as a single string, since objects of other encoders lose the order of
  /// the columns.
  ///
  /// - Parameter encoder: Gets a single string.
  /// - Throws: What the encoder throws.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(canonicalJSON)
  }
}

extension [Schema.Column] {
  fileprivate var canonicalJSON: String {
    "{\(map { "\($0.name.quotedJSON):\($0.canonicalJSON)" }.joined(separator: ","))}"
  }
}

extension Schema.Column {
  fileprivate var canonicalJSON: String {
    var parts: [String]
    switch type {
    case .binary(let values):
      parts = ["\"type\":\"binary\""]
      if let values { parts.append("\"values\":\(values.quotedJSON)") }
    case .numeric(let bounds):
      parts = ["\"type\":\"numeric\"", "\"bounds\":[\(bounds.lowerBound),\(bounds.upperBound)]"]
    case .standard(let bounds, let mean, let deviation):
      parts = [
        "\"type\":\"numeric\"", "\"bounds\":[\(bounds.lowerBound),\(bounds.upperBound)]",
        "\"scaling\":\"standard\"", "\"mean\":\(mean)", "\"std\":\(deviation)",
      ]
    case .ordinal(let categories):
      parts = [
        "\"type\":\"categorical\"", "\"categories\":\(categories.quotedJSON)",
        "\"encoding\":\"ordinal\"",
      ]
    case .hashed(let buckets):
      parts = ["\"type\":\"hashed\"", "\"buckets\":\(buckets)"]
    case .derived(let condition):
      parts = ["\"condition\":\(condition.description.quotedJSON)"]
    case .categorical(let categories, let other):
      parts = ["\"type\":\"categorical\"", "\"categories\":\(categories.quotedJSON)"]
      if other { parts.append("\"other\":true") }
    case .ignore:
      parts = ["\"type\":\"ignore\""]
    }
    if let missing { parts.append("\"missing\":\"\(missing.rawValue)\"") }
    if let impute { parts.append("\"impute\":\(impute.quotedJSON)") }
    if let bins { parts.append("\"bins\":\(bins)") }
    return "{\(parts.joined(separator: ","))}"
  }
}

extension [String] {
  /// The texts as a JSON array.
  var quotedJSON: String { "[\(map(\.quotedJSON).joined(separator: ","))]" }
}

extension String {
  /// The text as a JSON string, which is also a YAML one: escapes for quotes, backslashes and what
  /// YAML does not allow to stand for itself.
  var quotedJSON: String {
    var text = "\""
    for scalar in unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\u{20}"..."\u{7E}", "\u{A0}"..."\u{2027}", "\u{202A}"..."\u{D7FF}",
        "\u{E000}"..."\u{FEFE}", "\u{FF00}"..."\u{FFFD}", "\u{10000}"...:
        text.unicodeScalars.append(scalar)
      default:
        let digits = String(scalar.value, radix: 16, uppercase: true)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    }
    return text + "\""
  }
}
