// The loops of reading tables: where fields end, decimal numbers, rows of features, splits.

#ifndef CDP_TABLES_H
#define CDP_TABLES_H

#include <stddef.h>
#include <stdint.h>

// MARK: - Where records and fields end

/// Bytes that must be readable behind the text that is scanned; their values do not matter.
#define CDP_SCAN_PADDING 64

/// A record: `start` is its first byte, its fields end at the marks `first` up to `end`, the last of
/// which is the record's own end.
typedef struct {
  uint32_t start, first, end;
} cdp_record;

/// What a scan finds.
typedef struct {
  /// Marks and records that were written.
  size_t marks, records;
  /// Physical line ends (LF, CRLF, a lone CR), also those within quotes.
  size_t lines;
  /// Behind the last line end outside quotes; 0 where there is none.
  size_t cut;
  /// Where the quote stands that is open at the end of the text; SIZE_MAX where none is.
  size_t open_quote;
  /// Whether every byte is below 128, and whether there are quotes.
  int is_ascii, has_quotes;
} cdp_scan_result;

/// Scans a text that begins where a record does, by the rules of the dialect.
///
/// A quote opens a field where only spaces stand between it and the field's beginning (nothing does
/// where the delimiter is a space); in a quoted field, two quotes stand for one. `count` is at most
/// 2^31. With `marks` NULL only the result's numbers are found, `marks` and `records` being 0.
/// Otherwise `marks` has room for count + 64 numbers, and `records` for count / 2 + 1; a blank line
/// is no record, and a last record needs no line end. Every variant finds the same.
typedef void (*cdp_scan)(
    const uint8_t *bytes, size_t count, uint8_t delimiter, uint32_t *marks, cdp_record *records,
    cdp_scan_result *result);

/// A variant of ``cdp_scan``, indexed and named as those of ``cdp_normal_units``.
cdp_scan cdp_scan_variant(int index);

// MARK: - Decimal numbers

/// Reads `[+-] digits [. digits] [e [+-] digits]`, the whole text, to the nearest double.
///
/// Returns 1 for a finite number. 0 means that the text follows another grammar, is too large, or has
/// more than 19 digits that leave the last bit open: a slower reader decides.
int cdp_decimal(const uint8_t *text, const uint8_t *end, double *value);

// MARK: - Rows

/// A text of up to 8 bytes, padded with zeros, and what it stands for.
///
/// A code of -1 stands for a missing value, one of -2 for an empty slot.
typedef struct {
  uint64_t text;
  uint32_t length;
  int32_t code;
} cdp_key;

/// A hash table without collisions: `(text * multiplier) >> shift` is a text's slot.
typedef struct {
  const cdp_key *slots;
  uint64_t multiplier;
  uint32_t shift;
} cdp_key_table;

/// How a column's texts are read.
enum { CDP_READ_BINARY, CDP_READ_KEYS, CDP_READ_NUMBER };

/// What is done about a missing value.
enum { CDP_MISSING_DROP, CDP_MISSING_WRITE, CDP_MISSING_LEAVE };

/// A column: how it is read, and where it is written.
typedef struct {
  cdp_key_table keys;
  double lower, upper;
  /// What is written for a missing value.
  double imputed;
  /// Lengths that texts for missing values have, a bit each.
  uint64_t missing_lengths;
  /// The code of a text of up to 8 bytes that is not in the table; -1 where there is none.
  int32_t other;
  /// The field, the first feature, and the feature that marks a missing value (UINT32_MAX: none).
  uint32_t field, offset, indicator;
  /// How it is read; what a missing value does; whether the code chooses a feature that becomes 1.
  uint8_t reading, missing, one_hot;
  /// Whether 0 and 1 are those numbers at once.
  uint8_t takes_digits;
} cdp_column;

/// The types of features and labels.
enum { CDP_ROWS_U8, CDP_ROWS_I32, CDP_ROWS_F32 };

/// How the rows of a table are encoded; features are written from the beginning of a row on.
typedef struct {
  /// In the order of the features.
  const cdp_column *columns;
  size_t column_count;
  const cdp_column *label;
  /// Columns without which a row is left to the caller, where their value is missing.
  const cdp_column *identifiers;
  size_t identifier_count;
  /// Fields of a record, features of a row.
  size_t field_count, features;
  /// Types of features (u8 or f32) and labels.
  int feature_type, label_type;
  /// Whether spaces before a field are skipped.
  int skips_spaces;
  /// The byte between fields.
  uint8_t delimiter;
} cdp_row_plan;

/// Rows of one split.
typedef struct {
  void *features;
  void *labels;
  size_t count;
} cdp_rows;

/// What a loop over rows works on.
typedef struct {
  const uint8_t *bytes;
  const uint32_t *marks;
  const cdp_record *records;
  /// A byte for each record: 0 is the training split, 1 the test split.
  const uint8_t *splits;
  size_t record_count;
  /// Whether every byte of the text is below 128.
  int is_ascii;
  /// The training split and the test split. A row that is left out keeps its slot in the first.
  cdp_rows rows[2];
  /// Examples in the training split, and rows with a missing value.
  size_t train_examples, missing;
  /// The least and the largest label of the training examples.
  double least_label, largest_label;
} cdp_row_work;

/// Encodes records from `from` on until one needs rules that this loop does not know.
///
/// At least ``CDP_SCAN_PADDING`` bytes must be readable before and behind the text. Returns that
/// record's number, with nothing of it counted, or `record_count`. It knows records with
/// the right number of fields and valid text whose values are all allowed, or missing.
size_t cdp_encode_rows(const cdp_row_plan *plan, cdp_row_work *work, size_t from);

/// The reading of numbers that ``cdp_encode_rows`` has on this processor, for tests: as
/// ``cdp_decimal``, but 16 bytes before the text must be readable.
int cdp_decimal_in_rows(const uint8_t *text, const uint8_t *end, double *value);

/// Whether bytes are whole, shortest-form UTF-8.
int cdp_is_utf8(const uint8_t *text, const uint8_t *end);

// MARK: - Splits

/// Decides the split of `count` rows from an ordinal on: `splits` gets 1 where the top 53 bits of
/// xxHash64 (seed 42) of the prefix and the ordinal's decimal digits are below the threshold, else 0.
///
/// `prefix` has at most 11 bytes.
void cdp_split_ordinals(
    const uint8_t *prefix, size_t prefix_count, uint64_t ordinal, size_t count, uint64_t threshold,
    uint8_t *splits);

#endif
