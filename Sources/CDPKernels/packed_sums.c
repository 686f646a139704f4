// Whole numbers in doubles, 4 bytes each on their way to other ranks.

#include "CDPKernels.h"
#include "instruction_sets.h"

// What comes from another processor's cache is asked for so far ahead.
#define AHEAD 512

#define PACKED(SUFFIX, TARGET)                                                               \
  TARGET static int pack_##SUFFIX(const double *restrict from, int32_t *restrict to, size_t n) { \
    int64_t misfits = 0;                                                                     \
    for (size_t i = 0; i < n; i++) {                                                         \
      double x = from[i];                                                                    \
      double low = x > -2147483648.0 ? x : -2147483648.0;                                    \
      int32_t whole = (int32_t)(low < 2147483647.0 ? low : 2147483647.0);                    \
      to[i] = whole;                                                                         \
      misfits |= (double)whole != x;                                                         \
    }                                                                                        \
    return misfits == 0;                                                                     \
  }                                                                                          \
  TARGET static void add_##SUFFIX(double *restrict sum, const int32_t *restrict from, size_t n) { \
    for (size_t i = 0; i < n && i < AHEAD; i += 16) __builtin_prefetch(from + i);            \
    for (size_t start = 0; start < n; start += AHEAD) {                                      \
      size_t end = n - start < AHEAD ? n : start + AHEAD;                                    \
      for (size_t i = end; i < n && i < end + AHEAD; i += 16) __builtin_prefetch(from + i);  \
      for (size_t i = start; i < end; i++) sum[i] += (double)from[i];                        \
    }                                                                                        \
  }

PACKED(baseline, )
#if defined(__x86_64__)
PACKED(avx2, __attribute__((target("avx2"))))
#define HAS_AVX2 has_avx2()
#else
#define HAS_AVX2 0
#define pack_avx2 pack_baseline
#define add_avx2 add_baseline
#endif

void cdp_claim(void *memory, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((char *)memory + i, 1);
}

int cdp_pack(const double *from, int32_t *to, size_t count) {
  return HAS_AVX2 ? pack_avx2(from, to, count) : pack_baseline(from, to, count);
}

void cdp_add_packed(double *sum, const int32_t *from, size_t count) {
  if (HAS_AVX2) add_avx2(sum, from, count);
  else add_baseline(sum, from, count);
}
