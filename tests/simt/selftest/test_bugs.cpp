// Every planted bug is caught, in the builds that can see it, in as many seeds as the table says.
#include "bugs.h"
#include "child.h"
#include "device_array.h"

#include "simt_test.h"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace selftest;

namespace {

enum Mode { kFine, kAsan, kTsan };
#if defined(SIMT_MODE_FINE)
constexpr Mode kMode = kFine;
#elif defined(SIMT_MODE_ASAN)
constexpr Mode kMode = kAsan;
#else
constexpr Mode kMode = kTsan;
#endif

constexpr std::uint64_t kSeedsOf[] = {50, 10, 6};

// How a bug must show at least once in this build's seeds, and in how many of them it must be caught in
// per cent. "missed" is a limit of the harness that the README states.
struct Expectation {
  Bug bug;
  const char* name;
  int percent[3];    // fine, asan, tsan; 0: missed
  const char* text;  // in the report, where there is one
};

constexpr int kMissed = 0, kSome = 5, kHalf = 50, kEvery = 100;

const Expectation expectations[] = {
    {Bug::kMissingBarrier, "missing barrier", {kEvery, kSome, kEvery}, ""},
    {Bug::kTailOffByOne, "tail off by one", {kEvery, kEvery, kEvery}, ""},
    {Bug::kLatePublish, "late publish", {kSome, kMissed, kEvery}, ""},
    {Bug::kRelaxedPublish, "relaxed arrival", {kMissed, kMissed, kEvery}, ""},
    {Bug::kRelaxedFlag, "relaxed flag", {kMissed, kMissed, kEvery}, ""},
    {Bug::kFlagNeverSet, "flag never set", {kEvery, kEvery, kEvery}, "LIVELOCK"},
    {Bug::kNonAtomicCounter, "non-atomic counter", {kSome, kMissed, kEvery}, ""},
    {Bug::kDrawnAheadOfWait, "ticket drawn ahead of a wait", {kSome, kSome, kSome}, "LIVELOCK"},
    {Bug::kArrivalOrder, "sum follows the last arriver", {kSome, kSome, kSome}, ""},
    {Bug::kMissingCopyWait, "missing wait, bulk copy", {kHalf, kHalf, kEvery}, ""},
    {Bug::kMissingElementWait, "missing wait, cp.async", {kHalf, kHalf, kEvery}, ""},
    {Bug::kEarlySlotClaim, "tile drawn before its slot is free", {kSome, kSome, kSome}, "LIVELOCK"},
    {Bug::kSlotFreedEarly, "slot given back before it was read", {kSome, kSome, kEvery}, ""},
    {Bug::kTooFewBytes, "too few bytes expected", {kSome, kSome, kSome}, ""},
    {Bug::kPhaseTakenTwice, "phase of a barrier taken twice", {kHalf, kHalf, kEvery}, ""},
    {Bug::kWrongShuffleMask, "wrong shuffle mask", {kEvery, kEvery, kEvery}, "mask"},
    {Bug::kShuffleAsFence, "shuffle as a fence", {kMissed, kMissed, kEvery}, ""},
    {Bug::kSharedOverrun, "shared memory overrun", {kEvery, kEvery, kEvery}, ""},
    {Bug::kDynamicSharedOverrun, "dynamic shared memory overrun", {kEvery, kEvery, kEvery}, ""},
    {Bug::kUnwrittenShared, "unwritten shared memory", {kEvery, kEvery, kEvery}, ""},
    {Bug::kDivergentBarrier, "divergent barrier", {kEvery, kEvery, kEvery}, "divergent"},
    {Bug::kExitBeforeBarrier, "exit before a barrier", {kEvery, kEvery, kEvery}, "__syncthreads"},
    {Bug::kGlobalOverrun, "device memory overrun", {kEvery, kEvery, kEvery}, ""},
    {Bug::kMisalignedVector, "misaligned float4", {kMissed, kEvery, kMissed}, ""},
    {Bug::kIndexOverflow, "int overflow", {kMissed, kEvery, kMissed}, ""},
    {Bug::kNotResident, "waits for blocks that cannot run", {kEvery, kEvery, kEvery}, "LIVELOCK"},
    {Bug::kBlockScope, "block scope between blocks", {kMissed, kMissed, kMissed}, ""},
    {Bug::kNoDependencyWait, "no wait for the launch in front", {kEvery, kEvery, kEvery}, "without having waited"},
    {Bug::kReadBeforeDependencyWait, "read before that wait", {kSome, kSome, kSome}, ""},
    {Bug::kWriteBeforeDependencyWait, "write before that wait", {kSome, kSome, kSome}, ""},
};

// Layers of 1, 300, 0 (no tile) and 513 elements.
struct Problem {
  std::vector<float> in;
  Layers layers{};
  Problem() : in(814) {
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = 0.1f + float((i * 7919) % 1000) / 999.f;
    const int sizes[Layers::kCount] = {1, 300, 0, 513};
    for (int l = 0; l < Layers::kCount; ++l) {
      layers.first[l + 1] = layers.first[l] + sizes[l];
      layers.first_tile[l + 1] = layers.first_tile[l] + (sizes[l] + Layers::kTile - 1) / Layers::kTile;
    }
  }
};

cudaError_t run_layers(Bug bug, std::vector<float>& result) {
  Problem problem;
  DeviceArray<float> in(problem.in), out(problem.in.size()), sums(16), layer_sums(Layers::kCount);
  DeviceArray<unsigned> arrived(Layers::kCount, 0u), flag(Layers::kCount, 0u), ticket(1, 0u);
  problem.layers.in = in.get();
  problem.layers.out = out.get();
  problem.layers.tile_sum = sums.get();
  problem.layers.layer_sum = layer_sums.get();
  problem.layers.arrived = arrived.get();
  problem.layers.flag = flag.get();
  problem.layers.ticket = ticket.get();
  const cudaError_t code = launch(bug, problem.layers, {}, 8);
  result = out.host();
  return code;
}

constexpr int kRingTiles = 24;

std::vector<float> ring_input() {
  std::vector<float> in(128 * kRingTiles);
  for (std::size_t i = 0; i < in.size(); ++i) in[i] = 0.1f + float(i % 97);
  return in;
}

// As ring_kernel sums: a lane adds every 32nd element, the lanes meet in a butterfly.
float tile_sum(const float* tile) {
  float lanes[32] = {}, next[32];
  for (int i = 0; i < 128; ++i) lanes[i % 32] += tile[i];
  for (int d = 16; d; d /= 2) {
    for (int i = 0; i < 32; ++i) next[i] = lanes[i] + lanes[i ^ d];
    std::copy_n(next, 32, lanes);
  }
  return lanes[0];
}

cudaError_t run_ring(Bug bug, std::vector<float>& result) {
  const auto host = ring_input();
  DeviceArray<float> in(host), out(host.size()), sums(kRingTiles);
  DeviceArray<unsigned> words(kRingTiles + 1, 0u);
  const cudaError_t code = launch(bug, {}, {out.get(), in.get(), int(host.size()), words.get(), sums.get()}, 3);
  result = out.host();
  return code;
}

cudaError_t run_small(Bug bug, std::vector<float>& result) {
  const int blocks = bug == Bug::kNotResident ? 12 : 4, n = 128 * blocks;
  std::vector<float> host(n);
  for (int i = 0; i < n; ++i) host[std::size_t(i)] = float(i + 1);
  DeviceArray<float> in(host), out(host.size());
  DeviceArray<unsigned> words(1, 0u);
  const cudaError_t code = launch(bug, {}, {out.get(), in.get(), n, words.get(), nullptr}, blocks);
  result = out.host();
  return code;
}

cudaError_t run_dependent(Bug bug, std::vector<float>& result) {
  const int blocks = 4, n = 128 * blocks;
  std::vector<float> host(n);
  for (int i = 0; i < n; ++i) host[std::size_t(i)] = float(i + 1);
  DeviceArray<float> in(host), out(host.size()), between(host.size());
  const cudaError_t code = launch(bug, {}, {out.get(), in.get(), n, nullptr, between.get()}, blocks);
  result = out.host();
  return code;
}

cudaError_t run(Bug bug, std::vector<float>& result) {
  switch (kind_of(bug)) {
    case Kind::kLayers:
      return run_layers(bug, result);
    case Kind::kRing:
      return run_ring(bug, result);
    case Kind::kDependent:
      return run_dependent(bug, result);
    default:
      return run_small(bug, result);
  }
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && !std::memcmp(a.data(), b.data(), a.size() * sizeof(float));
}

// What the kernel without the bug gives, on one schedule; that others agree is a test of its own.
std::vector<float> expected(Bug bug) {
  std::vector<float> result;
  simt::set_seed(0);
  if (kind_of(bug) == Kind::kLayers) {
    run(Bug::kNone, result);
  } else if (kind_of(bug) == Kind::kRing) {
    const auto in = ring_input();
    for (int tile = 0; tile < kRingTiles; ++tile) {
      const float sum = tile_sum(&in[128 * std::size_t(tile & ~1)]) + tile_sum(&in[128 * std::size_t(tile | 1)]);
      for (int i = 0; i < 128; ++i) result.push_back(in[std::size_t(128 * tile + i)] / sum);
    }
  } else {
    const int n = bug == Bug::kNotResident ? 12 * 128 : 4 * 128;
    for (int i = 0; i < n; ++i) result.push_back(float((i ^ 1) + 1));
    if (bug == Bug::kMisalignedVector) result.clear();  // it has no right result
  }
  return result;
}

struct Tally {
  int wrong = 0, report = 0, sanitizer = 0, crash = 0;
  std::string text;
  int caught() const { return wrong + report + sanitizer; }
};

Tally tally(Bug bug) {
  const auto reference = expected(bug);
  simt::reset();
  simt::options().patience = 5'000'000;    // as sure as the default for kernels this small, and found sooner
  simt::options().stack_bytes = 32 << 10;  // a child process pays for each stack that it touches
  Tally tally;
  for (auto seed : simt::seeds(kSeedsOf[kMode])) {
    simt::options().source_lines = tally.text.empty();
    const Child child = run_in_child([&] {
      std::vector<float> result;
      simt::set_seed(seed);
      if (run(bug, result)) return Outcome::kReport;
      return reference.empty() || same_bits(result, reference) ? Outcome::kRight : Outcome::kWrong;
    });
    switch (child.outcome) {
      case Outcome::kRight:
        break;
      case Outcome::kWrong:
        ++tally.wrong;
        break;
      case Outcome::kReport:
        ++tally.report;
        break;
      case Outcome::kSanitizer:
        ++tally.sanitizer;
        break;
      case Outcome::kCrash:
        ++tally.crash;
        break;
    }
    if (child.outcome != Outcome::kRight && tally.text.empty()) tally.text = child.text;
  }
  return tally;
}

}  // namespace

TEST_CASE("the kernels without their bugs are right on every schedule") {
  const auto reference = expected(Bug::kNone);
  for (auto seed : simt::seeds(kSeedsOf[kMode] * 2)) {
    CAPTURE(seed);
    std::vector<float> result;
    REQUIRE(run(Bug::kNone, result) == cudaSuccess);
    CHECK(same_bits(result, reference));
    REQUIRE(run_dependent(Bug::kNone, result) == cudaSuccess);
    CHECK(same_bits(result, expected(Bug::kNoDependencyWait)));
    simt::set_seed(seed);
  }
  CHECK(simt::sanitizer_reports() == 0);
}

TEST_CASE("planted bugs are caught") {
  const auto seeds = simt::seeds(kSeedsOf[kMode]).size();
  std::printf("%-36s of %llu seeds: wrong, report, sanitizer\n", "planted bug", static_cast<unsigned long long>(seeds));
  for (const Expectation& expectation : expectations) {
    const Tally found = tally(expectation.bug);
    std::printf("%-36s %4d %4d %4d\n", expectation.name, found.wrong, found.report, found.sanitizer);
    INFO(expectation.name << ": " << found.text);
    CHECK(found.crash == 0);
    const int percent = expectation.percent[kMode];
    if (percent == kEvery)
      CHECK(std::uint64_t(found.caught()) == seeds);
    else if (percent == kMissed)
      CHECK(found.caught() == 0);
    else
      CHECK(std::uint64_t(found.caught()) * 100 >= seeds * std::uint64_t(percent));
    if (percent != kMissed && *expectation.text) CHECK(found.text.find(expectation.text) != std::string::npos);
  }
}
