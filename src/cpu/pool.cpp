#include "cpu/pool.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <thread>

#include "backend.h"
#include "cpu/cores.h"

namespace layerwise {
namespace {

// The pool of this process. A forked child starts with a new entry, since another thread of its parent may have held
// the mutex at the fork.
struct Known {
  std::mutex mutex;
  std::weak_ptr<Pool> pool;
};
Known* known = new Known;
const int fork_watch = pthread_atfork(nullptr, nullptr, [] { known = new Known; });

// Threads that are started during its lifetime block all signals, which are for the threads of the program to handle.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
};

}  // namespace

// 128 bytes, because some processors fetch cache lines in pairs: no false sharing between two workers.
class alignas(128) Pool::Worker {
 public:
  Worker() : thread_([this] { work(); }) {}

  void begin(TeamTask task, void* context, Member member) {
    task_ = task;
    context_ = context;
    member_ = member;
    become(kWorking);
  }
  void wait() const { wait_while_equal(state_, kWorking); }
  void end() {
    become(kEnding);
    thread_.join();
  }

  Worker* next = nullptr;

 private:
  enum : uint32_t { kIdle, kWorking, kEnding };

  void become(uint32_t state) {
    state_.store(state, std::memory_order_release);
    state_.notify_all();
  }
  void work() {
    while (true) {
      wait_while_equal(state_, kIdle);
      if (state_.load(std::memory_order_acquire) == kEnding) return;
      task_(context_, member_);
      become(kIdle);
    }
  }

  std::atomic<uint32_t> state_{kIdle};
  TeamTask task_ = nullptr;
  void* context_ = nullptr;
  Member member_{};
  std::thread thread_;  // must be the last member: the thread uses the others as soon as it starts
};

std::shared_ptr<Pool> Pool::current() {
  const std::lock_guard lock(known->mutex);
  std::shared_ptr<Pool> pool = known->pool.lock();
  if (!pool) known->pool = pool = std::make_shared<Pool>();
  return pool;
}

Pool::Pool() : process_(forks()) {}

Pool::~Pool() {
  if (is_of_parent()) return;  // the threads do not exist in this process, and cannot be joined
  while (Worker* const worker = idle_) {
    idle_ = worker->next;
    worker->end();
    delete worker;
  }
}

bool Pool::is_of_parent() const { return process_ != forks(); }

void Pool::run(int most, TeamTask task, void* context) {
  Worker* const borrowed = most > 1 ? borrow(most - 1) : nullptr;
  int size = 1;
  for (const Worker* worker = borrowed; worker; worker = worker->next) ++size;
  int thread = 0;
  for (Worker* worker = borrowed; worker; worker = worker->next) worker->begin(task, context, {++thread, size});
  task(context, {0, size});
  for (const Worker* worker = borrowed; worker; worker = worker->next) worker->wait();
  if (borrowed) give_back(borrowed);
}

Pool::Worker* Pool::borrow(int wanted) {
  const std::lock_guard lock(mutex_);
  if (idle_threads_ < wanted) grow(wanted);
  Worker* borrowed = nullptr;
  for (; idle_ && wanted > 0; --wanted, --idle_threads_) {
    Worker* const worker = idle_;
    idle_ = worker->next;
    worker->next = borrowed;
    borrowed = worker;
  }
  return borrowed;
}

void Pool::give_back(Worker* borrowed) {
  const std::lock_guard lock(mutex_);
  for (Worker* next; borrowed; borrowed = next, ++idle_threads_) {
    next = borrowed->next;
    borrowed->next = idle_;
    idle_ = borrowed;
  }
}

// Starts threads until `wanted` of them are idle or the limit is reached.
void Pool::grow(int wanted) {
  if (limit_ == 0) limit_ = available_cores() - 1;
  limit_ = std::max(limit_, wanted);
  const SignalsBlocked blocked;
  try {
    for (; idle_threads_ < wanted && threads_ < limit_; ++threads_, ++idle_threads_) {
      Worker* const worker = new Worker;
      worker->next = idle_;
      idle_ = worker;
    }
  } catch (...) {  // no more threads can be started: a step uses those that there are
  }
}

}  // namespace layerwise
