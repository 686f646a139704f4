public import DPFiles
internal import Foundation

/// The files that data are named by, where a name may stand for several.
///
/// | name | files |
/// |---|---|
/// | one that there is | itself |
/// | with `*`, `?` or `[` | all that fit, as ``TablePattern`` has it |
/// | with `{rank}` | the one with this rank in its place: as shards are numbered (`00002`) if there is such a file, else plain (`2`) |
/// | `D` or `D.safetensors`, where only shards are | `D-00000-of-00004.safetensors` and so on, those that there are |
public enum DatasetFiles {
  /// What stands for a rank in a name.
  public static let rankMark = "{rank}"

  /// Finds the files of names.
  ///
  /// - Parameters:
  ///   - names: As an operator gives them.
  ///   - rank: This process's rank, 0 where it is alone.
  /// - Returns: Paths, in the order of the names; a name that stands for nothing stands for itself.
  /// - Throws: ``FileError`` `missing` for a pattern that fits nothing, `cannotRead` where shards of
  ///   different preparations lie side by side.
  public static func find(_ names: [String], rank: Int = 0) throws(FileError) -> [String] {
    var found: [String] = []
    for name in names {
      let own = name.contains(rankMark) ? file(of: rank, name) : name
      for path in try TablePattern.files([own]) {
        found += exists(path) ? [path] : try shards(of: path)
      }
    }
    return found
  }

  private static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: path)
  }

  private static func file(of rank: Int, _ name: String) -> String {
    let digits = String(rank)
    let padded = String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    let long = name.replacingOccurrences(of: rankMark, with: padded)
    return exists(long) ? long : name.replacingOccurrences(of: rankMark, with: digits)
  }

  /// The shards of a name that is no file's; the name itself where there are none.
  private static func shards(of name: String) throws(FileError) -> [String] {
    let ending = ".safetensors"
    let stem = name.hasSuffix(ending) ? String(name.dropLast(ending.count)) : name
    let folder = stem.lastIndex(of: "/").map { String(stem[...$0]) } ?? ""
    let base = stem.dropFirst(folder.count)
    let place = folder.isEmpty ? "." : folder
    let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
    let numbers = /-\d{5,}-of-\d{5,}\.safetensors/
    let own = names.filter { file in
      file.hasPrefix(base) && file.dropFirst(base.count).wholeMatch(of: numbers) != nil
    }.sorted()
    let counts = Set(own.compactMap { $0.dropLast(ending.count).split(separator: "-").last })
    guard counts.count <= 1 else {
      let shown = counts.sorted().map { String(Int($0) ?? 0) }.joined(separator: " and of ")
      throw FileError(
        .cannotRead,
        "\(name): there are shards of \(shown); name those that are meant, as in "
          + "'\(stem)-*-of-\(counts.min() ?? "")\(ending)'")
    }
    return own.isEmpty ? [name] : own.map { folder + $0 }
  }
}
