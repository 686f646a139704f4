// The loop over rows, for the instruction set that defines TARGET, READ_DECIMAL and NAME(name).

TARGET static inline __attribute__((always_inline)) value_outcome NAME(read_value)(
    const cdp_column *column, text_span raw, int skips_spaces, double *code) {
  if (column->takes_digits && raw.end - raw.start == 1) {
    uint8_t digit = (uint8_t)(*raw.start - '0');
    if (digit < 2) {
      *code = digit;
      return VALUE_READ;
    }
  }
  text_span text;
  if (!field_text(raw, skips_spaces, &text)) return VALUE_UNKNOWN;
  size_t length = (size_t)(text.end - text.start);
  if (column->reading == CDP_READ_NUMBER) {
    // Only bits up to 8 are set; lengths vary, so nothing is asked that a processor has to guess.
    if (__builtin_expect(length < 64 && (column->missing_lengths >> length & 1) != 0, 0) &&
        find_key(&column->keys, short_text(text), (uint32_t)length) == -1)
      return VALUE_MISSING;
    double value;
    if (!READ_DECIMAL(text.start, text.end, &value)) return VALUE_UNKNOWN;
    double lower = column->lower, upper = column->upper;
    value = value < lower ? lower : value;
    value = value > upper ? upper : value;
    *code = 2 * ((value - lower) / (upper - lower)) - 1;
    return VALUE_READ;
  }
  if (length > 8) return VALUE_UNKNOWN;
  int32_t found = find_key(&column->keys, short_text(text), (uint32_t)length);
  if (found >= 0) {
    *code = found;
    return VALUE_READ;
  }
  if (found == -1) return VALUE_MISSING;
  if (column->other < 0) return VALUE_UNKNOWN;
  *code = column->other;
  return VALUE_READ;
}

#define ENCODE(FUNCTION, TYPE, AS_FEATURE)                                                       \
  TARGET static size_t FUNCTION(const cdp_row_plan *plan, cdp_row_work *work, size_t from) {    \
    const cdp_column *const columns = plan->columns;                                             \
    const size_t column_count = plan->column_count, features = plan->features;                  \
    const int skips_spaces = plan->skips_spaces;                                                 \
    digit_rows digits;                                                                           \
    const int may_be_digits = make_digit_rows(plan, plan->delimiter, &digits);                   \
    for (size_t r = from; r < work->record_count; r++) {                                         \
      const cdp_record record = work->records[r];                                                \
      if (record.end - record.first != plan->field_count) return r;                              \
      const uint8_t *text = work->bytes + record.start;                                          \
      const uint8_t *text_end = work->bytes + work->marks[record.end - 1];                       \
      cdp_rows *rows = work->rows + work->splits[r];                                             \
      TYPE *row = (TYPE *)rows->features + rows->count * features;                               \
      const int is_test = work->splits[r];                                                       \
      double code;                                                                               \
      int is_dropped = 0;                                                                        \
      if (may_be_digits && (size_t)(text_end - text) == digits.length &&                         \
          are_digits(&digits, text) && (work->is_ascii || cdp_is_utf8(text, text_end))) {        \
        if (features != column_count) memset(row, 0, features * sizeof(TYPE));                   \
        for (size_t c = 0; c < column_count; c++)                                                \
          row[columns[c].offset] = (TYPE)(text[2 * columns[c].field] & 1);                       \
        code = text[2 * plan->label->field] & 1;                                                 \
      } else {                                                                                   \
        if (!work->is_ascii && !cdp_is_utf8(text, text_end)) return r;                           \
        if (plan->identifier_count && is_missing_identifier(plan, work, record)) return r;       \
        memset(row, 0, features * sizeof(TYPE));                                                 \
        for (size_t c = 0; c < column_count; c++) {                                              \
          const cdp_column *column = columns + c;                                                \
          value_outcome outcome = NAME(read_value)(                                              \
              column, field_span(work, record, column->field), skips_spaces, &code);             \
          if (outcome == VALUE_UNKNOWN) return r;                                                \
          if (__builtin_expect(outcome == VALUE_MISSING, 0)) {                                   \
            is_dropped |= column->missing == CDP_MISSING_DROP;                                   \
            if (column->indicator != UINT32_MAX) row[column->indicator] = 1;                     \
            if (column->missing != CDP_MISSING_WRITE) continue;                                  \
            code = column->imputed;                                                              \
          }                                                                                      \
          if (column->one_hot)                                                                   \
            row[column->offset + (uint32_t)code] = 1;                                            \
          else                                                                                   \
            row[column->offset] = AS_FEATURE(code);                                              \
        }                                                                                        \
        value_outcome outcome = NAME(read_value)(                                                \
            plan->label, field_span(work, record, plan->label->field), skips_spaces, &code);     \
        if (outcome == VALUE_UNKNOWN) return r;                                                  \
        is_dropped |= outcome == VALUE_MISSING;                                                  \
      }                                                                                          \
      if (__builtin_expect(is_dropped, 0)) {                                                     \
        work->missing++;                                                                         \
        if (is_test) continue;                                                                   \
        memset(row, 0, features * sizeof(TYPE));                                                 \
      } else if (!is_test) {                                                                     \
        work->train_examples++;                                                                  \
        if (code < work->least_label) work->least_label = code;                                  \
        if (code > work->largest_label) work->largest_label = code;                              \
      }                                                                                          \
      write_label(rows->labels, plan->label_type, rows->count, !is_dropped, code);               \
      rows->count++;                                                                             \
    }                                                                                            \
    return work->record_count;                                                                   \
  }

ENCODE(NAME(encode_bytes), uint8_t, AS_BYTE)
ENCODE(NAME(encode_floats), float, AS_FLOAT)
#undef ENCODE
