// Parquet's hybrid of run lengths and bit packing.
//
// A header (varint) with its lowest bit 0 is a run of header/2 equal values, stored once in the fewest
// whole bytes; with 1 it is header/2 groups of 8 packed values, lowest bit first.
// Source: apache/parquet-format, Encodings.md.

#include "CDPParquet.h"
#include "bytes.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void cdp_runs_begin(cdp_runs *runs, const uint8_t *from, size_t count, uint32_t width) {
  memset(runs, 0, sizeof *runs);
  runs->at = from;
  runs->end = from + count;
  runs->width = width;
}

// Reads the next run's header: 0, or -1 where there is none.
static int next_run(cdp_runs *runs) {
  uint64_t header;
  if (read_varint(&runs->at, runs->end, &header) != 0 || header >> 32 != 0) return -1;
  runs->used = 0;
  runs->is_packed = (int)(header & 1);
  size_t rest = (size_t)(runs->end - runs->at);
  if (runs->is_packed) {
    size_t bytes = (size_t)(header >> 1) * runs->width;
    runs->left = (size_t)(header >> 1) * 8;
    runs->packed = runs->at;
    // Some writers leave the last group's padding out.
    runs->packed_bytes = bytes < rest ? bytes : rest;
    if (runs->width > 0 && bytes > rest) {
      size_t whole = rest * 8 / runs->width;
      if (whole < runs->left) runs->left = whole;
    }
    runs->at += runs->packed_bytes;
  } else {
    size_t bytes = (runs->width + 7) / 8;
    if (rest < bytes) return -1;
    runs->value = 0;
    for (size_t i = 0; i < bytes; i++) runs->value |= (uint32_t)runs->at[i] << (8 * i);
    runs->left = (size_t)(header >> 1);
    runs->at += bytes;
  }
  return 0;
}

static void unpack_portable(
    const uint8_t *from, size_t bytes, uint32_t width, size_t first, uint32_t *into, size_t count) {
  const uint8_t *end = from + bytes;
  uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
  uint64_t bit = (uint64_t)first * width;
  for (size_t i = 0; i < count; i++, bit += width)
    into[i] = (uint32_t)(load8_within(from + bit / 8, end) >> (bit & 7)) & mask;
}

#if defined(__x86_64__)

// Eight values of at most 25 bits at a time. Each value lies in 4 bytes: one shuffle brings them to
// its lane, one shift by a lane's own count brings its lowest bit down.
__attribute__((target("avx2"))) static void unpack_avx2(
    const uint8_t *from, size_t bytes, uint32_t width, size_t first, uint32_t *into, size_t count) {
  size_t head = (8 - first % 8) % 8;
  if (width > 25 || width == 0 || count < head + 8) {
    unpack_portable(from, bytes, width, first, into, count);
    return;
  }
  unpack_portable(from, bytes, width, first, into, head);
  const uint8_t *at = from + (first + head) / 8 * width, *end = from + bytes;
  size_t upper = width / 2;  // The byte in which the fifth value begins: 4 * width / 8.
  uint8_t shuffle[32];
  uint32_t shifts[8];
  for (uint32_t lane = 0; lane < 8; lane++) {
    uint32_t bit = lane * width, byte = bit / 8 - (lane < 4 ? 0 : (uint32_t)upper);
    shifts[lane] = bit & 7;
    for (uint32_t k = 0; k < 4; k++) shuffle[lane * 4 + k] = (uint8_t)(byte + k);
  }
  const __m256i order = _mm256_loadu_si256((const __m256i *)shuffle);
  const __m256i shift = _mm256_loadu_si256((const __m256i *)shifts);
  const __m256i mask = _mm256_set1_epi32((int)((1u << width) - 1));
  size_t i = head;
  for (; i + 8 <= count && (size_t)(end - at) >= upper + 16; i += 8, at += width) {
    __m256i raw = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)at)),
        _mm_loadu_si128((const __m128i *)(at + upper)), 1);
    __m256i values =
        _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi8(raw, order), shift), mask);
    _mm256_storeu_si256((__m256i *)(into + i), values);
  }
  unpack_portable(from, bytes, width, first + i, into + i, count - i);
}

#define HAS_AVX2 __builtin_cpu_supports("avx2")
#else
#define unpack_avx2 unpack_portable
#define HAS_AVX2 0
#endif

static inline size_t next_values(
    cdp_runs *runs, uint32_t *into, size_t count, uint32_t *highest, int is_portable) {
  uint32_t top = *highest;
  size_t done = 0;
  while (done < count) {
    if (runs->left == 0) {
      if (next_run(runs) != 0) break;
      continue;
    }
    size_t n = count - done < runs->left ? count - done : runs->left;
    uint32_t *to = into + done;
    if (!runs->is_packed) {
      for (size_t i = 0; i < n; i++) to[i] = runs->value;
      if (runs->value > top) top = runs->value;
    } else {
      if (is_portable || !HAS_AVX2)
        unpack_portable(runs->packed, runs->packed_bytes, runs->width, runs->used, to, n);
      else
        unpack_avx2(runs->packed, runs->packed_bytes, runs->width, runs->used, to, n);
      for (size_t i = 0; i < n; i++) top = to[i] > top ? to[i] : top;
    }
    runs->used += n;
    runs->left -= n;
    done += n;
  }
  *highest = top;
  return done;
}

size_t cdp_runs_next(cdp_runs *runs, uint32_t *into, size_t count, uint32_t *highest) {
  return next_values(runs, into, count, highest, 0);
}

size_t cdp_runs_next_portable(cdp_runs *runs, uint32_t *into, size_t count, uint32_t *highest) {
  return next_values(runs, into, count, highest, 1);
}

// Writes at most 32 bits at bit `first`.
static inline void put_bits(uint8_t *bitmap, size_t first, uint64_t bits, size_t count) {
  uint64_t mask = (1ull << count) - 1;
  uint64_t word = load8(bitmap + first / 8);
  size_t shift = first & 7;
  word = (word & ~(mask << shift)) | (bits & mask) << shift;
  memcpy(bitmap + first / 8, &word, 8);
}

size_t cdp_runs_bits(cdp_runs *runs, uint8_t *bitmap, size_t first, size_t count, size_t *ones) {
  size_t done = 0;
  while (done < count) {
    if (runs->left == 0) {
      if (next_run(runs) != 0) break;
      continue;
    }
    size_t n = count - done < runs->left ? count - done : runs->left;
    if (!runs->is_packed && runs->value > 1) break;
    const uint8_t *end = runs->packed + runs->packed_bytes;
    for (size_t i = 0; i < n; i += 32) {
      size_t piece = n - i < 32 ? n - i : 32;
      uint64_t bits = runs->value ? ~0ull : 0;
      if (runs->is_packed) {
        size_t bit = runs->used + i;
        bits = load8_within(runs->packed + bit / 8, end) >> (bit & 7);
      }
      bits &= (1ull << piece) - 1;
      put_bits(bitmap, first + done + i, bits, piece);
      *ones += (size_t)__builtin_popcountll(bits);
    }
    runs->used += n;
    runs->left -= n;
    done += n;
  }
  return done;
}

void cdp_set_bits(uint8_t *bitmap, size_t first, size_t count) {
  for (size_t i = 0; i < count; i += 32)
    put_bits(bitmap, first + i, ~0ull, count - i < 32 ? count - i : 32);
}

size_t cdp_copy_reversed_bits(
    const uint8_t *from, size_t from_first, uint8_t *bitmap, size_t into_first, size_t count) {
  size_t ones = 0;
  for (size_t i = 0; i < count; i++) {
    size_t bit = from_first + i;
    uint64_t value = from[bit / 8] >> (7 - bit % 8) & 1;
    put_bits(bitmap, into_first + i, value, 1);
    ones += value;
  }
  return ones;
}

void cdp_unpack_bits(const uint8_t *from, size_t first, uint8_t *into, size_t count) {
  for (size_t i = 0; i < count; i++) {
    size_t bit = first + i;
    into[i] = from[bit / 8] >> (bit & 7) & 1;
  }
}

// Indices that fit in the nearest cache between unpacking and use.
#define BLOCK 1024

size_t cdp_runs_next1(cdp_runs *runs, uint8_t *into, size_t count) {
  uint32_t values[BLOCK];
  for (size_t done = 0; done < count;) {
    uint32_t highest = 0;
    size_t n = count - done < BLOCK ? count - done : BLOCK;
    size_t got = cdp_runs_next(runs, values, n, &highest);
    if (highest > 1) return done;
    for (size_t i = 0; i < got; i++) into[done + i] = (uint8_t)values[i];
    done += got;
    if (got < n) return done;
  }
  return count;
}

#define GATHER(BYTES, TYPE)                                                                    \
  void cdp_gather##BYTES(                                                                      \
      const uint32_t *indices, const TYPE *entries, TYPE *into, size_t count) {                \
    for (size_t i = 0; i < count; i++) into[i] = entries[indices[i]];                          \
  }                                                                                            \
  size_t cdp_runs_gather##BYTES(                                                               \
      cdp_runs *runs, const TYPE *entries, size_t entry_count, TYPE *into, size_t count) {     \
    uint32_t indices[BLOCK];                                                                   \
    size_t done = 0;                                                                           \
    while (done < count) {                                                                     \
      uint32_t highest = 0;                                                                    \
      size_t n = count - done < BLOCK ? count - done : BLOCK;                                  \
      size_t got = cdp_runs_next(runs, indices, n, &highest);                                  \
      if (got == 0 || highest >= entry_count) break;                                           \
      cdp_gather##BYTES(indices, entries, into + done, got);                                   \
      done += got;                                                                             \
      if (got < n) break;                                                                      \
    }                                                                                          \
    return done;                                                                               \
  }                                                                                            \
  void cdp_spread##BYTES(                                                                      \
      TYPE *values, size_t dense, const uint8_t *bitmap, size_t first, size_t count) {         \
    size_t from = dense;                                                                       \
    for (size_t i = count; i > 0 && from < i;) {                                               \
      /* Mostly all of a piece have values: one move. */                                       \
      size_t piece = i < 32 ? i : 32, start = first + i - piece;                               \
      uint64_t mask = (1ull << piece) - 1;                                                     \
      uint64_t bits = load8(bitmap + start / 8) >> (start & 7) & mask;                         \
      i -= piece;                                                                              \
      if (bits == mask && from >= piece) {                                                     \
        from -= piece;                                                                         \
        memmove(values + i, values + from, piece * sizeof(TYPE));                              \
        continue;                                                                              \
      }                                                                                        \
      for (size_t k = piece; k > 0; k--) {                                                     \
        size_t has = bits >> (k - 1) & 1 && from > 0;                                          \
        from -= has;                                                                           \
        values[i + k - 1] = has ? values[from] : 0;                                            \
      }                                                                                        \
    }                                                                                          \
  }

GATHER(1, uint8_t)
GATHER(4, uint32_t)
GATHER(8, uint64_t)
