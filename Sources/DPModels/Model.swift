internal import DPFiles
internal import Foundation

/// A network with its parameters, and the text of the schema whose rows it reads.
///
/// In a file it is safetensors: `layers.N.weight` [outputs, inputs] and `layers.N.bias` [outputs],
/// F32, the names and shapes of PyTorch's `nn.Sequential` of `nn.Linear`; `__metadata__` holds
/// `fastdp.model` ("1"), `architecture` (JSON) and `schema`. Nothing in it is a statement about the
/// data other than the parameters themselves.
public struct Model: Sendable {
  /// Which numbers the network has and what they do.
  public let architecture: DenseArchitecture
  /// d numbers, in the order that ``DenseArchitecture`` tells.
  public let parameters: [Float]
  /// The schema, as its own module wrote it.
  public let schemaText: String

  /// Puts a model together.
  ///
  /// - Parameters:
  ///   - architecture: The network.
  ///   - parameters: As many as the network has.
  ///   - schemaText: The schema whose rows it reads.
  public init(architecture: DenseArchitecture, parameters: [Float], schemaText: String) {
    precondition(
      parameters.count == architecture.parameterCount,
      "\(parameters.count) parameters, \(architecture.parameterCount) expected")
    self.architecture = architecture
    self.parameters = parameters
    self.schemaText = schemaText
  }

  private static let formatKey = "fastdp.model"
  private static let format = "1"

  /// Writes the model to a file that only its owner can read.
  ///
  /// - Parameters:
  ///   - path: The file to make.
  ///   - overwrite: Whether an existing file may be replaced.
  /// - Throws: ``FileError``; nothing is left behind then.
  public func write(to path: String, overwrite: Bool = false) throws {
    let shape = Shape(architecture)
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let metadata = [
      Model.formatKey: Model.format, "schema": schemaText,
      "architecture": String(decoding: try encoder.encode(shape), as: UTF8.self),
    ]
    let layers = architecture.layers
    let layout = SafetensorsLayout(
      layers.enumerated().flatMap { index, layer in
        [
          .init("layers.\(index).weight", .f32, shape: [layer.outputs, layer.inputs]),
          .init("layers.\(index).bias", .f32, shape: [layer.outputs]),
        ]
      }, metadata: metadata)
    var writer = try SafetensorsWriter(path: path, layout: layout, overwrite: overwrite)
    for layer in layers {
      try writer.write(Array(parameters[layer.weights]))
      try writer.write(Array(parameters[layer.biases]))
    }
    try writer.commit()
  }

  /// Reads a model file.
  ///
  /// - Parameter path: A file that ``write(to:overwrite:)`` made.
  /// - Throws: ``FileError`` where it cannot be read, ``ModelError`` where it is no model.
  public init(contentsOf path: String) throws {
    let reader = try SafetensorsReader(contentsOf: path)
    guard reader.metadata[Model.formatKey] == Model.format,
      let text = reader.metadata["architecture"], let schemaText = reader.metadata["schema"],
      let shape = try? JSONDecoder().decode(Shape.self, from: Data(text.utf8))
    else {
      throw ModelError(
        .malformedFile, "\(path): is not a fastDP model; give the folder of a finished run")
    }
    let architecture = try shape.architecture()
    var parameters: [Float] = []
    for (index, layer) in architecture.layers.enumerated() {
      let parts = [
        ("weight", [layer.outputs, layer.inputs]), ("bias", [layer.outputs]),
      ]
      for (name, shape) in parts {
        guard let values = reader.floats("layers.\(index).\(name)", shape: shape) else {
          throw ModelError(
            .malformedFile, "\(path): layers.\(index).\(name) is absent or has another shape")
        }
        parameters += values
      }
    }
    self.init(architecture: architecture, parameters: parameters, schemaText: schemaText)
  }
}

/// An architecture as files hold it.
private struct Shape: Codable {
  var features: Int
  var hidden: [Int]
  var activation: Activation
  var head: String
  var outputs: Int

  init(_ architecture: DenseArchitecture) {
    features = architecture.features
    hidden = architecture.hidden
    activation = architecture.activation
    head = architecture.head.name
    outputs = architecture.head.outputs
  }

  func architecture() throws(ModelError) -> DenseArchitecture {
    try DenseArchitecture(
      features: features, hidden: hidden, activation: activation,
      head: Head(name: head, outputs: outputs))
  }
}

extension Head {
  /// The head's name in files and records.
  package var name: String {
    switch self {
    case .binary: "binary"
    case .multiclass: "multiclass"
    case .regression: "regression"
    }
  }

  /// The head of a name.
  ///
  /// - Parameters:
  ///   - name: As ``name`` gives it.
  ///   - outputs: The number of outputs of the last layer.
  /// - Throws: ``ModelError`` when there is no such head.
  package init(name: String, outputs: Int) throws(ModelError) {
    switch (name, outputs) {
    case ("binary", 1): self = .binary
    case ("multiclass", 2...): self = .multiclass(outputs)
    case ("regression", 1): self = .regression
    default:
      throw ModelError(.malformedFile, "a head named \(name) with \(outputs) outputs is unknown")
    }
  }
}
