// Decimal numbers, correctly rounded: shared by the reader of single numbers and the loop over rows.
//
// Up to 2^53 in the digits and 22 in the exponent, one exact product or quotient is the correctly
// rounded result (Clinger 1990, "How to Read Floating Point Numbers Accurately"). Beyond, 128 bits of
// a power of five decide every number of up to 19 digits: Lemire 2021, "Number Parsing at a Gigabyte
// per Second" (arXiv 2101.11408), with the proof that no fallback is needed by Mushtak & Lemire 2023,
// "Fast Number Parsing Without Fallback". With more digits, both neighbours of the first 19 must give
// the same double.

#ifndef CDP_DECIMAL_BODY_H
#define CDP_DECIMAL_BODY_H

#include <stdint.h>
#include <string.h>

#include "decimal_powers.h"

static const double exact_powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// The double nearest to digits * 10^power; 0 where it is not finite.
static inline int decimal_round(uint64_t digits, int64_t power, double *value) {
  uint64_t bits = 0;
  if (digits == 0 || power < -342) {
    *value = 0;
    return 1;
  }
  if (power > 308) return 0;
  int zeros = __builtin_clzll(digits);
  digits <<= zeros;
  const uint64_t *five = powers_of_five[power + 342];
  __uint128_t product = (__uint128_t)digits * five[0];
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  // 55 bits of the product count: the others, all set, may be about to carry.
  if ((high & 0x1FF) == 0x1FF) {
    uint64_t more = (uint64_t)((__uint128_t)digits * five[1] >> 64);
    low += more;
    if (more > low) high++;
  }
  int upper = (int)(high >> 63);
  uint64_t mantissa = high >> (upper + 9);
  int64_t exponent = (((152170 + 65536) * power) >> 16) + 63 + upper - zeros + 1023;
  if (exponent <= 0) {
    if (1 - exponent >= 64) {
      *value = 0;
      return 1;
    }
    mantissa >>= 1 - exponent;
    mantissa += mantissa & 1;
    mantissa >>= 1;
    bits = mantissa;  // A carry into bit 52 makes the least normal number.
  } else {
    // Half way between two doubles, which only small powers can be: to the even one.
    if (low <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 &&
        mantissa << (upper + 9) == high)
      mantissa &= ~(uint64_t)1;
    mantissa += mantissa & 1;
    mantissa >>= 1;
    if (mantissa >= (uint64_t)1 << 53) {
      mantissa = (uint64_t)1 << 52;
      exponent++;
    }
    if (exponent >= 2047) return 0;
    bits = (mantissa & (((uint64_t)1 << 52) - 1)) | (uint64_t)exponent << 52;
  }
  memcpy(value, &bits, 8);
  return 1;
}

static inline uint64_t decimal_load(const uint8_t *text) {
  uint64_t word;
  memcpy(&word, text, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

static inline int decimal_are_digits(uint64_t word) {
  return (((word + 0x4646464646464646) | (word - 0x3030303030303030)) & 0x8080808080808080) == 0;
}

// Eight digits at once, by pairs, fours and eights.
static inline uint32_t decimal_eight(uint64_t word) {
  word -= 0x3030303030303030;
  word = word * 10 + (word >> 8);
  uint64_t low = (word & 0x000000FF000000FF) * 0x000F424000000064;
  uint64_t high = ((word >> 16) & 0x000000FF000000FF) * 0x0000271000000001;
  return (uint32_t)((low + high) >> 32);
}

static inline const uint8_t *decimal_digits(
    const uint8_t *text, const uint8_t *end, uint64_t *digits) {
  while (end - text >= 8) {
    uint64_t word = decimal_load(text);
    if (!decimal_are_digits(word)) break;
    *digits = *digits * 100000000 + decimal_eight(word);
    text += 8;
  }
  for (; text < end; text++) {
    uint8_t digit = (uint8_t)(*text - '0');
    if (digit > 9) break;
    *digits = *digits * 10 + digit;
  }
  return text;
}

// The first 19 significant digits of `text`, and the power of ten that goes with them.
static inline uint64_t decimal_first(
    const uint8_t *text, const uint8_t *end, int64_t *power, int *is_cut) {
  uint64_t digits = 0;
  int taken = 0, is_fraction = 0;
  int64_t moved = 0;
  *is_cut = 0;
  for (; text < end; text++) {
    if (*text == '.') {
      is_fraction = 1;
      continue;
    }
    uint8_t digit = (uint8_t)(*text - '0');
    if (taken < 19) {
      if (taken > 0 || digit > 0) taken++;
      digits = digits * 10 + digit;
      moved -= is_fraction;
    } else {
      *is_cut |= digit > 0;
      moved += !is_fraction;
    }
  }
  *power += moved;
  return digits;
}

static inline int decimal_read(const uint8_t *text, const uint8_t *end, double *value) {
  if (text == end) return 0;
  int is_negative = *text == '-';
  text += is_negative || *text == '+';
  const uint8_t *first = text;
  uint64_t digits = 0;
  text = decimal_digits(text, end, &digits);
  int64_t count = text - first, fraction = 0, power = 0;
  if (text < end && *text == '.') {
    const uint8_t *point = ++text;
    text = decimal_digits(text, end, &digits);
    fraction = text - point;
    count += fraction;
  }
  if (count == 0) return 0;
  const uint8_t *last = text;
  if (text < end) {
    if ((*text | 0x20) != 'e') return 0;
    text++;
    int is_small = text < end && *text == '-';
    text += text < end && (*text == '-' || *text == '+');
    if (text == end) return 0;
    for (; text < end; text++) {
      uint8_t digit = (uint8_t)(*text - '0');
      if (digit > 9) return 0;
      if (power < 1000000) power = power * 10 + digit;
    }
    if (is_small) power = -power;
  }
  double result;
  if (__builtin_expect(count > 19, 0)) {
    int is_cut;
    digits = decimal_first(first, last, &power, &is_cut);
    if (!decimal_round(digits, power, &result)) return 0;
    double next;
    if (is_cut && (!decimal_round(digits + 1, power, &next) || next != result)) return 0;
  } else {
    power -= fraction;
    if (digits <= (uint64_t)1 << 53 && power >= -22 && power <= 22) {
      result = power < 0 ? (double)digits / exact_powers[-power] : (double)digits * exact_powers[power];
    } else if (!decimal_round(digits, power, &result)) {
      return 0;
    }
  }
  *value = is_negative ? -result : result;
  return 1;
}

#endif
