internal import Crypto
internal import Foundation

/// The SHA-256 of bytes, as 64 hexadecimal digits.
func hexDigest(of bytes: Data) -> String {
  SHA256.hash(data: bytes).map { String(UInt16($0) + 256, radix: 16).dropFirst() }.joined()
}

/// What stands beside every number that was measured on the data.
let exactFactsNote =
  "exact facts about the data, without any noise: for the operator, not for release"
