// Sums of vectors: one vector into another, and folds of several into several.
//
// Lanes are elements, so the width of a register changes no bit of a sum.

#include "CDPKernels.h"
#include "instruction_sets.h"

#include <string.h>

// A fold goes block by block, so that its sum stays in the nearest cache.
#define BLOCK_BYTES 2048

// Asks for the next block while one is summed: vectors of other ranks come from other processors'
// caches, faster if many lines are on their way at a time.
static inline void ask_for(const void *block, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)block + i);
}

#define SUMS(NAME, TYPE, ARITHMETIC, TARGET)                                                     \
  TARGET static void add_##NAME(void *into, const void *from, size_t count) {                   \
    TYPE *restrict x = into;                                                                     \
    const TYPE *restrict y = from;                                                               \
    for (size_t i = 0; i < count; i++) x[i] = (TYPE)((ARITHMETIC)x[i] + (ARITHMETIC)y[i]);       \
  }                                                                                              \
  TARGET static void fold_##NAME(                                                                \
      const void *const *vectors, size_t vector_count, void *const *results,                     \
      size_t result_count, size_t count) {                                                       \
    TYPE sum[BLOCK_BYTES / sizeof(TYPE)];                                                        \
    size_t block = BLOCK_BYTES / sizeof(TYPE);                                                   \
    for (size_t start = 0; start < count; start += block) {                                      \
      size_t n = count - start < block ? count - start : block;                                  \
      size_t later = count - start - n < block ? count - start - n : block;                      \
      for (size_t v = 0; v < vector_count; v++)                                                  \
        ask_for((const TYPE *)vectors[v] + start + n, later * sizeof(TYPE));                     \
      if (vector_count == 1) {                                                                   \
        memcpy(sum, (const TYPE *)vectors[0] + start, n * sizeof(TYPE));                         \
      } else {                                                                                   \
        const TYPE *restrict a = (const TYPE *)vectors[0] + start;                               \
        const TYPE *restrict b = (const TYPE *)vectors[1] + start;                               \
        for (size_t i = 0; i < n; i++) sum[i] = (TYPE)((ARITHMETIC)a[i] + (ARITHMETIC)b[i]);     \
      }                                                                                          \
      for (size_t v = 2; v < vector_count; v++) {                                                \
        const TYPE *restrict x = (const TYPE *)vectors[v] + start;                               \
        for (size_t i = 0; i < n; i++) sum[i] = (TYPE)((ARITHMETIC)sum[i] + (ARITHMETIC)x[i]);   \
      }                                                                                          \
      for (size_t r = 0; r < result_count; r++)                                                  \
        memcpy((TYPE *)results[r] + start, sum, n * sizeof(TYPE));                               \
    }                                                                                            \
  }

#define ALL(SUFFIX, TARGET)                              \
  SUMS(float32_##SUFFIX, float, float, TARGET)           \
  SUMS(float64_##SUFFIX, double, double, TARGET)         \
  SUMS(int32_##SUFFIX, int32_t, uint32_t, TARGET)        \
  SUMS(int64_##SUFFIX, int64_t, uint64_t, TARGET)        \
  static const cdp_add adds_##SUFFIX[] = {               \
      add_float32_##SUFFIX, add_float64_##SUFFIX,        \
      add_int32_##SUFFIX, add_int64_##SUFFIX};           \
  static const cdp_fold folds_##SUFFIX[] = {             \
      fold_float32_##SUFFIX, fold_float64_##SUFFIX,      \
      fold_int32_##SUFFIX, fold_int64_##SUFFIX};

ALL(baseline, )
#if defined(__x86_64__)
ALL(avx2, __attribute__((target("avx2"))))
#define HAS_AVX2 has_avx2()
#else
#define HAS_AVX2 0
#define adds_avx2 adds_baseline
#define folds_avx2 folds_baseline
#endif

cdp_add cdp_add_function(int element) {
  if (element < CDP_FLOAT32 || element > CDP_INT64) return NULL;
  return HAS_AVX2 ? adds_avx2[element] : adds_baseline[element];
}

cdp_fold cdp_fold_function(int element) {
  if (element < CDP_FLOAT32 || element > CDP_INT64) return NULL;
  return HAS_AVX2 ? folds_avx2[element] : folds_baseline[element];
}
