#if canImport(Glibc)
internal import Glibc
#else
internal import Darwin
#endif

/// A whole new file that appears under its name complete, or not at all.
///
/// Bytes go to a file without a name in the target's folder, which only its owner may read (mode
/// 0600). ``commit()`` syncs it and gives it its name. A value that goes away uncommitted leaves
/// nothing.
///
/// | the process is killed | what is left |
/// |---|---|
/// | before ``commit()`` | nothing new; an older file of that name is untouched |
/// | between the steps of ``commit()`` | the old file or none, and perhaps the whole new one under a hidden name |
/// | after ``commit()`` | the new file |
///
/// On a file system that has no nameless files, the bytes go to a hidden name in the same folder
/// (`.NAME.RANDOM.partial`), which is removed on every error and would be left, under that name
/// only, by a kill.
///
/// A symbolic link under the target's name is replaced, not followed. A target that exists and is
/// no regular file (a folder, a device) is refused.
package struct AtomicFile: ~Copyable {
  /// The path that the file will have, as the caller gave it.
  package let path: String
  private let overwrites: Bool
  private let folder: String
  private let name: String
  private let descriptor: Int32
  /// The hidden name the bytes go to, where the file system has no nameless files.
  private var hiddenPath: String?
  private var pending: [UInt8] = []
  private static let pendingLimit = 1 << 18

  /// Begins a new file.
  ///
  /// - Parameters:
  ///   - path: The name it will have; its folder must exist.
  ///   - overwrite: Whether an existing file may be replaced.
  ///   - namelessFiles: Whether to use nameless files where there are any; tests switch it off.
  /// - Throws: ``FileError`` `alreadyExists`, `cannotCreate`, or `inputOutput` for a full device.
  package init(path: String, overwrite: Bool, namelessFiles: Bool = true) throws(FileError) {
    let (folder, name) = try Self.split(path)
    try Self.checkTarget(path, overwrite: overwrite)
    let (descriptor, hidden) = try Self.open(path, folder, name, namelessFiles: namelessFiles)
    self.path = path
    overwrites = overwrite
    self.folder = folder
    self.name = name
    self.descriptor = descriptor
    hiddenPath = hidden
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if let hiddenPath { _ = unsafe unlink(hiddenPath) }
  }

  /// Appends bytes.
  ///
  /// - Parameter bytes: May be empty.
  /// - Throws: ``FileError`` `inputOutput`, for a full device too.
  /// - Complexity: O(count); one system call per 256 KiB.
  package mutating func write(_ bytes: [UInt8]) throws(FileError) {
    // SAFETY: the buffer is read within the closure only.
    let failure = unsafe bytes.withUnsafeBytes { buffer -> FileError? in
      do throws(FileError) {
        unsafe try self.write(buffer)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// Appends a text's UTF-8 bytes.
  ///
  /// - Parameter text: May be empty.
  /// - Throws: ``FileError`` `inputOutput`, for a full device too.
  package mutating func write(_ text: String) throws(FileError) {
    try write(Array(text.utf8))
  }

  /// Appends bytes from memory.
  ///
  /// - Parameter bytes: May be empty; must stay readable through the call.
  /// - Throws: ``FileError`` `inputOutput`, for a full device too.
  @unsafe package mutating func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    if pending.count + bytes.count <= Self.pendingLimit {
      unsafe pending.append(contentsOf: bytes)
      return
    }
    try flush()
    unsafe try writeAll(bytes)
  }

  /// Removes a file that was made in vain; nothing happens where that fails.
  ///
  /// - Parameter path: The file.
  package static func remove(_ path: String) { _ = unsafe unlink(path) }

  /// Writes bytes at a place; for files that are not written by appending.
  ///
  /// Threads may write to different places at once.
  ///
  /// - Parameters:
  ///   - bytes: May be empty; must stay readable through the call.
  ///   - offset: From the file's beginning; a gap that is never written holds zeros.
  /// - Throws: ``FileError`` `inputOutput`, for a full device too.
  @unsafe package func write(
    _ bytes: UnsafeRawBufferPointer, at offset: Int
  ) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = unsafe pwrite(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      guard count >= 0 else {
        if errno == EINTR { continue }
        throw .writing(path, number: errno)
      }
      done += count
    }
  }

  /// Reads back what was written at a place.
  ///
  /// - Parameters:
  ///   - target: Gets as many bytes as it has.
  ///   - offset: From the file's beginning.
  /// - Throws: ``FileError`` `inputOutput`, also where the file ends before.
  @unsafe package func read(
    into target: UnsafeMutableRawBufferPointer, at offset: Int
  ) throws(FileError) {
    var done = 0
    while done < target.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: target[done...])
      let count = unsafe pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
      guard count > 0 else {
        if count < 0, errno == EINTR { continue }
        throw .reading(path, number: count < 0 ? errno : EIO)
      }
      done += count
    }
  }

  /// Gives the file its name, durably.
  ///
  /// Nothing is left under any name when this throws, except an older file, untouched.
  ///
  /// - Throws: ``FileError`` `alreadyExists` where the name was taken meanwhile and `overwrite` is
  ///   false, `inputOutput` where bytes cannot be stored.
  package consuming func commit() throws(FileError) {
    try flush()
    guard fsync(descriptor) == 0 else { throw .writing(path, number: errno) }
    try publish()
    syncFolder()
  }

  /// Links or renames the synced bytes to the target.
  private mutating func publish() throws(FileError) {
    switch (hiddenPath, overwrites) {
    case (nil, false):
      try linkNameless(to: path)
    case (nil, true):
      let hidden = Self.hiddenPath(folder, name)
      try linkNameless(to: hidden)
      hiddenPath = hidden
      try renameHidden(hidden)
    case (let hidden?, true):
      try renameHidden(hidden)
    case (let hidden?, false):
      // A second name refuses a taken one, which rename would not; the first is removed after.
      guard unsafe link(hidden, path) == 0 else { throw .creating(path, number: errno) }
    }
  }

  private mutating func renameHidden(_ hidden: String) throws(FileError) {
    guard unsafe rename(hidden, path) == 0 else { throw .creating(path, number: errno) }
    hiddenPath = nil
  }

  private func linkNameless(to target: String) throws(FileError) {
    let linked = unsafe linkat(
      AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, target, AT_SYMLINK_FOLLOW)
    guard linked == 0 else { throw .creating(path, number: errno) }
  }

  /// Makes the new name durable.
  ///
  /// Some file systems have no such call; their names are as durable as they get, so a failure is
  /// not one of the file.
  private func syncFolder() {
    let handle = unsafe systemOpen(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard handle >= 0 else { return }
    fsync(handle)
    close(handle)
  }

  private mutating func flush() throws(FileError) {
    guard !pending.isEmpty else { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    // SAFETY: the buffer is read within the closure only.
    let failure = unsafe bytes.withUnsafeBytes { buffer -> FileError? in
      do throws(FileError) {
        unsafe try self.writeAll(buffer)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  @unsafe private func writeAll(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var rest = unsafe bytes[...]
    while unsafe !rest.isEmpty {
      let slice = unsafe UnsafeRawBufferPointer(rebasing: rest)
      let count = unsafe systemWrite(descriptor, slice.baseAddress, slice.count)
      guard count >= 0 else {
        if errno == EINTR { continue }
        throw .writing(path, number: errno)
      }
      unsafe rest = rest.dropFirst(count)
    }
  }

  /// A descriptor of a new file of mode 0600, and its hidden name where it has to have one.
  private static func open(
    _ path: String, _ folder: String, _ name: String, namelessFiles: Bool
  ) throws(FileError) -> (descriptor: Int32, hidden: String?) {
    var hidden: String?
    var descriptor = namelessFiles ? openNameless(in: folder) : -1
    if descriptor < 0 {
      let partial = hiddenPath(folder, name)
      descriptor = unsafe systemOpen(partial, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC)
      guard descriptor >= 0 else { throw .creating(path, number: errno) }
      hidden = partial
    }
    // The umask may have taken more away; the owner keeps read and write.
    guard fchmod(descriptor, 0o600) == 0 else {
      let number = errno
      close(descriptor)
      if let hidden { _ = unsafe unlink(hidden) }
      throw .creating(path, number: number)
    }
    return (descriptor, hidden)
  }

  /// The folder and the name in it.
  private static func split(_ path: String) throws(FileError) -> (folder: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else {
      guard !path.isEmpty, path != ".", path != ".." else {
        throw FileError(.cannotCreate, "\"\(path)\": is not the name of a file; name a file")
      }
      return (".", path)
    }
    let name = String(path[path.index(after: slash)...])
    guard !name.isEmpty, name != ".", name != ".." else {
      throw FileError(.cannotCreate, "\(path): is a folder; name a file")
    }
    return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
  }

  /// Refuses early what ``commit()`` would refuse late.
  private static func checkTarget(_ path: String, overwrite: Bool) throws(FileError) {
    var status = stat()
    // SAFETY: lstat fills the structure it is lent.
    guard unsafe lstat(path, &status) == 0 else { return }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFLNK else {
      throw FileError(.cannotCreate, "\(path): exists and is not a regular file; choose another")
    }
    guard overwrite else { throw .creating(path, number: EEXIST) }
  }

  /// A descriptor of a new file without a name, or -1 where there is no such thing.
  private static func openNameless(in folder: String) -> Int32 {
    #if os(Linux)
    // Linux's O_TMPFILE: a macro of macros, which Swift does not import.
    let nameless = 0o20_000_000 | O_DIRECTORY
    guard unsafe access("/proc/self/fd", X_OK) == 0 else { return -1 }
    return unsafe systemOpen(folder, O_RDWR | nameless | O_CLOEXEC)
    #else
    return -1
    #endif
  }

  private static func hiddenPath(_ folder: String, _ name: String) -> String {
    // 200 bytes of the name keep the whole under the usual limit of 255.
    let stem = String(decoding: name.utf8.prefix(200), as: UTF8.self)
    return "\(folder)/.\(stem).\(String(UInt64.random(in: .min ... .max), radix: 36)).partial"
  }
}

/// `open(2)` with mode 0600, under a name that the methods above do not hide.
@unsafe private func systemOpen(_ path: String, _ flags: Int32) -> Int32 {
  unsafe open(path, flags, 0o600)
}

/// `write(2)`, under a name that the methods above do not hide.
@unsafe private func systemWrite(
  _ descriptor: Int32, _ address: UnsafeRawPointer?, _ count: Int
) -> Int {
  unsafe write(descriptor, address, count)
}
