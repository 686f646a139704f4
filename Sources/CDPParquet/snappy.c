// Snappy's raw format: a varint with the length, then literals and copies.
// Source: google/snappy, format_description.txt.

#include "CDPParquet.h"
#include "bytes.h"

// Copies within the output, source before target, perhaps overlapping, with 16 bytes to spare behind
// the target's end.
static inline void copy_within(uint8_t *to, size_t offset, size_t length) {
  const uint8_t *from = to - offset;
  if (offset >= 16) {
    for (size_t i = 0; i < length; i += 16) memcpy(to + i, from + i, 16);
  } else if (offset >= 8) {
    for (size_t i = 0; i < length; i += 8) memcpy(to + i, from + i, 8);
  } else {
    for (size_t i = 0; i < length; i++) to[i] = from[i];
  }
}

int cdp_snappy_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size) {
  const uint8_t *at = from, *end = from + count;
  uint64_t length = 0;
  if (read_varint(&at, end, &length) != 0 || length != size) return -1;
  uint8_t *to = into, *limit = into + size;
  while (at < end) {
    uint8_t tag = *at++;
    if ((tag & 3) == 0) {
      size_t run = (tag >> 2) + 1u;
      // Short literals, with room on both sides: one fixed copy.
      if (run <= 16 && end - at >= 16 && limit - to >= 16) {
        memcpy(to, at, 16);
        to += run;
        at += run;
        continue;
      }
      if (run > 60) {
        size_t extra = run - 60;
        if ((size_t)(end - at) < extra) return -1;
        run = 0;
        for (size_t i = 0; i < extra; i++) run |= (size_t)at[i] << (8 * i);
        run += 1;
        at += extra;
      }
      if ((size_t)(end - at) < run || (size_t)(limit - to) < run) return -1;
      memcpy(to, at, run);
      to += run;
      at += run;
      continue;
    }
    size_t run, offset;
    if ((tag & 3) == 1) {
      if (at == end) return -1;
      run = ((tag >> 2) & 7) + 4u;
      offset = (size_t)(tag >> 5) << 8 | *at++;
    } else if ((tag & 3) == 2) {
      if (end - at < 2) return -1;
      run = (tag >> 2) + 1u;
      offset = (size_t)at[0] | (size_t)at[1] << 8;
      at += 2;
    } else {
      if (end - at < 4) return -1;
      run = (tag >> 2) + 1u;
      offset = load4(at);
      at += 4;
    }
    if (offset == 0 || offset > (size_t)(to - into) || run > (size_t)(limit - to)) return -1;
    if ((size_t)(limit - to) >= run + 16) {
      copy_within(to, offset, run);
    } else {
      for (size_t i = 0; i < run; i++) to[i] = to[i - offset];
    }
    to += run;
  }
  return to == limit ? 0 : -1;
}

size_t cdp_snappy_bound(size_t count) { return 32 + count + count / 6; }

static uint8_t *put_literal(uint8_t *to, const uint8_t *from, size_t run) {
  size_t n = run - 1;
  if (n < 60) {
    *to++ = (uint8_t)(n << 2);
  } else {
    size_t extra = n < 1u << 8 ? 1 : n < 1u << 16 ? 2 : n < 1u << 24 ? 3 : 4;
    *to++ = (uint8_t)((59 + extra) << 2);
    for (size_t i = 0; i < extra; i++) *to++ = (uint8_t)(n >> (8 * i));
  }
  memcpy(to, from, run);
  return to + run;
}

// Copies of at most 64 bytes from at most 65535 bytes before.
static uint8_t *put_copy(uint8_t *to, size_t offset, size_t run) {
  while (run > 0) {
    // No piece may be shorter than 4 but the last of a longer one may not leave less than 4 either.
    size_t piece = run >= 68 ? 64 : run > 64 ? 60 : run;
    *to++ = (uint8_t)((piece - 1) << 2 | 2);
    *to++ = (uint8_t)offset;
    *to++ = (uint8_t)(offset >> 8);
    run -= piece;
  }
  return to;
}

#define HASH_BITS 14

size_t cdp_snappy_compress(const uint8_t *from, size_t count, uint8_t *into) {
  uint8_t *to = into;
  size_t rest = count;
  for (; rest >= 128; rest >>= 7) *to++ = (uint8_t)(rest | 128);
  *to++ = (uint8_t)rest;
  // Blocks of 64 KiB: offsets fit in 16 bits, and the table in the nearest cache.
  for (size_t start = 0; start < count; start += 1 << 16) {
    const uint8_t *block = from + start;
    size_t size = count - start < 1 << 16 ? count - start : 1 << 16;
    uint16_t table[1 << HASH_BITS] = {0};
    size_t done = 0, i = 1, misses = 32;
    while (i + 4 <= size) {
      uint32_t word = load4(block + i);
      uint32_t hash = word * 0x1E35A7BDu >> (32 - HASH_BITS);
      size_t candidate = table[hash];
      table[hash] = (uint16_t)i;
      if (candidate >= i || load4(block + candidate) != word) {
        i += misses++ >> 5;
        continue;
      }
      size_t run = 4;
      while (i + run < size && block[candidate + run] == block[i + run]) run++;
      if (i > done) to = put_literal(to, block + done, i - done);
      to = put_copy(to, i - candidate, run);
      i += run;
      done = i;
      misses = 32;
    }
    if (size > done) to = put_literal(to, block + done, size - done);
  }
  return (size_t)(to - into);
}
