import ArgumentParser
import FastDP
import Foundation
import Yams

/// Settings of a run from a file, YAML or JSON: `train`'s long options without their dashes.
///
/// The settings of the 2020 project fastDP are understood too.
struct TrainConfig {
  /// The settings that the file gives.
  private(set) var options: TrainOptions
  /// The data, where the file names it.
  private(set) var data: [String] = []

  /// How the settings of the 2020 project are called here.
  private static let seedNames = [
    "num_epoch": "epochs", "l2_norm_clip": "clip", "noise_multiplier": "noise-multiplier",
    "batch_size": "batch-size", "lr": "learning-rate",
  ]
  private static let names: Set<String> = [
    "schema", "delimiter", "test-fraction", "split-key", "max-rejected", "source", "hidden",
    "activation", "epsilon", "noise-multiplier", "non-private", "delta", "clip", "clipping",
    "batch-size",
    "epochs", "steps", "learning-rate", "schedule", "warmup", "weight-decay",
    "optimizer", "neighbouring", "noise", "accountant", "numerics",
    "threads", "checkpoint-every", "insecure-seed",
  ]

  /// Reads a file of settings.
  ///
  /// - Parameter path: A YAML or JSON file.
  /// - Throws: ``CommandError`` that names the file, the line and the key.
  init(contentsOf path: String) throws {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw CommandError(
        status: ExitStatus.missingInput, message: "\(path): no such file; check the path")
    }
    guard let text = String(data: bytes, encoding: .utf8), let root = try? Yams.compose(yaml: text),
      let mapping = root.mapping
    else {
      throw CommandError(
        status: ExitStatus.badData,
        message: "\(path): is not YAML or JSON with 'key: value' lines, each key once; correct it")
    }
    options = try TrainOptions.parse([])
    var arguments: [String] = []
    for (key, value) in mapping {
      let place = "\(path):\(key.mark?.line ?? 1):\(key.mark?.column ?? 1)"
      let addition = try read(key.string ?? "", value, at: place)
      if !addition.isEmpty { try TrainConfig.check(addition, at: place) }
      arguments += addition
    }
    options = try TrainOptions.parse(arguments)
  }

  /// One setting as arguments of the command line.
  private mutating func read(_ key: String, _ value: Node, at place: String) throws -> [String] {
    let words =
      value.sequence.map { [$0.compactMap(\.string).joined(separator: ",")] }
      ?? value.string.map { [$0] } ?? []
    switch key {
    case "path":
      data = value.sequence.map { $0.compactMap(\.string) } ?? words
      return []
    case "minibatch_size":
      Console.message("\(place): minibatch_size is ignored; clipping is always per example")
      return []
    case "master_ip", "master_port":
      Console.message(
        "\(place): \(key) is ignored; --rank, --ranks and --master place a rank by hand")
      return []
    case "world_size":
      guard words == ["1"] else {
        throw CommandError.usage(
          "\(place): world_size must be 1; start ranks with 'fastdp launch --ranks N -- train ...'")
      }
      return []
    default:
      let name = TrainConfig.seedNames[key] ?? key
      guard TrainConfig.names.contains(name) else {
        throw CommandError.usage(
          "\(place): unknown setting '\(key)'; the settings are train's long options without dashes"
        )
      }
      guard name == "non-private" else { return ["--\(name)"] + words }
      guard let on = value.bool else {
        throw CommandError.usage("\(place): non-private must be true or false")
      }
      return on ? ["--non-private"] : []
    }
  }

  private static func check(_ arguments: [String], at place: String) throws {
    do {
      _ = try TrainOptions.parse(arguments)
    } catch {
      let message = TrainOptions.message(for: error).split(separator: "\n").first ?? "wrong value"
      throw CommandError.usage("\(place): \(message)")
    }
  }
}
