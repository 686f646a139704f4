internal import Foundation

/// A path of one of a cluster's file systems, taken apart so that paths can be compared.
struct ClusterPath: Hashable {
  /// What stands before the colon, one word for all names of S3; empty where nothing does.
  let scheme: String
  /// The host, bucket or the like; empty where none is named.
  let authority: String
  /// The folders and the last name, without `.` and `..`.
  let names: [String]

  /// Takes a path apart.
  ///
  /// - Parameter path: Absolute, with or without a scheme.
  init(_ path: String) {
    let word = path.prefix { $0.isLetter || $0.isNumber || "+.-".contains($0) }
    let hasScheme = !word.isEmpty && path[word.endIndex...].hasPrefix(":/")
    var rest = hasScheme ? path[word.endIndex...].dropFirst() : path[...]
    scheme = !hasScheme ? "" : ["s3a", "s3n"].contains(word) ? "s3" : String(word)
    if hasScheme, rest.hasPrefix("//") {
      let host = rest.dropFirst(2).prefix { $0 != "/" }
      authority = String(host)
      rest = rest[host.endIndex...]
    } else {
      authority = ""
    }
    var names: [String] = []
    for name in rest.split(separator: "/") where name != "." {
      if name == ".." { _ = names.popLast() } else { names.append(String(name)) }
    }
    self.names = names
  }

  /// The path as this machine would have it; nil where it is of another file system.
  var local: String? {
    guard ["", "file"].contains(scheme), authority.isEmpty else { return nil }
    return "/" + names.joined(separator: "/")
  }

  /// The path without links, where it is there on this machine.
  var resolved: ClusterPath {
    guard let local, FileManager.default.fileExists(atPath: local) else { return self }
    let path = URL(fileURLWithPath: local).resolvingSymlinksInPath().path
    return ClusterPath(scheme.isEmpty ? path : "\(scheme):\(path)")
  }

  /// Whether a path is this one, or lies below it.
  func holds(_ other: ClusterPath) -> Bool {
    // What a path without a scheme is below, only the cluster knows: one of these, as a rule.
    let usual = ["", "file", "hdfs", "viewfs"]
    let isSameSystem =
      scheme == other.scheme || (scheme.isEmpty && usual.contains(other.scheme))
      || (other.scheme.isEmpty && usual.contains(scheme))
    let isSameHost =
      authority == other.authority || authority.isEmpty || other.authority.isEmpty
    return isSameSystem && isSameHost && other.names.starts(with: names)
  }
}
