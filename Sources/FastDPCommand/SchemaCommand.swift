import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp schema`.
struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Draft a schema from a table.",
    discussion: """
      A schema declares what may be known without looking at the data: columns, types, bounds, \
      categories, the label. The draft reads these from the file, so what it says is public only \
      if the file is: replace every fact by one that you know from elsewhere.

      Examples:
        fastdp schema people.csv --label employed
        fastdp schema people.tsv --label income --delimiter tab --out people.yaml
      """)

  @Argument(help: "A CSV file with a header, or a Parquet file or folder.")
  var table: String

  @Option(help: "The column to predict.")
  var label: String

  @Option(help: "Where to write the draft. (default: standard output)")
  var out: String?

  @Option(help: "The character between fields; 'tab' for a tabulator. (default: ,)")
  var delimiter: Delimiter?

  @Flag(help: "Replace an existing file.")
  var overwrite = false

  func run() throws {
    let text = try SchemaDraft.draft(
      table: table, label: label, delimiter: delimiter?.byte,
      onMessage: Console.message)
    guard let out else {
      Console.print(text.hasSuffix("\n") ? String(text.dropLast()) : text)
      return
    }
    var file = try AtomicFile(path: out, overwrite: overwrite)
    try file.write(text)
    try file.commit()
    Console.message("wrote \(out); it is public only if the table is: check every line")
  }
}
