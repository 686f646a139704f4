// A scan of a table's text in blocks of 64 bytes, for the instruction set that defines
// CLASSIFY(bytes, delimiter, block), EMIT(target, bits, base), TARGET and NAME.

TARGET static void NAME(
    const uint8_t *bytes, size_t count, uint8_t delimiter, uint32_t *marks, cdp_record *records,
    cdp_scan_result *result) {
  const int skips_spaces = delimiter != ' ';
  quote_state quotes = {.open = SIZE_MAX, .second = SIZE_MAX};
  uint64_t after_return = 0, high = 0, any_quote = 0;
  size_t mark_count = 0, record_count = 0, lines = 0, cut = 0, start = 0;
  for (size_t base = 0; base < count; base += 64) {
    block_bits block;
    CLASSIFY(bytes + base, delimiter, &block);
    if (count - base < 64) {
      uint64_t valid = ((uint64_t)1 << (count - base)) - 1;
      block.quote &= valid, block.delimiter &= valid, block.feed &= valid;
      block.ret &= valid, block.high &= valid;
    }
    high |= block.high;
    // A line feed right behind a return belongs to it.
    uint64_t line_ends = block.ret | (block.feed & ~(block.ret << 1 | after_return));
    after_return = block.ret >> 63;
    lines += (size_t)__builtin_popcountll(line_ends);
    uint64_t separators = block.delimiter | line_ends;
    if (__builtin_expect(block.quote != 0 || quotes.open != SIZE_MAX, 0)) {
      any_quote |= block.quote;
      uint64_t outside =
          ~quoted_bits(bytes, count, base, block.quote, delimiter, skips_spaces, &quotes);
      separators &= outside;
      line_ends &= outside;
    }
    if (marks) {
      EMIT(marks + mark_count, separators, (uint32_t)base);
      while (line_ends) {
        int bit = __builtin_ctzll(line_ends);
        size_t end = base + (size_t)bit;
        uint64_t up_to = separators & (((uint64_t)2 << bit) - 1);
        uint32_t mark = (uint32_t)(mark_count + (size_t)__builtin_popcountll(up_to));
        if (end > start) {
          uint32_t first = record_count ? records[record_count - 1].end : 0;
          // Blank lines left marks of their own.
          while (marks[first] < start) first++;
          records[record_count++] = (cdp_record){(uint32_t)start, first, mark};
        }
        start = line_end_next(bytes, count, end);
        line_ends &= line_ends - 1;
      }
      mark_count += (size_t)__builtin_popcountll(separators);
      cut = start;
    } else if (line_ends) {
      cut = line_end_next(bytes, count, base + 63 - (size_t)__builtin_clzll(line_ends));
    }
  }
  if (marks && start < count) {
    marks[mark_count++] = (uint32_t)count;
    uint32_t first = record_count ? records[record_count - 1].end : 0;
    while (marks[first] < start) first++;
    records[record_count++] = (cdp_record){(uint32_t)start, first, (uint32_t)mark_count};
  }
  *result = (cdp_scan_result){
      .marks = mark_count,
      .records = record_count,
      .lines = lines,
      .cut = cut,
      .open_quote = quotes.open,
      .is_ascii = high == 0,
      .has_quotes = any_quote != 0,
  };
}
