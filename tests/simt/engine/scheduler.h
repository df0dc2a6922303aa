// The state of the running launch that the scheduler and the launch itself share.
#pragma once

#include <mutex>
#include <string>

#include "engine.h"
#include "policy.h"
#include "queue.h"

namespace simt::engine {

struct Failure {
  const char* kind = nullptr;  // null: none so far
  std::string what;
  cudaError_t code = cudaSuccess;
  const Fiber* fiber = nullptr;
};

struct Scheduler {
  std::mutex one_launch_at_a_time;
  Launch launch{};
  Random random;
  Policy policy;
  Queue ready;       // this round
  Queue next_round;  // was preempted or yielded: runs when the round is over
  Queue held_back;
  std::vector<std::unique_ptr<Block>> resident;
  Block* refill = nullptr;  // its last thread has left: the next block takes its place
  std::uint64_t next_block = 0, block_count = 0;
  unsigned running_blocks = 0;
  std::int64_t steps = 0, given = 0, last_meeting = 0, last_progress = 0;
  char launch_sync = 0, end_sync = 0;
  bool (*end_earlier)() = nullptr;  // until it was called
  Failure failure;
};
extern Scheduler scheduler;

Fiber* pick();   // who runs next; null when nobody can
void account();  // adds the running slice to the steps, and stops it
void new_slice();

void report_failure();  // on the host, when every thread has stopped
void forget_report();

}  // namespace simt::engine
