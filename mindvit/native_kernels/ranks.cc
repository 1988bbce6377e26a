// Sums over the ranks of a job on one machine, in memory that they share.
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <vector>

#include "chunks.h"
#include "threads.h"

using namespace mindvit;

namespace {

// Values that each rank offers in a turn: 4 MB, so that small networks need one turn, in which the ranks wait once.
constexpr long kTurnValues = 1024 * 1024;
constexpr int kMaxRanks = 1000;
constexpr long kHeaderBytes = 4096;

struct Header {
  std::atomic<uint32_t> arrived, turn;
  std::atomic<int32_t> processes[kMaxRanks];
};
static_assert(sizeof(Header) <= kHeaderBytes, "");

Header *header = nullptr;
float *slots = nullptr;
int own_rank = 0, num_ranks = 0;

long bytes_of(int ranks) { return kHeaderBytes + 2L * ranks * kTurnValues * static_cast<long>(sizeof(float)); }

// Two sets of slots in turn: who is a turn ahead does not write to what others still read.
float *slot(uint32_t turn, int rank) { return slots + ((turn & 1) * num_ranks + rank) * kTurnValues; }

bool has_ended(int process) {
  char path[64], text[512] = "";
  std::snprintf(path, sizeof(path), "/proc/%d/stat", process);
  FILE *file = std::fopen(path, "r");
  if (!file) return errno == ENOENT || errno == ESRCH;
  const size_t size = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  text[size] = 0;
  const char *name_end = std::strrchr(text, ')');
  return name_end && std::strncmp(name_end, ") Z", 3) == 0;
}

bool a_rank_has_ended() {
  for (int rank = 0; rank < num_ranks; ++rank) {
    if (has_ended(header->processes[rank].load())) return true;
  }
  return false;
}

void futex(int operation, uint32_t value, const timespec *timeout) {
  syscall(SYS_futex, reinterpret_cast<uint32_t *>(&header->turn), operation, value, timeout, nullptr, 0);
}

// Waits until all ranks are here; false if one of them has ended.
bool wait_for_all() {
  const uint32_t turn = header->turn.load();
  if (header->arrived.fetch_add(1) + 1 == static_cast<uint32_t>(num_ranks)) {
    header->arrived.store(0);
    header->turn.fetch_add(1);
    futex(FUTEX_WAKE, INT_MAX, nullptr);
    return true;
  }
  for (int spins = 0; spins < kSpins; ++spins) {
    if (header->turn.load() != turn) return true;
    pause_briefly();
  }
  const timespec second{1, 0};
  while (header->turn.load() == turn) {
    futex(FUTEX_WAIT, turn, &second);
    // In this order: a rank may have come, and then ended.
    if (a_rank_has_ended() && header->turn.load() == turn) return false;
  }
  return true;
}

}  // namespace

// Maps the file that all ranks of the job have opened. Call it once, and on all ranks before the first sum.
extern "C" int mindvit_join_ranks(int file, int rank, int ranks) {
  if (header || ranks > kMaxRanks || ftruncate(file, bytes_of(ranks))) return 1;
  void *memory = mmap(nullptr, bytes_of(ranks), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return 1;
  header = static_cast<Header *>(memory);
  slots = reinterpret_cast<float *>(static_cast<char *>(memory) + kHeaderBytes);
  own_rank = rank;
  num_ranks = ranks;
  header->processes[rank].store(getpid());
  return 0;
}

// Inputs: n tensors, of the same shapes on all ranks. Outputs: their sums over the ranks, the same bits on each rank.
// All ranks call it the same number of times; it fails if one of them has ended.
extern "C" int mindvit_sum_over_ranks(int count, void **params, int *ndims, int64_t **shapes, const char **, void *,
                                      void *) {
  const int n = count / 2;
  if (!header) return 1;
  const auto chunks = chunks_of(n, ndims, shapes);
  std::vector<long> offsets(chunks.size());
  for (size_t first = 0, end = 0; first < chunks.size(); first = end) {
    long values = 0;
    for (; end < chunks.size() && values + chunks[end].last - chunks[end].first <= kTurnValues; ++end) {
      offsets[end] = values;
      values += chunks[end].last - chunks[end].first;
    }
    const uint32_t turn = header->turn.load();
    parallel(end - first, [&](long index) {
      const Chunk &chunk = chunks[first + index];
      std::memcpy(slot(turn, own_rank) + offsets[first + index], static_cast<float *>(params[chunk.tensor]) + chunk.first,
                  (chunk.last - chunk.first) * sizeof(float));
    });
    if (!wait_for_all()) return 1;
    parallel(end - first, [&](long index) {
      const Chunk &chunk = chunks[first + index];
      const long size = chunk.last - chunk.first;
      float *sum = static_cast<float *>(params[n + chunk.tensor]) + chunk.first;
      std::memcpy(sum, slot(turn, 0) + offsets[first + index], size * sizeof(float));
      for (int rank = 1; rank < num_ranks; ++rank) {
        const float *other = slot(turn, rank) + offsets[first + index];
#pragma GCC ivdep
        for (long i = 0; i < size; ++i) sum[i] += other[i];
      }
    });
  }
  return 0;
}
