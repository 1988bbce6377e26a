#include "threads.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace mindvit {
namespace {

class Pool {
 public:
  explicit Pool(int count) {
    for (int i = 1; i < count; ++i) threads_.emplace_back([this] { serve(); });
  }

  ~Pool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    for (auto &thread : threads_) thread.join();
  }

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  void run(long tasks, const std::function<void(long)> &work) {
    // Two kernels that run at once would only take the cores from each other.
    std::lock_guard<std::mutex> one_kernel(kernel_);
    if (threads_.empty() || tasks == 1) {
      for (long i = 0; i < tasks; ++i) work(i);
      return;
    }
    work_ = &work;
    tasks_ = tasks;
    next_.store(0);
    busy_.store(static_cast<int>(threads_.size()));
    {
      std::lock_guard<std::mutex> lock(mutex_);
      generation_.fetch_add(1);
    }
    wake_.notify_all();
    take_tasks();
    for (int spins = 0; busy_.load() > 0; ++spins) {
      if (spins < kSpins) {
        pause_briefly();
      } else {
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return busy_.load() == 0; });
      }
    }
  }

 private:
  void take_tasks() {
    for (long i = next_.fetch_add(1); i < tasks_; i = next_.fetch_add(1)) (*work_)(i);
  }

  void serve() {
    long seen = 0;
    while (true) {
      for (int spins = 0; generation_.load() == seen && spins < kSpins; ++spins) pause_briefly();
      if (generation_.load() == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load() != seen; });
      }
      seen = generation_.load();
      if (stopped_) return;
      take_tasks();
      if (busy_.fetch_sub(1) == 1) {
        std::lock_guard<std::mutex> lock(mutex_);
        done_.notify_one();
      }
    }
  }

  std::vector<std::thread> threads_;
  std::mutex kernel_, mutex_;
  std::condition_variable wake_, done_;
  std::atomic<long> generation_{0}, next_{0};
  std::atomic<int> busy_{0};
  const std::function<void(long)> *work_ = nullptr;
  long tasks_ = 0;
  bool stopped_ = false;
};

int requested = 0;
std::mutex creation;
// Never destroyed: at the end of the process its threads may be gone before the destructors run.
Pool *pool = nullptr;

Pool &the_pool() {
  std::lock_guard<std::mutex> lock(creation);
  if (!pool) pool = new Pool(thread_count());
  return *pool;
}

}  // namespace

int thread_count() {
  return requested > 0 ? requested : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

void set_thread_count(int count) {
  std::lock_guard<std::mutex> lock(creation);
  requested = count;
  delete pool;
  pool = nullptr;
}

void parallel(long tasks, const std::function<void(long)> &work) { the_pool().run(tasks, work); }

}  // namespace mindvit
