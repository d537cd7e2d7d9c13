/* Convolutions of samples in lanes. */

/* Weights [co][taps] in the order in which tiles read them: [tile][taps][width]. */
static void pack(const float *w, float *packed, int co, int taps) {
  for (int t = 0; t < n_tiles(co); t++) {
    int first = tile_start(co, t), width = tile_start(co, t + 1) - first;
    for (int i = 0; i < taps; i++)
      for (int o = 0; o < width; o++) *packed++ = w[(long)(first + o) * taps + i];
  }
}

/* One tile of output: T channels at four positions. */
INLINE void tile_of_outputs(int T, vf sum[MAX_T][POSITIONS], const vf *x, const view *in,
                            const float *w, int ci, int k, const long *position) {
  for (int c = 0; c < ci; c++, x += in->channel)
    for (int ky = 0; ky < k; ky++) {
      const vf *row = x + ky * in->row;
      for (int kx = 0; kx < k; kx++, w += T) {
        vf seen[POSITIONS];
        UNROLL for (int j = 0; j < POSITIONS; j++) seen[j] = row[position[j] + kx];
        UNROLL for (int o = 0; o < T; o++) {
          vf weight = splat(w[o]);
          UNROLL for (int j = 0; j < POSITIONS; j++) sum[o][j] += weight * seen[j];
        }
      }
    }
}

INLINE void start_tile(int T, vf sum[MAX_T][POSITIONS], const float *bias) {
  UNROLL for (int o = 0; o < T; o++)
    UNROLL for (int j = 0; j < POSITIONS; j++) sum[o][j] = splat(bias ? bias[o] : 0.f);
}

/* y[co][i][j] = bias + sum over ci and taps of w * x[ci][stride*i+ky][stride*j+kx]
 * for `height` x `width` outputs. x points to the corner of its border. */
void NAME(conv_forward)(const view *x, const float *w, const float *bias, const view *y,
                        float *packed, int blocks, int ci, int co, int height, int width, int k,
                        int stride) {
  int taps = ci * k * k;
  pack(w, packed, co, taps);
  for (int b = 0; b < blocks; b++)
    for (int i = 0; i < height; i++)
      for (int t = 0; t < n_tiles(co); t++) {
        int first = tile_start(co, t), wide = tile_start(co, t + 1) - first;
        const vf *in = x->at + b * x->block + (long)i * stride * x->row;
        vf *out = y->at + b * y->block + first * y->channel + i * y->row;
        for (int j = 0; j < width; j += POSITIONS) {
          int place[POSITIONS];
          long position[POSITIONS];
          for (int p = 0; p < POSITIONS; p++) {
            int from = width < POSITIONS ? 0 : j + POSITIONS > width ? width - POSITIONS : j;
            place[p] = from + p < width ? from + p : width - 1;
            position[p] = (long)place[p] * stride;
          }
#define DO(T)                                                                                  \
  {                                                                                            \
    vf sum[MAX_T][POSITIONS];                                                                  \
    start_tile(T, sum, bias ? bias + first : 0);                                               \
    tile_of_outputs(T, sum, in, x, packed + (long)first * taps, ci, k, position);              \
    UNROLL for (int o = 0; o < T; o++)                                                         \
      UNROLL for (int p = 0; p < POSITIONS; p++)                                               \
        out[o * y->channel + place[p] * y->column] = sum[o][p];                                \
  }
          WITH_WIDTH(wide, DO)
#undef DO
        }
      }
}

/* The largest of four values, the first of equals, and which it is. */
INLINE vf largest(const vf of[POSITIONS], vi *which) {
  vf best = of[0];
  *which = all(0);
  UNROLL for (int j = 1; j < POSITIONS; j++) {
    vi better = (of[j] > best) | (of[j] != of[j]);
    best = choose(better, of[j], best);
    *which = (better & all(j)) | (~better & *which);
  }
  return best;
}

/* 2x2 max-pooling, and ReLU if wanted; from: which of the four, DEAD where ReLU stops it. */
INLINE void pool(const vf of[POSITIONS], vf *y, vb *from, int rectify) {
  vi which;
  vf best = largest(of, &which);
  vi dead = rectify ? dead_below(best) : all(0);
  *y = keep(~dead, best);
  *from = __builtin_convertvector((dead & all(DEAD)) | (~dead & which), vb);
}

/* Convolution, 2x2 max-pooling and ReLU in one: the convolution's own output is never stored.
 * from[blocks][co][height][width]: which of the four positions was the largest. */
void NAME(conv_pool_relu)(const view *x, const float *w, const float *bias, const view *y, vb *from,
                          float *packed, int blocks, int ci, int co, int height, int width, int k) {
  int taps = ci * k * k;
  long position[POSITIONS] = {0, 1, x->row, x->row + 1}, plane = (long)height * width;
  pack(w, packed, co, taps);
  for (int b = 0; b < blocks; b++)
    for (int t = 0; t < n_tiles(co); t++) {
      int first = tile_start(co, t), wide = tile_start(co, t + 1) - first;
      for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) {
          const vf *in = x->at + b * x->block + 2 * i * x->row + 2 * j;
          vf *out = y->at + b * y->block + first * y->channel + i * y->row + j * y->column;
          vb *which = from + ((long)b * co + first) * plane + (long)i * width + j;
#define DO(T)                                                                              \
  {                                                                                        \
    vf sum[MAX_T][POSITIONS];                                                              \
    start_tile(T, sum, bias ? bias + first : 0);                                           \
    tile_of_outputs(T, sum, in, x, packed + (long)first * taps, ci, k, position);          \
    UNROLL for (int o = 0; o < T; o++)                                                     \
      pool(sum[o], out + o * y->channel, which + o * plane, 1);                               \
  }
          WITH_WIDTH(wide, DO)
#undef DO
        }
    }
}

/* Gradients of one tile of weights, T output channels by K neighbouring taps, from some rows.
 * g[T][rows][width] */
INLINE void tile_of_weights(int T, int K, vf *total, const vf *x, long row, const vf *g, int rows,
                            int width, int stride) {
  vf sum[MAX_T][5];
  long channel = (long)rows * width;
  UNROLL for (int o = 0; o < T; o++) UNROLL for (int q = 0; q < K; q++) sum[o][q] = total[o * K + q];
  for (int i = 0; i < rows; i++, x += row)
    for (int j = 0; j < width; j++, g++) {
      vf a[5];
      UNROLL for (int q = 0; q < K; q++) a[q] = x[j * stride + q];
      UNROLL for (int o = 0; o < T; o++) {
        vf b = g[o * channel];
        UNROLL for (int q = 0; q < K; q++) sum[o][q] += b * a[q];
      }
    }
  UNROLL for (int o = 0; o < T; o++) UNROLL for (int q = 0; q < K; q++) total[o * K + q] = sum[o][q];
}

/* Neighbouring taps that are worked on together, from kx on: as many as the registers allow. */
INLINE int taps_together(int k, int kx, int T) {
  int left = k - kx;
  return left == 5 && T * 5 <= 4 * MAX_T ? 5 : left >= 3 ? 3 : 1;
}

/* Weight gradients of T output channels and some input channels, lane by lane, from some rows.
 * total[channels][k][k][T], the taps of a row in groups as `taps_together` says. */
INLINE void weights_of_rows(int T, vf *total, const vf *x, const view *in, const vf *g, int channels,
                            int k, int rows, int width, int stride) {
  long row = stride * in->row;
  for (int c = 0; c < channels; c++, x += in->channel)
    for (int ky = 0; ky < k; ky++)
      for (int kx = 0, taps; kx < k; kx += taps, total += T * taps) {
        taps = taps_together(k, kx, T);
        const vf *seen = x + ky * in->row + kx;
        if (taps == 5)
          tile_of_weights(T, 5, total, seen, row, g, rows, width, stride);
        else if (taps == 3)
          tile_of_weights(T, 3, total, seen, row, g, rows, width, stride);
        else
          tile_of_weights(T, 1, total, seen, row, g, rows, width, stride);
      }
}

/* Some rows of T channels of gradients, side by side. */
INLINE void gather_rows(int T, const vf *g, const view *grad, int row, int rows, int width, vf *to) {
  for (int o = 0; o < T; o++)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < width; j++)
        *to++ = g[o * grad->channel + (row + i) * grad->row + j * grad->column];
}

/* The same by the output of a convolution, from gradients after max-pooling and ReLU. */
INLINE void spread_rows(int T, const vf *g, const view *grad, const vb *from, long plane, int row,
                   int rows, int width, vf *out) {
  for (int o = 0; o < T; o++)
    for (int i = 0; i < rows; i += 2)
      for (int j = 0; j < width / 2; j++) {
        long pooled = (long)((row + i) / 2) * (width / 2) + j;
        vi which = __builtin_convertvector(from[o * plane + pooled], vi);
        vf pulled = g[o * grad->channel + (row + i) / 2 * grad->row + j * grad->column];
        vf *to = out + ((long)o * rows + i) * width + 2 * j;
        to[0] = keep(which == all(0), pulled);
        to[1] = keep(which == all(1), pulled);
        to[width] = keep(which == all(2), pulled);
        to[width + 1] = keep(which == all(3), pulled);
      }
}

enum { ROWS_BYTES = 16384, WEIGHTS_BYTES = 65536 }; /* what should stay in first and second cache */

/* Rows of T channels of gradients that stay in the first cache while all taps use them. */
INLINE int rows_together(int height, int width, int pooled) {
  int rows = ROWS_BYTES / (int)sizeof(vf) / (MAX_T * width);
  if (pooled) rows = rows / 2 * 2;
  rows = rows < 1 + pooled ? 1 + pooled : rows;
  return rows < height ? rows : height;
}

INLINE int channels_together(int ci, int k) {
  int channels = WEIGHTS_BYTES / (int)sizeof(vf) / (k * k * MAX_T);
  return channels < 1 ? 1 : channels < ci ? channels : ci;
}

/* Vectors of scratch that `conv_weights` needs. */
long NAME(weights_scratch)(int ci, int k, int height, int width, int pooled) {
  long weights = (long)channels_together(ci, k) * k * k * MAX_T;
  return 5 * weights + (long)MAX_T * rows_together(height, width, pooled) * width;
}

/* Add lane by lane totals of one tile, in the order of `weights_of_rows`, to sums, and clear them. */
static void settle_weights(vf *total, tally *t, double *sums, long size, long per_output, int wanted,
                           int T, int channels, int k) {
  for (int c = 0; c < channels; c++)
    for (int ky = 0; ky < k; ky++)
      for (int kx = 0, taps; kx < k; kx += taps) {
        taps = taps_together(k, kx, T);
        for (int o = 0; o < T; o++)
          for (int q = 0; q < taps; q++, t++, total++) {
            double *to = sums + o * per_output + ((long)c * k + ky) * k + kx + q;
            if (wanted == GRADIENT)
              *to += lane_sum(*total);
            else
              settle(t, to, size, wanted);
            *total = (vf){0};
          }
      }
}

/* sums[wanted][co][ci][k][k] += moments over samples of
 * sum over positions of g[co][i][j] * x[ci][stride*i+ky][stride*j+kx].
 * With `from`, g are gradients after 2x2 max-pooling and ReLU (height and width are before). */
void NAME(conv_weights)(const view *x, const view *g, const vb *from, double *sums, vf *scratch,
                        int wanted, int blocks, int ci, int co, int height, int width, int k,
                        int stride) {
  long per_output = (long)ci * k * k, size = co * per_output;
  long plane = (long)(height / 2) * (width / 2);
  int together = channels_together(ci, k), tall = rows_together(height, width, from != 0);
  long weights = (long)together * k * k * MAX_T;
  vf *total = scratch, *rows_of_g = scratch + 5 * weights;
  tally *tallies = (tally *)(scratch + weights);
  memset(scratch, 0, 5 * weights * sizeof(vf));
  for (int t = 0; t < n_tiles(co); t++)
    for (int c = 0; c < ci; c += together) {
      int first = tile_start(co, t), wide = tile_start(co, t + 1) - first;
      int channels = ci - c < together ? ci - c : together;
      long values = (long)channels * k * k * wide;
      double *to = sums + first * per_output + (long)c * k * k;
      for (int b = 0; b < blocks; b++) {
        const vf *pulled = g->at + b * g->block + first * g->channel;
        for (int i = 0; i < height; i += tall) {
          int rows = height - i < tall ? height - i : tall;
          const vf *in = x->at + b * x->block + c * x->channel + (long)i * stride * x->row;
          if (from)
            spread_rows(wide, pulled, g, from + ((long)b * co + first) * plane, plane, i, rows,
                        width, rows_of_g);
          else
            gather_rows(wide, pulled, g, i, rows, width, rows_of_g);
#define DO(T) weights_of_rows(T, total, in, x, rows_of_g, channels, k, rows, width, stride)
          WITH_WIDTH(wide, DO)
#undef DO
        }
        if (wanted > GRADIENT)
          for (long v = 0; v < values; v++) {
            count(&tallies[v], total[v], wanted);
            total[v] = (vf){0};
          }
        if (b % BLOCKS == BLOCKS - 1 || b == blocks - 1)
          settle_weights(total, tallies, to, size, per_output, wanted, wide, channels, k);
      }
    }
}
