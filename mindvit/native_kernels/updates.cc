// What happens to all weights at the end of a training step: each kernel reads and writes each tensor once.
#include <cmath>
#include <cstdint>
#include <vector>

#include "chunks.h"
#include "threads.h"

using namespace mindvit;

// Inputs: tensors. Output: the Euclidean norm of all their values, a scalar.
extern "C" int mindvit_global_norm(int count, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                   void *) {
  const auto chunks = chunks_of(count - 1, ndims, shapes);
  std::vector<double> sums(chunks.size());
  parallel(chunks.size(), [&](long index) {
    const Chunk &chunk = chunks[index];
    const float *x = static_cast<float *>(params[chunk.tensor]);
    double total = 0;
    for (long first = chunk.first; first < chunk.last; first += 1024) {
      const long last = std::min(first + 1024, chunk.last);
      float sum = 0;
      for (long i = first; i < last; ++i) sum += x[i] * x[i];
      total += sum;
    }
    sums[index] = total;
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  *static_cast<float *>(params[count - 1]) = static_cast<float>(std::sqrt(total));
  return 0;
}

// Inputs: n weights, n first moments, n second moments, n gradients; scalars (6,): learning rate with bias correction,
// beta1, beta2, eps, learning rate, factor of the gradients; scales, decays (n,). Changes the weights and the moments.
// Output: the number of tensors, a scalar.
extern "C" int mindvit_adamw(int count, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const int n = (count - 4) / 4;
  const float *scalars = static_cast<float *>(params[4 * n]);
  const float *scales = static_cast<float *>(params[4 * n + 1]), *decays = static_cast<float *>(params[4 * n + 2]);
  const float beta1 = scalars[1], beta2 = scalars[2], eps = scalars[3], factor = scalars[5];
  const auto chunks = chunks_of(n, ndims, shapes);
  parallel(chunks.size(), [&](long index) {
    const Chunk &chunk = chunks[index];
    const float rate = scalars[0] * scales[chunk.tensor];
    const float kept = 1.0f - scalars[4] * scales[chunk.tensor] * decays[chunk.tensor];
    float *w = static_cast<float *>(params[chunk.tensor]), *m = static_cast<float *>(params[n + chunk.tensor]);
    float *v = static_cast<float *>(params[2 * n + chunk.tensor]);
    const float *g = static_cast<float *>(params[3 * n + chunk.tensor]);
#pragma GCC ivdep
    for (long i = chunk.first; i < chunk.last; ++i) {
      const float gradient = factor * g[i];
      m[i] += (gradient - m[i]) * (1.0f - beta1);
      v[i] += (gradient * gradient - v[i]) * (1.0f - beta2);
      w[i] = kept * w[i] - rate * m[i] / (std::sqrt(v[i]) + eps);
    }
  });
  *static_cast<float *>(params[count - 1]) = static_cast<float>(n);
  return 0;
}

// Inputs: n averages, n weights, decay, a scalar. Changes the averages. Output: the number of tensors, a scalar.
extern "C" int mindvit_moving_average(int count, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                      void *) {
  const int n = (count - 2) / 2;
  const float decay = *static_cast<float *>(params[2 * n]);
  const auto chunks = chunks_of(n, ndims, shapes);
  parallel(chunks.size(), [&](long index) {
    const Chunk &chunk = chunks[index];
    float *average = static_cast<float *>(params[chunk.tensor]);
    const float *weight = static_cast<float *>(params[n + chunk.tensor]);
#pragma GCC ivdep
    for (long i = chunk.first; i < chunk.last; ++i) average[i] = average[i] * decay + weight[i] * (1.0f - decay);
  });
  *static_cast<float *>(params[count - 1]) = static_cast<float>(n);
  return 0;
}
