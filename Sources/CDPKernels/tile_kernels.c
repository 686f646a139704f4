// The loops over tiles, compiled for each instruction set; one body serves all: tile_body.h.

#include "CDPTiles.h"
#include "instruction_sets.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vectors are taken apart in little-endian order"
#endif

// Vectors are passed to functions that are always inlined, so that no calling convention matters.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float f32x16 __attribute__((vector_size(64)));
typedef float f32x8 __attribute__((vector_size(32)));
typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef int64_t i64x8 __attribute__((vector_size(64)));
typedef uint8_t u8x8 __attribute__((vector_size(8)));
typedef double f64x8 __attribute__((vector_size(64)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));

#if defined(__x86_64__)

#define CDP_AVX2 __attribute__((target("avx2,fma")))
#define CDP_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))

// Sixteen registers of 4 floats, and no fused operations.
#define NAME(x) x##_baseline
#define TARGET
#define CONTRACT off
#define CDP_CANONICAL 0
#define ROWS 3
#define OUTER_ROWS 1
#define OUTER_SUMS 8
#include "tile_body.h"

// Sixteen registers of 8 floats.
#define NAME(x) x##_avx2
#define TARGET CDP_AVX2
#define CONTRACT fast
#define CDP_CANONICAL 0
#define ROWS 6
#define OUTER_ROWS 2
#define OUTER_SUMS 8
#include "tile_body.h"

// Thirty-two registers of 16 floats.
#define NAME(x) x##_avx512
#define TARGET CDP_AVX512
#define CONTRACT fast
#define CDP_CANONICAL 0
#define ROWS 12
#define OUTER_ROWS 4
#define OUTER_SUMS 16
#include "tile_body.h"

#define NAME(x) x##_canonical_baseline
#define TARGET
#define CONTRACT off
#define CDP_CANONICAL 1
#define ROWS 3
#define OUTER_ROWS 1
#define OUTER_SUMS 8
#include "tile_body.h"

#define NAME(x) x##_canonical_avx2
#define TARGET CDP_AVX2
#define CONTRACT off
#define CDP_CANONICAL 1
#define ROWS 6
#define OUTER_ROWS 2
#define OUTER_SUMS 8
#include "tile_body.h"

#define NAME(x) x##_canonical_avx512
#define TARGET CDP_AVX512
#define CONTRACT off
#define CDP_CANONICAL 1
#define ROWS 12
#define OUTER_ROWS 4
#define OUTER_SUMS 16
#include "tile_body.h"

const cdp_tile_kernels *cdp_tile_kernels_variant(int index, int canonical) {
  switch (index) {
  case 0:
    return canonical ? &kernels_canonical_baseline : &kernels_baseline;
  case 1:
    if (!has_avx2() || !__builtin_cpu_supports("fma")) return NULL;
    return canonical ? &kernels_canonical_avx2 : &kernels_avx2;
  case 2:
    if (!has_avx512()) return NULL;
    return canonical ? &kernels_canonical_avx512 : &kernels_avx512;
  default:
    return NULL;
  }
}

#else

// NEON, part of every 64-bit ARM processor: 32 registers of 4 floats, with fused operations.
#define NAME(x) x##_baseline
#define TARGET
#define CONTRACT fast
#define CDP_CANONICAL 0
#define ROWS 6
#define OUTER_ROWS 2
#define OUTER_SUMS 8
#include "tile_body.h"

#define NAME(x) x##_canonical_baseline
#define TARGET
#define CONTRACT off
#define CDP_CANONICAL 1
#define ROWS 6
#define OUTER_ROWS 2
#define OUTER_SUMS 8
#include "tile_body.h"

const cdp_tile_kernels *cdp_tile_kernels_variant(int index, int canonical) {
  if (index != 0) return NULL;
  return canonical ? &kernels_canonical_baseline : &kernels_baseline;
}

#endif

void cdp_prefetch_rows(
    const void *table, size_t stride, size_t length, const uint32_t *rows, size_t count) {
  // The first lines of a long row are enough: the processor sees where they lead.
  size_t end = length < 256 ? length : 256;
  for (size_t index = 0; index < count; index++) {
    const char *row = (const char *)table + (size_t)rows[index] * stride;
    for (size_t byte = 0; byte < end; byte += 64) __builtin_prefetch(row + byte);
    if (length > 1) __builtin_prefetch(row + length - 1);
  }
}

void cdp_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
