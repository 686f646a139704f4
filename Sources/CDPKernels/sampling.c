// Poisson samples from uniform words: skips of geometric length, or a comparison for each record.
//
// One body serves all instruction sets. It uses IEEE 754's additions, subtractions, multiplications
// and divisions alone, and no fused multiply-add, so that all variants and all machines draw the same
// records.

#include "CDPKernels.h"
#include "instruction_sets.h"
#include "uniform_logarithm.h"

#pragma STDC FP_CONTRACT OFF

typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));

// -ln((w + 1) / 2^64) for 8 words w, never below 0.
//
// How far a value of at most 9 can be off, in units of 2^-50:
//   two roundings of the uniform number, relative 2^-53 each                         0.25
//   m + 1 and the quotient (m - 1 is exact): 0.347 times a relative 2^-52            0.09
//   the polynomial, interpolated at Chebyshev nodes: 2^-53.5                         0.09
//   its roundings, damped by s^2 < 0.03: 0.347 times a relative 3.3 * 2^-53          0.14
//   ln 2 to 2^-54, times at most 14; the product and the sum, below 16               2.88
// In all less than 2^-48.
ALWAYS_INLINE void negative_logarithms(const uint8_t *bytes, f64x8 *values) {
  u64x8 w;
  f64x8 exponent, s;
  __builtin_memcpy(&w, bytes, 64);
  split_uniforms(&w, &exponent, &s);
  f64x8 z = s * s;
  f64x8 p = z * -0x1.58d5d4a93822dp-3 + -0x1.732320a9c93b0p-3;
  p = p * z + -0x1.c722cceee92f4p-3;
  p = p * z + -0x1.249240b87155dp-2;
  p = p * z + -0x1.999999a435066p-2;
  p = p * z + -0x1.5555555552d50p-1;
  p = p * z + -0x1.0000000000001p+1;
  // Neither term is below 0 unless the other outweighs it.
  *values = exponent * -0x1.62e42fefa39efp-1 + s * p;
}

// Records of a group in which a skip is cut: rare, so one by one.
static size_t records_of_cut_group(
    const cdp_geometric_walk *walk, const i32x8 *gaps, uint32_t *next, uint32_t *records) {
  size_t count = 0;
  for (int lane = 0; lane < CDP_SAMPLING_GROUP_WORDS && *next < walk->end; lane++) {
    uint32_t gap = (uint32_t)(*gaps)[lane];
    *next += gap;
    if (gap < walk->longest && *next < walk->end)
      records[count++] = walk->base + (*next)++;
  }
  return count;
}

ALWAYS_INLINE size_t geometric_records(
    const uint8_t *bytes, size_t groups, const cdp_geometric_walk *walk, uint32_t *next,
    uint32_t *records) {
  f64x8 scale = (f64x8){} + walk->skips;
  f64x8 longest = (f64x8){} + (double)walk->longest;
  i32x8 cut = (i32x8){} + (int32_t)walk->longest;
  i32x8 zero = {};
  int cuts = walk->longest < walk->end;
  uint32_t end = walk->end, base = walk->base, at = *next;
  size_t count = 0;
  for (size_t group = 0; group < groups && at < end; group++) {
    f64x8 skips;
    negative_logarithms(bytes + group * CDP_SAMPLING_GROUP_BYTES, &skips);
    skips *= scale;
    i32x8 gaps = __builtin_convertvector(__builtin_elementwise_min(skips, longest), i32x8);
    if (cuts && __builtin_reduce_or((i32x8)(gaps == cut))) {
      uint32_t stop = at;
      count += records_of_cut_group(walk, &gaps, &stop, records + count);
      at = stop;
      continue;
    }
    // In each lane the sum of its gap, of earlier ones, and of the records up to here.
    i32x8 sum = gaps + 1;
    sum += __builtin_shufflevector(zero, sum, 0, 8, 9, 10, 11, 12, 13, 14);
    sum += __builtin_shufflevector(zero, sum, 0, 0, 8, 9, 10, 11, 12, 13);
    sum += __builtin_shufflevector(zero, sum, 0, 0, 0, 0, 8, 9, 10, 11);
    // Places ascend, so those inside the block come first.
    i32x8 places = sum + (int32_t)(at - 1);
    u32x8 drawn = (u32x8)places + base;
    __builtin_memcpy(records + count, &drawn, 32);
    count += (size_t)-__builtin_reduce_add((i32x8)(places < (int32_t)end));
    at = (uint32_t)places[7] + 1;
  }
  *next = at;
  return count;
}

ALWAYS_INLINE size_t compared_records(
    const uint8_t *bytes, size_t count, uint32_t threshold, uint32_t base, uint32_t *records) {
  size_t drawn = 0;
  for (size_t index = 0; index < count; index++) {
    uint32_t word;
    __builtin_memcpy(&word, bytes + 4 * index, 4);
    records[drawn] = base + (uint32_t)index;
    drawn += word < threshold;
  }
  return drawn;
}

void cdp_negative_logarithms(const uint8_t *bytes, size_t groups, double *logarithms) {
  for (size_t group = 0; group < groups; group++) {
    f64x8 values;
    negative_logarithms(bytes + group * CDP_SAMPLING_GROUP_BYTES, &values);
    __builtin_memcpy(logarithms + group * CDP_SAMPLING_GROUP_WORDS, &values, 64);
  }
}

size_t cdp_compared_records(
    const uint8_t *bytes, size_t count, uint32_t threshold, uint32_t base, uint32_t *records) {
  return compared_records(bytes, count, threshold, base, records);
}

static size_t geometric_records_baseline(
    const uint8_t *bytes, size_t groups, const cdp_geometric_walk *walk, uint32_t *next,
    uint32_t *records) {
  return geometric_records(bytes, groups, walk, next, records);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static size_t geometric_records_avx2(
    const uint8_t *bytes, size_t groups, const cdp_geometric_walk *walk, uint32_t *next,
    uint32_t *records) {
  return geometric_records(bytes, groups, walk, next, records);
}

__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))) static size_t
geometric_records_avx512(
    const uint8_t *bytes, size_t groups, const cdp_geometric_walk *walk, uint32_t *next,
    uint32_t *records) {
  return geometric_records(bytes, groups, walk, next, records);
}

cdp_geometric_records cdp_geometric_records_variant(int index) {
  switch (index) {
  case 0:
    return geometric_records_baseline;
  case 1:
    return has_avx2() ? geometric_records_avx2 : NULL;
  case 2:
    return has_avx512() ? geometric_records_avx512 : NULL;
  default:
    return NULL;
  }
}

#else

// NEON is part of every 64-bit ARM processor.
cdp_geometric_records cdp_geometric_records_variant(int index) {
  return index == 0 ? geometric_records_baseline : NULL;
}

#endif
