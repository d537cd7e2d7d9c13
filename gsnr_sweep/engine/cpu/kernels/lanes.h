/* Samples side by side ("in lanes"): every vector holds one number of each of L samples.
 *
 * A tensor [blocks][channels][height][width] of such vectors holds blocks * L samples. Whatever
 * the number of channels or the size of the image, all L lanes do useful work, and a sum over
 * positions leaves in each lane the value of one sample: per-sample gradients need no extra work.
 *
 * This file is compiled once for each instruction set (avx512.c, avx2.c, baseline.c), which sets
 *   L      floats in a vector,
 *   MAX_T  output channels in a register tile (MAX_T * 4 accumulators must fit the registers),
 *   NAME   appends the instruction set to a function's name.
 * Memory is aligned to vectors and padded by the caller. Comparisons are written so that NaN passes
 * through: a diverged run must look diverged. */

#include <string.h>

typedef float vf __attribute__((vector_size(4 * L)));
typedef float loose __attribute__((vector_size(4 * L), aligned(4)));
typedef int vi __attribute__((vector_size(4 * L)));
typedef unsigned char vb __attribute__((vector_size(L)));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { POSITIONS = 4, DEAD = 4, BLOCKS = 16 };
enum { GRADIENT = 1, SQUARES = 2, SIGNS = 4 }; /* how many sums over samples are wanted */

/* The inside of a tensor that may have a border of zeros around its images; strides in vectors. */
typedef struct {
  vf *at;
  long block, channel, row, column;
} view;

INLINE vf splat(float a) { return a - (vf){0}; }
INLINE vi all(int a) { return a - (vi){0}; }
INLINE vf choose(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
INLINE vf keep(vi mask, vf a) { return (vf)(mask & (vi)a); }
INLINE vi dead_below(vf a) { return a <= (vf){0}; }

INLINE float lane_sum(vf a) {
  float part[L];
  memcpy(part, &a, sizeof part);
  for (int half = L / 2; half; half /= 2)
    for (int i = 0; i < half; i++) part[i] += part[i + half];
  return part[0];
}

/* Lanes that hold a sample in block b of n samples. */
INLINE vi taken(long n, long b) {
  vi lane;
  for (int s = 0; s < L; s++) lane[s] = s;
  long left = n - b * L;
  return lane < all(left > L ? L : (int)left);
}

/* Sums over samples of one number a sample: value, square, positive, negative. */
typedef struct {
  vf sum, square, positive, negative;
} tally;

#define NOTHING {(vf){0}, (vf){0}, (vf){0}, (vf){0}}

INLINE void count(tally *t, vf g, int wanted) {
  t->sum += g;
  if (wanted >= SQUARES) t->square += g * g;
  if (wanted >= SIGNS) {
    t->positive -= __builtin_convertvector(g > (vf){0}, vf);
    t->negative -= __builtin_convertvector(g < (vf){0}, vf);
  }
}

/* Add a tally to sums [wanted][size] at one place, and clear it. */
INLINE void settle(tally *t, double *sums, long size, int wanted) {
  sums[0] += lane_sum(t->sum);
  if (wanted >= SQUARES) sums[size] += lane_sum(t->square);
  if (wanted >= SIGNS) {
    sums[2 * size] += lane_sum(t->positive);
    sums[3 * size] += lane_sum(t->negative);
  }
  memset(t, 0, sizeof *t);
}

/* Output channels are worked on in tiles as equal as can be. */
INLINE int n_tiles(int channels) { return (channels + MAX_T - 1) / MAX_T; }
INLINE int tile_start(int channels, int t) { return (int)((long)channels * t / n_tiles(channels)); }

/* Call DO(T) with the width of a tile as a constant, so that the tile lives in registers. */
#if MAX_T == 6
#define WITH_WIDTH(width, DO) \
  switch (width) { case 1: DO(1); break; case 2: DO(2); break; case 3: DO(3); break; \
    case 4: DO(4); break; case 5: DO(5); break; default: DO(6); }
#else
#define WITH_WIDTH(width, DO) \
  switch (width) { case 1: DO(1); break; case 2: DO(2); break; default: DO(3); }
#endif
