// A discrete-event simulation: workers that take time, one after the other in time, and a memory that serves them all.
#pragma once

#include <algorithm>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <list>
#include <queue>
#include <utility>
#include <vector>

namespace bench {

// What a worker does, written as a function that waits: co_await clock.until(...), or another Task.
class [[nodiscard]] Task {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  // Goes on with whoever waited for this one.
  struct Done {
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(Handle done) noexcept;
    void await_resume() noexcept {}
  };
  struct promise_type {
    std::coroutine_handle<> caller = std::noop_coroutine();
    Task get_return_object() { return Task(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Done final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  std::coroutine_handle<> handle() const { return handle_; }
  bool done() const { return handle_.done(); }
  bool await_ready() const { return false; }
  Handle await_suspend(std::coroutine_handle<> caller) {
    handle_.promise().caller = caller;
    return handle_;
  }
  void await_resume() {}

 private:
  explicit Task(Handle handle) : handle_(handle) {}
  Handle handle_;
};

inline std::coroutine_handle<> Task::Done::await_suspend(Handle done) noexcept { return done.promise().caller; }

// Time in microseconds, and who goes on when. What is due at the same time goes on in the order in which it was asked
// for.
class Clock {
 public:
  double now() const { return now_; }

  struct Until {
    Clock& clock;
    double time;
    bool await_ready() const { return time <= clock.now_; }
    void await_suspend(std::coroutine_handle<> who) { clock.wake(time, who); }
    void await_resume() {}
  };
  Until until(double time) { return {*this, time}; }
  Until after(double us) { return {*this, now_ + us}; }

  void wake(double time, std::coroutine_handle<> who) { due_.push({time, asked_++, who}); }

  // Starts a worker at the present time.
  void start(Task task) {
    workers_.push_back(std::move(task));
    wake(now_, workers_.back().handle());
  }

  // Until nobody is left; the time of the last event. False in all_done where a worker waits for what never comes.
  double run() {
    while (!due_.empty()) {
      const Event next = due_.top();
      due_.pop();
      now_ = next.time;
      next.who.resume();
    }
    return now_;
  }
  bool all_done() const {
    return std::all_of(workers_.begin(), workers_.end(), [](const Task& worker) { return worker.done(); });
  }

 private:
  struct Event {
    double time;
    uint64_t asked;
    std::coroutine_handle<> who;
    bool operator<(const Event& other) const {
      return time != other.time ? time > other.time : asked > other.asked;  // the earliest on top
    }
  };
  double now_ = 0;
  uint64_t asked_ = 0;
  std::priority_queue<Event> due_;
  std::list<Task> workers_;
};

// First come, first served, at one rate for reads and writes together.
class Memory {
 public:
  Memory(const Clock& clock, double bytes_per_us, double latency)
      : clock_(clock), rate_(bytes_per_us), latency_(latency) {}

  // When bytes that are asked for now have all arrived.
  double load(double bytes) { return serve(bytes) + latency_; }
  // Nobody waits for a store.
  void store(double bytes) { serve(bytes); }
  // When all that was asked for has been served.
  double idle_at() const { return free_; }

 private:
  double serve(double bytes) { return free_ = std::max(free_, clock_.now()) + bytes / rate_; }

  const Clock& clock_;
  const double rate_, latency_;
  double free_ = 0;
};

}  // namespace bench
