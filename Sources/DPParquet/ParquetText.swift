/// Writes values as the text that stands for them.
///
/// - SeeAlso: ``ParquetBatch/appendText(ofEntry:to:)`` for the rules.
struct ParquetText {
  /// UTF-8, or whatever a column of bytes holds.
  var bytes: [UInt8]

  mutating func append(_ text: String) {
    bytes.append(contentsOf: text.utf8)
  }

  mutating func append(byte: Character) {
    bytes.append(byte.asciiValue ?? 63)
  }

  /// Decimal digits, with zeros before them up to `width`.
  mutating func append(_ number: UInt64, width: Int = 1) {
    let start = bytes.count
    var rest = number
    repeat {
      bytes.append(48 + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    while bytes.count - start < width { bytes.append(48) }
    bytes[start...].reverse()
  }

  mutating func append(_ number: Int64) {
    if number < 0 { append(byte: "-") }
    append(number.magnitude)
  }

  /// A day, `yyyy-mm-dd`; years outside 0...9999 with a sign.
  ///
  /// - Parameter days: Since 1970-01-01, in the proleptic Gregorian calendar.
  /// - SeeAlso: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
  mutating func append(day days: Int) {
    let shifted = days + 719_468
    let (era, dayOfEra) = shifted.dividedDown(by: 146_097)
    let yearOfEra =
      (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let march = (5 * dayOfYear + 2) / 153
    let month = march < 10 ? march + 3 : march - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    if year < 0 { append(byte: "-") }
    if year > 9999 { append(byte: "+") }
    append(UInt64(year.magnitude), width: 4)
    append(byte: "-")
    append(UInt64(month), width: 2)
    append(byte: "-")
    append(UInt64(dayOfYear - (153 * march + 2) / 5 + 1), width: 2)
  }

  /// A time of day, `hh:mm:ss`, then the fraction of a second if it is not 0, without zeros at its end.
  ///
  /// - Parameters:
  ///   - units: Since midnight, at least 0.
  ///   - perSecond: A power of ten.
  mutating func append(timeOfDay units: Int, perSecond: Int) {
    let seconds = units / perSecond
    append(UInt64(seconds / 3600), width: 2)
    append(byte: ":")
    append(UInt64(seconds / 60 % 60), width: 2)
    append(byte: ":")
    append(UInt64(seconds % 60), width: 2)
    var fraction = units % perSecond
    guard fraction > 0 else { return }
    var width = perSecond == 1_000 ? 3 : perSecond == 1_000_000 ? 6 : 9
    while fraction % 10 == 0 {
      fraction /= 10
      width -= 1
    }
    append(byte: ".")
    append(UInt64(fraction), width: width)
  }

  /// A day, a space and a time of day.
  mutating func append(timestamp units: Int, perSecond: Int) {
    let (days, rest) = units.dividedDown(by: 86_400 * perSecond)
    append(day: days)
    append(byte: " ")
    append(timeOfDay: rest, perSecond: perSecond)
  }

  /// `yyyy-mm-dd hh:mm:ss` of 12 bytes: nanoseconds of the day, then the Julian day.
  mutating func append(nanoseconds: Int64, julianDay: Int32) {
    let (days, rest) = Int(nanoseconds).dividedDown(by: 86_400_000_000_000)
    append(day: Int(julianDay) - 2_440_588 + days)
    append(byte: " ")
    append(timeOfDay: rest, perSecond: 1_000_000_000)
  }

  /// Digits with exactly `scale` of them behind the point.
  ///
  /// - Parameters:
  ///   - bigEndian: Two's complement.
  ///   - scale: At least 0.
  mutating func append(decimal bigEndian: some Sequence<UInt8>, scale: Int) {
    var magnitude = Array(bigEndian)
    if let first = magnitude.first, first >= 128 {
      append(byte: "-")
      magnitude.negate()
    }
    var digits = magnitude.digits()
    while digits.count <= scale { digits.append(48) }
    for (place, digit) in digits.enumerated().reversed() {
      bytes.append(digit)
      if place == scale && scale > 0 { append(byte: ".") }
    }
  }

  /// The shortest digits that stand for no other number of the type: `nan`, `inf`, `0.1`, `1.0`, `1e+16`.
  mutating func append(_ number: some BinaryFloatingPoint & CustomStringConvertible) {
    append(number.description)
  }

  /// 8, 4, 4, 4 and 12 hexadecimal digits.
  mutating func append(uuid: some Collection<UInt8>) {
    for (place, byte) in uuid.enumerated() {
      if [4, 6, 8, 10].contains(place) { append(byte: "-") }
      for half in [byte >> 4, byte & 15] { bytes.append(half < 10 ? 48 + half : 87 + half) }
    }
  }
}

extension Int {
  /// The quotient rounded down, and the remainder, which is not negative.
  func dividedDown(by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

extension [UInt8] {
  /// Two's complement of a big-endian number.
  fileprivate mutating func negate() {
    var carry = true
    for place in indices.reversed() {
      self[place] = ~self[place] &+ (carry ? 1 : 0)
      carry = carry && self[place] == 0
    }
  }

  /// The decimal digits of a big-endian number, the last first.
  fileprivate func digits() -> [UInt8] {
    var rest = self
    var digits: [UInt8] = []
    while rest.contains(where: { $0 != 0 }) {
      var remainder: UInt16 = 0
      for place in rest.indices {
        let part = remainder << 8 | UInt16(rest[place])
        rest[place] = UInt8(part / 10)
        remainder = part % 10
      }
      digits.append(48 + UInt8(remainder))
    }
    return digits
  }
}

extension Float {
  /// A number from its 16 bits in binary16; NaN for every NaN.
  init(half bits: UInt16) {
    let exponent = Int(bits >> 10 & 31)
    let fraction = Float(bits & 1023)
    let magnitude: Float =
      switch exponent {
      case 0: Float(sign: .plus, exponent: -24, significand: fraction)
      case 31: fraction == 0 ? .infinity : .nan
      default: Float(sign: .plus, exponent: exponent - 25, significand: fraction + 1024)
      }
    self = bits >> 15 == 1 ? -magnitude : magnitude
  }

  /// The number that the shortest digits stand for, as a Double: 0.1 of a Float is 0.1, and not
  /// 0.10000000149.
  var asWritten: Double {
    let plain = Double(self)
    guard magnitude < 1e7, magnitude >= 1e-3 else {
      return self == 0 || !isFinite ? plain : Double(description) ?? plain
    }
    // The first number of places that gives this Float back has the shortest digits. A quotient of 24
    // bits by at most 10^8 is never so near to the middle of two Floats that rounding it to Double
    // first could matter: they differ by 5^-8 of the last place, at least.
    var power = 1.0
    for _ in 0...8 {
      let digits = (plain * power).rounded(.toNearestOrEven)
      guard digits.magnitude < 1e8 else { break }
      if Float(digits / power) == self { return digits / power }
      power *= 10
    }
    return Double(description) ?? plain
  }
}
