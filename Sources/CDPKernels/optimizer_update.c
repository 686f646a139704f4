// Noise, scaling and the optimizer's update in one pass over the coordinates.
//
// Plain loops, which the compiler vectorises for each instruction set. Every operation is one of IEEE
// 754's, in the order written, and none is fused, so that all variants and machines give the same bits.

#include "CDPKernels.h"
#include "instruction_sets.h"

#pragma STDC FP_CONTRACT OFF

static inline __attribute__((always_inline)) void optimizer_update(
    cdp_optimizer_rule rule, const cdp_optimizer_constants *constants, size_t count,
    const double *restrict sum, const int32_t *restrict noise, float *restrict parameters,
    float *restrict first, float *restrict second) {
  const cdp_optimizer_constants c = *constants;
  switch (rule) {
  case CDP_SGD:
    for (size_t i = 0; i < count; i++) {
      float g = (float)((sum[i] + (double)noise[i]) * c.scale);
      parameters[i] = c.keep * parameters[i] - c.rate * g;
    }
    break;
  case CDP_MOMENTUM:
    for (size_t i = 0; i < count; i++) {
      float g = (float)((sum[i] + (double)noise[i]) * c.scale);
      first[i] = 0.9f * first[i] + g;
      parameters[i] = c.keep * parameters[i] - c.rate * first[i];
    }
    break;
  case CDP_ADAM:
    for (size_t i = 0; i < count; i++) {
      float g = (float)((sum[i] + (double)noise[i]) * c.scale);
      first[i] = 0.9f * first[i] + 0.1f * g;
      second[i] = 0.999f * second[i] + 0.001f * g * g;
      float size = __builtin_elementwise_sqrt(second[i] / c.second) + 1e-8f;
      parameters[i] = c.keep * parameters[i] - c.rate * (first[i] / c.first) / size;
    }
    break;
  case CDP_ADAGRAD:
    for (size_t i = 0; i < count; i++) {
      float g = (float)((sum[i] + (double)noise[i]) * c.scale);
      first[i] += g * g;
      float size = __builtin_elementwise_sqrt(first[i]) + 1e-10f;
      parameters[i] = c.keep * parameters[i] - c.rate * g / size;
    }
    break;
  case CDP_RMSPROP:
    for (size_t i = 0; i < count; i++) {
      float g = (float)((sum[i] + (double)noise[i]) * c.scale);
      first[i] = 0.99f * first[i] + 0.01f * g * g;
      float size = __builtin_elementwise_sqrt(first[i]) + 1e-8f;
      parameters[i] = c.keep * parameters[i] - c.rate * g / size;
    }
    break;
  }
}

static void optimizer_update_baseline(
    cdp_optimizer_rule rule, const cdp_optimizer_constants *constants, size_t count,
    const double *sum, const int32_t *noise, float *parameters, float *first, float *second) {
  optimizer_update(rule, constants, count, sum, noise, parameters, first, second);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static void optimizer_update_avx2(
    cdp_optimizer_rule rule, const cdp_optimizer_constants *constants, size_t count,
    const double *sum, const int32_t *noise, float *parameters, float *first, float *second) {
  optimizer_update(rule, constants, count, sum, noise, parameters, first, second);
}

__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw"))) static void optimizer_update_avx512(
    cdp_optimizer_rule rule, const cdp_optimizer_constants *constants, size_t count,
    const double *sum, const int32_t *noise, float *parameters, float *first, float *second) {
  optimizer_update(rule, constants, count, sum, noise, parameters, first, second);
}

cdp_optimizer_update cdp_optimizer_update_variant(int index) {
  switch (index) {
  case 0:
    return optimizer_update_baseline;
  case 1:
    return has_avx2() ? optimizer_update_avx2 : NULL;
  case 2:
    return has_avx512() ? optimizer_update_avx512 : NULL;
  default:
    return NULL;
  }
}

#else

// NEON is part of every 64-bit ARM processor.
cdp_optimizer_update cdp_optimizer_update_variant(int index) {
  return index == 0 ? optimizer_update_baseline : NULL;
}

#endif
