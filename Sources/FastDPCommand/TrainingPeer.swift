import FastDP
import Foundation

/// Another system that trains the same model: a Python program that prints its records per second.
struct TrainingPeer {
  /// What results call it.
  let name: String
  private let python: String
  private let program: String
  private let mode: String

  /// Every peer: its name, the folder of its Python, its program, its mode.
  private static let known = [
    ("jax-sgd", "jax", "train_jax.py", "sgd"), ("jax-vmap", "jax", "train_jax.py", "vmap"),
    ("torch-sgd", "torch", "train_torch.py", "sgd"),
    ("hooks", "torch", "train_torch.py", "hooks"), ("ghost", "torch", "train_torch.py", "ghost"),
    ("seed", "torch", "train_torch.py", "seed"),
  ]

  /// The peers of a list of names.
  ///
  /// - Parameters:
  ///   - folder: Where `torch/bin/python` and `jax/bin/python` are.
  ///   - programs: Where the peers' programs are.
  ///   - names: Names with commas between them; nil for all.
  /// - Returns: The peers, in that order.
  /// - Throws: ``CommandError`` for an unknown name, or where a file is missing.
  static func all(
    in folder: String, _ programs: String, named names: String?
  ) throws -> [TrainingPeer] {
    let wanted = names.map { $0.split(separator: ",").map(String.init) } ?? known.map(\.0)
    return try wanted.map { name in
      guard let (_, place, program, mode) = known.first(where: { $0.0 == name }) else {
        throw CommandError.usage(
          "against is '\(name)'; it must be of \(known.map(\.0).joined(separator: ", "))")
      }
      let peer = TrainingPeer(
        name: name, python: "\(folder)/\(place)/bin/python", program: "\(programs)/\(program)",
        mode: mode)
      for path in [peer.python, peer.program]
      where !FileManager.default.fileExists(atPath: path) {
        throw CommandError(
          status: ExitStatus.missingInput,
          message: "\(path): no such file; see 'fastdp bench train --help' for --peers and "
            + "--peer-programs")
      }
      return peer
    }
  }

  /// Runs the peer once.
  ///
  /// - Parameter settings: The model and batch.
  /// - Returns: The rate that it prints, measured inside it.
  /// - Throws: ``CommandError`` when it fails or prints no rate.
  func examplesPerSecond(_ settings: TrainingBenchmark.Settings) throws -> Double {
    let process = Process()
    let pipe = Pipe()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments =
      [
        program, mode, "--batch", "\(settings.batchSize)", "--features", "\(settings.features)",
        "--rows", "\(settings.examples)", "--hidden",
      ] + settings.hidden.map { "\($0)" }
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    do { try process.run() } catch { throw failure("cannot be started") }
    let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw failure("ended with status \(process.terminationStatus)")
    }
    // The last line counts: "...: 6,100,000 records/s, ...".
    let numbers = text.matches(of: /([0-9][0-9,]*) records\/s/).map(\.1)
    guard let last = numbers.last, let rate = Double(last.filter { $0 != "," }) else {
      throw failure("printed no records/s")
    }
    return rate
  }

  private func failure(_ what: String) -> CommandError {
    CommandError(
      status: ExitStatus.unavailable,
      message: "\(name): \(python) \(program) \(what); run it by hand to see why")
  }
}
