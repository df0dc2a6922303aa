#include "gpu.d/timer.h"

#include <algorithm>

#include "gpu.d/attempt.h"

namespace bench {

int set_count(const Layers& layers) {
  constexpr int64_t kMostSets = 64, kTimesCache = 32;  // of so large a model what the cache holds is a percent
  const int64_t bytes = std::max<int64_t>(DeviceModel::bytes(layers), 1),
                cache = device_attribute(cudaDevAttrL2CacheSize);
  const int64_t least = bytes < kTimesCache * cache ? 2 : 1, wanted = std::max(least, (4 * cache + bytes - 1) / bytes),
                room = (free_device_bytes() - kDeviceReserve) / bytes;
  return static_cast<int>(std::clamp<int64_t>(std::min(wanted, room), 1, kMostSets));
}

Timer::Timer(const Layers& layers, double seconds)
    : elements_(static_cast<double>(layers.elements())), seconds_(seconds) {
  for (int set = set_count(layers); set > 0; --set) sets_.emplace_back(layers);
  fill();
}

void Timer::fill() {
  stream_.wait();
  for (DeviceModel& set : sets_) set.fill();
}

void Timer::launch_all(const TimedWork& work, int rounds) {
  for (int round = 0; round < rounds; ++round)
    for (const DeviceModel& set : sets_) work.launch(set);
}

void Timer::prepare(std::list<TimedWork>& works) {
  constexpr double kGraphMicroseconds = 2000;
  for (TimedWork& work : works) {
    launch_all(work, 1);
    work.eager_us = quantile(event_microseconds(stream_, 10, [&] { launch_all(work, 1); }), 0.5) / steps_per_turn();
    work.host_us = host_microseconds(stream_, [&] { work.launch(sets_.front()); });
  }
  rounds_ = static_cast<int>(std::clamp(kGraphMicroseconds / (works.front().eager_us * steps_per_turn()), 1.0, 1000.0));
  for (TimedWork& work : works) work.graph = std::make_unique<Graph>(stream_, [&] { launch_all(work, rounds_); });
}

void Timer::replay(const TimedWork& work) {
  work.graph->launch(stream_);
  stream_.wait();
}

std::string Timer::difference(const CpuTwin& cpu, Agreement agreement) const {
  const std::string found = cpu.difference(sets_.front().buffers(), agreement);
  return found.empty() && sets_.size() > 1 ? cpu.difference(sets_.back().buffers(), agreement) : found;
}

double Timer::once(const TimedWork& work) {
  return event_microseconds(stream_, 1, [&] { work.graph->launch(stream_); }).front() / (rounds_ * steps_per_turn());
}

void Timer::measure(std::list<TimedWork>& works) {
  for (int warm_up = 0; warm_up < 3; ++warm_up)
    for (TimedWork& work : works) once(work);
  const double replay_us = once(works.front()) * rounds_ * steps_per_turn();
  const int repeats = static_cast<int>(std::clamp(seconds_ * 1e6 / replay_us, 10.0, 200.0));
  for (int i = 0; i < repeats; ++i)
    for (TimedWork& work : works) work.times.push_back(once(work));
  check_device();
}

void Timer::add_figures(JsonLine& line, const TimedWork& work, const Moved& moved, double copy_rate) const {
  const double us = quantile(work.times, 0.5);
  const double rate = moved.bytes * elements_ / us / 1e3, floor_rate = moved.floor * elements_ / us / 1e3;
  const int steps = rounds_ * steps_per_turn();
  line.add("us", us).add("us_fastest", quantile(work.times, 0));
  line.add("us_q1", quantile(work.times, 0.25)).add("us_q3", quantile(work.times, 0.75));
  line.add("us_eager", work.eager_us).add("us_host", work.host_us);
  line.add("bytes_per_parameter", moved.bytes).add("floor_bytes_per_parameter", moved.floor);
  line.add("gb_per_s", rate).add("share_of_copy", rate / copy_rate).add("floor_share_of_copy", floor_rate / copy_rate);
  line.add("buffer_sets", steps_per_turn()).add("steps_per_graph", steps).add("graph_nodes", work.graph->nodes());
  line.add("launches", static_cast<double>(work.graph->nodes()) / steps);
  line.add("repeats", static_cast<int64_t>(work.times.size()));
}

}  // namespace bench
