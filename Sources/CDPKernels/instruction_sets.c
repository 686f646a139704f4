#include "CDPKernels.h"

const char *cdp_instruction_set_name(int index) {
#if defined(__x86_64__)
  static const char *const names[] = {"SSE2", "AVX2", "AVX-512"};
  return index >= 0 && index < 3 ? names[index] : 0;
#elif defined(__aarch64__)
  // NEON is part of every 64-bit ARM processor.
  return index == 0 ? "NEON" : 0;
#else
  return index == 0 ? "baseline" : 0;
#endif
}
