// The loops over tiles of examples: gather, dense layers forward and back, norms, sums of products.

#ifndef CDP_TILES_H
#define CDP_TILES_H

#include <stddef.h>
#include <stdint.h>

/// Examples in a panel: one to each lane.
#define CDP_PANEL 16

/// What a product does to its sums before it stores them.
enum cdp_epilogue {
  CDP_STORE = 0,       // z
  CDP_RELU = 1,        // max(0, z); a NaN stays
  CDP_TANH = 2,        // tanh(z)
  CDP_RELU_SLOPE = 3,  // z where the activation is above 0, else 0
  CDP_TANH_SLOPE = 4,  // z (1 - a^2), a being the activation
};

/// A product of a matrix of weights with panels of vectors: `out[r] = bias[r] + sum_k w[r][k] in[k]`.
///
/// A panel holds the vectors of 16 examples, unit by unit: unit u of example e is float 16 u + e.
/// Terms are added in the order of k, from the bias on.
typedef struct {
  const float *weights;    ///< w[r][k] at r * row_stride + k * depth_stride
  ptrdiff_t row_stride;
  ptrdiff_t depth_stride;
  size_t rows;
  size_t depth;
  const float *bias;       ///< `rows` numbers, or NULL for zeros
  const float *in;         ///< `depth` units to a panel
  size_t in_stride;        ///< floats from one panel to the next
  float *out;              ///< `rows` units to a panel
  size_t out_stride;
  const float *activation; ///< for the slopes: `rows` units to a panel
  size_t activation_stride;
  size_t panels;
  int epilogue;            ///< one of cdp_epilogue
} cdp_product;

/// Sums over examples of d a^T, rounded to a grid: `sum[o][i] += round(scale * sum_e d[o][e] a[i][e])`.
///
/// Unit `inputs` of `a` is 1 in every lane, and its column is that of the biases. Above it, and above
/// unit `outputs` - 1 of `d`, CDP_SLACK units that are read but not used hold zeros.
/// The sum over a tile is taken in float: panel after panel in each lane, then over the lanes by
/// halves. Adding and subtracting `shift` rounds; a shift of 0 does not. Canonical loops round every
/// product by itself; where `largest` times `scale` is below 2^22 they do so in float, which is faster.
typedef struct {
  const float *d;
  size_t d_stride;
  const float *a;
  size_t a_stride;
  size_t outputs;
  size_t inputs;
  size_t panels;
  double scale;
  double shift;
  double largest;          ///< no product d a is larger in size; infinity where that is not known
  double *weights;         ///< [outputs][inputs]
  double *biases;          ///< [outputs]
} cdp_outer;

/// The factors that bring gradients to a norm of at most C, from the squared norms of their parts.
///
/// The squared norm of example e is `slack * sum_l d[l][e] (a[l][e] + 1)` over all layers, which are
/// one group, or over one layer for each of `layers` groups. Its factor is min(1, C / norm), or with
/// an offset C / (norm + offset), rounded down; or 0 where it holds no example or is broken: where the
/// norm of all layers is not finite, or `(a[l][e] + 1) outputs[l]` is above `reach` for a layer.
typedef struct {
  size_t layers;
  const float *const *a;   ///< for each layer, the squared norm of its input in each lane
  const float *const *d;   ///< the same of the gradient by its output
  const double *outputs;   ///< for each layer, the number of its outputs
  size_t groups;           ///< 1 or `layers`
  double clip;             ///< C of a group, or infinity
  double offset;           ///< 0, or what is added to norms, which then are all scaled to C
  double slack;            ///< 1 and what rounding may have taken from the norms
  double reach;
  const float *labels;     ///< NaN where a lane holds no example
  const float *losses;
  size_t panels;
  float *const *factors;   ///< one block for each group
  uint8_t *broken;         ///< 1 for a lane that is broken, else 0
} cdp_clip;

/// What ``cdp_clip`` met.
typedef struct {
  /// Those clipped have a norm, offset included, above C in one group at least.
  size_t examples, clipped, broken_examples, broken_lanes;
  double loss_sum;  ///< over examples that are not broken
} cdp_clip_counts;

/// Units above the last one that a panel of activations or gradients has room for.
#define CDP_SLACK 4

/// Rows of bits, each in a word of 2, 4 or 8 bytes: first its label, in `label_bits` bits that are all
/// set where the row holds no example, then its features, from the lowest bit on.
typedef struct {
  const void *words;
  size_t word_bytes;
  size_t label_bits;
  size_t width;
} cdp_bit_rows;

/// The loops of one instruction set and one kind of numerics.
typedef struct {
  /// Gathers up to 16 rows of bytes; lanes from `count` on become 0. `end` is the table's end.
  void (*load_bytes)(
      const uint8_t *table, const uint8_t *end, size_t width, const uint32_t *rows, size_t count,
      float *panel);
  /// Gathers up to 16 rows of floats.
  void (*load_floats)(
      const float *table, size_t width, const uint32_t *rows, size_t count, float *panel);
  /// Gathers up to 16 rows of bits, with their labels: NaN where there is no row or no example.
  void (*load_bits)(
      const cdp_bit_rows *table, const uint32_t *rows, size_t count, float *panel, float *labels);
  void (*product)(const cdp_product *product);
  /// For two classes: the gradient of the loss by z, logistic(z) - y, or 0 where y is NaN, and the
  /// loss, max(z, 0) - z y + ln(1 + e^-|z|). z and gradients are unit 0 of their panels.
  void (*binary_head)(
      const float *z, size_t z_stride, const float *labels, size_t panels, float *gradients,
      size_t gradient_stride, float *losses);
  /// `sums[16 p + e] = sum_u x[u][e]^2`, in four interleaved partial sums.
  void (*square_sums)(const float *x, size_t units, size_t stride, size_t panels, float *sums);
  cdp_clip_counts (*clip)(const cdp_clip *clip);
  /// `x[u][e] *= factors[16 p + e]`.
  void (*scale)(float *x, size_t units, size_t stride, size_t panels, const float *factors);
  void (*outer)(const cdp_outer *outer);
  /// Does `rounds` times `peak_width` multiply-adds in registers alone; the result says nothing.
  float (*peak)(size_t rounds, float factor);
  size_t peak_width;
} cdp_tile_kernels;

/// The loops for one instruction set; NULL where the processor lacks the instructions, or where there
/// is no such variant. Variant 0 runs on every processor of the architecture; higher ones are faster.
///
/// With `canonical`, products and sums are rounded one by one, and every example's contribution is
/// rounded to the grid by itself: the same bits from every variant and for every cut into tiles.
const cdp_tile_kernels *cdp_tile_kernels_variant(int index, int canonical);

/// Asks for the memory of rows that will be gathered soon; `stride` and `length` are in bytes.
void cdp_prefetch_rows(
    const void *table, size_t stride, size_t length, const uint32_t *rows, size_t count);

/// Tells the processor that a loop waits for another thread.
void cdp_pause(void);

#endif
