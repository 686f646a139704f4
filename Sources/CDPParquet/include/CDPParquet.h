// The loops of the Parquet reader and writer: bytes in, values out.
//
// Every function stays inside the lengths it is given, whatever the bytes are: input comes from files
// that may be damaged. A result of -1 (or fewer values than asked for) says that the bytes are no
// encoding of what was asked for.

#ifndef CDP_PARQUET_H
#define CDP_PARQUET_H

#include <stddef.h>
#include <stdint.h>

// Compression.

/// Fills exactly `size` bytes from a raw Snappy block. Returns 0, or -1.
int cdp_snappy_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size);

/// The most bytes that cdp_snappy_compress writes for `count` bytes.
size_t cdp_snappy_bound(size_t count);

/// Writes a raw Snappy block of at most 4 GiB of input; returns its length.
size_t cdp_snappy_compress(const uint8_t *from, size_t count, uint8_t *into);

/// Fills exactly `size` bytes from a raw LZ4 block. Returns 0, or -1.
int cdp_lz4_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size);

/// Fills exactly `size` bytes from LZ4 blocks in Hadoop's framing (big-endian sizes). Returns 0, or -1.
int cdp_lz4_hadoop_uncompress(const uint8_t *from, size_t count, uint8_t *into, size_t size);

/// The CRC-32 of gzip and of Parquet's pages.
uint32_t cdp_crc32(const uint8_t *from, size_t count);

// Runs: Parquet's hybrid of run lengths and bit packing.

/// Where a reader of runs stands.
typedef struct {
  const uint8_t *at, *end;
  /// The packed run's first byte and the bytes it has.
  const uint8_t *packed;
  size_t packed_bytes;
  /// Values used and values left of the present run.
  size_t used, left;
  uint32_t value;
  uint32_t width;
  int is_packed;
} cdp_runs;

/// Begins to read runs of values of `width` bits, at most 32.
void cdp_runs_begin(cdp_runs *runs, const uint8_t *from, size_t count, uint32_t width);

/// Reads the next values; returns how many, fewer than `count` where the bytes end or are wrong.
/// `highest` gets the largest of them and of itself.
size_t cdp_runs_next(cdp_runs *runs, uint32_t *into, size_t count, uint32_t *highest);

/// As cdp_runs_next, with the same loop for every processor.
size_t cdp_runs_next_portable(cdp_runs *runs, uint32_t *into, size_t count, uint32_t *highest);

/// Reads values of one bit into bytes of 0 and 1; returns how many.
size_t cdp_runs_next1(cdp_runs *runs, uint8_t *into, size_t count);

/// Reads values of one bit into a bitmap, from its bit `first`; bits after the last become 0 or stay.
/// The bitmap must have 8 bytes to spare. Adds the ones to `ones`. Returns how many were read.
size_t cdp_runs_bits(cdp_runs *runs, uint8_t *bitmap, size_t first, size_t count, size_t *ones);

/// Reads indices and copies the dictionary's entries of 4 or 8 bytes; returns how many values, fewer
/// where the bytes end, are wrong, or name an entry that is not there.
size_t cdp_runs_gather4(
    cdp_runs *runs, const uint32_t *entries, size_t entry_count, uint32_t *into, size_t count);
size_t cdp_runs_gather8(
    cdp_runs *runs, const uint64_t *entries, size_t entry_count, uint64_t *into, size_t count);

// Values.

/// Copies entries; every index must be below the number of entries.
void cdp_gather4(const uint32_t *indices, const uint32_t *entries, uint32_t *into, size_t count);
void cdp_gather8(const uint32_t *indices, const uint64_t *entries, uint64_t *into, size_t count);

/// Unpacks bits `first`..., lowest bit of a byte first, into bytes of 0 and 1.
void cdp_unpack_bits(const uint8_t *from, size_t first, uint8_t *into, size_t count);

/// Copies `count` bits, highest bit of a byte first, to a bitmap of lowest bits first, from its bit
/// `into_first`; returns the number of ones. The bitmap must have 8 bytes to spare.
size_t cdp_copy_reversed_bits(
    const uint8_t *from, size_t from_first, uint8_t *bitmap, size_t into_first, size_t count);

/// Sets `count` bits of a bitmap from bit `first`. The bitmap must have 8 bytes to spare.
void cdp_set_bits(uint8_t *bitmap, size_t first, size_t count);

/// Moves dense values to the places whose bit (from bit `first`) is 1; the others become 0.
/// The bitmap must have 8 bytes to spare.
void cdp_spread1(uint8_t *values, size_t dense, const uint8_t *bitmap, size_t first, size_t count);
void cdp_spread4(uint32_t *values, size_t dense, const uint8_t *bitmap, size_t first, size_t count);
void cdp_spread8(uint64_t *values, size_t dense, const uint8_t *bitmap, size_t first, size_t count);

/// A byte string: where it begins in the bytes it belongs to, and its length.
typedef struct {
  uint32_t offset, length;
} cdp_view;

/// Reads strings with 4-byte lengths before them. `*at` moves behind them. Views count from the place
/// of `base` in the bytes that they belong to. Returns the bytes of all strings, or -1.
int64_t cdp_plain_views(
    const uint8_t **at, const uint8_t *end, uint64_t base, cdp_view *views, size_t count);

/// Copies strings, with 4-byte lengths before them, that cdp_plain_views has checked.
void cdp_copy_views(const uint8_t *from, const cdp_view *views, size_t count, uint8_t *into);

/// Views of strings of `width` bytes that lie one after the other.
void cdp_fixed_views(uint64_t base, uint32_t width, cdp_view *views, size_t count);

/// Views of strings that lie one after the other; returns the bytes of all, or -1 for a negative length.
int64_t cdp_length_views(
    const uint32_t *lengths, uint64_t base, cdp_view *views, size_t count);

/// Views of strings that begin with the first `prefixes[i]` bytes of the string before them. The first
/// follows on one of `previous` bytes. `suffix_bytes` gets the sum of the suffixes. With a `width` other
/// than 0 all strings must have it. Returns the bytes of all strings, or -1.
int64_t cdp_front_views(
    const uint32_t *prefixes, const uint32_t *suffixes, uint64_t previous, uint32_t width,
    uint64_t base, cdp_view *views, size_t count, uint64_t *suffix_bytes);

/// Writes the strings that cdp_front_views has checked.
void cdp_copy_fronts(
    const uint32_t *prefixes, const uint8_t *suffixes, const uint8_t *previous,
    const cdp_view *views, size_t count, uint8_t *into);

/// Values of `width` bytes from `width` streams of `stride` bytes, from value `first`.
void cdp_join_streams(
    const uint8_t *from, size_t stride, size_t width, size_t first, uint8_t *into, size_t count);

// Deltas.

/// Where a reader of DELTA_BINARY_PACKED stands.
typedef struct {
  const uint8_t *at, *end;
  uint64_t total, done;
  uint64_t block_values, mini_blocks, mini_values;
  uint64_t value, least_delta;
  const uint8_t *widths;
  uint64_t mini_block, mini_left, bit;
  uint32_t width;
} cdp_deltas;

/// Reads the header; returns 0, or -1. `total` is then the number of values.
int cdp_deltas_begin(cdp_deltas *deltas, const uint8_t *from, size_t count);

/// Reads the next values, modulo 2^32 or 2^64; returns how many.
size_t cdp_deltas_next4(cdp_deltas *deltas, uint32_t *into, size_t count);
size_t cdp_deltas_next8(cdp_deltas *deltas, uint64_t *into, size_t count);

/// The first byte after the last block; valid once all values are read.
const uint8_t *cdp_deltas_end(cdp_deltas *deltas);

/// zlib's stream, so that a zlib opened at run time can be called.
typedef struct {
  const uint8_t *next_in;
  unsigned avail_in;
  unsigned long total_in;
  uint8_t *next_out;
  unsigned avail_out;
  unsigned long total_out;
  const char *msg;
  void *state, *zalloc, *zfree, *opaque;
  int data_type;
  unsigned long adler, reserved;
} cdp_zlib_stream;

#endif
