// Several tensors as chunks of equal size, which threads share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace mindvit {

struct Chunk {
  int tensor;
  long first, last;
};

inline std::vector<Chunk> chunks_of(int tensors, const int *ndims, int64_t **shapes) {
  constexpr long kSize = 64 * 1024;
  std::vector<Chunk> chunks;
  for (int tensor = 0; tensor < tensors; ++tensor) {
    long size = 1;
    for (int i = 0; i < ndims[tensor]; ++i) size *= shapes[tensor][i];
    for (long first = 0; first < size; first += kSize) chunks.push_back({tensor, first, std::min(size, first + kSize)});
  }
  return chunks;
}

}  // namespace mindvit
