// The loops of fastDP that are written in C: one function each, without state.

#ifndef CDP_KERNELS_H
#define CDP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/// Bytes that make one group of normal values: 8 words of 64 bits, then 8 of 32, little-endian.
#define CDP_NORMAL_GROUP_BYTES 96
/// Values in a group.
#define CDP_NORMAL_GROUP_VALUES 16

/// Turns uniform bytes into normal values, rounded to integers.
///
/// `bytes` holds `groups` groups; `units` receives 16 values for each, of standard deviation `scale`
/// in (0, 2^27]. Every variant gives the same bits on every machine.
typedef void (*cdp_normal_units)(
    const uint8_t *bytes, size_t groups, double scale, int32_t *units);

/// A variant of ``cdp_normal_units`` for one instruction set.
///
/// Variant 0 runs on every processor of the architecture; higher ones are faster. NULL where the
/// processor lacks the instructions, or where there is no such variant.
cdp_normal_units cdp_normal_units_variant(int index);

/// The instruction set of a variant; NULL where there is no such variant.
const char *cdp_normal_units_name(int index);

#endif
