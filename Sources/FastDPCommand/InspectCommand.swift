import ArgumentParser
import DPFiles
import FastDP

/// The subcommand `fastdp inspect`.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Say what is in tables against a schema, for the operator.",
    discussion: """
      Counts the rows that would be kept, lack values, are rejected or left out, and compares columns \
      with what the schema declares. All of it is exact, so none of it may be released, and whoever \
      changes the schema because of it makes a choice that no guarantee covers.

      Examples:
        fastdp inspect people.csv --schema people.yaml
        fastdp inspect a.csv b.csv --schema s.yaml --json
      """)

  @Argument(help: "CSV files with a header, or Parquet files or folders, with the same columns.")
  var tables: [String]

  @OptionGroup var tableOptions: TableOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    guard let schema = try tableOptions.loadSchema() else {
      throw CommandError.usage(
        "inspect needs a schema; give --schema FILE ('fastdp schema' drafts one)")
    }
    let result = try TableInspection(
      of: TablePattern.files(tables), schema: schema, options: tableOptions.prepareOptions,
      onMessage: Console.message, onProgress: PrepareCommand.show)
    Console.clearProgress()
    guard !output.json else { return Console.print(InspectCommand.json(result)) }
    Console.print("\(TableInspection.note)\n")
    Console.print(InspectCommand.rows(result))
    Console.print("")
    Console.print(result.columns.map { ($0.name, InspectCommand.describe($0)) })
    for rejection in result.rejections {
      Console.print("\nrejected \(rejection.rows.grouped): \(rejection.problem)")
      for place in rejection.first { Console.print("  \(place)") }
    }
  }

  private static func rows(_ result: TableInspection) -> [(String, String)] {
    [
      ("rows read", result.rowsRead.grouped), ("rows kept", result.rowsKept.grouped),
      ("rows missing", result.rowsMissing.grouped),
      ("rows rejected", result.rowsRejected.grouped),
      ("rows filtered", result.rowsFiltered.grouped),
      ("rows beyond their unit's", result.rowsBounded.grouped),
      ("training rows (n)", result.trainRows.grouped),
    ]
      + result.classes.map {
        ("class \($0.name)", share($0.rows, of: result.rowsKept))
      }
  }

  private static func share(_ part: Int, of whole: Int) -> String {
    whole == 0
      ? part.grouped : "\(part.grouped) (\((100 * Double(part) / Double(whole)).fixed(1)) %)"
  }

  private static func describe(_ column: TableInspection.Column) -> String {
    var parts = ["\(column.type), \(column.missing.grouped) missing"]
    if let bounds = column.bounds, let least = column.smallest, let most = column.largest {
      parts.append(
        "from \(least) to \(most) within \(bounds.lowerBound) to \(bounds.upperBound)"
          + " (\(column.below.grouped) below, \(column.above.grouped) above)")
    }
    if column.notAllowed > 0 { parts.append("\(column.notAllowed.grouped) not allowed") }
    return parts.joined(separator: ", ")
  }

  private static func json(_ result: TableInspection) -> JSONValue {
    .object([
      ("note", .string(TableInspection.note)), ("rowsRead", .integer(result.rowsRead)),
      ("rowsKept", .integer(result.rowsKept)), ("rowsMissing", .integer(result.rowsMissing)),
      ("rowsRejected", .integer(result.rowsRejected)),
      ("rowsFiltered", .integer(result.rowsFiltered)),
      ("rowsBounded", .integer(result.rowsBounded)), ("trainRows", .integer(result.trainRows)),
      ("columns", .array(result.columns.map(json))),
      (
        "classes",
        .array(
          result.classes.map {
            .object([("name", .string($0.name)), ("rows", .integer($0.rows))])
          })
      ),
      (
        "rejected",
        .array(
          result.rejections.map { rejection in
            .object([
              ("problem", .string(rejection.problem)), ("rows", .integer(rejection.rows)),
              ("first", .array(rejection.first.map { .string("\($0)") })),
            ])
          })
      ),
    ])
  }

  private static func json(_ column: TableInspection.Column) -> JSONValue {
    .object([
      ("name", .string(column.name)), ("type", .string(column.type)),
      ("missing", .integer(column.missing)), ("notAllowed", .integer(column.notAllowed)),
      ("lowerBound", .optional(column.bounds?.lowerBound)),
      ("upperBound", .optional(column.bounds?.upperBound)),
      ("smallest", .optional(column.smallest)), ("largest", .optional(column.largest)),
      ("below", .integer(column.below)), ("above", .integer(column.above)),
    ])
  }
}
