// Softmax over the last axis.
#include "softmax.h"

#include "rows.h"

using namespace mindvit;

// Input: x (..., width). Output: y (..., width).
extern "C" int mindvit_softmax(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<float *>(params[0]);
  float *y = static_cast<float *>(params[1]);
  const long width = shapes[0][ndims[0] - 1], rows = rows_of(ndims[0], shapes[0]), parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long row = part.first; row < part.last; ++row) softmax_row(x + row * width, y + row * width, width);
  });
  return 0;
}

// Inputs: y, dy (..., width). Output: dx (..., width).
extern "C" int mindvit_softmax_grad(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *y = static_cast<float *>(params[0]), *dy = static_cast<float *>(params[1]);
  float *dx = static_cast<float *>(params[2]);
  const long width = shapes[0][ndims[0] - 1], rows = rows_of(ndims[0], shapes[0]), parts = thread_count();
  parallel(parts, [&](long index) {
    const Part part = part_of(rows, parts, index);
    for (long row = part.first; row < part.last; ++row) {
      const float *out = y + row * width, *grad = dy + row * width;
      float dot = 0;
      for (long i = 0; i < width; ++i) dot += out[i] * grad[i];
      for (long i = 0; i < width; ++i) dx[row * width + i] = out[i] * (grad[i] - dot);
    }
  });
  return 0;
}
