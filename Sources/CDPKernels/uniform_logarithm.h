// The first half of a uniform number's logarithm, eight at a time, for noise and for sampling.

#ifndef CDP_UNIFORM_LOGARITHM_H
#define CDP_UNIFORM_LOGARITHM_H

#include <stdint.h>

#pragma STDC FP_CONTRACT OFF

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as little-endian numbers"
#endif

typedef double f64x8 __attribute__((vector_size(64)));
typedef uint64_t u64x8 __attribute__((vector_size(64)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// Splits (w + 1) / 2^64, rounded to double, for 8 words w.
//
// The number is m * 2^exponent, m in [sqrt(1/2), sqrt(2)), exponent <= 0; its logarithm is
// exponent * ln 2 + 2 artanh(s), s = (m - 1) / (m + 1). Where exponent is 0, s <= 0 too.
ALWAYS_INLINE void split_uniforms(const u64x8 *words, f64x8 *exponent, f64x8 *s) {
  u64x8 w = *words;
  // (double)w, rounded once: 2^84 + hi * 2^32 and 2^52 + lo are exact.
  f64x8 high = (f64x8)((w >> 32) | 0x4530000000000000u) - 0x1.00000001p84;
  f64x8 uniform = (high + (f64x8)((w & 0xffffffffu) | 0x4330000000000000u)) + 1.0;
  u64x8 bits = (u64x8)uniform;
  u64x8 k = (bits - 0x3fe6a09e667f3bcdu) >> 52;
  f64x8 m = (f64x8)(bits - (k << 52));
  *exponent = (f64x8)(k | 0x4330000000000000u) - (0x1p52 + 64.0);
  *s = (m - 1.0) / (m + 1.0);
}

#endif
