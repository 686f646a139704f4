// The loops in C that read tables, under libFuzzer: every variant of the scan finds the same, and no
// loop touches a byte beyond its padding or writes beyond its room. scripts/fuzz builds and runs it.

#include "CDPKernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *copied(const void *from, size_t count, size_t room) {
  void *to = malloc(room ? room : 1);
  if (count) memcpy(to, from, count);
  return to;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  const uint8_t delimiter = (const uint8_t[]){',', ';', '\t', ' '}[data[0] & 3];
  const size_t fields = data[1] % 6 + 1, count = size - 2;
  const int kind = data[0] >> 2 & 3;
  // Exactly the padding that is asked for, so that one byte more is an error.
  uint8_t *block = malloc(count + 2 * CDP_SCAN_PADDING), *bytes = block + CDP_SCAN_PADDING;
  memset(block, data[0], count + 2 * CDP_SCAN_PADDING);
  memcpy(bytes, data + 2, count);
  uint32_t *marks = malloc((count + 64) * sizeof *marks), *first = NULL;
  cdp_record *records = malloc((count / 2 + 1) * sizeof *records), *first_records = NULL;
  cdp_scan_result result, expected;
  for (int v = 2; v >= 0; v--) {
    cdp_scan scan = cdp_scan_variant(v);
    if (!scan) continue;
    scan(bytes, count, delimiter, NULL, NULL, &result);
    size_t cut = result.cut;
    scan(bytes, count, delimiter, marks, records, &result);
    if (cut != result.cut) abort();
    if (!first) {
      first = copied(marks, result.marks * sizeof *marks, result.marks * sizeof *marks);
      first_records =
          copied(records, result.records * sizeof *records, result.records * sizeof *records);
      expected = result;
    } else if (
        result.marks != expected.marks || result.records != expected.records ||
        result.lines != expected.lines || result.open_quote != expected.open_quote ||
        memcmp(marks, first, result.marks * sizeof *marks) ||
        memcmp(records, first_records, result.records * sizeof *records)) {
      abort();
    }
  }
  uint8_t *splits = malloc(result.records + 1);
  cdp_split_ordinals((const uint8_t *)"0:", 2, data[1], result.records, UINT64_C(1) << 51, splits);
  cdp_key slots[16];
  for (int i = 0; i < 16; i++) slots[i] = (cdp_key){0, UINT32_MAX, -2};
  slots[0] = (cdp_key){0, 0, -1};
  cdp_column columns[7];
  memset(columns, 0, sizeof columns);
  for (size_t i = 0; i < fields; i++) {
    columns[i] = (cdp_column){
        .keys = {slots, 1, 60}, .lower = -1, .upper = 1, .missing_lengths = 1, .other = 0,
        .field = (uint32_t)i, .offset = (uint32_t)i, .indicator = UINT32_MAX,
        .reading = kind == 1 ? CDP_READ_NUMBER : kind == 2 ? CDP_READ_KEYS : CDP_READ_BINARY,
        .takes_digits = kind == 0};
  }
  const cdp_row_plan plan = {
      .columns = columns, .column_count = fields, .label = columns, .field_count = fields,
      .features = fields, .feature_type = kind == 1 ? CDP_ROWS_F32 : CDP_ROWS_U8,
      .label_type = CDP_ROWS_F32, .skips_spaces = delimiter != ' ', .delimiter = delimiter};
  const size_t row_bytes = fields * (kind == 1 ? 4 : 1);
  cdp_row_work work = {
      .bytes = bytes, .marks = marks, .records = records, .splits = splits,
      .record_count = result.open_quote == SIZE_MAX ? result.records : 0,
      .is_ascii = result.is_ascii, .least_label = INFINITY, .largest_label = -INFINITY};
  for (int i = 0; i < 2; i++) {
    work.rows[i].features = malloc(result.records * row_bytes + 1);
    work.rows[i].labels = malloc(result.records * 4 + 1);
  }
  for (size_t row = 0; row < work.record_count; row++)
    row = cdp_encode_rows(&plan, &work, row);
  for (int i = 0; i < 2; i++) {
    free(work.rows[i].features);
    free(work.rows[i].labels);
  }
  double value = 0, in_rows = 0;
  int is_read = cdp_decimal(bytes, bytes + count, &value);
  if (is_read != cdp_decimal_in_rows(bytes, bytes + count, &in_rows) ||
      (is_read && memcmp(&value, &in_rows, 8) != 0))
    abort();
  cdp_is_utf8(bytes, bytes + count);
  free(splits);
  free(first);
  free(first_records);
  free(records);
  free(marks);
  free(block);
  return 0;
}
