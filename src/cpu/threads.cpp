#include "cpu/threads.h"

#include "backend.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace layerwise {
namespace {

// A forked child has the parent's plan but none of its threads.
std::atomic<uint64_t> fork_count{0};
const int fork_watch = pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });

#if defined(__x86_64__)
constexpr uint64_t kDefaultModes = 0x1f80;
uint64_t read_modes() { return _mm_getcsr(); }
void write_modes(uint64_t modes) { _mm_setcsr(static_cast<unsigned>(modes)); }
void pause() { _mm_pause(); }
#elif defined(__aarch64__)
constexpr uint64_t kDefaultModes = 0;
uint64_t read_modes() {
  uint64_t modes;
  asm volatile("mrs %0, fpcr" : "=r"(modes));
  return modes;
}
void write_modes(uint64_t modes) { asm volatile("msr fpcr, %0" ::"r"(modes)); }
void pause() { asm volatile("yield"); }
#else
#error "layerwise: floating-point modes are known for x86-64 and AArch64 only"
#endif

}  // namespace

uint64_t forks() { return fork_count.load(std::memory_order_relaxed); }

FloatingPointModes::FloatingPointModes() : saved_(read_modes()) { write_modes(kDefaultModes); }
FloatingPointModes::~FloatingPointModes() { write_modes(saved_); }

void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old) {
  constexpr int kSpins = 4000;  // some tens of microseconds: longer than threads drift apart, shorter than a time slice
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

Team::Team(int size) : size_(size) { start(); }
Team::~Team() { stop(); }

void Team::start() {
  fork_generation_ = forks();
  round_ = unfinished_ = phase_ = 0;
  arrived_ = 0;
  workers_ = new std::vector<std::thread>;
  workers_->reserve(size_ - 1);
  try {
    for (int thread = 1; thread < size_; ++thread) workers_->emplace_back([this, thread] { work(thread); });
  } catch (...) {
    stop();
    throw;
  }
}

void Team::stop() {
  // In a forked child the threads are gone and their handles cannot be joined: they are left behind.
  if (!workers_ || fork_generation_ != forks()) return;
  task_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : *workers_) worker.join();
  delete workers_;
  workers_ = nullptr;
}

void Team::work(int thread) {
  for (uint32_t round = 0;; ++round) {
    wait_while_equal(round_, round);
    if (!task_) return;
    task_(context_, thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_all();
  }
}

void Team::run(void (*task)(void*, int), void* context) {
  if (!workers_ || fork_generation_ != forks()) start();
  task_ = task;
  context_ = context;
  unfinished_.store(size_ - 1, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  if (size_ > 1) round_.notify_all();
  task(context, 0);
  for (uint32_t left; (left = unfinished_.load(std::memory_order_acquire)) != 0;) wait_while_equal(unfinished_, left);
}

}  // namespace layerwise
