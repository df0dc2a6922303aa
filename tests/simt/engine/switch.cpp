// Fibers: stacks, the switch between them, and what the sanitizers must be told about it.
#include "engine.h"
#include "slice.h"

#include "../device/builtins.h"

#include <pthread.h>

#if !defined(__x86_64__)
#error "the harness switches fibers by hand and knows x86-64 only"
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

// Saves the callee-saved registers on the old stack, takes them from the new one. MXCSR stays: all fibers
// of a launch share it.
extern "C" void simt_switch_stacks(void** save, void* load);
asm(R"(
.text
.globl simt_switch_stacks
.type simt_switch_stacks,@function
simt_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq  %rsp, (%rdi)
    movq  %rsi, %rsp
    popq  %r15
    popq  %r14
    popq  %r13
    popq  %r12
    popq  %rbx
    popq  %rbp
    ret
.size simt_switch_stacks, .-simt_switch_stacks
)");

namespace simt::engine {

namespace {

struct Host {  // the context that called execute()
  void* stack_pointer = nullptr;
  void* sanitizer_thread = nullptr;
  void* fake_stack = nullptr;
  const void* stack = nullptr;
  std::size_t stack_size = 0;
} host;

Fiber* running = nullptr;

// Not inlined, nor cloned: a backtrace of a parked fiber begins in its frame.
[[gnu::noinline]] void switch_to(Fiber* to) {
  Fiber* from = running;
#if SIMT_ASAN
  void** keep = !from ? &host.fake_stack : from->state == State::kFinished ? nullptr : &from->fake_stack;
  if (to)
    __sanitizer_start_switch_fiber(keep, to->stack, options().stack_bytes);
  else
    __sanitizer_start_switch_fiber(keep, host.stack, host.stack_size);
#endif
#if SIMT_TSAN
  __tsan_switch_to_fiber(to ? to->sanitizer_thread : host.sanitizer_thread, __tsan_switch_to_fiber_no_sync);
#endif
  running = to;
  if (to) {
    threadIdx = to->index;
    blockIdx = to->block->index;
  }
  simt_switch_stacks(from ? &from->stack_pointer : &host.stack_pointer, to ? to->stack_pointer : host.stack_pointer);
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(from ? from->fake_stack : host.fake_stack, nullptr, nullptr);
#endif
}

// Where a fresh fiber arrives from the switch.
void first_frame() {
#if SIMT_ASAN
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  fiber_body();
}

}  // namespace

Fiber* current() { return running; }

void remember_host() {
#if SIMT_ASAN
  pthread_attr_t attributes;
  void* stack = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &host.stack_size);
  pthread_attr_destroy(&attributes);
  host.stack = stack;
#elif SIMT_TSAN
  host.sanitizer_thread = __tsan_get_current_fiber();
#endif
}

void run(Fiber* to) { switch_to(to); }

void return_to_host() { switch_to(nullptr); }

void prepare(Fiber& fiber) {
  permit(fiber.stack, options().stack_bytes);  // a launch that failed left its frames' redzones behind
  // Staggered: equal offsets in equal stacks would share cache sets.
  const std::size_t stagger = fiber.thread * 7 % 61 * 64;
  // A function is entered with its stack pointer at 8 modulo 16, which is where the switch's ret leaves it.
  auto* top = reinterpret_cast<void**>(fiber.stack + options().stack_bytes - 56 - stagger);
  *top = nullptr;  // return address of the first frame: ends backtraces
  *--top = reinterpret_cast<void*>(&first_frame);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  fiber.stack_pointer = top;
  fiber.fake_stack = nullptr;
}

#if SIMT_TSAN
namespace {
void as(void* thread) { __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync); }
}  // namespace
HostScope::HostScope() {
  if (running) as(host.sanitizer_thread);
}
HostScope::~HostScope() {
  if (running) as(running->sanitizer_thread);
}
CopyScope::CopyScope(const Block& block) { as(block.copy_thread); }
CopyScope::~CopyScope() { as(running ? running->sanitizer_thread : host.sanitizer_thread); }
#else
HostScope::HostScope() = default;
HostScope::~HostScope() = default;
CopyScope::CopyScope(const Block&) {}
CopyScope::~CopyScope() = default;
#endif

}  // namespace simt::engine
