internal import DPData
internal import DPFiles
internal import Foundation

/// The folder that a preparation makes: what must not be lost by it, and what is taken back.
struct OutputFolder {
  /// How far its making is.
  private enum State {
    case untouched
    case sent
    case written
  }

  /// As it was named, absolute.
  let path: String
  private let overwrites: Bool
  private let executor: any SparkExecutor
  /// Whether the folder was not there before, as far as this machine sees.
  private var isNewHere = false
  private var state = State.untouched

  /// A folder that was not looked at.
  ///
  /// - Parameters:
  ///   - path: Absolute.
  ///   - overwrites: Whether a dataset that is there may be replaced.
  ///   - executor: Looks.
  init(_ path: String, overwrites: Bool, executor: any SparkExecutor) {
    self.path = path
    self.overwrites = overwrites
    self.executor = executor
  }

  private var local: String? { ClusterPath(path).local }
  private var pattern: String { SQLText.pattern(path) }
  private var mark: String { "\(pattern)/\(PreparedFolder.markName)" }

  // MARK: - Before

  /// Refuses a folder that is there, but for a dataset or what a job has left, where that may be replaced.
  ///
  /// - Throws: ``FileError`` `alreadyExists`; ``SparkError``.
  mutating func check() throws {
    isNewHere = local.map { !FileManager.default.fileExists(atPath: $0) } ?? false
    guard try executor.exists(pattern) else { return }
    guard overwrites else {
      throw FileError(
        .alreadyExists, "\(path): is there already; name another folder, or give --overwrite")
    }
    // A folder of somebody else's is never emptied.
    guard !holdsOthersHere, try !executor.exists("\(pattern)/\(JobFiles.patternOfOthers)"),
      try !executor.exists("\(pattern)/part-*/*")
    else {
      throw FileError(
        .alreadyExists,
        "\(path): holds other files than a dataset's; take them out, or name another folder")
    }
    guard try executor.exists(mark) || isEmpty else {
      throw FileError(
        .alreadyExists,
        "\(path): holds files and is no dataset of fastDP's; remove it, or name another folder")
    }
  }

  /// Refuses a folder that is a table, or holds one: it would be erased before it is read.
  ///
  /// - Parameter tables: Paths, or patterns.
  /// - Throws: ``DataError`` `invalidOption`.
  func check(apartFrom tables: [String]) throws(DataError) {
    let folder = ClusterPath(path)
    let resolved = folder.resolved
    for table in tables {
      let place = ClusterPath(table)
      guard folder.holds(place) || resolved.holds(place.resolved) else { continue }
      throw DataError(
        .invalidOption,
        "the output \(path) is or holds the table \(table), which would be erased; name another folder"
      )
    }
  }

  /// Whether this machine sees something in the folder that no job has left.
  private var holdsOthersHere: Bool {
    guard let local, let names = try? FileManager.default.contentsOfDirectory(atPath: local) else {
      return false
    }
    return names.contains { name in
      var isFolder: ObjCBool = false
      _ = unsafe FileManager.default.fileExists(
        atPath: "\(local)/\(name)", isDirectory: &isFolder)
      return !JobFiles.leave(name) || (name.hasPrefix("part-") && isFolder.boolValue)
    }
  }

  /// Whether no file in the folder, but for hidden ones, has anything in it.
  private var isEmpty: Bool {
    get throws(SparkError) {
      try executor.rows(
        "SELECT _metadata.file_name FROM binaryFile.\(SQLText.name(pattern)) LIMIT 1",
        title: "looking for the output")?.isEmpty ?? true
    }
  }

  // MARK: - While it is made, and after

  /// The statement that writes the rows is about to be sent.
  mutating func begin() { state = .sent }

  /// The rows are written, and whatever was there before is gone.
  mutating func finish() { state = .written }

  /// Takes away what a failed job has written, as far as can be.
  ///
  /// A dataset that was there before stays where the job has failed before it took it away.
  func takeBack() {
    guard state != .untouched else { return }
    if isNewHere, let local, FileManager.default.fileExists(atPath: local) {
      try? FileManager.default.removeItem(atPath: local)
      return
    }
    guard (try? executor.exists(pattern)) == true,
      state == .written || (try? executor.exists(mark)) == false
    else { return }
    try? executor.command(
      "INSERT OVERWRITE DIRECTORY \(SQLText.literal(path)) USING text SELECT '' WHERE false",
      title: "taking back what was written")
  }
}

/// What jobs of Spark's leave in a folder, and the mark of a dataset.
enum JobFiles {
  private static let names = ["_temporary", "_SUCCESS", "._SUCCESS.crc", PreparedFolder.markName]
  private static let beginnings = ["part-", ".part-"]

  /// Whether jobs give that name to something in their folder.
  static func leave(_ name: String) -> Bool {
    names.contains(name) || beginnings.contains { name.hasPrefix($0) }
  }

  /// A pattern of Hadoop's for all other names.
  ///
  /// Another name leaves the tree of these names somewhere: it ends there, or goes on with a character
  /// that none of them has at that place.
  static let patternOfOthers: String = {
    let all = names + beginnings
    let stems = Set(all.flatMap { name in name.indices.map { String(name[..<$0]) } } + names)
    let patterns = stems.sorted().flatMap { stem -> [String] in
      let longer = all.filter { $0.hasPrefix(stem) }
      let next = Set(longer.compactMap { $0.dropFirst(stem.count).first })
      let others = next.isEmpty ? "\(stem)?*" : "\(stem)[^\(String(next.sorted()))]*"
      return stem.isEmpty || leave(stem) ? [others] : [stem, others]
    }
    return "{\(patterns.joined(separator: ","))}"
  }()
}

extension SparkExecutor {
  /// Whether there is anything under a path, be it empty or hidden.
  ///
  /// - Parameter pattern: A pattern of Hadoop's.
  /// - Returns: Whether it fits anything.
  /// - Throws: ``SparkError``.
  /// - Complexity: No job; the server lists what it fits.
  func exists(_ pattern: String) throws(SparkError) -> Bool {
    try rows(
      "SELECT 1 FROM binaryFile.\(SQLText.name(pattern)) WITH (recursiveFileLookup = 'true') LIMIT 0",
      title: "looking for files") != nil
  }
}
