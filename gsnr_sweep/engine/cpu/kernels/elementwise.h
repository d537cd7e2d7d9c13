/* Samples into lanes, batch normalization, ReLU and pooling. */

/* Pixels [n][channels][height][width], standardized, into lanes; lanes without a sample get zeros. */
#define INTO_LANES(TYPE, SUFFIX)                                                                   \
  void NAME(into_lanes_##SUFFIX)(const TYPE *x, long n, int channels, int height, int width,       \
                                 const float *gain, const float *offset, const view *y) {          \
    long size = (long)channels * height * width;                                                   \
    for (long b = 0; b * L < n; b++)                                                               \
      for (int c = 0; c < channels; c++)                                                           \
        for (int i = 0; i < height; i++)                                                           \
          for (int j = 0; j < width; j++) {                                                        \
            const TYPE *from = x + b * L * size + ((long)c * height + i) * width + j;              \
            float *to = (float *)(y->at + b * y->block + c * y->channel + i * y->row +             \
                                  j * y->column);                                                  \
            int here = n - b * L < L ? (int)(n - b * L) : L;                                       \
            for (int s = 0; s < here; s++) to[s] = from[s * size] * gain[c] + offset[c];           \
            for (int s = here; s < L; s++) to[s] = 0;                                              \
          }                                                                                        \
  }
INTO_LANES(unsigned char, bytes)
INTO_LANES(float, floats)

/* Pixels [n][channels][positions], standardized, into rows of features of the same shape. */
void NAME(standardize_bytes)(const unsigned char *x, long n, int channels, int positions,
                             const float *gain, const float *offset, float *y) {
  for (long i = 0; i < n; i++)
    for (int c = 0; c < channels; c++, x += positions, y += positions)
      for (int k = 0; k < positions; k++) y[k] = x[k] * gain[c] + offset[c];
}

/* sums[2][channels] += sums over samples and positions of x - pivot and of its square. */
void NAME(channel_sums)(const view *x, const float *pivot, double *sums, long n, int channels,
                        int height, int width) {
  for (long b = 0; b * L < n; b++) {
    vi there = taken(n, b);
    for (int c = 0; c < channels; c++) {
      const vf *at = x->at + b * x->block + c * x->channel;
      vf sum = {0}, square = {0};
      for (int i = 0; i < height; i++) {
        vf row_sum = {0}, row_square = {0};
        for (int j = 0; j < width; j++) {
          vf d = at[i * x->row + j * x->column] - splat(pivot[c]);
          row_sum += d;
          row_square += d * d;
        }
        sum += row_sum;
        square += row_square;
      }
      sums[c] += lane_sum(keep(there, sum));
      sums[channels + c] += lane_sum(keep(there, square));
    }
  }
}

INLINE vf affine(int c, const float *gain, const float *offset, const vf *at) {
  return *at * splat(gain[c]) + splat(offset[c]);
}

/* y = act(gain * z + offset) by channel, with ReLU, 2x2 max-pooling, both or neither.
 * height and width are those of y; from[blocks][channels][height][width] is written if pooling. */
void NAME(normalize)(const view *z, const float *gain, const float *offset, const view *y, vb *from,
                     int blocks, int channels, int height, int width, int pooled, int rectify) {
  long plane = (long)height * width;
  for (int b = 0; b < blocks; b++)
    for (int c = 0; c < channels; c++) {
      const vf *in = z->at + b * z->block + c * z->channel;
      vf *out = y->at + b * y->block + c * y->channel;
      vb *which = from + ((long)b * channels + c) * plane;
      for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) {
          vf *to = out + i * y->row + j * y->column;
          if (!pooled) {
            vf a = affine(c, gain, offset, in + i * z->row + j * z->column);
            *to = rectify ? keep(~dead_below(a), a) : a;
            continue;
          }
          vf of[POSITIONS];
          for (int p = 0; p < POSITIONS; p++)
            of[p] = affine(c, gain, offset, in + (2 * i + p / 2) * z->row + (2 * j + p % 2) * z->column);
          pool(of, to, which + (long)i * width + j, rectify);
        }
    }
}

/* Gradient by gain * z + offset at a position of z, from the gradient g by y. */
INLINE vf through_act(const vf *g, const view *grad, const vb *from, int width, vf a, int i, int j,
                      int pooled, int rectify) {
  if (!pooled) return rectify ? keep(~dead_below(a), g[i * grad->row + j * grad->column])
                            : g[i * grad->row + j * grad->column];
  vi which = __builtin_convertvector(from[(long)(i / 2) * width + j / 2], vi);
  return keep(which == all(2 * (i & 1) + (j & 1)), g[(i / 2) * grad->row + (j / 2) * grad->column]);
}

/* Moments over samples of the two parameters of a normalization: sums over positions of
 * d * (z - mean) * deviation and of d, with d the gradient by gain * z + offset.
 * sums[2][wanted][channels]. height and width are those of z, g has the shape of y. */
void NAME(normalize_sums)(const view *z, const float *gain, const float *offset, const view *g,
                          const vb *from, const float *mean, const float *deviation, double *sums,
                          int wanted, int blocks, int channels, int height, int width, int pooled,
                          int rectify) {
  int wide = pooled ? width / 2 : width;
  long plane = pooled ? (long)(height / 2) * wide : 0;
  if (pooled) height = height / 2 * 2, width = wide * 2;
  for (int b = 0; b < blocks; b++)
    for (int c = 0; c < channels; c++) {
      const vf *in = z->at + b * z->block + c * z->channel;
      const vf *grad = g->at + b * g->block + c * g->channel;
      const vb *which = from + ((long)b * channels + c) * plane;
      vf weight = {0}, bias = {0};
      for (int i = 0; i < height; i++) {
        vf row_weight = {0}, row_bias = {0};
        for (int j = 0; j < width; j++) {
          const vf *at = in + i * z->row + j * z->column;
          vf d = through_act(grad, g, which, wide, affine(c, gain, offset, at), i, j, pooled, rectify);
          row_bias += d;
          row_weight += d * (*at - splat(mean[c]));
        }
        weight += row_weight;
        bias += row_bias;
      }
      tally of_weight = NOTHING, of_bias = NOTHING;
      count(&of_weight, weight * splat(deviation[c]), wanted);
      count(&of_bias, bias, wanted);
      settle(&of_weight, sums + c, channels, wanted);
      settle(&of_bias, sums + (long)wanted * channels + c, channels, wanted);
    }
}

/* dz = gain * d + slope * z + shift by channel; zero in lanes without a sample. With slope and
 * shift zero the statistics are constants, otherwise they pull the gradient back through them. */
void NAME(normalize_backward)(const view *z, const float *gain, const float *offset, const view *g,
                              const vb *from, const float *slope, const float *shift, const view *dz,
                              long n, int channels, int height, int width, int pooled, int rectify) {
  int wide = pooled ? width / 2 : width, tall = pooled ? height / 2 : height;
  long plane = pooled ? (long)tall * wide : 0;
  for (long b = 0; b * L < n; b++) {
    vi there = taken(n, b);
    for (int c = 0; c < channels; c++) {
      const vf *in = z->at + b * z->block + c * z->channel;
      const vf *grad = g->at + b * g->block + c * g->channel;
      vf *out = dz->at + b * dz->block + c * dz->channel;
      const vb *which = from + ((long)b * channels + c) * plane;
      for (int i = 0; i < height; i++)
        for (int j = 0; j < width; j++) {
          vf value = in[i * z->row + j * z->column];
          vf d = {0};
          if (!pooled || (i < 2 * tall && j < 2 * wide))
            d = through_act(grad, g, which, wide, value * splat(gain[c]) + splat(offset[c]), i, j,
                            pooled, rectify);
          vf pulled = d * splat(gain[c]) + (value * splat(slope[c]) + splat(shift[c]));
          out[i * dz->row + j * dz->column] = keep(there, pulled);
        }
    }
  }
}

/* Moments over samples of a convolution's bias: sums over positions of g. sums[wanted][channels].
 * With `from`, g are gradients after max-pooling and ReLU. */
void NAME(conv_bias)(const view *g, const vb *from, double *sums, int wanted, int blocks,
                     int channels, int height, int width) {
  for (int b = 0; b < blocks; b++)
    for (int c = 0; c < channels; c++) {
      const vf *at = g->at + b * g->block + c * g->channel;
      vf sum = {0};
      for (int i = 0; i < height; i++) {
        vf row = {0};
        for (int j = 0; j < width; j++) {
          vf pulled = at[i * g->row + j * g->column];
          if (from) pulled = keep(__builtin_convertvector(*from++, vi) != all(DEAD), pulled);
          row += pulled;
        }
        sum += row;
      }
      tally t = NOTHING;
      count(&t, sum, wanted);
      settle(&t, sums + c, channels, wanted);
    }
}
