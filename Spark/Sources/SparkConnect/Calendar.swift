/// Numbers of days and ticks as texts, by the Gregorian calendar, extended both ways.
enum Calendar {
  /// A day as `2024-02-29`; years beyond 9999 have more digits, years before 0 a sign.
  ///
  /// - Parameter days: Days since 1970-01-01.
  /// - Returns: The text.
  /// - SeeAlso: Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
  static func date(_ days: Int64) -> String {
    let (era, dayOfEra) = (days + 719_468).flooredQuotient(146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    let digits = padded(abs(year), 4)
    return "\(year < 0 ? "-" : "")\(digits)-\(padded(month, 2))-\(padded(day, 2))"
  }

  /// A point in time as `2024-02-29T23:59:59.123456`, with the decimals that its unit has.
  ///
  /// - Parameters:
  ///   - ticks: Since 1970-01-01T00:00:00.
  ///   - perSecond: How many ticks a second has: a power of ten.
  /// - Returns: The text, without a zone.
  static func time(_ ticks: Int64, perSecond: Int64) -> String {
    let (seconds, fraction) = ticks.flooredQuotient(perSecond)
    let (days, second) = seconds.flooredQuotient(86_400)
    let clock = [second / 3_600, second / 60 % 60, second % 60].map { padded($0, 2) }
    let decimals =
      perSecond == 1 ? "" : "." + padded(fraction, String(perSecond).count - 1)
    return "\(date(days))T\(clock.joined(separator: ":"))\(decimals)"
  }

  /// A whole number of units of 10^-scale as a decimal number.
  ///
  /// - Parameters:
  ///   - units: How many.
  ///   - scale: How many decimals the text has.
  /// - Returns: The text, `-0.05` for −5 and 2.
  static func decimal(_ units: Int128, _ scale: Int) -> String {
    let digits = String(units.magnitude)
    let sign = units < 0 ? "-" : ""
    if scale == 0 { return sign + digits }
    let whole = String(repeating: "0", count: max(0, scale + 1 - digits.count)) + digits
    return "\(sign)\(whole.dropLast(scale)).\(whole.suffix(scale))"
  }

  private static func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}

extension Int64 {
  /// The quotient rounded down, and the remainder that is not negative.
  func flooredQuotient(_ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
