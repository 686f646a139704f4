import ArgumentParser
import FastDP

/// How a table is read: what `prepare`, `train` and `evaluate` share.
struct TableOptions: ParsableArguments {
  @Option(help: "The table's schema: facts declared public (YAML or JSON).")
  var schema: String?

  @Option(help: "The character between fields; 'tab' for a tabulator. (default: ,)")
  var delimiter: Delimiter?

  @Option(name: .customLong("test-fraction"), help: "Share of raw rows for testing. (default: 0.2)")
  var testFraction: Double?

  @Option(
    name: .customLong("split-key"),
    help: "Another number gives another split; public. (default: 0)")
  var splitKey: Int?

  @Option(
    name: .customLong("max-rejected"),
    help: "Fail, and write nothing, above so many rejected rows. (default: 0)")
  var maxRejected: Int?

  @Option(help: "Name of the source of the data. (default: the first table's file name)")
  var source: String?

  /// The options for the data module.
  var prepareOptions: PrepareOptions {
    var options = PrepareOptions()
    if let delimiter { options.delimiter = delimiter.byte }
    if let testFraction { options.testFraction = testFraction }
    if let splitKey { options.splitKey = splitKey }
    if let maxRejected { options.maxRejected = maxRejected }
    options.source = source
    return options
  }

  /// Opens data: a dataset file, shards of one, or tables that are prepared in memory.
  ///
  /// - Parameters:
  ///   - data: A dataset file, shards or a name of theirs; tables where a schema is given.
  ///   - model: The schema of a model; a table's schema that asks for estimates gets its values.
  ///   - ranks: The ranks that train together; nil for a process that is alone.
  /// - Returns: The data; of shards, this rank's part.
  /// - Throws: ``CommandError`` when options for tables come with a dataset file.
  func open(
    _ data: [String], like model: Schema? = nil, ranks: TrainingRanks? = nil
  ) throws -> Dataset {
    if schema == nil {
      let given = [
        ("delimiter", delimiter != nil), ("test-fraction", testFraction != nil),
        ("split-key", splitKey != nil), ("max-rejected", maxRejected != nil),
        ("source", source != nil),
      ]
      if let option = given.first(where: \.1) {
        throw CommandError.usage(
          "--\(option.0) is for tables; \(data[0]) was read and split by prepare; leave it out, or "
            + "give a table and its --schema")
      }
    } else if let file = data.first(where: Dataset.isFile) {
      throw CommandError.usage(
        "\(file) is a dataset file, which has its schema; leave out --schema")
    }
    let schema = try loadSchema().map { schema in model.map(schema.resolved) ?? schema }
    return try Dataset.open(
      data, schema: schema, options: prepareOptions, ranks: ranks, onMessage: Console.message)
  }

  /// The schema, where a file is named.
  func loadSchema() throws -> Schema? { try schema.map { try Schema(contentsOf: $0) } }
}

/// The character between fields.
struct Delimiter: ExpressibleByArgument {
  let byte: UInt8

  init?(argument: String) {
    if argument == "tab" || argument == "\\t" || argument == "\t" {
      byte = UInt8(ascii: "\t")
      return
    }
    guard argument.utf8.count == 1, let byte = argument.utf8.first, byte >= 0x20, byte < 0x7F,
      byte != UInt8(ascii: "\"")
    else { return nil }
    self.byte = byte
  }
}

/// Whether results are for programs.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON object on standard output, and nothing else there.")
  var json = false
}
