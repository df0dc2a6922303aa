// What a person needs of a failed launch: the seed, the kernel, and per block which threads wait where.
#include <algorithm>
#include <cstdio>

#include "scheduler.h"
#include "symbols.h"

namespace simt::engine {

namespace {

std::string report;

std::string coordinates(const uint3& index, const dim3& size) {
  std::string text = std::to_string(index.x);
  if (size.y > 1 || size.z > 1) text += "," + std::to_string(index.y);
  if (size.z > 1) text += "," + std::to_string(index.z);
  return text;
}

std::string shape(const dim3& size) {
  return std::to_string(size.x) + "x" + std::to_string(size.y) + "x" + std::to_string(size.z);
}

const char* doing(const Fiber& fiber) {
  switch (fiber.state) {
    case State::kAtBarrier:
      return "waiting at a barrier";
    case State::kAtWarpOperation:
      return "waiting at a warp operation";
    case State::kFinished:
      return "exited";
    case State::kReady:
      break;
  }
  return &fiber == scheduler.failure.fiber ? "running" : "running, or spinning";
}

struct Group {
  std::string what;
  std::vector<const Fiber*> threads;
};

std::string ranges(const std::vector<const Fiber*>& threads) {
  std::string text = threads.size() == 1 ? "thread " : "threads ";
  for (std::size_t i = 0, next; i < threads.size(); i = next) {
    next = i + 1;
    while (next < threads.size() && threads[next]->thread == threads[next - 1]->thread + 1) ++next;
    if (i) text += ", ";
    text += std::to_string(threads[i]->thread);
    if (next - i > 1) text += "-" + std::to_string(threads[next - 1]->thread);
  }
  return text;
}

// Threads that do the same at the same place, together.
std::vector<Group> groups_of(const Block& block, const Symbols& symbols) {
  std::vector<Group> groups;
  for (const Fiber& fiber : block.fibers) {
    std::string what = doing(fiber);
    if (fiber.state != State::kFinished) what += " at " + symbols.place_of(fiber);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.what == what; });
    if (group == groups.end()) group = groups.insert(group, Group{what, {}});
    group->threads.push_back(&fiber);
  }
  return groups;
}

std::string census(const Symbols& symbols) {
  constexpr int kMostBlocks = 16;
  std::string text;
  int blocks = 0, more = 0;
  for (const auto& block : resident_blocks()) {
    if (!block->running) continue;
    if (++blocks > kMostBlocks) {
      ++more;
      continue;
    }
    for (const Group& group : groups_of(*block, symbols))
      text += "  block " + coordinates(block->index, launched().grid) + ": " + ranges(group.threads) + " " +
              group.what + "\n";
  }
  if (more) text += "  and " + std::to_string(more) + " more blocks\n";
  if (blocks_not_started()) text += "  " + std::to_string(blocks_not_started()) + " blocks have not started\n";
  return text;
}

}  // namespace

std::string name_of(const Fiber& fiber) {
  return "thread " + std::to_string(fiber.thread) + " of block " + coordinates(fiber.block->index, launched().grid);
}

std::string launch_line(const std::string& kernel) {
  return "kernel " + kernel + ", grid " + shape(launched().grid) + ", block " + shape(launched().block) + ", seed " +
         std::to_string(seed()) + ", launch " + std::to_string(launch_number()) +
         " (SIMT_SEED=" + std::to_string(seed()) + " repeats it)";
}

void forget_report() { report.clear(); }

void report_failure() {
  const Symbols symbols;
  report = std::string("simt: ") + scheduler.failure.kind + ": " + scheduler.failure.what + "\n  " +
           launch_line(symbols.kernel()) + "\n" + census(symbols);
  std::fputs(report.c_str(), stderr);
}

}  // namespace simt::engine

namespace simt {

const std::string& last_report() { return engine::report; }

}  // namespace simt
