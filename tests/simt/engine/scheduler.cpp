// Who runs next, for how long, and when to give up.
#include "scheduler.h"

#include <cstdlib>

#include "../device/builtins.h"
#include "slice.h"

namespace simt::engine {

constinit thread_local std::int64_t slice_left = kEndless;

Scheduler scheduler;

namespace {

// A spin loop yields at every turn, and a switch is dearer than a memory access.
constexpr std::int64_t kCostOfSwitch = 16, kCostOfYield = 64;

std::int64_t patience() {
  if (options().patience) return options().patience;
  return SIMT_TSAN ? 20'000'000 : 200'000'000;
}

void check_patience() {
  const std::int64_t alone = scheduler.steps - scheduler.last_meeting;
  const std::int64_t in_warps = scheduler.steps - scheduler.last_progress;
  if (alone > patience())
    fail("LIVELOCK", std::to_string(alone) + " steps without a barrier, warp operation or exit",
         cudaErrorLaunchTimeout);
  if (in_warps > 10 * patience())
    fail("LIVELOCK", std::to_string(in_warps) + " steps in which only the lanes of warps met", cudaErrorLaunchTimeout);
}

Fiber* take(Queue& queue) {
  switch (scheduler.policy.order) {
    case Order::kLastReadyFirst:
      return queue.take_last();
    case Order::kFirstReadyFirst:
      return queue.take_first();
    default:
      return queue.take_any(scheduler.random);
  }
}

// The round is over: the preempted ones come again; those held back only when nobody is left, or rarely.
bool begin_round() {
  const bool turn_of_held_back =
      !scheduler.held_back.empty() && (scheduler.next_round.empty() || scheduler.random.one_in(16));
  scheduler.ready.swap(turn_of_held_back ? scheduler.held_back : scheduler.next_round);
  return !scheduler.ready.empty();
}

void let_others_run(std::int64_t cost) {
  account();
  scheduler.steps += cost;
  ++statistics().preemptions;
  // Everyone spins: longer slices waste less on switching.
  if (scheduler.steps - scheduler.last_meeting > 1'000'000 && scheduler.policy.slice < 4096)
    scheduler.policy.slice *= 2;
  Fiber* fiber = current();
  (fiber->held_back ? scheduler.held_back : scheduler.next_round).push(fiber);
  wait_for_turn();
}

}  // namespace

Random& random() { return scheduler.random; }

void account() {
  if (slice_left != kEndless) scheduler.steps += scheduler.given - slice_left;
  slice_left = kEndless;
}

void new_slice() {
  scheduler.given = slice_left = 1 + std::int64_t(scheduler.random.below(2 * scheduler.policy.slice));
}

Fiber* pick() {
  for (;;) {
    // Copies complete while a thread runs, which can then be named where one goes wrong.
    const bool copies = copies_pending() && current();
    if (copies && scheduler.random.one_in(scheduler.policy.copy_delay)) complete_some_copy();
    if (!scheduler.ready.empty()) return take(scheduler.ready);
    if (copies_pending() && current() && scheduler.random.one_in(4)) complete_some_copy();
    if (begin_round()) return take(scheduler.ready);
    if (!copies_pending() || !current()) return nullptr;
    complete_some_copy();
  }
}

void make_ready(Fiber* fiber) {
  fiber->state = State::kReady;
  (fiber->held_back ? scheduler.held_back : scheduler.ready).push(fiber);
}

void wait_for_turn() {
  account();
  scheduler.steps += kCostOfSwitch;
  check_patience();
  Fiber* fiber = pick();
  if (!fiber) fail("DEADLOCK", "no thread can run", cudaErrorLaunchTimeout);
  new_slice();
  if (fiber == current()) return;
  ++statistics().switches;
  run(fiber);
}

void met() { scheduler.last_meeting = scheduler.steps; }
void progressed() { scheduler.last_meeting = scheduler.last_progress = scheduler.steps; }

void slice_ended() {
  if (current())
    let_others_run(0);
  else
    slice_left = kEndless;
}

bool maybe_preempt_after_atomic() {
  if (slice_left > kEndless / 2 || !scheduler.random.one_in(4)) return false;
  let_others_run(0);
  return true;
}

// The report is made on the host's stack, when all threads have stopped where they are.
void fail(const char* kind, const std::string& what, cudaError_t code) {
  slice_left = kEndless;
  scheduler.failure = {kind, what, code, current()};
  release(&scheduler.end_sync);
  return_to_host();
  std::abort();  // nobody runs a fiber of a failed launch
}

}  // namespace simt::engine

namespace simt {

void yield() {
  if (engine::current()) engine::let_others_run(engine::kCostOfYield);
}

void trap(const char* what) { engine::fail("ERROR", engine::name_of(*engine::current()) + " " + what); }

}  // namespace simt
