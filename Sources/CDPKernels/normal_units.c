// Box and Muller's transform in Double: 12 random bytes give two normal values.
//
// One body serves all instruction sets. It uses additions, subtractions, multiplications, divisions
// and square roots alone, each correctly rounded by IEEE 754, and no fused multiply-add, so that all
// variants and all machines give the same bits.

#include "CDPKernels.h"
#include "instruction_sets.h"
#include "uniform_logarithm.h"

#pragma STDC FP_CONTRACT OFF

typedef int64_t i64x8 __attribute__((vector_size(64)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

// A group at a time: lane j of 8 holds the pair of values j and 8 + j of the group.
//
// With w the pair's 64-bit word and v its 32-bit word:
//   radius  r = sqrt(-2 ln((w + 1) / 2^64)), the quotient rounded to Double;
//   angle   in quarter turns: y + q, y in (-1/2, 1/2) from the low 30 bits of v and then the low
//           12 bits of w, which move the radius by less than a relative 2^-52 where its uniform is
//           above 2^-12; q in 0...3 from the top two bits of v.
// The polynomials interpolate at Chebyshev nodes; they are off by at most 2^-45 (logarithm), 2^-48
// (sine) and 2^-44 (cosine), so a value of at most 9.42 standard deviations by at most 2^-38.
ALWAYS_INLINE void normal_units(
    const uint8_t *bytes, size_t groups, double scale, int32_t *units) {
  for (size_t group = 0; group < groups; group++) {
    u64x8 w;
    u32x8 v;
    __builtin_memcpy(&w, bytes + group * CDP_NORMAL_GROUP_BYTES, 64);
    __builtin_memcpy(&v, bytes + group * CDP_NORMAL_GROUP_BYTES + 64, 32);

    f64x8 exponent, s;
    split_uniforms(&w, &exponent, &s);
    f64x8 z = s * s;
    f64x8 p = z * -0x1.9192e478c4308p-2 + -0x1.c620ee6e2b4a3p-2;
    p = p * z + -0x1.2494381ee5869p-1;
    p = p * z + -0x1.9999962c06032p-1;
    p = p * z + -0x1.555555567148cp+0;
    p = p * z + -0x1.fffffffffff12p+1;
    // Nothing below 0 comes under the root.
    f64x8 square = exponent * -0x1.62e42fefa39efp+0 + s * p;
    f64x8 radius = __builtin_elementwise_sqrt(square) * scale;

    u64x8 angle = __builtin_convertvector(v, u64x8);
    u64x8 fraction = ((angle << 22) & 0x000fffffffc00000u) | ((w << 10) & 0x00000000003ffc00u);
    f64x8 y = (f64x8)(fraction | 0x3ff0000000000200u) - 1.5;
    f64x8 x = y * y;
    f64x8 sine = x * -0x1.dd54805f3f706p-19 + 0x1.5071ce4b47930p-13;
    sine = sine * x + -0x1.32d2c644adc0bp-8;
    sine = sine * x + 0x1.466bc67123fa1p-4;
    sine = sine * x + -0x1.4abbce6257a2ap-1;
    sine = sine * x + 0x1.921fb54442cfap+0;
    sine = sine * y;
    f64x8 cosine = x * -0x1.a0ee132c60c1fp-16 + 0x1.e1e7ccccb387ap-11;
    cosine = cosine * x + -0x1.55d3ba300cd50p-6;
    cosine = cosine * x + 0x1.03c1f074ded21p-2;
    cosine = cosine * x + -0x1.3bd3cc9bd2c35p+0;
    cosine = cosine * x + 0x1.ffffffffffe0bp-1;

    // q: a turn by a half changes both signs, a reflection exchanges the two values.
    radius = (f64x8)((u64x8)radius ^ ((angle << 32) & 0x8000000000000000u));
    u64x8 exchanged = (u64x8)((i64x8)(angle << 33) < 0);
    u64x8 difference = ((u64x8)sine ^ (u64x8)cosine) & exchanged;
    f64x8 first = radius * (f64x8)((u64x8)cosine ^ difference);
    f64x8 second = radius * (f64x8)((u64x8)sine ^ difference);

    // Adding 1.5 * 2^52 rounds to an integer, ties to even, and leaves it in the low 32 bits.
    u64x8 rounded_first = (u64x8)(first + 0x1.8p52);
    u64x8 rounded_second = (u64x8)(second + 0x1.8p52);
    i32x8 low_first = __builtin_convertvector(rounded_first, i32x8);
    i32x8 low_second = __builtin_convertvector(rounded_second, i32x8);
    __builtin_memcpy(units + group * CDP_NORMAL_GROUP_VALUES, &low_first, 32);
    __builtin_memcpy(units + group * CDP_NORMAL_GROUP_VALUES + 8, &low_second, 32);
  }
}

static void normal_units_baseline(
    const uint8_t *bytes, size_t groups, double scale, int32_t *units) {
  normal_units(bytes, groups, scale, units);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void normal_units_avx2(
    const uint8_t *bytes, size_t groups, double scale, int32_t *units) {
  normal_units(bytes, groups, scale, units);
}

__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))) static void normal_units_avx512(
    const uint8_t *bytes, size_t groups, double scale, int32_t *units) {
  normal_units(bytes, groups, scale, units);
}

cdp_normal_units cdp_normal_units_variant(int index) {
  switch (index) {
  case 0:
    return normal_units_baseline;
  case 1:
    return has_avx2() ? normal_units_avx2 : NULL;
  case 2:
    return has_avx512() ? normal_units_avx512 : NULL;
  default:
    return NULL;
  }
}

#else

// NEON is part of every 64-bit ARM processor.
cdp_normal_units cdp_normal_units_variant(int index) {
  return index == 0 ? normal_units_baseline : NULL;
}

#endif
