// Where the records and fields of a table end: 64 bytes at a time, as sets of bits.
//
// Quotes are rare or regular; a block that has one, or lies within quotes, walks over its quotes one
// by one, exactly as the dialect says, and takes what lies within them out of the sets.
// Langdale & Lemire 2019, "Parsing Gigabytes of JSON per Second", has the sets and their use.

#include "CDPKernels.h"
#include "instruction_sets.h"

typedef struct {
  uint64_t quote, delimiter, feed, ret, high;
} block_bits;

typedef struct {
  // The quote that opened the field that is being read; SIZE_MAX outside of quotes.
  size_t open;
  // The second quote of a pair, which was read with the first.
  size_t second;
} quote_state;

static inline size_t line_end_next(const uint8_t *bytes, size_t count, size_t end) {
  int is_pair = bytes[end] == '\r' && end + 1 < count && bytes[end + 1] == '\n';
  return end + 1 + (size_t)is_pair;
}

// The bytes of a block that lie within quotes.
static uint64_t quoted_bits(
    const uint8_t *bytes, size_t count, size_t base, uint64_t quote, uint8_t delimiter,
    int skips_spaces, quote_state *state) {
  uint64_t turns = 0;
  uint64_t before = state->open == SIZE_MAX ? 0 : ~(uint64_t)0;
  for (; quote; quote &= quote - 1) {
    int bit = __builtin_ctzll(quote);
    size_t place = base + (size_t)bit;
    if (place == state->second) continue;
    if (state->open != SIZE_MAX) {
      if (place + 1 < count && bytes[place + 1] == '"') {
        state->second = place + 1;
        continue;
      }
      state->open = SIZE_MAX;
    } else {
      size_t field = place;
      while (skips_spaces && field > 0 && bytes[field - 1] == ' ') field--;
      if (field > 0) {
        uint8_t last = bytes[field - 1];
        if (last != delimiter && last != '\n' && last != '\r') continue;
      }
      state->open = place;
    }
    turns |= (uint64_t)1 << bit;
  }
  // Bit i becomes the parity of the turns up to it.
  for (int shift = 1; shift < 64; shift *= 2) turns ^= turns << shift;
  return turns ^ before;
}

// Writes the places of the bits; up to 64 numbers behind the target may be overwritten.
#define EMIT_BITS(target, bits, base)                                  \
  do {                                                                 \
    uint32_t *out_ = (target);                                         \
    uint64_t left_ = (bits);                                           \
    int number_ = __builtin_popcountll(left_);                         \
    for (int done_ = 0; done_ < number_; done_ += 8, out_ += 8) {      \
      for (int i_ = 0; i_ < 8; i_++) {                                 \
        out_[i_] = (base) + (uint32_t)__builtin_ctzll(left_ | (1ull << 63)); \
        left_ &= left_ - 1;                                            \
      }                                                                \
    }                                                                  \
  } while (0)

#if defined(__x86_64__)

#include <immintrin.h>

static inline uint64_t equal_sse2(const __m128i *in, char byte) {
  __m128i wanted = _mm_set1_epi8(byte);
  uint64_t bits = 0;
  for (int i = 0; i < 4; i++)
    bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(in[i], wanted)) << (16 * i);
  return bits;
}

static inline void classify_sse2(const uint8_t *bytes, uint8_t delimiter, block_bits *block) {
  __m128i in[4];
  uint64_t high = 0;
  for (int i = 0; i < 4; i++) {
    in[i] = _mm_loadu_si128((const __m128i *)(bytes + 16 * i));
    high |= (uint64_t)(uint32_t)_mm_movemask_epi8(in[i]) << (16 * i);
  }
  *block = (block_bits){
      equal_sse2(in, '"'), equal_sse2(in, (char)delimiter), equal_sse2(in, '\n'),
      equal_sse2(in, '\r'), high};
}

#define NAME scan_baseline
#define TARGET
#define CLASSIFY classify_sse2
#define EMIT EMIT_BITS
#include "table_scan_body.h"
#undef NAME
#undef TARGET
#undef CLASSIFY
#undef EMIT

#define AVX2 __attribute__((target("avx2,bmi,lzcnt,popcnt")))

AVX2 static inline uint64_t equal_avx2(__m256i low, __m256i high, char byte) {
  __m256i wanted = _mm256_set1_epi8(byte);
  return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)) |
         (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)) << 32;
}

AVX2 static inline void classify_avx2(const uint8_t *bytes, uint8_t delimiter, block_bits *block) {
  __m256i low = _mm256_loadu_si256((const __m256i *)bytes);
  __m256i high = _mm256_loadu_si256((const __m256i *)(bytes + 32));
  *block = (block_bits){
      equal_avx2(low, high, '"'), equal_avx2(low, high, (char)delimiter),
      equal_avx2(low, high, '\n'), equal_avx2(low, high, '\r'),
      (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32};
}

#define NAME scan_avx2
#define TARGET AVX2
#define CLASSIFY classify_avx2
#define EMIT EMIT_BITS
#include "table_scan_body.h"
#undef NAME
#undef TARGET
#undef CLASSIFY
#undef EMIT

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi2,bmi,lzcnt,popcnt")))

AVX512 static inline void classify_avx512(
    const uint8_t *bytes, uint8_t delimiter, block_bits *block) {
  __m512i in = _mm512_loadu_si512(bytes);
  *block = (block_bits){
      _mm512_cmpeq_epi8_mask(in, _mm512_set1_epi8('"')),
      _mm512_cmpeq_epi8_mask(in, _mm512_set1_epi8((char)delimiter)),
      _mm512_cmpeq_epi8_mask(in, _mm512_set1_epi8('\n')),
      _mm512_cmpeq_epi8_mask(in, _mm512_set1_epi8('\r')), _mm512_movepi8_mask(in)};
}

// The numbers 0 to 63 whose bits are set move to the front in one instruction.
AVX512 static inline void emit_avx512(uint32_t *target, uint64_t bits, uint32_t base) {
  static const uint8_t places[64] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
      22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
      44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  __m512i found = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(places));
  __m512i start = _mm512_set1_epi32((int)base);
  int number = __builtin_popcountll(bits);
  _mm512_storeu_si512(
      target, _mm512_add_epi32(start, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(found))));
  if (number <= 16) return;
  _mm512_storeu_si512(
      target + 16,
      _mm512_add_epi32(start, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 1))));
  if (number <= 32) return;
  _mm512_storeu_si512(
      target + 32,
      _mm512_add_epi32(start, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 2))));
  _mm512_storeu_si512(
      target + 48,
      _mm512_add_epi32(start, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, 3))));
}

#define NAME scan_avx512
#define TARGET AVX512
#define CLASSIFY classify_avx512
#define EMIT emit_avx512
#include "table_scan_body.h"

cdp_scan cdp_scan_variant(int index) {
  switch (index) {
    case 0: return scan_baseline;
    case 1: return has_avx2() ? scan_avx2 : NULL;
    case 2:
      return has_avx512() && __builtin_cpu_supports("avx512vbmi2") ? scan_avx512 : NULL;
    default: return NULL;
  }
}

#elif defined(__aarch64__)

#include <arm_neon.h>

// Four comparisons, folded to a bit a byte.
static inline uint64_t fold_neon(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
  const uint8x16_t weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t low = vpaddq_u8(vandq_u8(a, weights), vandq_u8(b, weights));
  uint8x16_t high = vpaddq_u8(vandq_u8(c, weights), vandq_u8(d, weights));
  uint8x16_t sum = vpaddq_u8(low, high);
  sum = vpaddq_u8(sum, sum);
  return vgetq_lane_u64(vreinterpretq_u64_u8(sum), 0);
}

static inline uint64_t equal_neon(const uint8x16_t *in, uint8_t byte) {
  uint8x16_t wanted = vdupq_n_u8(byte);
  return fold_neon(
      vceqq_u8(in[0], wanted), vceqq_u8(in[1], wanted), vceqq_u8(in[2], wanted),
      vceqq_u8(in[3], wanted));
}

static inline void classify_neon(const uint8_t *bytes, uint8_t delimiter, block_bits *block) {
  uint8x16_t in[4], high[4];
  for (int i = 0; i < 4; i++) {
    in[i] = vld1q_u8(bytes + 16 * i);
    high[i] = vcgeq_u8(in[i], vdupq_n_u8(128));
  }
  *block = (block_bits){
      equal_neon(in, '"'), equal_neon(in, delimiter), equal_neon(in, '\n'), equal_neon(in, '\r'),
      fold_neon(high[0], high[1], high[2], high[3])};
}

#define NAME scan_neon
#define TARGET
#define CLASSIFY classify_neon
#define EMIT EMIT_BITS
#include "table_scan_body.h"

cdp_scan cdp_scan_variant(int index) { return index == 0 ? scan_neon : NULL; }

#else

static inline void classify_plain(const uint8_t *bytes, uint8_t delimiter, block_bits *block) {
  *block = (block_bits){0};
  for (int i = 0; i < 64; i++) {
    block->quote |= (uint64_t)(bytes[i] == '"') << i;
    block->delimiter |= (uint64_t)(bytes[i] == delimiter) << i;
    block->feed |= (uint64_t)(bytes[i] == '\n') << i;
    block->ret |= (uint64_t)(bytes[i] == '\r') << i;
    block->high |= (uint64_t)(bytes[i] >> 7) << i;
  }
}

#define NAME scan_plain
#define TARGET
#define CLASSIFY classify_plain
#define EMIT EMIT_BITS
#include "table_scan_body.h"

cdp_scan cdp_scan_variant(int index) { return index == 0 ? scan_plain : NULL; }

#endif
