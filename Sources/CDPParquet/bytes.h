// Loads and stores of unaligned little-endian words that never pass an end.

#ifndef CDP_BYTES_H
#define CDP_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t load4(const uint8_t *at) {
  uint32_t word;
  memcpy(&word, at, 4);
  return word;
}

static inline uint64_t load8(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, 8);
  return word;
}

// The next 8 bytes, with zeros for those behind the end.
static inline uint64_t load8_within(const uint8_t *at, const uint8_t *end) {
  if (end - at >= 8) return load8(at);
  uint64_t word = 0;
  if (at < end) memcpy(&word, at, (size_t)(end - at));
  return word;
}

// A variable-length integer of at most 64 bits: 0, or -1 where it does not end in time.
static inline int read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value) {
  uint64_t sum = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (*at == end) return -1;
    uint8_t byte = *(*at)++;
    sum |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) {
      *value = sum;
      return 0;
    }
  }
  return -1;
}

#endif
