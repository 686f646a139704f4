// The loops of fastDP that are written in C: one function each, without state.

#ifndef CDP_KERNELS_H
#define CDP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "CDPTables.h"
#include "CDPTiles.h"

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

// MARK: - Sampling

/// Words in a group: of 64 bits, little-endian.
#define CDP_SAMPLING_GROUP_WORDS 8
/// Bytes in a group.
#define CDP_SAMPLING_GROUP_BYTES 64

/// A walk over a block of records by skips of geometric length.
typedef struct {
  /// 1 / λ: skips for each unit of a uniform number's negative logarithm.
  double skips;
  /// A skip of this length or more is cut to it and draws no record; in 1...2^27.
  uint32_t longest;
  /// Records in the block, at most 2^27.
  uint32_t end;
  /// The block's first record.
  uint32_t base;
} cdp_geometric_walk;

/// Draws records until the block or the words end.
///
/// `bytes` holds `groups` groups; `*next` is where the walk stands in the block, and stands
/// afterwards: at `walk->end` or beyond when it is over. `records` has room for `groups` times 8 and receives the
/// records drawn, which are returned in number; what lies behind them is undefined. Every variant
/// gives the same records on every machine.
typedef size_t (*cdp_geometric_records)(
    const uint8_t *bytes, size_t groups, const cdp_geometric_walk *walk, uint32_t *next,
    uint32_t *records);

/// A variant of ``cdp_geometric_records``, indexed and named as those of ``cdp_normal_units``.
cdp_geometric_records cdp_geometric_records_variant(int index);

/// -ln((w + 1) / 2^64) of the words of groups, as the walk computes it: for tests of its accuracy.
void cdp_negative_logarithms(const uint8_t *bytes, size_t groups, double *logarithms);

/// Draws the records whose words, of 32 bits, are below a threshold, and returns their number.
///
/// `records` has room for `count`; what lies behind those drawn is undefined.
size_t cdp_compared_records(
    const uint8_t *bytes, size_t count, uint32_t threshold, uint32_t base, uint32_t *records);

// MARK: - The optimizer

/// The rules of an optimizer.
typedef enum { CDP_SGD, CDP_MOMENTUM, CDP_ADAM, CDP_ADAGRAD, CDP_RMSPROP } cdp_optimizer_rule;

/// What is the same for all coordinates of a step.
typedef struct {
  /// What sum and noise are multiplied with to give the gradient.
  double scale;
  /// The learning rate.
  float rate;
  /// What is left of a parameter after weight decay; 1 without.
  float keep;
  /// Adam's corrections of its first and second moment.
  float first, second;
} cdp_optimizer_constants;

/// Takes a step: the gradient is (sum + noise) * scale in double, rounded to float.
///
/// `sum`, `noise` and `parameters` hold `count` numbers, and so do those of `first` and `second` that
/// the rule remembers; none overlap. Every variant gives the same bits on every machine.
typedef void (*cdp_optimizer_update)(
    cdp_optimizer_rule rule, const cdp_optimizer_constants *constants, size_t count,
    const double *sum, const int32_t *noise, float *parameters, float *first, float *second);

/// A variant of ``cdp_optimizer_update``, indexed and named as those of ``cdp_normal_units``.
cdp_optimizer_update cdp_optimizer_update_variant(int index);

// MARK: - Sums of vectors

/// The elements that vectors are summed in.
enum {
  CDP_FLOAT32 = 0,
  CDP_FLOAT64 = 1,
  CDP_INT32 = 2,
  CDP_INT64 = 3,
};

/// Adds `count` elements of `from` to those of `into`, which do not overlap; integers wrap.
typedef void (*cdp_add)(void *into, const void *from, size_t count);

/// The fastest ``cdp_add`` that this processor can run; NULL where there is no such element.
cdp_add cdp_add_function(int element);

/// Folds vectors from left to right, ((v0 + v1) + v2) + ..., and writes the sum to several places.
///
/// `vectors` are 1 or more sources of `count` elements, `results` 0 or more targets; a target may be
/// one of the sources, otherwise nothing overlaps. Integers wrap.
typedef void (*cdp_fold)(
    const void *const *vectors, size_t vector_count, void *const *results, size_t result_count,
    size_t count);

/// The fastest ``cdp_fold`` that this processor can run; NULL where there is no such element.
cdp_fold cdp_fold_function(int element);

/// Asks for memory that will be written, and that other processors have read.
void cdp_claim(void *memory, size_t bytes);

/// Writes whole numbers as integers of 4 bytes; 0 where one of them does not fit, and `to` is of no use then.
///
/// The two do not overlap.
int cdp_pack(const double *from, int32_t *to, size_t count);

/// Adds `count` such integers to numbers; the two do not overlap.
void cdp_add_packed(double *sum, const int32_t *from, size_t count);

/// The instruction set of the variants of an index; NULL where there are none.
const char *cdp_instruction_set_name(int index);

#endif
