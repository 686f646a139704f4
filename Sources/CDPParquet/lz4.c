// LZ4's block format, and Hadoop's framing of it. Source: lz4/lz4, lz4_Block_format.md.

#include "CDPParquet.h"
#include "bytes.h"

// Adds the bytes of a long length: 0, or -1 where the input ends.
static int read_length(const uint8_t **at, const uint8_t *end, size_t *length) {
  uint8_t byte;
  do {
    if (*at == end) return -1;
    byte = *(*at)++;
    *length += byte;
  } while (byte == 255);
  return 0;
}

int cdp_lz4_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size) {
  const uint8_t *at = from, *end = from + count;
  uint8_t *to = into, *limit = into + size;
  while (at < end) {
    uint8_t token = *at++;
    size_t run = token >> 4;
    if (run == 15 && read_length(&at, end, &run) != 0) return -1;
    if ((size_t)(end - at) < run || (size_t)(limit - to) < run) return -1;
    if (run > 0) memcpy(to, at, run);
    at += run;
    to += run;
    if (at == end) break;  // The last sequence has literals only.
    if (end - at < 2) return -1;
    size_t offset = (size_t)at[0] | (size_t)at[1] << 8;
    at += 2;
    run = token & 15;
    if (run == 15 && read_length(&at, end, &run) != 0) return -1;
    run += 4;
    if (offset == 0 || offset > (size_t)(to - into) || run > (size_t)(limit - to)) return -1;
    if (offset >= 8 && (size_t)(limit - to) >= run + 8) {
      for (size_t i = 0; i < run; i += 8) memcpy(to + i, to + i - offset, 8);
    } else {
      for (size_t i = 0; i < run; i++) to[i] = to[i - offset];
    }
    to += run;
  }
  return to == limit ? 0 : -1;
}

static size_t load_big4(const uint8_t *at) {
  return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

int cdp_lz4_hadoop_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size) {
  const uint8_t *at = from, *end = from + count;
  uint8_t *to = into, *limit = into + size;
  while (at < end) {
    if (end - at < 8) return -1;
    size_t full = load_big4(at), packed = load_big4(at + 4);
    at += 8;
    if ((size_t)(end - at) < packed || (size_t)(limit - to) < full) return -1;
    if (cdp_lz4_uncompress(at, packed, to, full) != 0) return -1;
    at += packed;
    to += full;
  }
  return to == limit ? 0 : -1;
}
