/* Moments over samples of outer products b_i x a_i, for b with many zeros.
 *
 * ReLU stops about half of the output gradients b of the layer before it. Here only the others are
 * multiplied, in tiles of a that stay in the first cache: sum and sum of squares then take about the
 * time of one dense matrix product. */

enum { ROWS = 64, TILE = 4 * L };

typedef struct {
  int place;
  float value;
} nonzero;

INLINE int rows_of(long n, long start) { return n - start < ROWS ? (int)(n - start) : ROWS; }

/* The samples of a block with b[o] > 0, then those with b[o] < 0 (or NaN). */
typedef struct {
  int positive, all;
  nonzero of[ROWS];
} nonzeros;

/* found[block][outputs] */
static void find_nonzeros(const float *b, long n, int outputs, nonzeros *found) {
  for (long start = 0; start < n; start += ROWS, b += (long)ROWS * outputs)
    for (int o = 0; o < outputs; o++, found++) {
      int up = 0, down = 0, rows = rows_of(n, start);
      nonzero negative[ROWS];
      for (int i = 0; i < rows; i++) {
        float value = b[(long)i * outputs + o];
        found->of[up] = negative[down] = (nonzero){i * TILE, value};
        up += value > 0;
        down += !(value >= 0);
      }
      memcpy(found->of + up, negative, down * sizeof(nonzero));
      found->positive = up;
      found->all = up + down;
    }
}

typedef unsigned char flags __attribute__((vector_size(TILE), aligned(1)));

/* A tile of a, its squares, and where it is positive and negative, [ROWS][TILE] each. */
typedef struct {
  float *value, *square;
  flags *positive, *negative;
} tile_of_inputs;

static void copy_tile(const float *a, int rows, int inputs, int wide, const tile_of_inputs *tile,
                      int wanted) {
  for (int i = 0; i < rows; i++, a += inputs) {
    float *value = tile->value + i * TILE, *square = tile->square + i * TILE;
    unsigned char *positive = (unsigned char *)(tile->positive + i);
    unsigned char *negative = (unsigned char *)(tile->negative + i);
    for (int k = 0; k < TILE; k++) value[k] = k < wide ? a[k] : 0.f;
    if (wanted >= SQUARES)
      for (int k = 0; k < TILE; k++) square[k] = value[k] * value[k];
    if (wanted >= SIGNS)
      for (int k = 0; k < TILE; k++) positive[k] = value[k] > 0, negative[k] = value[k] < 0;
  }
}

INLINE void products_of_output(const nonzeros *b, const tile_of_inputs *a, int wanted, float *sum,
                               float *square) {
  vf s[TILE / L], q[TILE / L];
  UNROLL for (int v = 0; v < TILE / L; v++) s[v] = *(loose *)(sum + v * L);
  UNROLL for (int v = 0; v < TILE / L; v++) q[v] = *(loose *)(square + v * L);
  for (int t = 0; t < b->all; t++) {
    const float *value = a->value + b->of[t].place, *squared = a->square + b->of[t].place;
    vf factor = splat(b->of[t].value), factor_squared = factor * factor;
    UNROLL for (int v = 0; v < TILE / L; v++) s[v] += factor * *(const loose *)(value + v * L);
    if (wanted >= SQUARES)
      UNROLL for (int v = 0; v < TILE / L; v++)
        q[v] += factor_squared * *(const loose *)(squared + v * L);
  }
  UNROLL for (int v = 0; v < TILE / L; v++) *(loose *)(sum + v * L) = s[v];
  UNROLL for (int v = 0; v < TILE / L; v++) *(loose *)(square + v * L) = q[v];
}

/* Counts of positive and negative products; a block has fewer samples than a byte can count. */
INLINE void signs_of_output(const nonzeros *b, const tile_of_inputs *a, float *positive,
                            float *negative) {
  flags up = {0}, down = {0};
  for (int t = 0; t < b->positive; t++) {
    int row = b->of[t].place / TILE;
    up += a->positive[row], down += a->negative[row];
  }
  for (int t = b->positive; t < b->all; t++) {
    int row = b->of[t].place / TILE;
    up += a->negative[row], down += a->positive[row];
  }
  unsigned char ups[TILE], downs[TILE];
  memcpy(ups, &up, TILE);
  memcpy(downs, &down, TILE);
  for (int k = 0; k < TILE; k++) positive[k] += ups[k], negative[k] += downs[k];
}

/* Floats of scratch that `outer_products` needs. */
long NAME(outer_scratch)(int n, int outputs) {
  long blocks = (n + ROWS - 1) / ROWS;
  return 4L * ROWS * TILE + 4L * outputs * TILE + blocks * outputs * (long)(sizeof(nonzeros) / 4);
}

/* sums[wanted][outputs][inputs] += moments over samples of b[i][o] * a[i][k]. */
void NAME(outer_products)(const float *b, const float *a, double *sums, float *scratch, long n,
                          int outputs, int inputs, int wanted) {
  long step = (long)ROWS * TILE, of_tile = (long)outputs * TILE, size = (long)outputs * inputs;
  flags *signs = (flags *)(scratch + 2 * step);
  tile_of_inputs tile = {scratch, scratch + step, signs, signs + ROWS};
  float *partial = scratch + 4 * step; /* [4][outputs][TILE] */
  nonzeros *found = (nonzeros *)(partial + 4 * of_tile);
  find_nonzeros(b, n, outputs, found);
  for (int k = 0; k < inputs; k += TILE) {
    int wide = inputs - k < TILE ? inputs - k : TILE;
    const nonzeros *of_output = found;
    memset(partial, 0, 4 * of_tile * sizeof(float));
    for (long start = 0; start < n; start += ROWS) {
      copy_tile(a + start * inputs + k, rows_of(n, start), inputs, wide, &tile, wanted);
      for (int o = 0; o < outputs; o++, of_output++) {
        float *to = partial + (long)o * TILE;
        products_of_output(of_output, &tile, wanted, to, to + of_tile);
        if (wanted >= SIGNS)
          signs_of_output(of_output, &tile, to + 2 * of_tile, to + 3 * of_tile);
      }
    }
    for (int w = 0; w < wanted; w++)
      for (int o = 0; o < outputs; o++)
        for (int i = 0; i < wide; i++)
          sums[w * size + (long)o * inputs + k + i] += partial[w * of_tile + (long)o * TILE + i];
  }
}
