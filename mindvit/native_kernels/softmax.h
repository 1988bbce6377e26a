// One row of softmax.
#pragma once
#include <cmath>

#include "exp.h"

namespace mindvit {

// y (width,) = the softmax of x (width,), which may be y. Returns the logarithm of the sum of the exponentials of x.
inline float softmax_row(const float *x, float *y, long width) {
  float top = x[0], sum = 0;
#pragma omp simd reduction(max : top)
  for (long i = 0; i < width; ++i) top = x[i] > top ? x[i] : top;
  for (long i = 0; i < width; ++i) {
    y[i] = exp_of(x[i] - top);
    sum += y[i];
  }
  const float factor = 1.0f / sum;
  for (long i = 0; i < width; ++i) y[i] *= factor;
  return top + std::log(sum);
}

}  // namespace mindvit
