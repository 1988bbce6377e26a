// Layer norm over the last axis.
#include <cmath>
#include <cstdint>
#include <vector>

#include "rows.h"

using namespace mindvit;

// Inputs: x (..., width), gamma, beta (width,), epsilon (1,). Outputs: y (..., width), mean, rstd (rows,).
extern "C" int mindvit_layer_norm(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<float *>(params[0]), *gamma = static_cast<float *>(params[1]);
  const float *beta = static_cast<float *>(params[2]), epsilon = *static_cast<float *>(params[3]);
  float *y = static_cast<float *>(params[4]), *means = static_cast<float *>(params[5]);
  float *rstds = static_cast<float *>(params[6]);
  const long width = shapes[0][ndims[0] - 1];
  const long rows = rows_of(ndims[0], shapes[0]);
  const long parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long row = part.first; row < part.last; ++row) {
      const float *in = x + row * width;
      float *out = y + row * width;
      float sum = 0;
      for (long i = 0; i < width; ++i) sum += in[i];
      const float mean = sum / width;
      float squares = 0;
      for (long i = 0; i < width; ++i) squares += (in[i] - mean) * (in[i] - mean);
      const float rstd = 1.0f / std::sqrt(squares / width + epsilon);
      for (long i = 0; i < width; ++i) out[i] = (in[i] - mean) * rstd * gamma[i] + beta[i];
      means[row] = mean;
      rstds[row] = rstd;
    }
  });
  return 0;
}

// Inputs: x, dy (..., width), gamma (width,), mean, rstd (rows,). Outputs: dx (..., width), dgamma, dbeta (width,).
extern "C" int mindvit_layer_norm_grad(int, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                       void *) {
  const float *x = static_cast<float *>(params[0]), *dy = static_cast<float *>(params[1]);
  const float *gamma = static_cast<float *>(params[2]), *means = static_cast<float *>(params[3]);
  const float *rstds = static_cast<float *>(params[4]);
  float *dx = static_cast<float *>(params[5]), *dgamma = static_cast<float *>(params[6]);
  float *dbeta = static_cast<float *>(params[7]);
  const long width = shapes[0][ndims[0] - 1];
  const long rows = rows_of(ndims[0], shapes[0]);
  const long parts = thread_count();
  std::vector<float> sums(2 * parts * width);
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    float *gamma_sums = sums.data() + 2 * index * width, *beta_sums = gamma_sums + width;
    for (long row = part.first; row < part.last; ++row) {
      const float *in = x + row * width, *grad = dy + row * width;
      float *out = dx + row * width;
      const float mean = means[row], rstd = rstds[row];
      float sum = 0, dot = 0;
      for (long i = 0; i < width; ++i) {
        const float normal = (in[i] - mean) * rstd, g = grad[i] * gamma[i];
        sum += g;
        dot += g * normal;
        gamma_sums[i] += grad[i] * normal;
        beta_sums[i] += grad[i];
      }
      sum /= width;
      dot /= width;
      for (long i = 0; i < width; ++i) {
        const float normal = (in[i] - mean) * rstd;
        out[i] = rstd * (grad[i] * gamma[i] - sum - normal * dot);
      }
    }
  });
  for (long i = 0; i < width; ++i) {
    float g = 0, b = 0;
    for (long index = 0; index < parts; ++index) g += sums[2 * index * width + i], b += sums[(2 * index + 1) * width + i];
    dgamma[i] = g;
    dbeta[i] = b;
  }
  return 0;
}
