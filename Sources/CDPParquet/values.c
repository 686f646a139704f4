// Byte strings, byte streams and deltas. Source: apache/parquet-format, Encodings.md.

#include "CDPParquet.h"
#include "bytes.h"

int64_t cdp_plain_views(
    const uint8_t **at, const uint8_t *end, uint64_t base, cdp_view *views, size_t count) {
  const uint8_t *from = *at;
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (end - from < 4) return -1;
    uint32_t length = load4(from);
    from += 4;
    if ((size_t)(end - from) < length) return -1;
    views[i].offset = (uint32_t)(base + bytes);
    views[i].length = length;
    bytes += length;
    from += length;
  }
  *at = from;
  return (int64_t)bytes;
}

void cdp_copy_views(const uint8_t *from, const cdp_view *views, size_t count, uint8_t *into) {
  for (size_t i = 0; i < count; i++) {
    from += 4;
    memcpy(into, from, views[i].length);
    into += views[i].length;
    from += views[i].length;
  }
}

void cdp_fixed_views(uint64_t base, uint32_t width, cdp_view *views, size_t count) {
  for (size_t i = 0; i < count; i++)
    views[i] = (cdp_view){(uint32_t)(base + i * (uint64_t)width), width};
}

int64_t cdp_length_views(
    const uint32_t *lengths, uint64_t base, cdp_view *views, size_t count) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    if (lengths[i] >> 31) return -1;
    views[i] = (cdp_view){(uint32_t)(base + bytes), lengths[i]};
    bytes += lengths[i];
  }
  return (int64_t)bytes;
}

int64_t cdp_front_views(
    const uint32_t *prefixes, const uint32_t *suffixes, uint64_t previous, uint32_t width,
    uint64_t base, cdp_view *views, size_t count, uint64_t *suffix_bytes) {
  uint64_t bytes = 0, copied = 0;
  for (size_t i = 0; i < count; i++) {
    uint64_t length = (uint64_t)prefixes[i] + suffixes[i];
    if (prefixes[i] > previous || suffixes[i] >> 31 || length >> 31) return -1;
    if (width != 0 && length != width) return -1;
    views[i] = (cdp_view){(uint32_t)(base + bytes), (uint32_t)length};
    bytes += length;
    copied += suffixes[i];
    previous = length;
    // Behind any memory; stops before the sum can wrap.
    if (bytes >> 40) return -1;
  }
  *suffix_bytes = copied;
  return (int64_t)bytes;
}

void cdp_copy_fronts(
    const uint32_t *prefixes, const uint8_t *suffixes, const uint8_t *previous,
    const cdp_view *views, size_t count, uint8_t *into) {
  for (size_t i = 0; i < count; i++) {
    size_t prefix = prefixes[i], suffix = views[i].length - prefix;
    if (prefix > 0) memcpy(into, previous, prefix);
    memcpy(into + prefix, suffixes, suffix);
    suffixes += suffix;
    previous = into;
    into += prefix + suffix;
  }
}

void cdp_join_streams(
    const uint8_t *from, size_t stride, size_t width, size_t first, uint8_t *into, size_t count) {
  for (size_t byte = 0; byte < width; byte++)
    for (size_t i = 0; i < count; i++) into[i * width + byte] = from[byte * stride + first + i];
}

int cdp_deltas_begin(cdp_deltas *deltas, const uint8_t *from, size_t count) {
  memset(deltas, 0, sizeof *deltas);
  deltas->at = from;
  deltas->end = from + count;
  uint64_t first = 0;
  if (read_varint(&deltas->at, deltas->end, &deltas->block_values) != 0 ||
      read_varint(&deltas->at, deltas->end, &deltas->mini_blocks) != 0 ||
      read_varint(&deltas->at, deltas->end, &deltas->total) != 0 ||
      read_varint(&deltas->at, deltas->end, &first) != 0)
    return -1;
  if (deltas->block_values == 0 || deltas->block_values > 1 << 20 || deltas->mini_blocks == 0 ||
      deltas->mini_blocks > deltas->block_values)
    return -1;
  deltas->mini_values = deltas->block_values / deltas->mini_blocks;
  if (deltas->mini_values * deltas->mini_blocks != deltas->block_values ||
      deltas->mini_values % 8 != 0)
    return -1;
  deltas->value = first >> 1 ^ (0 - (first & 1));
  deltas->mini_block = deltas->mini_blocks;
  return 0;
}

// Moves to the next miniblock, and block where needed: 0, or -1.
static int next_mini_block(cdp_deltas *deltas) {
  if (deltas->mini_block == deltas->mini_blocks) {
    uint64_t least = 0;
    if (read_varint(&deltas->at, deltas->end, &least) != 0) return -1;
    if ((uint64_t)(deltas->end - deltas->at) < deltas->mini_blocks) return -1;
    deltas->least_delta = least >> 1 ^ (0 - (least & 1));
    deltas->widths = deltas->at;
    deltas->at += deltas->mini_blocks;
    deltas->mini_block = 0;
  }
  deltas->width = deltas->widths[deltas->mini_block++];
  if (deltas->width > 64) return -1;
  uint64_t bytes = deltas->mini_values / 8 * deltas->width;
  if ((uint64_t)(deltas->end - deltas->at) < bytes) return -1;
  deltas->mini_left = deltas->mini_values;
  deltas->bit = 0;
  deltas->at += bytes;
  return 0;
}

// The next value: 0, or -1 where the bytes end.
static inline int next_delta(cdp_deltas *deltas, uint64_t *value) {
  if (deltas->done == deltas->total) return -1;
  if (deltas->done++ == 0) {
    *value = deltas->value;
    return 0;
  }
  if (deltas->mini_left == 0 && next_mini_block(deltas) != 0) return -1;
  uint64_t delta = 0;
  if (deltas->width > 0) {
    const uint8_t *from =
        deltas->at - deltas->mini_values / 8 * deltas->width + deltas->bit / 8;
    unsigned shift = deltas->bit & 7;
    delta = load8_within(from, deltas->at) >> shift;
    // A value of more than 57 bits may reach into a ninth byte.
    if (shift + deltas->width > 64) delta |= (uint64_t)from[8] << (64 - shift);
    if (deltas->width < 64) delta &= (1ull << deltas->width) - 1;
    deltas->bit += deltas->width;
  }
  deltas->mini_left--;
  deltas->value += deltas->least_delta + delta;
  *value = deltas->value;
  return 0;
}

size_t cdp_deltas_next4(cdp_deltas *deltas, uint32_t *into, size_t count) {
  uint64_t value;
  for (size_t i = 0; i < count; i++) {
    if (next_delta(deltas, &value) != 0) return i;
    into[i] = (uint32_t)value;
  }
  return count;
}

size_t cdp_deltas_next8(cdp_deltas *deltas, uint64_t *into, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (next_delta(deltas, &into[i]) != 0) return i;
  return count;
}

const uint8_t *cdp_deltas_end(cdp_deltas *deltas) { return deltas->at; }
