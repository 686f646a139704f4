#if canImport(Glibc)
package import Glibc
#else
package import Darwin
#endif

/// Streams of bytes between one rank and its peers, which never block.
///
/// Bytes from one rank to another arrive in order and once; what they mean is for the frames above.
/// Whoever waits does so by ``park(_:sending:receiving:for:)``, never inside a transfer, so that
/// deadlines hold and both directions go on.
package protocol Transport: AnyObject {
  /// This rank.
  var rank: Int { get }
  /// Ranks of the group.
  var ranks: Int { get }
  /// How to wait here.
  var policy: WaitPolicy { get }
  /// A peer's name for people: its host.
  func name(of peer: Int) -> String
  /// Knows when the group has ended; nil where nobody watches.
  var watch: GroupWatch? { get }
  /// Something that changes when a transfer may have become possible.
  var ticket: UInt32 { get }
  /// Takes bytes for a peer.
  ///
  /// - Returns: How many it took; 0 where none can go now.
  func send(
    _ parts: UnsafeMutableBufferPointer<iovec>, to peer: Int
  ) throws(CollectiveError) -> Int
  /// Gives bytes from a peer.
  ///
  /// - Returns: How many came; 0 where none are there now.
  func receive(
    _ parts: UnsafeMutableBufferPointer<iovec>, from peer: Int
  ) throws(CollectiveError) -> Int
  /// Sleeps until a transfer may be possible that was not when the ticket was taken; may wake early.
  func park(
    _ ticket: UInt32, sending: [Int], receiving: [Int], for nanoseconds: Int64
  ) throws(CollectiveError)
  /// Why a peer that is waited for in an operation will never come; nil where it may.
  ///
  /// What it has sent before can be received once this has said that it is gone.
  func fault(of peer: Int, in operation: OperationMark) -> CollectiveError?
  /// Has peers that wait for this rank, now or later, fail at once: called after an error.
  func abort()
}
