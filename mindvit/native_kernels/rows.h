// Tensors as rows of their last axis.
#pragma once
#include <cstdint>
#include <cstring>

#include "threads.h"

namespace mindvit {

inline long rows_of(int ndim, const int64_t *shape) {
  long rows = 1;
  for (int i = 0; i + 1 < ndim; ++i) rows *= shape[i];
  return rows;
}

// y (rows, width) += bias (width,).
inline void add_bias(float *y, const float *bias, long rows, long width) {
  const long parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long row = part.first; row < part.last; ++row)
      for (long i = 0; i < width; ++i) y[row * width + i] += bias[i];
  });
}

// sums (width,) = the sums of the rows of x (rows, width).
inline void sum_rows(const float *x, float *sums, long rows, long width) {
  const long parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(width, parts, index, 16);
    std::memset(sums + part.first, 0, sizeof(float) * (part.last - part.first));
    for (long row = 0; row < rows; ++row)
      for (long i = part.first; i < part.last; ++i) sums[i] += x[row * width + i];
  });
}

}  // namespace mindvit
