/* The yardstick: one pass with the reads and writes of a NovoGrad step and next to no arithmetic. Per element it reads
 * a gradient, a momentum and a weight and writes the last two: 20 bytes. Compiled and timed on the spot. */
#include <stdint.h>

void plain_loop(float *restrict weights, const float *restrict grads, float *restrict momentum, int64_t count,
                int threads) {
  int64_t i;
#pragma omp parallel for simd schedule(static) num_threads(threads)
  for (i = 0; i < count; ++i) {
    momentum[i] = 0.95f * momentum[i] + grads[i];
    weights[i] -= 1e-6f * momentum[i];
  }
}
