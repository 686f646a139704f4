// CRC-32 with the polynomial of gzip, eight bytes at a time by eight tables.

#include "CDPParquet.h"
#include "bytes.h"

#include <pthread.h>

static uint32_t tables[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_tables(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    tables[0][i] = crc;
  }
  for (int t = 1; t < 8; t++)
    for (int i = 0; i < 256; i++)
      tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 255];
}

uint32_t cdp_crc32(const uint8_t *from, size_t count) {
  pthread_once(&once, make_tables);
  uint32_t crc = ~0u;
  for (; count >= 8; count -= 8, from += 8) {
    uint64_t word = load8(from) ^ crc;
    crc = 0;
    for (int t = 0; t < 8; t++) crc ^= tables[7 - t][word >> (8 * t) & 255];
  }
  for (; count > 0; count--, from++) crc = crc >> 8 ^ tables[0][(crc ^ *from) & 255];
  return ~crc;
}
