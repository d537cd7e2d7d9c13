/* Kernels for any processor; and which of the others this processor can run. */
#define L 4
#if defined(__aarch64__)
#define MAX_T 6
#else
#define MAX_T 3
#endif
#define NAME(name) name##_baseline
#include "kernels.h"

/* Which sources this was compiled from; setup.py sets it. */
unsigned long long sources_digest(void) { return SOURCES_DIGEST; }

/* 2: AVX-512, 1: AVX2 with FMA, 0: neither. */
int best_instruction_set(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
    return 2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}
