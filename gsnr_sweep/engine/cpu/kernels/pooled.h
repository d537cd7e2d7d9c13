/* Backward pass of convolution, 2x2 max-pooling and ReLU, one sample at a time.
 *
 * Pooling passes a gradient to one position of four, and ReLU stops about half of those: of the
 * convolution's output gradients seven in eight are zero. Which ones differs from sample to sample,
 * so here the vectors run along the patches of one sample's image instead. */

typedef struct {
  int place; /* where the patch starts in the image, in floats */
  float gradient;
} pulled_patch;

/* What does not change from one sample to the next. An image is [height][width][ci], so that a row
 * of a patch is one run of floats; `vectors` cover it. */
typedef struct {
  int ci, height, width, co, k, pooled_height, pooled_width, vectors;
  long row, image, of_output;
} pooled_shape;

INLINE pooled_shape shape_of(int ci, int height, int width, int co, int k) {
  pooled_shape s;
  s.ci = ci, s.height = height, s.width = width, s.co = co, s.k = k;
  s.pooled_height = (height - k + 1) / 2, s.pooled_width = (width - k + 1) / 2;
  s.vectors = (ci * k + L - 1) / L;
  s.row = (long)width * ci;
  s.image = ((long)ci * height * width + 2 * L + 15) / 16 * 16;
  s.of_output = (long)k * s.vectors * L;
  return s;
}

static void lanes_to_images(const vf *x, const view *in, const pooled_shape *s, float *images) {
  for (int i = 0; i < s->height; i++)
    for (int j = 0; j < s->width; j++)
      for (int c = 0; c < s->ci; c++) {
        const float *from = (const float *)(x + c * in->channel + i * in->row + j);
        float *to = images + ((long)i * s->width + j) * s->ci + c;
        for (int lane = 0; lane < L; lane++) to[lane * s->image] = from[lane];
      }
}

static void images_to_lanes(const float *images, const pooled_shape *s, vf *x, const view *out) {
  for (int i = 0; i < s->height; i++)
    for (int j = 0; j < s->width; j++)
      for (int c = 0; c < s->ci; c++) {
        float *to = (float *)(x + c * out->channel + i * out->row + j * out->column);
        const float *from = images + ((long)i * s->width + j) * s->ci + c;
        for (int lane = 0; lane < L; lane++) to[lane] = from[lane * s->image];
      }
}

/* The patches that one output channel's gradient reaches, and its sum. */
INLINE int pulled_patches(const float *g, const unsigned char *from, const view *grad,
                          const pooled_shape *s, pulled_patch *list, float *total) {
  int n = 0;
  for (int i = 0; i < s->pooled_height; i++)
    for (int j = 0; j < s->pooled_width; j++) {
      int which = from[((long)i * s->pooled_width + j) * L];
      float gradient = which == DEAD ? 0.f : g[(i * grad->row + j * grad->column) * L];
      int y = 2 * i + (which >> 1 & 1), x = 2 * j + (which & 1);
      list[n] = (pulled_patch){(y * s->width + x) * s->ci, gradient};
      n += gradient != 0;
      *total += gradient;
    }
  return n;
}

INLINE void run_of_weights(int U, const float *image, const pulled_patch *list, int n, float *sums,
                           long size, int wanted) {
  vf sum[4];
  UNROLL for (int u = 0; u < U; u++) sum[u] = (vf){0};
  for (int t = 0; t < n; t++) {
    vf g = splat(list[t].gradient);
    const float *patch = image + list[t].place;
    UNROLL for (int u = 0; u < U; u++) sum[u] += g * *(const loose *)(patch + u * L);
  }
  for (int u = 0; u < U; u++, sums += L) {
    *(loose *)sums += sum[u];
    if (wanted >= SQUARES) *(loose *)(sums + size) += sum[u] * sum[u];
    if (wanted >= SIGNS) {
      *(loose *)(sums + 2 * size) -= __builtin_convertvector(sum[u] > (vf){0}, vf);
      *(loose *)(sums + 3 * size) -= __builtin_convertvector(sum[u] < (vf){0}, vf);
    }
  }
}

INLINE void weights_of_output(const float *image, const pulled_patch *list, int n,
                              const pooled_shape *s, float *sums, long size, int wanted) {
  for (int ky = 0; ky < s->k; ky++, image += s->row, sums += s->vectors * L) {
    int v = 0;
    for (; v + 4 <= s->vectors; v += 4)
      run_of_weights(4, image + v * L, list, n, sums + v * L, size, wanted);
    for (; v + 2 <= s->vectors; v += 2)
      run_of_weights(2, image + v * L, list, n, sums + v * L, size, wanted);
    if (v < s->vectors) run_of_weights(1, image + v * L, list, n, sums + v * L, size, wanted);
  }
}

INLINE void input_of_output(const float *w, const pulled_patch *list, int n, const pooled_shape *s,
                            float *image) {
  for (int t = 0; t < n; t++) {
    const float *weight = w;
    vf g = splat(list[t].gradient);
    float *patch = image + list[t].place;
    for (int ky = 0; ky < s->k; ky++, patch += s->row)
      for (int v = 0; v < s->vectors; v++, weight += L)
        *(loose *)(patch + v * L) += g * *(const loose *)weight;
  }
}

INLINE void count_one(float g, float *sums, long size, int wanted) {
  sums[0] += g;
  if (wanted >= SQUARES) sums[size] += g * g;
  if (wanted >= SIGNS) {
    sums[2 * size] += g > 0;
    sums[3 * size] += g < 0;
  }
}

/* Floats of scratch that `pooled_backward` needs. */
long NAME(pooled_scratch)(int ci, int height, int width, int co, int k, int wanted) {
  pooled_shape s = shape_of(ci, height, width, co, k);
  long list = 2L * (s.pooled_height * s.pooled_width + 1);
  return 2 * L * s.image + list + wanted * (co * s.of_output + co) + 64;
}

/* Moments of per-sample gradients of weights and biases, and the gradient by the input.
 *
 * x: input, no border; from: as conv_pool_relu left it; g: gradients of the pooled output;
 * w: [co][k][k * ci] weights, channels innermost, each row padded with zeros to whole vectors;
 * gx: gradient by x, or its `at` null;
 * sums: [wanted][co][k][k * ci] in the layout of w;
 * bias_sums: [wanted][co]. */
void NAME(pooled_backward)(const view *x, const vb *from, const view *g, const float *w,
                           const view *gx, double *sums, double *bias_sums, float *scratch,
                           int wanted, int blocks, int ci, int height, int width, int co, int k) {
  pooled_shape s = shape_of(ci, height, width, co, k);
  long plane = (long)s.pooled_height * s.pooled_width, size = co * s.of_output;
  float *images = scratch, *gradients = images + L * s.image;
  float *block_sums = gradients + L * s.image;
  float *block_bias = block_sums + wanted * size;
  pulled_patch *list = (pulled_patch *)(block_bias + (wanted * co + 1) / 2 * 2);
  for (int b = 0; b < blocks; b++) {
    memset(block_sums, 0, (wanted * (size + co)) * sizeof(float));
    lanes_to_images(x->at + b * x->block, x, &s, images);
    for (int lane = 0; lane < L; lane++) {
      const float *image = images + lane * s.image;
      float *gradient = gradients + lane * s.image;
      if (gx->at) memset(gradient, 0, s.image * sizeof(float));
      for (int o = 0; o < co; o++) {
        const float *pulled = (const float *)(g->at + b * g->block + o * g->channel) + lane;
        const unsigned char *which = (const unsigned char *)(from + ((long)b * co + o) * plane) + lane;
        float total = 0;
        int n = pulled_patches(pulled, which, g, &s, list, &total);
        count_one(total, block_bias + o, co, wanted);
        weights_of_output(image, list, n, &s, block_sums + o * s.of_output, size, wanted);
        if (gx->at) input_of_output(w + o * s.of_output, list, n, &s, gradient);
      }
    }
    for (long i = 0; i < wanted * size; i++) sums[i] += block_sums[i];
    for (long i = 0; i < wanted * (long)co; i++) bias_sums[i] += block_bias[i];
    if (gx->at) images_to_lanes(gradients, &s, gx->at + b * gx->block, gx);
  }
}
