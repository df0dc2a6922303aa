// The bytes a step moves, by what each op reads and writes of every element. One table for every benchmark; the
// kernels' opening comments state the same numbers.
#pragma once

#include <cstdint>

namespace bench {

enum class Op { kNovograd, kLarcScale, kLarcSgd };

inline const char* name_of(Op op) {
  return op == Op::kNovograd ? "novograd_step" : op == Op::kLarcScale ? "larc_scale" : "larc_sgd_step";
}

// How often a pass reads and writes an element of each buffer.
struct Passes {
  int weight_reads, weight_writes, grad_reads, grad_writes, moment_reads, moment_writes;
};

inline constexpr Passes kNorms[] = {
    /* novograd_step */ {0, 0, 1, 0, 0, 0},
    /* larc_scale    */ {1, 0, 1, 0, 0, 0},
    /* larc_sgd_step */ {1, 0, 1, 0, 0, 0},
};
inline constexpr Passes kUpdate[] = {
    /* novograd_step */ {1, 1, 1, 0, 1, 1},
    /* larc_scale    */ {0, 0, 1, 1, 0, 0},  // without folded decay
    /* larc_sgd_step */ {1, 1, 1, 0, 1, 1},
};
// With every element read from memory once, however many passes look at it.
inline constexpr Passes kFloor[] = {
    /* novograd_step */ {1, 1, 1, 0, 1, 1},
    /* larc_scale    */ {1, 0, 1, 1, 0, 0},
    /* larc_sgd_step */ {1, 1, 1, 0, 1, 1},
};

struct ElementBytes {
  int weight, grad, moment;
};

constexpr int bytes_of(const Passes& passes, const ElementBytes& bytes) {
  return (passes.weight_reads + passes.weight_writes) * bytes.weight +
         (passes.grad_reads + passes.grad_writes) * bytes.grad +
         (passes.moment_reads + passes.moment_writes) * bytes.moment;
}

constexpr int floor_bytes(Op op, const ElementBytes& bytes) { return bytes_of(kFloor[static_cast<int>(op)], bytes); }
constexpr int two_pass_bytes(Op op, const ElementBytes& bytes) {
  return bytes_of(kNorms[static_cast<int>(op)], bytes) + bytes_of(kUpdate[static_cast<int>(op)], bytes);
}

static_assert(floor_bytes(Op::kNovograd, {4, 4, 4}) == 20 && two_pass_bytes(Op::kNovograd, {4, 4, 4}) == 24);
static_assert(floor_bytes(Op::kNovograd, {4, 2, 4}) == 18 && two_pass_bytes(Op::kNovograd, {4, 2, 4}) == 20);
static_assert(floor_bytes(Op::kLarcScale, {4, 4, 4}) == 12 && two_pass_bytes(Op::kLarcScale, {4, 4, 4}) == 16);
static_assert(floor_bytes(Op::kLarcSgd, {4, 4, 4}) == 20 && two_pass_bytes(Op::kLarcSgd, {4, 4, 4}) == 28);

}  // namespace bench
