extension DataError {
  /// The error for tables of both kinds in one call.
  ///
  /// - Parameters:
  ///   - parquet: A table that is Parquet.
  ///   - text: One that is not.
  /// - Returns: The error.
  package static func ofTwoKinds(parquet: String, text: String) -> DataError {
    DataError(
      .invalidOption,
      "\(parquet) is Parquet and \(text) is not, and tables of one call are of one "
        + "kind; write one of them as the other, or prepare them apart")
  }

  /// The error for a file that is named twice, by itself or by its folder.
  ///
  /// - Parameter file: Its path.
  /// - Returns: The error.
  package static func givenTwice(_ file: String) -> DataError {
    DataError(
      .invalidOption,
      "\(file) is given twice, so its rows would count twice; name each file once, itself or by its folder"
    )
  }
}
