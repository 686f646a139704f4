extension String {
  /// The text as a field of a CSV file: in quotes where it needs them.
  package var csvField: String {
    let special = utf8.contains { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }
    guard special || hasPrefix(" ") || hasSuffix(" ") else { return self }
    return "\"" + reduce(into: "") { $0 += $1 == "\"" ? "\"\"" : String($1) } + "\""
  }
}
