#include "products.h"

#include <dlfcn.h>

#include <algorithm>

#include "threads.h"

namespace mindvit {
namespace {

using Sgemm = int (*)(char, char, long, long, long, float, const float *, long, const float *, long, float, float *,
                      long);
Sgemm sgemm = nullptr;

struct Grid {
  int rows, columns;
};

// The grid of parts whose operands are the smallest.
Grid grid_of(const Product &p, int parts) {
  int rows = 1;
  double best = 1e30;
  for (int candidate = 1; candidate <= parts; ++candidate) {
    if (parts % candidate) continue;
    const double cost = static_cast<double>(p.m) / candidate + static_cast<double>(p.n) * candidate / parts;
    if (cost < best) best = cost, rows = candidate;
  }
  return {rows, parts / rows};
}

void compute_part(const Product &p, const Grid &grid, long index) {
  const Part r = part_of(p.m, grid.rows, index / grid.columns, 8);
  const Part q = part_of(p.n, grid.columns, index % grid.columns, 16);
  if (r.first == r.last || q.first == q.last) return;
  const Matrix a{p.a.data + (p.a.transposed ? r.first : r.first * p.a.stride), p.a.stride, p.a.transposed};
  const Matrix b{p.b.data + (p.b.transposed ? q.first * p.b.stride : q.first), p.b.stride, p.b.transposed};
  product(r.last - r.first, q.last - q.first, p.k, a, b, p.c + r.first * p.stride_c + q.first, p.stride_c);
}

}  // namespace

void product(long m, long n, long k, Matrix a, Matrix b, float *c, long stride_c, float alpha, float beta) {
  sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data, a.stride, b.data, b.stride, beta, c,
        stride_c);
}

void parallel_product(const Product &p) {
  const Grid grid = grid_of(p, thread_count());
  parallel(grid.rows * grid.columns, [&](long index) { compute_part(p, grid, index); });
}

void parallel_products(const Product &p, const Product &q) {
  const int threads = thread_count();
  if (threads > 1 && threads % 2) {
    parallel_product(p);
    parallel_product(q);
    return;
  }
  const int parts = std::max(1, threads / 2);
  const Grid p_grid = grid_of(p, parts), q_grid = grid_of(q, parts);
  parallel(2 * parts, [&](long index) {
    if (index < parts)
      compute_part(p, p_grid, index);
    else
      compute_part(q, q_grid, index - parts);
  });
}

}  // namespace mindvit

// Finds sgemm in the library at `path`. Returns 0, or 1 if it is not there.
extern "C" int mindvit_use_products_of(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library) mindvit::sgemm = reinterpret_cast<mindvit::Sgemm>(dlsym(library, "dnnl_sgemm"));
  return mindvit::sgemm ? 0 : 1;
}

extern "C" void mindvit_use_threads(int count) { mindvit::set_thread_count(count); }
