/// The version of fastDP that writes a file, as the file records it.
package enum Version {
  /// Semantic version of this source tree.
  package static let current = "0.1.0"
}
