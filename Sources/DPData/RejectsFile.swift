internal import DPFiles

/// The list of rejected rows: a CSV of `file,line,column,reason`, one row for each.
///
/// `line` is where the offending field begins, `column` its column's name (empty for a fault of the
/// whole row). There are no values in it. Only its owner can read it.
struct RejectsFile: ~Copyable {
  private var file: AtomicFile

  init(path: String, overwrite: Bool) throws(FileError) {
    var file = try AtomicFile(path: path, overwrite: overwrite)
    try file.write("file,line,column,reason\n")
    self.file = file
  }

  mutating func write(_ row: RejectedRow, _ header: TableHeader) throws(FileError) {
    let fault = row.fault
    let column = fault.field.flatMap { $0 < header.names.count ? header.names[$0] : nil } ?? ""
    let problem = fault.problem(header, fieldCount: row.fieldCount)
    try file.write(
      "\(header.table.csvField),\(row.line),\(column.csvField),\(problem.csvField)\n")
  }

  consuming func commit() throws(FileError) { try file.commit() }
}
