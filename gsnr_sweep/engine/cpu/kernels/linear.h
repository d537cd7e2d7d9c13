/* Moments over samples of outer products b_i x a_i, for b with many zeros.
 *
 * ReLU stops about half of the output gradients b of the layer before it. Here only the others are
 * multiplied, in tiles of a that stay in the first cache: sum and sum of squares then take about the
 * time of one dense matrix product. */

enum { ROWS = 48, VECTORS = 8, TILE = VECTORS * L };

INLINE int rows_of(long n, long start) { return n - start < ROWS ? (int)(n - start) : ROWS; }

/* The samples of a block with b[o] > 0, then those with b[o] < 0 (or NaN): rows and values. */
typedef struct {
  unsigned char positive, all, row[ROWS];
  float value[ROWS];
} nonzeros;

/* found[block][outputs] */
static void find_nonzeros(const float *b, long n, int outputs, nonzeros *found) {
  for (long start = 0; start < n; start += ROWS, b += (long)ROWS * outputs)
    for (int o = 0; o < outputs; o++, found++) {
      int up = 0, down = 0, rows = rows_of(n, start);
      unsigned char lower[ROWS];
      float below[ROWS];
      for (int i = 0; i < rows; i++) {
        float value = b[(long)i * outputs + o];
        found->row[up] = lower[down] = (unsigned char)i;
        found->value[up] = below[down] = value;
        up += value > 0;
        down += !(value >= 0);
      }
      memcpy(found->row + up, lower, down);
      memcpy(found->value + up, below, down * sizeof(float));
      found->positive = (unsigned char)up;
      found->all = (unsigned char)(up + down);
    }
}

enum { FLAGS = VECTORS / 4 };
typedef unsigned char flags __attribute__((vector_size(4 * L), aligned(1)));

/* A tile of a, [ROWS][TILE], and where it is positive and negative, a byte each [ROWS][FLAGS]. */
typedef struct {
  float *value;
  flags *positive, *negative;
} tile_of_inputs;

static void copy_tile(const float *a, int rows, int inputs, int wide, const tile_of_inputs *tile,
                      int wanted) {
  for (int i = 0; i < rows; i++, a += inputs) {
    float *value = tile->value + i * TILE;
    unsigned char *positive = (unsigned char *)(tile->positive + i * FLAGS);
    unsigned char *negative = (unsigned char *)(tile->negative + i * FLAGS);
    memcpy(value, a, wide * sizeof(float));
    memset(value + wide, 0, (TILE - wide) * sizeof(float));
    if (wanted >= SIGNS)
      for (int k = 0; k < TILE; k++) positive[k] = value[k] > 0, negative[k] = value[k] < 0;
  }
}

INLINE void products_of_output(const nonzeros *b, const tile_of_inputs *a, int wanted, float *sum,
                               float *square) {
  vf s[VECTORS], q[VECTORS];
  UNROLL for (int v = 0; v < VECTORS; v++) s[v] = *(loose *)(sum + v * L);
  if (wanted >= SQUARES)
    UNROLL for (int v = 0; v < VECTORS; v++) q[v] = *(loose *)(square + v * L);
  for (int t = 0; t < b->all; t++) {
    const float *value = a->value + b->row[t] * TILE;
    vf factor = splat(b->value[t]);
    if (wanted < SQUARES) {
      UNROLL for (int v = 0; v < VECTORS; v++) s[v] += factor * *(const loose *)(value + v * L);
    } else {
      UNROLL for (int v = 0; v < VECTORS; v++) {
        vf g = factor * *(const loose *)(value + v * L);
        s[v] += g;
        q[v] += g * g;
      }
    }
  }
  UNROLL for (int v = 0; v < VECTORS; v++) *(loose *)(sum + v * L) = s[v];
  if (wanted >= SQUARES)
    UNROLL for (int v = 0; v < VECTORS; v++) *(loose *)(square + v * L) = q[v];
}

/* Counts of positive and negative products; a block has fewer samples than a byte can count. */
INLINE void signs_of_output(const nonzeros *b, const tile_of_inputs *a, float *positive,
                            float *negative) {
  flags up[FLAGS] = {{0}}, down[FLAGS] = {{0}};
  for (int t = 0; t < b->positive; t++)
    UNROLL for (int f = 0; f < FLAGS; f++) {
      up[f] += a->positive[b->row[t] * FLAGS + f];
      down[f] += a->negative[b->row[t] * FLAGS + f];
    }
  for (int t = b->positive; t < b->all; t++)
    UNROLL for (int f = 0; f < FLAGS; f++) {
      up[f] += a->negative[b->row[t] * FLAGS + f];
      down[f] += a->positive[b->row[t] * FLAGS + f];
    }
  unsigned char ups[TILE], downs[TILE];
  memcpy(ups, up, TILE);
  memcpy(downs, down, TILE);
  for (int k = 0; k < TILE; k++) positive[k] += ups[k], negative[k] += downs[k];
}

/* Floats of scratch that `outer_products` needs. */
long NAME(outer_scratch)(int n, int outputs) {
  long blocks = (n + ROWS - 1) / ROWS;
  return 2L * ROWS * TILE + 4L * outputs * TILE + blocks * outputs * (long)(sizeof(nonzeros) / 4);
}

/* sums[wanted][outputs][inputs] += moments over samples of b[i][o] * a[i][k]. */
void NAME(outer_products)(const float *b, const float *a, double *sums, float *scratch, long n,
                          int outputs, int inputs, int wanted) {
  long step = (long)ROWS * TILE, of_tile = (long)outputs * TILE, size = (long)outputs * inputs;
  flags *signs = (flags *)(scratch + step);
  tile_of_inputs tile = {scratch, signs, signs + ROWS * FLAGS};
  float *partial = scratch + 2 * step; /* [wanted][outputs][TILE] */
  nonzeros *found = (nonzeros *)(partial + 4 * of_tile);
  find_nonzeros(b, n, outputs, found);
  for (int k = 0; k < inputs; k += TILE) {
    int wide = inputs - k < TILE ? inputs - k : TILE;
    const nonzeros *of_output = found;
    memset(partial, 0, wanted * of_tile * sizeof(float));
    for (long start = 0; start < n; start += ROWS) {
      copy_tile(a + start * inputs + k, rows_of(n, start), inputs, wide, &tile, wanted);
      for (int o = 0; o < outputs; o++, of_output++) {
        float *to = partial + (long)o * TILE;
        products_of_output(of_output, &tile, wanted, to, to + of_tile);
        if (wanted >= SIGNS) signs_of_output(of_output, &tile, to + 2 * of_tile, to + 3 * of_tile);
      }
    }
    for (int w = 0; w < wanted; w++)
      for (int o = 0; o < outputs; o++)
        for (int i = 0; i < wide; i++)
          sums[w * size + (long)o * inputs + k + i] += partial[w * of_tile + (long)o * TILE + i];
  }
}
