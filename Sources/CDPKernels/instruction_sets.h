// What the processor has, for the choice between the variants of a loop.

#ifndef CDP_INSTRUCTION_SETS_H
#define CDP_INSTRUCTION_SETS_H

#if defined(__x86_64__)

static inline int has_avx2(void) { return __builtin_cpu_supports("avx2"); }

// The parts that every processor with AVX-512 in its second generation has.
static inline int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
}

#endif

#endif
