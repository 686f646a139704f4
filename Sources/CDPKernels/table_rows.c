// Rows of a table as features: from the places of fields straight into the rows of a split.
//
// This is the common case of encoding, not its definition: a record that needs anything else is left
// to the caller, whose rules are the definition.

#include "CDPKernels.h"
#include "decimal_body.h"
#include "instruction_sets.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

int cdp_decimal(const uint8_t *text, const uint8_t *end, double *value) {
  return decimal_read(text, end, value);
}

int cdp_is_utf8(const uint8_t *text, const uint8_t *end) {
  while (text < end) {
    uint8_t lead = *text++;
    if (lead < 0x80) continue;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    int more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (end - text < more) return 0;
    // Shortest form, no surrogates, nothing beyond U+10FFFF: rules for the second byte.
    uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    uint8_t largest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (*text < least || *text > largest) return 0;
    for (int i = 1; i < more; i++)
      if ((text[i] & 0xC0) != 0x80) return 0;
    text += more;
  }
  return 1;
}

typedef struct {
  const uint8_t *start, *end;
} text_span;

static inline int is_space(uint8_t byte) { return byte == ' ' || (byte >= 9 && byte <= 13); }

static inline text_span trimmed(text_span text) {
  while (text.start < text.end && is_space(*text.start)) text.start++;
  while (text.start < text.end && is_space(text.end[-1])) text.end--;
  return text;
}

// The text of a field, without quotes and whitespace around it. 0 where quotes need more than that.
static inline int field_text(text_span raw, int skips_spaces, text_span *text) {
  if (raw.start == raw.end) {
    *text = raw;
    return 1;
  }
  if (__builtin_expect(*raw.start > '"' && raw.end[-1] > ' ', 1)) {
    *text = raw;
    return 1;
  }
  text_span inner = raw;
  while (skips_spaces && inner.start < inner.end && *inner.start == ' ') inner.start++;
  if (inner.start < inner.end && *inner.start == '"') {
    if (inner.end - inner.start < 2 || inner.end[-1] != '"') return 0;
    inner.start++;
    inner.end--;
    for (const uint8_t *byte = inner.start; byte < inner.end; byte++)
      if (*byte == '"') return 0;
  }
  *text = trimmed(inner);
  return 1;
}

static inline text_span field_span(
    const cdp_row_work *work, cdp_record record, uint32_t field) {
  const uint32_t *marks = work->marks + record.first;
  uint32_t start = field == 0 ? record.start : marks[field - 1] + 1;
  return (text_span){work->bytes + start, work->bytes + marks[field]};
}

static inline uint64_t short_text(text_span text) {
  // Behind the field at least the padding of the scan can be read.
  uint64_t length = (uint64_t)(text.end - text.start);
  uint64_t word = decimal_load(text.start);
  return length == 8 ? word : word & (((uint64_t)1 << (8 * length)) - 1);
}

// The code of a text of up to 8 bytes; -2 where the table does not have it.
static inline int32_t find_key(const cdp_key_table *table, uint64_t word, uint32_t length) {
  const cdp_key *key = table->slots + ((word * table->multiplier) >> table->shift);
  return key->text == word && key->length == length ? key->code : -2;
}

// What reading a value gives.
typedef enum { VALUE_READ, VALUE_MISSING, VALUE_UNKNOWN } value_outcome;

static inline int is_missing_identifier(
    const cdp_row_plan *plan, const cdp_row_work *work, cdp_record record) {
  for (size_t i = 0; i < plan->identifier_count; i++) {
    const cdp_column *column = plan->identifiers + i;
    text_span text;
    if (!field_text(field_span(work, record, column->field), plan->skips_spaces, &text)) return 1;
    size_t length = (size_t)(text.end - text.start);
    if (length <= 8 &&
        find_key(&column->keys, short_text(text), (uint32_t)length) == -1)
      return 1;
  }
  return 0;
}

static inline void write_label(void *labels, int type, size_t row, int is_example, double label) {
  switch (type) {
    case CDP_ROWS_U8: ((uint8_t *)labels)[row] = is_example ? (uint8_t)label : 255; break;
    case CDP_ROWS_I32: ((int32_t *)labels)[row] = is_example ? (int32_t)label : -1; break;
    default: ((float *)labels)[row] = is_example ? (float)label : NAN;
  }
}

// Rows of single digits with single delimiters between them, which need no marks: what must stand at
// each byte, and which bits of it count.
typedef struct {
  size_t length, words;
  uint64_t expected[16], counts[16];
} digit_rows;

static int make_digit_rows(const cdp_row_plan *plan, uint8_t delimiter, digit_rows *rows) {
  size_t bytes = 2 * plan->field_count;
  if (bytes > sizeof rows->expected || plan->identifier_count) return 0;
  uint8_t expected[128], counts[128] = {0};
  for (size_t i = 0; i < sizeof expected; i++) {
    expected[i] = i % 2 ? delimiter : '0';
    counts[i] = i % 2 && i + 1 < bytes ? 0xFF : 0;
  }
  for (size_t c = 0; c <= plan->column_count; c++) {
    const cdp_column *column = c < plan->column_count ? plan->columns + c : plan->label;
    if (!column->takes_digits) return 0;
    counts[2 * column->field] = 0xFE;
  }
  memcpy(rows->expected, expected, sizeof expected);
  memcpy(rows->counts, counts, sizeof counts);
  rows->length = bytes - 1;
  rows->words = (bytes + 7) / 8;
  return 1;
}

static inline int are_digits(const digit_rows *rows, const uint8_t *text) {
  uint64_t wrong = 0;
  for (size_t i = 0; i < rows->words; i++) {
    uint64_t word;
    memcpy(&word, text + 8 * i, 8);
    wrong |= (word ^ rows->expected[i]) & rows->counts[i];
  }
  return wrong == 0;
}

#define AS_BYTE(code) ((uint8_t)((float)(code) != 0))
#define AS_FLOAT(code) ((float)(code))

#define TARGET
#define READ_DECIMAL decimal_read
#define NAME(name) name##_baseline
#include "table_rows_body.h"
#undef TARGET
#undef READ_DECIMAL
#undef NAME

#if defined(__x86_64__)

#include "decimal_vector.h"

#define TARGET __attribute__((target("avx2,bmi,lzcnt,popcnt")))
#define READ_DECIMAL decimal_read_vector
#define NAME(name) name##_avx2
#include "table_rows_body.h"

#endif

size_t cdp_encode_rows(const cdp_row_plan *plan, cdp_row_work *work, size_t from) {
#if defined(__x86_64__)
  if (has_avx2())
    return plan->feature_type == CDP_ROWS_U8 ? encode_bytes_avx2(plan, work, from)
                                             : encode_floats_avx2(plan, work, from);
#endif
  return plan->feature_type == CDP_ROWS_U8 ? encode_bytes_baseline(plan, work, from)
                                           : encode_floats_baseline(plan, work, from);
}

#if defined(__x86_64__)
__attribute__((target("avx2,bmi,lzcnt,popcnt"))) static int decimal_in_rows_avx2(
    const uint8_t *text, const uint8_t *end, double *value) {
  return decimal_read_vector(text, end, value);
}
#endif

int cdp_decimal_in_rows(const uint8_t *text, const uint8_t *end, double *value) {
#if defined(__x86_64__)
  if (has_avx2()) return decimal_in_rows_avx2(text, end, value);
#endif
  return decimal_read(text, end, value);
}

// MARK: - Splits

#define PRIME1 0x9E3779B185EBCA87u
#define PRIME2 0xC2B2AE3D27D4EB4Fu
#define PRIME3 0x165667B19E3779F9u
#define PRIME4 0x85EBCA77C2B2AE63u
#define PRIME5 0x27D4EB2F165667C5u

static inline uint64_t rotate(uint64_t word, int bits) { return word << bits | word >> (64 - bits); }

// xxHash64, seed 42, of fewer than 32 bytes that lie at the front of a buffer of 32.
static inline uint64_t hash_short(const uint8_t *text, size_t count) {
  uint64_t hash = 42 + PRIME5 + count;
  size_t place = 0;
  for (; place + 8 <= count; place += 8) {
    hash ^= rotate(decimal_load(text + place) * PRIME2, 31) * PRIME1;
    hash = rotate(hash, 27) * PRIME1 + PRIME4;
  }
  if (place + 4 <= count) {
    hash ^= (decimal_load(text + place) & 0xFFFFFFFF) * PRIME1;
    hash = rotate(hash, 23) * PRIME2 + PRIME3;
    place += 4;
  }
  for (; place < count; place++) {
    hash ^= text[place] * PRIME5;
    hash = rotate(hash, 11) * PRIME1;
  }
  hash = (hash ^ hash >> 33) * PRIME2;
  hash = (hash ^ hash >> 29) * PRIME3;
  return hash ^ hash >> 32;
}

void cdp_split_ordinals(
    const uint8_t *prefix, size_t prefix_count, uint64_t ordinal, size_t count, uint64_t threshold,
    uint8_t *splits) {
  // 11 bytes of a prefix, 20 digits, and 7 more that a load of 8 may touch.
  uint8_t text[48] = {0};
  memcpy(text, prefix, prefix_count);
  uint8_t reversed[20];
  size_t digits = 0;
  for (uint64_t left = ordinal; digits == 0 || left > 0; left /= 10)
    reversed[digits++] = (uint8_t)('0' + left % 10);
  uint8_t *first = text + prefix_count;
  for (size_t i = 0; i < digits; i++) first[i] = reversed[digits - 1 - i];
  for (size_t row = 0; row < count; row++) {
    splits[row] = hash_short(text, prefix_count + digits) >> 11 < threshold;
    // The next number, as an odometer counts.
    size_t place = digits;
    while (place > 0 && first[place - 1] == '9') first[--place] = '0';
    if (place > 0) {
      first[place - 1]++;
    } else {
      memmove(first + 1, first, digits);
      first[0] = '1';
      digits++;
    }
  }
}
