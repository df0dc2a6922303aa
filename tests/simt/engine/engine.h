// The state of a launch. Every CUDA thread is a fiber of the OS thread that launched; all resident blocks
// share it. One launch runs at a time in the process.
//
// The engine is compiled without instrumentation and its containers hold only its own types: an
// instantiation shared with a kernel's file could be merged with the instrumented one by the linker, and
// the scheduler would then be preempted by itself.
#pragma once

#include "../simt_test.h"

#include "../device/location.h"

#include "copies.h"
#include "random.h"
#include "sanitizers.h"

#include <vector_types.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace simt::engine {

enum class State : unsigned char { kReady, kAtBarrier, kAtWarpOperation, kFinished };

struct Block;

struct Fiber {
  void* stack_pointer = nullptr;  // while not running
  Block* block = nullptr;
  std::uint64_t result = 0;  // of the barrier or warp operation it waited for
  unsigned thread = 0;       // linear index in the block
  uint3 index{};             // threadIdx
  State state = State::kReady;
  bool in_range = false;   // PTX's predicate of the last shuffle
  bool held_back = false;  // runs only when hardly anything else can: see policy.h
  bool has_waited = false;  // for the launch that its own depends on
  char* stack = nullptr;
  void* fake_stack = nullptr;        // ASan's
  void* sanitizer_thread = nullptr;  // TSan's
  unsigned copy_groups = 0;          // cp.async groups committed so far
  unsigned bulk_groups = 0;
};

// One meeting of the lanes named by a mask. At most 32 are open in a warp: each holds a lane that waits.
struct WarpMeeting {
  unsigned mask = 0, arrived = 0;
  int operation = -1;
  unsigned control = 0;
  Location where;
  std::uint64_t value[32];
  unsigned offset[32];
  bool open = false;
  char sync[2] = {};  // TSan's handles, by turn
  unsigned turn = 0;
};

struct Barrier {
  unsigned arrived = 0, expected = 0;
  int combine = 0;
  Location where;
  int count = 0, result = 0;
  std::vector<Fiber*> waiting;
  char sync[2] = {};
  unsigned turn = 0;
};

struct SharedVariable {
  const void* key;
  unsigned char* memory;
  std::size_t size;
  const char* name;
};

struct Warp {
  std::vector<WarpMeeting> meetings;  // never grows beyond its capacity: lanes hold on to their meeting
  unsigned gone = 0;                  // lanes that have exited, or never were
};

constexpr unsigned kBarriersPerBlock = 16;

struct Block {
  uint3 index{};
  unsigned slot = 0, live = 0;
  bool running = false;
  unsigned bulk_in_flight = 0;  // copies into its shared memory
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<Barrier> barriers;
  std::vector<SharedVariable> shared;  // the dynamic part first, with key null
  std::size_t shared_bytes = 0;
  char shared_sync = 0;
  std::vector<Copy> copies;  // asynchronous ones under way
  unsigned copies_serial = 0;
  char copies_issued = 0, copies_done = 0;
  void* copy_thread = nullptr;  // TSan's thread that makes them
};

struct Launch {
  const void* kernel;
  void (*invoke)(const void* kernel, void** arguments);
  void** arguments;
  dim3 grid, block;
  std::size_t dynamic_shared;
  bool cooperative;
  bool dependent;  // may begin before the launch in front has ended
};

// --- switch.cpp: fibers
void remember_host();   // before the first switch of a launch
void run(Fiber*);       // from a fiber or the host to a fiber
void return_to_host();  // from a fiber
void prepare(Fiber&);   // a fresh stack that begins in the kernel
Fiber* current();

// --- scheduler.cpp
void make_ready(Fiber*);
void wait_for_turn();  // the running fiber is parked, queued or finished: run another
void met();            // threads have met: not a livelock
void progressed();     // a barrier, an exit, a phase, a copy: certainly not a livelock
Random& random();
[[noreturn]] void fail(const char* kind, const std::string& what, cudaError_t = cudaErrorLaunchFailure);

// --- launch.cpp
// end_earlier: makes memory what the launch in front left; false where this one has written by then.
cudaError_t execute(const Launch&, bool (*end_earlier)());
void fiber_body();  // where every fiber begins
const Launch& launched();
std::vector<std::unique_ptr<Block>>& resident_blocks();
std::uint64_t blocks_not_started();
std::uint64_t launch_number();

// --- block.cpp
void start_block(Block&, uint3 index);
void finish_block(Block&);        // buries its shared memory
void check_shared(const Block&);  // that nothing was written beside it
bool in_shared_memory(const Block&, const void* begin, std::size_t size);

// --- copies.cpp
bool copies_pending();
void complete_some_copy();
void flush_copies(Fiber&);  // at a thread's end
void drop_copies();         // after a failed launch

// --- barriers.cpp, warp.cpp
bool same_place(const Location&, const Location&);
void check_exit_barrier(Block&);  // when a thread has left: did others count on it?
void check_exit_warp(const Fiber&);

// --- report.cpp
std::string name_of(const Fiber&);

// --- TSan's threads (switch.cpp); while a HostScope lives, memory is allocated as if by the host, so that
// TSan does not take an allocation for a write of the CUDA thread that happened to cause it.
class HostScope {
 public:
  HostScope();
  ~HostScope();
  HostScope(const HostScope&) = delete;
};
class CopyScope {  // likewise, as the block's copy engine
 public:
  explicit CopyScope(const Block&);
  ~CopyScope();
  CopyScope(const CopyScope&) = delete;
};

}  // namespace simt::engine
