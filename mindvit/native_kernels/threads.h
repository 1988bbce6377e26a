// A pool of threads for the kernels of this library.
#pragma once
#include <functional>

namespace mindvit {

// Number of threads that share the work of a kernel, the calling thread included.
int thread_count();

// Sets that number. Call it while no kernel runs.
void set_thread_count(int count);

// Calls work(index) for each index below `tasks`, on all threads; returns when all are done.
void parallel(long tasks, const std::function<void(long)> &work);

// How often a waiting thread looks for work before it sleeps: 30 to 100 microseconds, about what waking it would take,
// and within which ranks with equal work arrive.
constexpr int kSpins = 2000;

// For a thread that looks again and again for something to happen.
inline void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The part [first, last) of `total` items that belongs to part `index` of `parts`, in multiples of `grain`.
struct Part {
  long first, last;
};
inline Part part_of(long total, long parts, long index, long grain = 1) {
  const long grains = (total + grain - 1) / grain;
  const long first = grains * index / parts * grain, last = grains * (index + 1) / parts * grain;
  return {first < total ? first : total, last < total ? last : total};
}

}  // namespace mindvit
