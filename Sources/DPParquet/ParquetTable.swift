internal import DPFiles

#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A table in one Parquet file, several, or a folder of them.
///
/// Rows are in the order of the files, and in a folder in the order of the files' names, byte by byte, as
/// Spark numbers them. Files and folders whose names begin with `.` or `_` are no part of the table.
///
/// A folder of Spark's or Hadoop's part files (`part-00000...`) without the file `_SUCCESS` is refused:
/// the job that writes it has not ended, or has failed, and may have left some of the rows only.
public struct ParquetTable: Sendable {
  /// A row group of the table: columns of it are read on their own, in any order, on any thread.
  public struct Unit: Hashable, Sendable {
    /// An index in the table's files.
    public let file: Int
    /// An index in the file's row groups.
    public let rowGroup: Int
    /// The ordinal, over all files, of its first row.
    public let firstRow: Int
    /// Rows.
    public let rowCount: Int
  }

  /// In the order of rows.
  public let files: [ParquetFile]
  /// The columns of the first file; every file has them, in any order.
  public let columns: [ParquetColumn]
  /// Rows of all files.
  public let rowCount: Int
  /// All row groups, in the order of rows; empty ones are left out.
  public let units: [Unit]

  /// Opens a table.
  ///
  /// - Parameter paths: Files and folders, at least one.
  /// - Throws: ``ParquetError`` as ``ParquetFile/init(path:)`` does, `incompleteFolder`, or
  ///   `schemaMismatch` where a file lacks a column of the first or has it with another type.
  public init(paths: [String]) throws(ParquetError) {
    precondition(!paths.isEmpty, "a table needs at least one file")
    var files: [ParquetFile] = []
    for path in paths {
      for file in try Self.files(at: path) { files.append(try ParquetFile(path: file)) }
    }
    try self.init(files: files)
  }

  /// A table of files that are open.
  ///
  /// - Parameter files: At least one.
  /// - Throws: ``ParquetError`` `schemaMismatch`.
  public init(files: [ParquetFile]) throws(ParquetError) {
    precondition(!files.isEmpty, "a table needs at least one file")
    self.files = files
    columns = files[0].columns
    for file in files.dropFirst() { try Self.check(file, against: columns, of: files[0].path) }
    var units: [Unit] = []
    var row = 0
    for (index, file) in files.enumerated() {
      for (group, rows) in file.rowGroups.enumerated() where rows > 0 {
        units.append(Unit(file: index, rowGroup: group, firstRow: row, rowCount: rows))
        row += rows
      }
    }
    self.units = units
    rowCount = row
  }

  /// A reader of one column in one file, to be given row groups of that file.
  ///
  /// - Parameters:
  ///   - name: The column's name.
  ///   - file: An index in ``files``.
  ///   - keepsIndices: As in ``ParquetColumnReader``.
  /// - Returns: The reader.
  /// - Throws: ``ParquetError`` `missingColumn` or `unsupported`.
  public func reader(
    ofColumn name: String, file: Int, keepsIndices: Bool = false
  ) throws(ParquetError) -> ParquetColumnReader {
    let column = try files[file].column(named: name)
    return try ParquetColumnReader(files[file], column: column, keepsIndices: keepsIndices)
  }

  /// Whether a path is a folder or a file that begins as Parquet files do.
  ///
  /// - Parameter path: Anything; it need not exist.
  /// - Returns: Whether ``init(paths:)`` is the way to read it.
  public static func isParquet(path: String) -> Bool {
    if FolderNames.isFolder(path) { return true }
    do throws(FileError) {
      // A pipe's bytes cannot be put back, and who writes a named one must find one reader only.
      guard let size = try InputFile.size(ofFileAt: path), size >= 4 else { return false }
      let file = try InputFile(path: path)
      var mark: UInt32 = 0
      let read = unsafe try withUnsafeMutableBytes(of: &mark) { bytes throws(FileError) in
        unsafe try file.read(into: bytes)
      }
      return read == 4 && [0x3152_4150, 0x4552_4150].contains(UInt32(littleEndian: mark))
    } catch {
      return false
    }
  }

  private static func check(
    _ file: ParquetFile, against columns: [ParquetColumn], of first: String
  ) throws(ParquetError) {
    for column in columns where column.refusal == nil {
      let other = file.columns[try file.column(named: column.name)]
      guard other.type == column.type, other.refusal == nil else {
        throw ParquetError(
          .schemaMismatch,
          "has another type than in \(first); have both written with one schema",
          at: .init(file: file.path, column: column.name))
      }
    }
  }

  /// The files of a path: itself, or those in the folder.
  ///
  /// - Parameter path: A file or a folder.
  /// - Returns: The files, in the order of rows.
  /// - Throws: ``ParquetError`` `file` for an empty folder, `incompleteFolder`, or `unsupported` for a folder
  ///   of folders.
  public static func files(at path: String) throws(ParquetError) -> [String] {
    guard FolderNames.isFolder(path) else { return [path] }
    let place = ParquetError.Place(file: path)
    guard let names = FolderNames.names(in: path) else {
      throw ParquetError(
        .incompleteFolder, "the folder cannot be listed; ask its owner for permission", at: place)
    }
    let visible = names.filter { !$0.hasPrefix(".") && !$0.hasPrefix("_") }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    if let folder = visible.first(where: { FolderNames.isFolder("\(path)/\($0)") }) {
      throw ParquetError(
        .unsupported,
        "the folder holds the folder \(folder); name the folders that hold the files themselves",
        at: place)
    }
    guard !names.contains("_temporary"),
      names.contains("_SUCCESS") || !visible.contains(where: isPart)
    else {
      throw ParquetError(.incompleteFolder, unfinished, at: place)
    }
    guard !visible.isEmpty else {
      throw ParquetError(
        FileError(.cannotRead, "\(path): is a folder without files; name a table"), at: place)
    }
    return visible.map { "\(path)/\($0)" }
  }

  /// What is wrong with a folder of part files whose job has not ended; what to do.
  package static let unfinished =
    "there is no _SUCCESS beside the part files, so that the job which writes them has not ended "
    + "or has failed; run it again, or make that file if you know that all parts are there"

  /// Whether Spark or Hadoop gave a file its name: `part-00000-...`, `part-r-00000`.
  ///
  /// - Parameter name: A file's, without its folder.
  /// - Returns: Whether only `_SUCCESS` says that its folder is whole.
  package static func isPart(_ name: String) -> Bool {
    guard name.hasPrefix("part-") else { return false }
    var rest = name.dropFirst(5)
    if rest.hasPrefix("m-") || rest.hasPrefix("r-") { rest = rest.dropFirst(2) }
    return rest.prefix { $0.isASCII && $0.isNumber }.count >= 5
  }
}

/// What is in a folder.
enum FolderNames {
  /// Whether there is a folder of that path.
  static func isFolder(_ path: String) -> Bool {
    var status = stat()
    // SAFETY: stat fills the structure it is lent.
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The names of all that is in a folder; nil where it may not be listed.
  static func names(in path: String) -> [String]? {
    guard let folder = unsafe opendir(path) else { return nil }
    defer { unsafe _ = closedir(folder) }
    var names: [String] = []
    while let entry = unsafe readdir(folder) {
      // SAFETY: the name ends with 0 within its array.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names
  }
}
