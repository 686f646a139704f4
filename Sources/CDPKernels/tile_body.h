// The loops over tiles, in vector extensions: included once for each instruction set and numerics.
//
// The includer defines NAME(x), TARGET (the function attribute), CONTRACT (`fast` fuses a product with
// the sum it goes into, `off` rounds both), CDP_CANONICAL, ROWS (rows of a product whose sums stay in
// registers), OUTER_ROWS (the same for sums of products) and OUTER_SUMS (8 or 16).

#define INLINE static inline __attribute__((always_inline)) TARGET
#define PRAGMA(x) _Pragma(#x)
#define FP_CONTRACT(mode) PRAGMA(clang fp contract(mode))

INLINE f32x16 NAME(load)(const float *from) {
  f32x16 x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
}

INLINE void NAME(store)(float *to, f32x16 x) { __builtin_memcpy(to, &x, sizeof x); }

// tanh(x) = x P(x^2) / Q(x^2): a minimax fit of degrees 4 and 4 to 2.1e-8 on |x| <= 9.02, beyond which
// tanh is 1 in float. A NaN stays.
INLINE f32x16 NAME(tanh)(f32x16 x) {
  FP_CONTRACT(CONTRACT)
  i32x16 above = x > 9.02f, below = x < -9.02f;
  f32x16 limit = (f32x16){} + 9.02f;
  x = (f32x16)(((i32x16)x & ~(above | below)) | ((i32x16)limit & above) | ((i32x16)-limit & below));
  f32x16 z = x * x;
  f32x16 p = z * 1.33190788e-08f + 2.05834864e-05f;
  p = p * z + 0.00349403487f;
  p = p * z + 0.133797182f;
  p = p * z + 0.999999979f;
  f32x16 q = z * 7.76202232e-07f + 0.000328309335f;
  q = q * z + 0.0258710744f;
  q = q * z + 0.467130334f;
  q = q * z + 1.0f;
  return x * p / q;
}

// e^x for x in [-87, 0], within 2 ulps: the reduction of Cody and Waite (1980), Taylor's polynomial of
// degree 7. Below -87 the result is e^-87; a NaN stays.
INLINE f32x16 NAME(exp)(f32x16 x) {
  FP_CONTRACT(CONTRACT)
  i32x16 below = x < -87.0f;
  x = (f32x16)(((i32x16)x & ~below) | ((i32x16)((f32x16){} - 87.0f) & below));
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
  f32x16 shifted = x * 1.44269504f + 0x1.8p23f;
  f32x16 count = shifted - 0x1.8p23f;
  f32x16 r = x - count * 0x1.62e4p-1f;
  r = r - count * 1.4286068e-6f;
  f32x16 p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  return (f32x16)((i32x16)p + (((i32x16)shifted - 0x4b400000) << 23));
}

// ln(1 + e) for e in [0, 1], within 2^-23: twice the inverse hyperbolic tangent of e / (2 + e).
INLINE f32x16 NAME(log1p)(f32x16 e) {
  FP_CONTRACT(CONTRACT)
  f32x16 s = e / (e + 2.0f);
  f32x16 z = s * s;
  f32x16 p = z * (2.0f / 15) + 2.0f / 13;
  p = p * z + 2.0f / 11;
  p = p * z + 2.0f / 9;
  p = p * z + 2.0f / 7;
  p = p * z + 2.0f / 5;
  p = p * z + 2.0f / 3;
  return s + s + s * z * p;
}

TARGET static void NAME(binary_head)(
    const float *z, size_t z_stride, const float *labels, size_t panels, float *gradients,
    size_t gradient_stride, float *losses) {
  FP_CONTRACT(CONTRACT)
  for (size_t panel = 0; panel < panels; panel++) {
    f32x16 x = NAME(load)(z + panel * z_stride), y = NAME(load)(labels + panel * CDP_PANEL);
    i32x16 sign = (i32x16)x & INT32_MIN;
    f32x16 size = (f32x16)((i32x16)x ^ sign);
    f32x16 e = NAME(exp)(-size);
    f32x16 larger = 1.0f / (e + 1.0f);
    i32x16 negative = x < 0.0f;
    f32x16 smaller = e * larger;
    f32x16 p = (f32x16)(((i32x16)smaller & negative) | ((i32x16)larger & ~negative));
    i32x16 held = y == y;
    NAME(store)(gradients + panel * gradient_stride, (f32x16)((i32x16)(p - y) & held));
    NAME(store)(losses + panel * CDP_PANEL, (x + size) * 0.5f - x * y + NAME(log1p)(e));
  }
}

INLINE f32x16 NAME(finish)(int epilogue, f32x16 z, const float *activation) {
  FP_CONTRACT(off)
  f32x16 a;
  switch (epilogue) {
  case CDP_RELU:
    return (f32x16)((i32x16)z & ~(z < 0.0f));
  case CDP_TANH:
    return NAME(tanh)(z);
  case CDP_RELU_SLOPE:
    a = NAME(load)(activation);
    return (f32x16)((i32x16)z & (a > 0.0f));
  case CDP_TANH_SLOPE:
    a = NAME(load)(activation);
    return z * (1.0f - a * a);
  default:
    return z;
  }
}

// Rows row ..< row + m of panels panel ..< panel + n; m n is at most ROWS, so all sums stay in
// registers.
INLINE void NAME(product_block)(
    const cdp_product *p, size_t row, const size_t m, size_t panel, const size_t n) {
  FP_CONTRACT(CONTRACT)
  f32x16 sums[ROWS];
#pragma clang loop unroll(full)
  for (size_t r = 0; r < m; r++) {
    f32x16 bias = (f32x16){} + (p->bias ? p->bias[row + r] : 0.0f);
#pragma clang loop unroll(full)
    for (size_t j = 0; j < n; j++) sums[r * n + j] = bias;
  }
  const float *weights = p->weights + (ptrdiff_t)row * p->row_stride;
  const float *in = p->in + panel * p->in_stride;
  const ptrdiff_t row_stride = p->row_stride, depth_stride = p->depth_stride;
  const size_t in_stride = p->in_stride;
  for (size_t k = 0; k < p->depth; k++) {
    f32x16 x[4];
#pragma clang loop unroll(full)
    for (size_t j = 0; j < n; j++) x[j] = NAME(load)(in + j * in_stride + k * CDP_PANEL);
#pragma clang loop unroll(full)
    for (size_t r = 0; r < m; r++) {
      float w = weights[(ptrdiff_t)r * row_stride + (ptrdiff_t)k * depth_stride];
#pragma clang loop unroll(full)
      for (size_t j = 0; j < n; j++) sums[r * n + j] += w * x[j];
    }
  }
#pragma clang loop unroll(full)
  for (size_t j = 0; j < n; j++) {
    float *out = p->out + (panel + j) * p->out_stride + row * CDP_PANEL;
    const float *activation =
        p->activation ? p->activation + (panel + j) * p->activation_stride + row * CDP_PANEL : NULL;
#pragma clang loop unroll(full)
    for (size_t r = 0; r < m; r++) {
      NAME(store)(
          out + r * CDP_PANEL,
          NAME(finish)(p->epilogue, sums[r * n + j], activation ? activation + r * CDP_PANEL : NULL));
    }
  }
}

// As many panels at a time as the registers hold, for all rows of a block.
#define PANELS(m)                                                                     \
  do {                                                                                \
    size_t panel = 0;                                                                 \
    enum { several = ROWS / (m) >= 4 ? 4 : ROWS / (m) >= 2 ? 2 : 1 };                 \
    for (; panel + several <= p->panels; panel += several)                            \
      NAME(product_block)(p, row, m, panel, several);                                 \
    for (; panel < p->panels; panel++) NAME(product_block)(p, row, m, panel, 1);      \
  } while (0)

TARGET static void NAME(product)(const cdp_product *p) {
  // Blocks of nearly equal size: 50 rows are not 4 x 12 + 2.
  size_t blocks = (p->rows + ROWS - 1) / ROWS;
  for (size_t block = 0, row = 0; block < blocks; block++) {
    size_t m = (p->rows - row + blocks - block - 1) / (blocks - block);
    switch (m) {
    case 1: PANELS(1); break;
    case 2: PANELS(2); break;
    case 3: PANELS(3); break;
#if ROWS > 3
    case 4: PANELS(4); break;
    case 5: PANELS(5); break;
    case 6: PANELS(6); break;
#endif
#if ROWS > 6
    case 7: PANELS(7); break;
    case 8: PANELS(8); break;
    case 9: PANELS(9); break;
    case 10: PANELS(10); break;
    case 11: PANELS(11); break;
    case 12: PANELS(12); break;
#endif
    default: __builtin_unreachable();
    }
    row += m;
  }
}

#undef PANELS

TARGET static void NAME(square_sums)(
    const float *x, size_t units, size_t stride, size_t panels, float *sums) {
  FP_CONTRACT(CONTRACT)
  for (size_t panel = 0; panel < panels; panel++) {
    const float *from = x + panel * stride;
    f32x16 part[4] = {};
    size_t unit = 0;
    for (; unit + 4 <= units; unit += 4) {
#pragma clang loop unroll(full)
      for (size_t j = 0; j < 4; j++) {
        f32x16 v = NAME(load)(from + (unit + j) * CDP_PANEL);
        part[j] += v * v;
      }
    }
    for (; unit < units; unit++) {
      f32x16 v = NAME(load)(from + unit * CDP_PANEL);
      part[0] += v * v;
    }
    NAME(store)(sums + panel * CDP_PANEL, (part[0] + part[1]) + (part[2] + part[3]));
  }
}

// The squared norm of a layer's gradient in 8 lanes, without slack; `input` receives that of its input.
INLINE f64x8 NAME(layer_square)(const cdp_clip *p, size_t layer, size_t at, f64x8 *input) {
  FP_CONTRACT(off)
  f32x8 d, a;
  __builtin_memcpy(&d, p->d[layer] + at, sizeof d);
  __builtin_memcpy(&a, p->a[layer] + at, sizeof a);
  *input = __builtin_convertvector(a, f64x8) + 1.0;
  return __builtin_convertvector(d, f64x8) * *input;
}

// The factors of 8 lanes whose norms are given, rounded down; `longer` receives which are scaled down.
INLINE i32x8 NAME(factors)(const cdp_clip *p, f64x8 square, i64x8 within, i64x8 *longer) {
  FP_CONTRACT(off)
  f64x8 one = (f64x8){} + 1.0;
  f64x8 norm = __builtin_elementwise_sqrt(square) + p->offset;
  *longer = (norm > p->clip) & within;
  // Lanes that are not scaled divide by 1, so that none divides by 0.
  i64x8 scaled = p->offset > 0 ? within : *longer;
  f64x8 divisor = (f64x8)(((i64x8)norm & scaled) | ((i64x8)one & ~scaled));
  f64x8 dividend = (f64x8)(((i64x8)((f64x8){} + p->clip) & scaled) | ((i64x8)one & ~scaled));
  f32x8 factor = __builtin_convertvector(dividend / divisor, f32x8);
  // One place down where the nearest float is above.
  i32x8 above = __builtin_convertvector(
      __builtin_convertvector(factor, f64x8) * divisor > dividend, i32x8);
  return (i32x8)factor + above;
}

TARGET static cdp_clip_counts NAME(clip)(const cdp_clip *p) {
  FP_CONTRACT(off)
  i64x8 examples = {}, clipped = {}, broken_examples = {}, broken_lanes = {};
  f64x8 loss_sum = {}, input;
  for (size_t at = 0; at < p->panels * CDP_PANEL; at += 8) {
    f64x8 square = {};
    i64x8 within = (i64x8){} - 1, longer = {};
    for (size_t layer = 0; layer < p->layers; layer++) {
      square += NAME(layer_square)(p, layer, at, &input);
      within &= input * p->outputs[layer] <= p->reach;
    }
    square *= p->slack;
    within &= square < __builtin_inf();
    f32x8 labels;
    __builtin_memcpy(&labels, p->labels + at, sizeof labels);
    i64x8 held = __builtin_convertvector(labels == labels, i64x8);
    i32x8 kept = __builtin_convertvector(held & within, i32x8);
    for (size_t group = 0; group < p->groups; group++) {
      i64x8 group_longer;
      f64x8 part =
          p->groups == 1 ? square : NAME(layer_square)(p, group, at, &input) * p->slack;
      i32x8 bits = NAME(factors)(p, part, within, &group_longer) & kept;
      longer |= group_longer;
      __builtin_memcpy(p->factors[group] + at, &bits, sizeof bits);
    }
    u8x8 broken = __builtin_convertvector(~within & 1, u8x8);
    __builtin_memcpy(p->broken + at, &broken, sizeof broken);
    f32x8 losses;
    __builtin_memcpy(&losses, p->losses + at, sizeof losses);
    loss_sum += (f64x8)((i64x8)__builtin_convertvector(losses, f64x8) & held & within);
    examples -= held;
    clipped -= held & longer;
    broken_examples -= held & ~within;
    broken_lanes -= ~within;
  }
  cdp_clip_counts counts = {};
  for (int lane = 0; lane < 8; lane++) {
    counts.examples += (size_t)examples[lane];
    counts.clipped += (size_t)clipped[lane];
    counts.broken_examples += (size_t)broken_examples[lane];
    counts.broken_lanes += (size_t)broken_lanes[lane];
    counts.loss_sum += loss_sum[lane];
  }
  return counts;
}

TARGET static void NAME(scale)(
    float *x, size_t units, size_t stride, size_t panels, const float *factors) {
  for (size_t panel = 0; panel < panels; panel++) {
    f32x16 factor = NAME(load)(factors + panel * CDP_PANEL);
    float *at = x + panel * stride;
    for (size_t unit = 0; unit < units; unit++, at += CDP_PANEL)
      NAME(store)(at, NAME(load)(at) * factor);
  }
}

// What sums of products are kept in: with canonical numerics whole numbers, of which 2^32 are none.
#if CDP_CANONICAL
#define SUMS u32x16
#define HALF u32x8
#else
#define SUMS f32x16
#define HALF f32x8
#endif

INLINE HALF NAME(fold)(SUMS x) {
  return __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
         __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
}

// The sums over the lanes of eight vectors, each by halves.
INLINE HALF NAME(lane_sums)(const SUMS x[8]) {
  // A pair is folded into one vector, of which it takes half each; the order makes the last come right.
  static const int order[8] = {0, 4, 1, 5, 2, 6, 3, 7};
  HALF t[4], u[2];
#pragma clang loop unroll(full)
  for (int k = 0; k < 4; k++) {
    HALF a = NAME(fold)(x[order[2 * k]]), b = NAME(fold)(x[order[2 * k + 1]]);
    t[k] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) +
           __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma clang loop unroll(full)
  for (int k = 0; k < 2; k++) {
    u[k] = __builtin_shufflevector(t[2 * k], t[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13) +
           __builtin_shufflevector(t[2 * k], t[2 * k + 1], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  return __builtin_shufflevector(u[0], u[1], 0, 2, 8, 10, 4, 6, 12, 14) +
         __builtin_shufflevector(u[0], u[1], 1, 3, 9, 11, 5, 7, 13, 15);
}

// Adds one sum of products, in units of the grid.
INLINE void NAME(add)(const cdp_outer *p, size_t o, size_t i, double units) {
  if (i < p->inputs) p->weights[o * p->inputs + i] += units;
  else if (i == p->inputs) p->biases[o] += units;
}

// Rows o ..< o + rows and columns i ..< i + columns; rows x columns sums stay in registers.
INLINE void NAME(outer_block)(
    const cdp_outer *p, size_t o, size_t i, const size_t rows, const size_t columns) {
  FP_CONTRACT(CONTRACT)
  SUMS sums[OUTER_SUMS] = {};
#if CDP_CANONICAL
  // Adding 1.5 * 2^23 rounds a product of less than 2^22 and leaves it in the low bits of the sum.
  const uint32_t magic = 0x4b400000;
  const float scale = (float)p->scale;
#pragma clang loop unroll(full)
  for (size_t k = 0; k < rows * columns; k++) sums[k] -= magic * (uint32_t)p->panels;
#endif
  const float *d = p->d + o * CDP_PANEL, *a = p->a + i * CDP_PANEL;
  for (size_t panel = 0; panel < p->panels; panel++, d += p->d_stride, a += p->a_stride) {
    f32x16 x[CDP_SLACK + 1];
#pragma clang loop unroll(full)
    for (size_t c = 0; c < columns; c++) x[c] = NAME(load)(a + c * CDP_PANEL);
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) {
      f32x16 y = NAME(load)(d + r * CDP_PANEL);
#if CDP_CANONICAL
      y *= scale;
#pragma clang loop unroll(full)
      for (size_t c = 0; c < columns; c++) sums[r * columns + c] += (u32x16)(y * x[c] + 0x1.8p23f);
#else
#pragma clang loop unroll(full)
      for (size_t c = 0; c < columns; c++) sums[r * columns + c] += y * x[c];
#endif
    }
  }
  double units[OUTER_SUMS];
#pragma clang loop unroll(full)
  for (size_t part = 0; part < rows * columns; part += 8) {
#if CDP_CANONICAL
    f64x8 sum = __builtin_convertvector((i32x8)NAME(lane_sums)(sums + part), f64x8);
#else
    f64x8 sum = __builtin_convertvector(NAME(lane_sums)(sums + part), f64x8);
    sum = (sum * p->scale + p->shift) - p->shift;
#endif
    __builtin_memcpy(units + part, &sum, sizeof sum);
  }
  if (o + rows <= p->outputs && i + columns <= p->inputs) {
#pragma clang loop unroll(full)
    for (size_t r = 0; r < rows; r++) {
      double *sum = p->weights + (o + r) * p->inputs + i;
#pragma clang loop unroll(full)
      for (size_t c = 0; c < columns; c++) sum[c] += units[r * columns + c];
    }
    return;
  }
  for (size_t r = 0; r < rows && o + r < p->outputs; r++) {
    for (size_t c = 0; c < columns; c++) NAME(add)(p, o + r, i + c, units[r * columns + c]);
  }
}

// Columns go in groups whose vectors stay in the second cache while all rows pass them.
#define BLOCKS(rows, columns)                                                                 \
  do {                                                                                        \
    const size_t group = 128 / (columns) * (columns);                                         \
    for (size_t first = 0; first <= p->inputs; first += group) {                              \
      size_t end = first + group <= p->inputs ? first + group : p->inputs + 1;                \
      for (size_t o = 0; o < p->outputs; o += (rows)) {                                       \
        for (size_t i = first; i < end; i += (columns))                                       \
          NAME(outer_block)(p, o, i, rows, columns);                                          \
      }                                                                                       \
    }                                                                                         \
  } while (0)

// Blocks that a layer fills best: for each shape, sums made (needed or not).
#define WORK(rows, columns)                                                                   \
  ((p->outputs + (rows) - 1) / (rows) * (rows) * ((p->inputs + (columns)) / (columns) * (columns)))

#if CDP_CANONICAL

// For products of any size: each is rounded in double.
TARGET static void NAME(outer_wide)(const cdp_outer *p) {
  FP_CONTRACT(off)
  for (size_t o = 0; o < p->outputs; o++) {
    for (size_t i = 0; i <= p->inputs; i++) {
      f64x8 sum = {};
      for (size_t panel = 0; panel < p->panels; panel++) {
        f32x16 product = NAME(load)(p->d + panel * p->d_stride + o * CDP_PANEL) *
                         NAME(load)(p->a + panel * p->a_stride + i * CDP_PANEL);
        f32x8 low = __builtin_shufflevector(product, product, 0, 1, 2, 3, 4, 5, 6, 7);
        f32x8 high = __builtin_shufflevector(product, product, 8, 9, 10, 11, 12, 13, 14, 15);
        sum += (__builtin_convertvector(low, f64x8) * p->scale + p->shift) - p->shift;
        sum += (__builtin_convertvector(high, f64x8) * p->scale + p->shift) - p->shift;
      }
      // Whole numbers: any order gives the same sum.
      double units = 0;
      for (int lane = 0; lane < 8; lane++) units += sum[lane];
      NAME(add)(p, o, i, units);
    }
  }
}

#endif

TARGET static void NAME(outer)(const cdp_outer *p) {
#if CDP_CANONICAL
  if (p->shift == 0 || !(p->largest * p->scale < 0x1p22 && p->panels <= 31)) {
    NAME(outer_wide)(p);
    return;
  }
#endif
#if OUTER_SUMS == 16
  if (p->outputs == 1) BLOCKS(1, 5);
  else if (WORK(3, 5) < WORK(4, 4)) BLOCKS(3, 5);
  else BLOCKS(4, 4);
#else
  if (p->outputs == 1) BLOCKS(1, 4);
  else if (OUTER_ROWS == 2) BLOCKS(2, 3);
  else BLOCKS(1, 2);
#endif
}

#undef BLOCKS
#undef WORK
#undef SUMS
#undef HALF

// Turns 16 rows of 16 bytes into 16 columns, by four rounds of interleaving.
INLINE void NAME(transpose)(u8x16 x[16]) {
#pragma clang loop unroll(full)
  for (int round = 0; round < 4; round++) {
    u8x16 y[16];
#pragma clang loop unroll(full)
    for (int k = 0; k < 8; k++) {
      y[2 * k] = __builtin_shufflevector(
          x[k], x[k + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      y[2 * k + 1] = __builtin_shufflevector(
          x[k], x[k + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma clang loop unroll(full)
    for (int k = 0; k < 16; k++) x[k] = y[k];
  }
}

TARGET static void NAME(load_bytes)(
    const uint8_t *table, const uint8_t *end, size_t width, const uint32_t *rows, size_t count,
    float *panel) {
  for (size_t first = 0; first < width; first += 16) {
    size_t columns = width - first < 16 ? width - first : 16;
    u8x16 x[16];
#pragma clang loop unroll(full)
    for (size_t lane = 0; lane < CDP_PANEL; lane++) {
      x[lane] = (u8x16){};
      if (lane >= count) continue;
      const uint8_t *from = table + (size_t)rows[lane] * width + first;
      // Bytes after the row's end are read where there are any, and not used.
      if (end - from >= 16) __builtin_memcpy(&x[lane], from, 16);
      else __builtin_memcpy(&x[lane], from, columns);
    }
    NAME(transpose)(x);
#pragma clang loop unroll(full)
    for (size_t column = 0; column < 16; column++) {
      if (column < columns)
        NAME(store)(
            panel + (first + column) * CDP_PANEL, __builtin_convertvector(x[column], f32x16));
    }
  }
}

TARGET static void NAME(load_floats)(
    const float *table, size_t width, const uint32_t *rows, size_t count, float *panel) {
  if (count < CDP_PANEL) __builtin_memset(panel, 0, width * CDP_PANEL * sizeof(float));
  for (size_t lane = 0; lane < count; lane++) {
    const float *from = table + (size_t)rows[lane] * width;
    for (size_t column = 0; column < width; column++) panel[column * CDP_PANEL + lane] = from[column];
  }
}

TARGET static void NAME(load_bits)(
    const cdp_bit_rows *table, const uint32_t *rows, size_t count, float *panel, float *labels) {
  const uint32_t none = (1u << table->label_bits) - 1;
  uint32_t first[CDP_PANEL], second[CDP_PANEL] = {0};
  for (size_t lane = count; lane < CDP_PANEL; lane++) first[lane] = none;
  switch (table->word_bytes) {
  case 2:
    for (size_t lane = 0; lane < count; lane++)
      first[lane] = ((const uint16_t *)table->words)[rows[lane]];
    break;
  case 4:
    for (size_t lane = 0; lane < count; lane++)
      first[lane] = ((const uint32_t *)table->words)[rows[lane]];
    break;
  default:
    for (size_t lane = 0; lane < count; lane++) {
      uint64_t word = ((const uint64_t *)table->words)[rows[lane]];
      first[lane] = (uint32_t)word;
      second[lane] = (uint32_t)(word >> 32);
    }
  }
  u32x16 low, high;
  __builtin_memcpy(&low, first, sizeof low);
  __builtin_memcpy(&high, second, sizeof high);
  u32x16 label = low & none;
  i32x16 absent = label == none;
  f32x16 value = __builtin_convertvector((i32x16)label, f32x16);
  NAME(store)(labels, (f32x16)((i32x16)value | (absent & 0x7fc00000)));
  size_t bit = table->label_bits;
  for (size_t unit = 0; unit < table->width; unit++, bit++) {
    u32x16 bits = bit < 32 ? low >> (uint32_t)bit : high >> (uint32_t)(bit - 32);
    NAME(store)(panel + unit * CDP_PANEL, __builtin_convertvector((i32x16)(bits & 1), f32x16));
  }
}

// What the registers reach: sums that need nothing from memory.
TARGET static float NAME(peak)(size_t rounds, float factor) {
  FP_CONTRACT(CONTRACT)
  f32x16 sums[ROWS], x = (f32x16){} + factor;
  for (int r = 0; r < ROWS; r++) sums[r] = x + (float)r;
  for (size_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int r = 0; r < ROWS; r++) sums[r] = sums[r] * x + x;
  }
  float total = 0;
  for (int r = 0; r < ROWS; r++) total += sums[r][0];
  return total;
}

static const cdp_tile_kernels NAME(kernels) = {
    NAME(load_bytes), NAME(load_floats), NAME(load_bits), NAME(product),
    NAME(binary_head), NAME(square_sums),
    NAME(clip), NAME(scale), NAME(outer), NAME(peak), ROWS * CDP_PANEL};

#undef INLINE
#undef NAME
#undef TARGET
#undef ROWS
#undef OUTER_ROWS
#undef OUTER_SUMS
#undef CONTRACT
#undef CDP_CANONICAL
#undef PRAGMA
#undef FP_CONTRACT
