// The caller's floating-point environment: flush-to-zero, denormals-are-zero, rounding direction and trapped exceptions
// must neither change a result nor be changed by a call. PyTorch's set_flush_denormal and -ffast-math libraries leave
// such states behind in real processes.
#include <catch2/catch_test_macros.hpp>
#include <cfenv>

#include "../oracle/random_case.h"
#include "available_isas.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace {

using namespace oracle;

#if defined(__x86_64__)
using State = unsigned;
State get_state() { return _mm_getcsr(); }
void set_state(State state) { _mm_setcsr(state); }
// Flush to zero, denormals are zero, the three other rounding directions, unmasked invalid and division by zero, and
// all of it at once; raised flags stay raised.
std::vector<State> states() {
  const State plain = 0x1f80;
  return {plain,          plain | 0x8000,   plain | 0x0040,
          plain | 0x8040, plain | 0x2000,   plain | 0x4000,
          plain | 0x6000, plain & ~0x0280u, (plain | 0xe040) & ~0x0280u,
          plain | 0x003f};
}
#elif defined(__aarch64__)
using State = unsigned long;
State get_state() {
  State state;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  return state;
}
void set_state(State state) { __asm__ volatile("msr fpcr, %0" : : "r"(state)); }
std::vector<State> states() { return {0, 1ul << 24, 1ul << 22, 2ul << 22, 3ul << 22, (1ul << 24) | (3ul << 22)}; }
#else
using State = int;
State get_state() { return std::fegetround(); }
void set_state(State state) { std::fesetround(state); }
std::vector<State> states() { return {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}; }
#endif

struct Case {
  Model model;
  layerwise_novograd_options novograd;
  layerwise_larc_options larc;
  layerwise_sgd_options sgd;

  explicit Case(int32_t threads, int32_t isa) : model(layout(threads, isa)) {
    Random random(3);
    const auto begins = model.layout.begins();
    for (size_t l = 0; l < begins.size(); ++l) {
      const int64_t begin = begins[l], end = begin + model.layout.sizes[l];
      // The first layers live in float32's subnormal range.
      const double scale = l < 3 ? 1e-39 : 1;
      fill_layer(random, model.weights, begin, end, scale);
      fill_layer(random, model.grads, begin, end, scale);
      fill_layer(random, model.moment, begin, end, scale);
    }
    layerwise_novograd_options_init(&novograd, sizeof novograd);
    novograd.lr = 0.01, novograd.bias_correction = 1, novograd.step = 7;
    layerwise_larc_options_init(&larc, sizeof larc);
    larc.lr = 0.01;
    layerwise_sgd_options_init(&sgd, sizeof sgd);
  }
  static Layout layout(int32_t threads, int32_t isa) {
    Layout layout;
    layout.sizes = {5, 1000, 9000, 5, 1000, 9000, 30000};
    layout.second_moment = LAYERWISE_DTYPE_FLOAT64;
    layout.extra = LAYERWISE_DTYPE_FLOAT16;
    layout.threads = threads;
    layout.isa = isa;
    return layout;
  }
};

// Runs call under a state and says whether the state survived, but for flags that arithmetic may raise.
template <class Call>
bool survives(State state, Call call) {
  const State before = get_state();
  set_state(state);
  const int32_t status = call();
  const State after = get_state();
  set_state(before);
  return status == LAYERWISE_OK && after == state;
}

}  // namespace

TEST_CASE("the caller's floating-point state neither matters nor changes", "[bits]") {
  for (int32_t isa : available_isas())
    for (int32_t threads : {1, 3}) {
      Case expected(threads, isa);
      REQUIRE_OK(expected.model.novograd(expected.novograd));
      REQUIRE_OK(expected.model.larc_scale(expected.larc));
      REQUIRE_OK(expected.model.larc_sgd(expected.larc, expected.sgd));
      for (State state : states()) {
        CAPTURE(isa, threads, state);
        Case run(threads, isa);
        CHECK(survives(state, [&] { return run.model.novograd(run.novograd); }));
        CHECK(survives(state, [&] { return run.model.larc_scale(run.larc); }));
        CHECK(survives(state, [&] { return run.model.larc_sgd(run.larc, run.sgd); }));
        CHECK(run.model.same_bits(expected.model));
      }
    }
}

// Hazard: with denormals read as zero a subnormal found_inf, which is not zero, would let the step run.
TEST_CASE("a subnormal found_inf cancels the step under every floating-point state", "[bits]") {
  const float found_inf = 1e-40f;
  for (State state : states()) {
    CAPTURE(state);
    Case run(1, LAYERWISE_ISA_AUTO);
    const Case before = run;
    run.novograd.found_inf = &found_inf;
    run.larc.found_inf = &found_inf;
    CHECK(survives(state, [&] { return run.model.novograd(run.novograd); }));
    CHECK(survives(state, [&] { return run.model.larc_scale(run.larc); }));
    CHECK(survives(state, [&] { return run.model.larc_sgd(run.larc, run.sgd); }));
    CHECK(run.model.same_bits(before.model));
  }
}

TEST_CASE("threads started under another floating-point state give the same bits", "[bits]") {
  // Workers inherit the state of the thread that creates them: here the plan's creator.
  Case expected(3, LAYERWISE_ISA_AUTO);
  REQUIRE_OK(expected.model.novograd(expected.novograd));
  for (State state : states()) {
    Case run(3, LAYERWISE_ISA_AUTO);
    const layerwise_plan_options options = plan_options(run.model.layout);
    layerwise_plan* plan = nullptr;
    CHECK(survives(state, [&] { return layerwise_plan_create(&options, &plan); }));
    run.model.plan = PlanHandle(plan, DestroyPlan());
    REQUIRE_OK(run.model.novograd(run.novograd));
    CAPTURE(state);
    CHECK(run.model.same_bits(expected.model));
  }
}

TEST_CASE("a refused call leaves the caller's floating-point state alone", "[bits]") {
  Case run(1, LAYERWISE_ISA_AUTO);
  run.novograd.lr = NAN;
  for (State state : states()) {
    const State before = get_state();
    set_state(state);
    const int32_t status = run.model.novograd(run.novograd);
    const State after = get_state();
    set_state(before);
    CAPTURE(state);
    CHECK(status == LAYERWISE_ERROR_INVALID_VALUE);
    CHECK(after == state);
  }
}
