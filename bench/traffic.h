// The bytes a step moves, by what each op reads and writes of every element. One table for every benchmark; the
// kernels' opening comments state the same numbers.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bench {

// Whole steps; their second halves, which take the norms from their caller (for LARC without and with SGD they are one
// function); and their first halves, the norms alone: of the gradients (NovoGrad's), of gradients and weights (LARC's).
enum class Op {
  kNovograd,
  kLarcScale,
  kLarcSgd,
  kLarcNovograd,
  kNovogradApply,
  kLarcScaleApply,
  kLarcSgdApply,
  kGradNorms,
  kBothNorms
};

// How often a pass reads and writes an element of each buffer.
struct Passes {
  int weight_reads, weight_writes, grad_reads, grad_writes, moment_reads, moment_writes;
};

struct OpTraffic {
  const char* name;
  Passes norms, update;
};

inline constexpr OpTraffic kTraffic[] = {
    {"novograd_step", {0, 0, 1, 0, 0, 0}, {1, 1, 1, 0, 1, 1}},
    {"larc_scale", {1, 0, 1, 0, 0, 0}, {0, 0, 1, 1, 0, 0}},  // without folded decay
    {"larc_sgd_step", {1, 0, 1, 0, 0, 0}, {1, 1, 1, 0, 1, 1}},
    {"larc_novograd_step", {1, 0, 1, 0, 0, 0}, {1, 1, 1, 0, 1, 1}},
    {"novograd_apply", {0, 0, 0, 0, 0, 0}, {1, 1, 1, 0, 1, 1}},
    {"larc_apply:scale", {0, 0, 0, 0, 0, 0}, {0, 0, 1, 1, 0, 0}},
    {"larc_apply:sgd", {0, 0, 0, 0, 0, 0}, {1, 1, 1, 0, 1, 1}},
    {"partial_norms:grads", {0, 0, 1, 0, 0, 0}, {0, 0, 0, 0, 0, 0}},
    {"partial_norms:both", {1, 0, 1, 0, 0, 0}, {0, 0, 0, 0, 0, 0}},
};

constexpr const OpTraffic& traffic_of(Op op) { return kTraffic[static_cast<int>(op)]; }
constexpr const char* name_of(Op op) { return traffic_of(op).name; }

constexpr bool is_norms(Op op) { return op >= Op::kGradNorms; }
constexpr bool is_apply(Op op) { return op >= Op::kNovogradApply && !is_norms(op); }
// One launch, whatever a plan's path.
constexpr bool is_half(Op op) { return is_apply(op) || is_norms(op); }
constexpr bool needs_weight_norms(Op op) {
  return op != Op::kNovograd && op != Op::kNovogradApply && op != Op::kGradNorms;
}

inline constexpr Op kSteps[] = {Op::kNovograd, Op::kLarcScale, Op::kLarcSgd, Op::kLarcNovograd};
inline constexpr Op kApplies[] = {Op::kNovogradApply, Op::kLarcScaleApply, Op::kLarcSgdApply};
inline constexpr Op kNorms[] = {Op::kGradNorms, Op::kBothNorms};

struct ElementBytes {
  int weight, grad, moment;
  int copy = 0;  // of the weights in low precision, written wherever they are
};

constexpr int bytes_of(const Passes& passes, const ElementBytes& bytes) {
  return (passes.weight_reads + passes.weight_writes) * bytes.weight + passes.weight_writes * bytes.copy +
         (passes.grad_reads + passes.grad_writes) * bytes.grad +
         (passes.moment_reads + passes.moment_writes) * bytes.moment;
}

// Bytes of an element that the update reads although the norms have read them: what holding or caching them saves.
struct RereadBytes {
  int grad, weight;
};
constexpr RereadBytes reread_bytes(Op op, const ElementBytes& bytes) {
  const OpTraffic& of = traffic_of(op);
  return {std::min(of.norms.grad_reads, of.update.grad_reads) * bytes.grad,
          std::min(of.norms.weight_reads, of.update.weight_reads) * bytes.weight};
}

constexpr int two_pass_bytes(Op op, const ElementBytes& bytes) {
  return bytes_of(traffic_of(op).norms, bytes) + bytes_of(traffic_of(op).update, bytes);
}
// With every element read from memory once, however many passes look at it.
constexpr int floor_bytes(Op op, const ElementBytes& bytes) {
  const RereadBytes again = reread_bytes(op, bytes);
  return two_pass_bytes(op, bytes) - again.grad - again.weight;
}

// Of all elements, where the update finds the gradients of the held ones on the chip, and their weights too or not.
constexpr int64_t one_pass_bytes(Op op, const ElementBytes& bytes, int64_t elements, int64_t held, bool weights_too) {
  const RereadBytes again = reread_bytes(op, bytes);
  return elements * two_pass_bytes(op, bytes) - held * (again.grad + (weights_too ? again.weight : 0));
}

static_assert(floor_bytes(Op::kNovograd, {4, 4, 4}) == 20 && two_pass_bytes(Op::kNovograd, {4, 4, 4}) == 24);
static_assert(floor_bytes(Op::kNovograd, {4, 2, 4}) == 18 && two_pass_bytes(Op::kNovograd, {4, 2, 4}) == 20);
static_assert(floor_bytes(Op::kLarcScale, {4, 4, 4}) == 12 && two_pass_bytes(Op::kLarcScale, {4, 4, 4}) == 16);
static_assert(floor_bytes(Op::kLarcSgd, {4, 4, 4}) == 20 && two_pass_bytes(Op::kLarcSgd, {4, 4, 4}) == 28);
static_assert(floor_bytes(Op::kLarcNovograd, {4, 4, 4}) == 20 && two_pass_bytes(Op::kLarcNovograd, {4, 4, 4}) == 28);
static_assert(floor_bytes(Op::kNovogradApply, {4, 4, 4}) == 20 && two_pass_bytes(Op::kLarcSgdApply, {4, 2, 4}) == 18);
static_assert(one_pass_bytes(Op::kLarcSgd, {4, 4, 4}, 10, 10, true) == 200);
static_assert(one_pass_bytes(Op::kLarcSgd, {4, 4, 4}, 10, 5, false) == 260);
static_assert(floor_bytes(Op::kLarcScaleApply, {4, 4, 4}) == 8 && two_pass_bytes(Op::kLarcScaleApply, {4, 4, 4}) == 8);
static_assert(floor_bytes(Op::kGradNorms, {4, 4, 4}) == 4 && two_pass_bytes(Op::kGradNorms, {2, 2, 2}) == 2);
static_assert(floor_bytes(Op::kBothNorms, {4, 4, 4}) == 8 && two_pass_bytes(Op::kBothNorms, {4, 2, 4}) == 6);
// The copy adds its 2 bytes to whatever writes weights, and to nothing else.
static_assert(floor_bytes(Op::kNovograd, {4, 4, 4, 2}) == 22 && two_pass_bytes(Op::kNovograd, {4, 4, 4, 2}) == 26);
static_assert(floor_bytes(Op::kLarcSgdApply, {4, 2, 4, 2}) == 20 && floor_bytes(Op::kLarcScale, {4, 4, 4, 2}) == 12);
static_assert(one_pass_bytes(Op::kNovograd, {4, 2, 4, 2}, 10, 10, false) == 200);
// A step in halves moves what a step in two passes does.
static_assert(two_pass_bytes(Op::kNovograd, {4, 2, 4}) ==
              two_pass_bytes(Op::kGradNorms, {4, 2, 4}) + two_pass_bytes(Op::kNovogradApply, {4, 2, 4}));
static_assert(two_pass_bytes(Op::kLarcSgd, {4, 2, 4}) ==
              two_pass_bytes(Op::kBothNorms, {4, 2, 4}) + two_pass_bytes(Op::kLarcSgdApply, {4, 2, 4}));

}  // namespace bench
