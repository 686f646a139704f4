// Decimal numbers of up to 16 bytes, without a loop over their digits: for processors with AVX2.
//
// The text is loaded so that it ends where a register does; the point is shuffled out, and sixteen
// digits are added up by pairs, fours and eights. What does not fit goes to the plain reader, which
// gives the same for all texts. 16 bytes before the text must be readable.

#ifndef CDP_DECIMAL_VECTOR_H
#define CDP_DECIMAL_VECTOR_H

#include <immintrin.h>
#include <stddef.h>

#include "decimal_body.h"

// 10^power, and 1 over it: a product and a quotient by 1 round nothing.
static const double decimal_products[45] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const double decimal_quotients[45] = {
    1e22, 1e21, 1e20, 1e19, 1e18, 1e17, 1e16, 1e15, 1e14, 1e13, 1e12, 1e11, 1e10, 1e9, 1e8, 1e7,
    1e6, 1e5, 1e4, 1e3, 1e2, 1e1, 1e0,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// Bytes 0xFF, then 0x00: from 16 - n on, the first 16 - n bytes are set.
static const uint8_t decimal_before[32] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0};

// The plain reader, out of the way of the loop.
__attribute__((noinline)) static int decimal_read_plain(
    const uint8_t *text, const uint8_t *end, double *value) {
  return decimal_read(text, end, value);
}

__attribute__((noinline)) static int decimal_round_plain(
    uint64_t digits, int64_t power, double *value) {
  return decimal_round(digits, power, value);
}

__attribute__((target("avx2,bmi,lzcnt,popcnt"), always_inline)) static inline int
decimal_read_vector(
    const uint8_t *text, const uint8_t *end, double *value) {
  const uint8_t *whole = text, *whole_end = end;
  if (text == end) return 0;
  int is_negative = *text == '-';
  text += is_negative;
  int power = 0;
  // Two digits of an exponent, as printf writes them.
  if (end - text > 5 && (end[-4] | 0x20) == 'e') {
    uint8_t sign = end[-3], tens = (uint8_t)(end[-2] - '0'), ones = (uint8_t)(end[-1] - '0');
    if ((sign != '-' && sign != '+') || tens > 9 || ones > 9) goto plain;
    power = 10 * tens + ones;
    power = sign == '-' ? -power : power;
    end -= 4;
  }
  // A zero before the point counts for nothing.
  if (end - text > 16 && text[0] == '0' && text[1] == '.') text++;
  ptrdiff_t length = end - text;
  if (length < 1 || length > 17) goto plain;
  uint64_t digits;
  int fraction;
  if (length == 17) {
    // The point in front, then sixteen digits.
    if (*text != '.') goto plain;
    fraction = 16;
    __m128i in = _mm_sub_epi8(
        _mm_loadu_si128((const __m128i *)(text + 1)), _mm_set1_epi8('0'));
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(in, _mm_set1_epi8(9)), in)) != 0xFFFF)
      goto plain;
    __m128i pairs = _mm_maddubs_epi16(in, _mm_set1_epi16(10 | 1 << 8));
    __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | 1 << 16));
    __m128i eights =
        _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(10000 | 1 << 16));
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    digits = (both & 0xFFFFFFFF) * 100000000 + (both >> 32);
  } else {
    __m128i in = _mm_sub_epi8(
        _mm_loadu_si128((const __m128i *)(end - 16)), _mm_set1_epi8('0'));
    __m128i before = _mm_loadu_si128((const __m128i *)(decimal_before + length));
    in = _mm_andnot_si128(before, in);
    int point = _mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_set1_epi8('.' - '0')));
    if (point & (point - 1)) goto plain;
    // Where the point is, from the left; 16 where there is none.
    int place = __builtin_ctz((unsigned)point | 1u << 16);
    fraction = point ? 15 - place : 0;
    if (length == 1 && point) goto plain;
    // Bytes up to the point move right by one, over it.
    const __m128i places = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m128i moves = _mm_cmpgt_epi8(_mm_set1_epi8((char)(point ? place + 1 : 0)), places);
    in = _mm_shuffle_epi8(in, _mm_add_epi8(places, moves));
    if (_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(in, _mm_set1_epi8(9)), in)) != 0xFFFF)
      goto plain;
    __m128i pairs = _mm_maddubs_epi16(in, _mm_set1_epi16(10 | 1 << 8));
    __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(100 | 1 << 16));
    __m128i eights =
        _mm_madd_epi16(_mm_packus_epi32(fours, fours), _mm_set1_epi32(10000 | 1 << 16));
    uint64_t both = (uint64_t)_mm_cvtsi128_si64(eights);
    digits = (both & 0xFFFFFFFF) * 100000000 + (both >> 32);
  }
  power -= fraction;
  double result;
  if (__builtin_expect(digits <= (uint64_t)1 << 53 && power >= -22 && power <= 22, 1)) {
    result = (double)(int64_t)digits * decimal_products[power + 22] / decimal_quotients[power + 22];
  } else if (!decimal_round_plain(digits, power, &result)) {
    return 0;
  }
  *value = is_negative ? -result : result;
  return 1;
plain:
  return decimal_read_plain(whole, whole_end, value);
}

#endif
