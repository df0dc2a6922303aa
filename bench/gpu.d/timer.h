// Times implementations of a step in turn on the same buffers, from replays of a graph.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "gpu.d/twin.h"
#include "json.h"

namespace bench {

// As many of a model's buffers as it takes for a set to have left the cache before its turn comes again. Two at least,
// but for the largest models: two passes end with the tiles that the next step begins with.
int set_count(const Layers& layers);

// One implementation.
struct TimedWork {
  std::function<void(const DeviceModel& set)> launch;  // one step, on the timer's stream
  const char* name = "";
  std::unique_ptr<Graph> graph = nullptr;  // of `rounds` steps on every set
  double eager_us = 0, host_us = 0;        // of one step launched alone: on the device; of the host
  std::vector<double> times = {};          // microseconds of one step
};

// Bytes a parameter: what an implementation reads and writes, and with every array counted once.
struct Moved {
  double bytes, floor;
};

class Timer {
 public:
  // So many seconds for each work.
  Timer(const Layers& layers, double seconds);

  const Stream& stream() const { return stream_; }
  const std::list<DeviceModel>& sets() const { return sets_; }
  int rounds() const { return rounds_; }
  void fill();

  // Launches each work eagerly, then captures it.
  void prepare(std::list<TimedWork>& works);
  void replay(const TimedWork& work);
  // Of the first set or the last from the CPU's.
  std::string difference(const CpuTwin& cpu, Agreement agreement) const;
  // In turn, A B A B.
  void measure(std::list<TimedWork>& works);

  void add_figures(JsonLine& line, const TimedWork& work, const Moved& moved, double copy_gb_per_s) const;

 private:
  int steps_per_turn() const { return static_cast<int>(sets_.size()); }
  void launch_all(const TimedWork& work, int rounds);
  double once(const TimedWork& work);

  const double elements_, seconds_;
  const Stream stream_;
  std::list<DeviceModel> sets_;
  int rounds_ = 1;
};

}  // namespace bench
