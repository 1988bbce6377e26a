#include "products.h"

#include <dlfcn.h>

#include "threads.h"

namespace mindvit {
namespace {

using Sgemm = int (*)(char, char, long, long, long, float, const float *, long, const float *, long, float, float *,
                      long);
Sgemm sgemm = nullptr;

}  // namespace

void product(long m, long n, long k, Matrix a, Matrix b, float *c, long stride_c, float alpha, float beta) {
  sgemm(a.transposed ? 'T' : 'N', b.transposed ? 'T' : 'N', m, n, k, alpha, a.data, a.stride, b.data, b.stride, beta, c,
        stride_c);
}

void parallel_product(long m, long n, long k, Matrix a, Matrix b, float *c, long stride_c) {
  // The grid of parts whose operands are the smallest.
  const int threads = thread_count();
  int rows = 1;
  double best = 1e30;
  for (int candidate = 1; candidate <= threads; ++candidate) {
    if (threads % candidate) continue;
    const double cost = static_cast<double>(m) / candidate + static_cast<double>(n) * candidate / threads;
    if (cost < best) best = cost, rows = candidate;
  }
  const int columns = threads / rows;
  parallel(threads, [&](long index) {
    const Part r = part_of(m, rows, index / columns, 8), q = part_of(n, columns, index % columns, 16);
    if (r.first == r.last || q.first == q.last) return;
    const Matrix a_part{a.data + (a.transposed ? r.first : r.first * a.stride), a.stride, a.transposed};
    const Matrix b_part{b.data + (b.transposed ? q.first * b.stride : q.first), b.stride, b.transposed};
    product(r.last - r.first, q.last - q.first, k, a_part, b_part, c + r.first * stride_c + q.first, stride_c);
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
