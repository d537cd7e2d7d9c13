/* Networks with one hidden layer of ReLU units and one output, under the squared error.
 *
 * Samples lie in lanes. Nothing of the size units x samples is ever stored: a unit's activation is
 * two or three products away from the inputs, less than a trip to memory. */

enum { SPAN = 64, MOST_INPUTS = 4, UNITS = 4 };

/* Up to SPAN vectors of samples, POSITIONS at a time: inputs, and inputs and 1 times the derivative
 * of the loss by the output. */
typedef struct {
  int samples, vectors;
  vf x[MOST_INPUTS][SPAN], weighted[MOST_INPUTS + 1][SPAN];
} span;

/* Inputs x[inputs][n] from `start` on, zeros behind the last sample. */
static void fill_span(int inputs, span *s, const float *x, long n, long start) {
  s->samples = n - start < SPAN * L ? (int)(n - start) : SPAN * L;
  s->vectors = (s->samples + L * POSITIONS - 1) / (L * POSITIONS) * POSITIONS;
  for (int k = 0; k < inputs; k++) {
    float *to = (float *)s->x[k];
    memcpy(to, x + k * n + start, s->samples * sizeof(float));
    memset(to + s->samples, 0, (s->vectors * L - s->samples) * sizeof(float));
  }
}

/* One replica; weights[units][inputs], bias[units] or 0, out[units], out_bias[1] or 0. */
typedef struct {
  const float *weights, *bias, *out, *out_bias;
  int units;
} two_layers;

INLINE vf unit_input(int inputs, const two_layers *net, int unit, const span *s, int t) {
  vf z = splat(net->bias ? net->bias[unit] : 0.f);
  UNROLL for (int k = 0; k < inputs; k++) z += splat(net->weights[unit * inputs + k]) * s->x[k][t];
  return z;
}

INLINE void outputs_of_span(int inputs, const two_layers *net, const span *s, vf *f) {
  for (int t = 0; t < s->vectors; t += POSITIONS) {
    vf sum[POSITIONS];
    UNROLL for (int p = 0; p < POSITIONS; p++) sum[p] = splat(net->out_bias ? *net->out_bias : 0.f);
    for (int unit = 0; unit < net->units; unit++) {
      vf out = splat(net->out[unit]);
      UNROLL for (int p = 0; p < POSITIONS; p++) {
        vf z = unit_input(inputs, net, unit, s, t + p);
        sum[p] += out * keep(~dead_below(z), z);
      }
    }
    UNROLL for (int p = 0; p < POSITIONS; p++) f[t + p] = sum[p];
  }
}

/* sums[inputs + 1][units] += weighted, over the samples for which a unit is active. */
INLINE void sums_of_units(int inputs, int T, const two_layers *net, int first, const span *s,
                          double *sums) {
  vf sum[UNITS][MOST_INPUTS + 1];
  UNROLL for (int u = 0; u < T; u++)
    UNROLL for (int k = 0; k <= inputs; k++) sum[u][k] = splat(0.f);
  for (int t = 0; t < s->vectors; t++)
    UNROLL for (int u = 0; u < T; u++) {
      vi active = ~dead_below(unit_input(inputs, net, first + u, s, t));
      UNROLL for (int k = 0; k <= inputs; k++) sum[u][k] += keep(active, s->weighted[k][t]);
    }
  for (int u = 0; u < T; u++)
    for (int k = 0; k <= inputs; k++) sums[(long)k * net->units + first + u] += lane_sum(sum[u][k]);
}

/* The derivative 2 (f - y), in double precision as everywhere; its sum is returned. */
static double weigh_span(int inputs, span *s, const vf *f, const double *y) {
  float *delta = (float *)s->weighted[inputs];
  const float *outputs = (const float *)f;
  double part[2 * L] = {0}; /* one sum would wait for itself at every sample */
  int n = s->samples;
  for (int i = 0; i < n; i++) delta[i] = (float)(2 * ((double)outputs[i] - y[i]));
  for (int i = n; i < s->vectors * L; i++) delta[i] = 0;
  for (int i = 0; i < s->vectors * L; i += 2 * L)
    for (int l = 0; l < 2 * L; l++) part[l] += delta[i + l];
  for (int k = 0; k < inputs; k++)
    for (int t = 0; t < s->vectors; t++) s->weighted[k][t] = s->x[k][t] * s->weighted[inputs][t];
  double sum = 0;
  for (int l = 0; l < 2 * L; l++) sum += part[l];
  return sum;
}

INLINE double replica_sums(int inputs, const float *x, const double *y, const two_layers *net,
                           long n, double *sums) {
  span s;
  vf f[SPAN];
  double total = 0;
  for (long start = 0; start < n; start += SPAN * L) {
    fill_span(inputs, &s, x, n, start);
    outputs_of_span(inputs, net, &s, f);
    total += weigh_span(inputs, &s, f, y + start);
    int unit = 0;
    for (; unit + UNITS <= net->units; unit += UNITS)
      sums_of_units(inputs, UNITS, net, unit, &s, sums);
    for (; unit < net->units; unit++) sums_of_units(inputs, 1, net, unit, &s, sums);
  }
  return total;
}

/* For each replica r, with x[r][inputs][n] and y[r][n]:
 * sums[r][inputs + 1][units] += sum over samples of active * derivative * (x, 1);
 * out_sums[r] += sum of the derivatives by the output. */
void NAME(two_layers)(const float *x, const double *y, const float *weights, const float *bias,
                      const float *out, const float *out_bias, double *sums, double *out_sums,
                      long replicas, long n, int units, int inputs) {
  for (long r = 0; r < replicas; r++) {
    two_layers net = {weights + r * units * inputs, bias ? bias + r * units : 0, out + r * units,
                      out_bias ? out_bias + r : 0, units};
    const float *own_x = x + r * inputs * n;
    double *own = sums + r * (inputs + 1) * units;
    switch (inputs) {
      case 1: out_sums[r] += replica_sums(1, own_x, y + r * n, &net, n, own); break;
      case 2: out_sums[r] += replica_sums(2, own_x, y + r * n, &net, n, own); break;
      case 3: out_sums[r] += replica_sums(3, own_x, y + r * n, &net, n, own); break;
      case 4: out_sums[r] += replica_sums(4, own_x, y + r * n, &net, n, own); break;
    }
  }
}
