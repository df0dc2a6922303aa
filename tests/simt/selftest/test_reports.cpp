// What a failure says, and that a launch after it starts afresh.
#include "bugs.h"
#include "device_array.h"
#include "good.h"

#include "simt_test.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace selftest;
using Catch::Matchers::ContainsSubstring;

namespace {

cudaError_t run_small(Bug bug) {
  const int blocks = bug == Bug::kNotResident ? 12 : 4, n = 128 * blocks;
  DeviceArray<float> in(std::vector<float>(n, 1.f)), out(n);
  DeviceArray<unsigned> word(1, 0u);
  return launch(bug, {}, {out.get(), in.get(), n, word.get(), nullptr}, blocks);
}

}  // namespace

TEST_CASE("a livelock names the seed, the kernel, the blocks and the line they spin at") {
  simt::reset();
  simt::set_seed(7);
  CHECK(run_small(Bug::kNotResident) == cudaErrorLaunchTimeout);
  CHECK(cudaGetLastError() == cudaErrorLaunchTimeout);
  const std::string& text = simt::last_report();
  CHECK_THAT(text, ContainsSubstring("LIVELOCK"));
  CHECK_THAT(text, ContainsSubstring("small_kernel"));
  CHECK_THAT(text, ContainsSubstring("seed 7, launch 1"));
  CHECK_THAT(text, ContainsSubstring("SIMT_SEED=7"));
  CHECK_THAT(text, ContainsSubstring("spinning at bugs.cu:"));
  CHECK_THAT(text, ContainsSubstring("4 blocks have not started"));
}

TEST_CASE("a divergent barrier names the thread that came last and where the others wait") {
  simt::reset();
  for (auto seed : simt::seeds(5)) {
    CAPTURE(seed);
    CHECK(run_small(Bug::kDivergentBarrier) == cudaErrorLaunchFailure);
    CHECK_THAT(simt::last_report(), ContainsSubstring("divergent barrier: thread "));
    CHECK_THAT(simt::last_report(), ContainsSubstring("waiting at a barrier at bugs.cu:"));
  }
}

TEST_CASE("patience and the order of threads can be set, and reset") {
  simt::reset();
  simt::options().patience = 1'000'000;
  simt::options().sms = 1;
  for (auto order : {simt::Order::kAnyThread, simt::Order::kLastReadyFirst, simt::Order::kFirstReadyFirst}) {
    simt::options().order = order;
    CHECK(run_small(Bug::kNotResident) == cudaErrorLaunchTimeout);
    CHECK_THAT(simt::last_report(), ContainsSubstring("10 blocks have not started"));
  }
  simt::reset();
  CHECK(simt::options().patience == 0);
  CHECK(simt::options().order == simt::Order::kBySeed);
}

TEST_CASE("a launch after a failed one starts afresh") {
  simt::reset();
  DeviceArray<unsigned> counter(1, 0u);
  for (auto seed : simt::seeds(10)) {
    CAPTURE(seed);
    CHECK(run_small(Bug::kWrongShuffleMask) == cudaErrorLaunchFailure);
    CHECK(!simt::last_report().empty());
    CHECK(meet_all(counter.get(), 4, true) == cudaSuccess);
    CHECK(simt::last_report().empty());
  }
  cudaGetLastError();
}
