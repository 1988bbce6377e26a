// A dense layer.
#include <cstdint>

#include "products.h"
#include "rows.h"

using namespace mindvit;

// Inputs: x (..., in), weight (out, in), bias (out,). Output: y (..., out).
extern "C" int mindvit_dense(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<float *>(params[0]), *weight = static_cast<float *>(params[1]);
  const float *bias = static_cast<float *>(params[2]);
  float *y = static_cast<float *>(params[3]);
  const long rows = rows_of(ndims[0], shapes[0]), in = shapes[1][1], out = shapes[1][0];
  parallel_product({rows, out, in, {x, in}, {weight, in, true}, y, out});
  add_bias(y, bias, rows, out);
  return 0;
}

// Inputs: x (..., in), weight (out, in), dy (..., out). Outputs: dx (..., in), dweight (out, in), dbias (out,).
extern "C" int mindvit_dense_grad(int, void **params, int *ndims, int64_t **shapes, const char **, void *, void *) {
  const float *x = static_cast<float *>(params[0]), *weight = static_cast<float *>(params[1]);
  const float *dy = static_cast<float *>(params[2]);
  float *dx = static_cast<float *>(params[3]), *dweight = static_cast<float *>(params[4]);
  float *dbias = static_cast<float *>(params[5]);
  const long rows = rows_of(ndims[0], shapes[0]), in = shapes[1][1], out = shapes[1][0];
  sum_rows(dy, dbias, rows, out);
  parallel_products({out, in, rows, {dy, out, true}, {x, in}, dweight, in},
                    {rows, in, out, {dy, out}, {weight, in}, dx, in});
  return 0;
}
