#include "prediction.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "events.h"
#include "kernels/tuning.h"
#include "numerics/summation.h"

namespace bench {
namespace {

using layerwise::groups_of;
using layerwise::kAccumulators;
using layerwise::kGroupTiles;
using layerwise::kTileElements;
using layerwise::tiles_of;

constexpr int kWarpsABlock = layerwise::kBlockThreads / 32;
constexpr int kRowsSummed = 8;  // in flight a block where a tile is summed in one pass
constexpr double kPoll = layerwise::kPollNanoseconds * 1e-3;

struct Tile {
  int64_t layer, index, elements;
};

// A layer across the workers that have its tiles.
struct LayerState {
  std::vector<std::vector<int64_t>> arrived;  // by level of its tree and group
  bool finished = false;
  struct Waiting {
    double looked, period;  // when it looked last, and how long from a look to the next
    std::coroutine_handle<> who;
  };
  std::vector<Waiting> waiting;
};

// One launch: its workers, the memory, and what they share.
class Launch {
 public:
  explicit Launch(const Setting& setting)
      : of_(setting),
        at_(setting.latencies),
        memory_(clock_, copy_rate(setting.gpu) * 1e3, at_.memory),
        cached_(static_cast<double>(cached_bytes(setting.gpu))),
        layers_(setting.layout.layers.size()) {}

 protected:
  const Setting& of_;
  const Latencies& at_;
  Clock clock_;
  Memory memory_;
  double cached_;  // bytes that L2 still has of what an earlier pass read
  std::vector<LayerState> layers_;

  double end() {
    const double last = clock_.run();
    if (!clock_.all_done()) throw std::logic_error("a worker of the model waits for a layer that nobody finishes");
    return std::max(last, memory_.idle_at());
  }

  Tile tile(int64_t layer, int64_t index) const {
    const int64_t size = of_.layout.layers[layer].size;
    return {layer, index, std::min<int64_t>(kTileElements, size - index * kTileElements)};
  }

  int summed_buffers() const { return needs_weight_norms(of_.op) ? 2 : 1; }
  double norm_read() const { return bytes_of(traffic_of(of_.op).norms, of_.bytes); }
  double update_write() const {
    const Passes& update = traffic_of(of_.op).update;
    return bytes_of({0, update.weight_writes, 0, update.grad_writes, 0, update.moment_writes}, of_.bytes);
  }
  double update_read() const { return bytes_of(traffic_of(of_.op).update, of_.bytes) - update_write(); }

  // A tile's reads, so many rows at a time: all rows of a batch are asked for together and waited for together.
  Task read_rows(int64_t elements, double bytes, int rows_at_once, int buffers) {
    const int64_t batch = std::max<int64_t>(1, rows_at_once / buffers) * kAccumulators;
    for (int64_t first = 0; first < elements; first += batch)
      co_await clock_.until(memory_.load(bytes * static_cast<double>(std::min(batch, elements - first))));
  }

  // From a tile's sum up its layer's tree; by whoever arrives last, the layer's end.
  Task hand_up(Tile tile, bool releases) {
    LayerState& layer = layers_[tile.layer];
    int64_t index = tile.index;
    size_t level = 0;
    for (int64_t count = tiles_of(of_.layout.layers[tile.layer].size); count > 1; count = groups_of(count), ++level) {
      co_await clock_.after(at_.l2 + at_.fence + at_.atomic);  // the sum is stored before it is counted
      if (layer.arrived.size() == level) layer.arrived.emplace_back(groups_of(count));
      const int64_t group = index / kGroupTiles, members = std::min<int64_t>(kGroupTiles, count - group * kGroupTiles);
      if (++layer.arrived[level][group] < members) co_return;
      co_await clock_.after(at_.l2 + at_.reduction);  // eight loads a lane, all at once
      index = group;
    }
    if (!is_norms(of_.op))
      co_await clock_.after(at_.memory + at_.scalars);  // the second moment and the layer's options
    if (releases) co_await clock_.after(at_.fence);
    finish(layer);
  }

  Task wait_for(int64_t index) {
    LayerState& layer = layers_[index];
    co_await clock_.after(at_.l2);
    if (!layer.finished) co_await Finished{*this, layer};
    co_await clock_.after(at_.barrier + of_.kernels.constant_loads * at_.l2);
  }

  // A tile's rows in an update: asked for a batch at a time.
  class Rows {
   public:
    // held: bytes of an element that wait on the chip; again: those that L2 may have.
    Rows(Launch& launch, Tile tile, double held, double again, int at_once)
        : launch_(launch),
          left_(tile.elements),
          batch_(int64_t{at_once} * kAccumulators),
          read_(launch.update_read() - held),
          again_(again) {}

    void ask() {
      const auto elements = static_cast<double>(std::min(batch_, left_));
      const double hit = std::min(launch_.cached_, again_ * elements);
      launch_.cached_ -= hit;
      left_ -= static_cast<int64_t>(elements);
      asked_[count_++] = {elements, launch_.memory_.load(read_ * elements - hit)};
    }
    bool all_asked() const { return left_ == 0; }
    int asked() const { return count_; }
    double arrives() const { return asked_[0].at; }
    void store() {
      launch_.memory_.store(launch_.update_write() * asked_[0].elements);
      asked_[0] = asked_[1];
      --count_;
    }

   private:
    struct Batch {
      double elements, at;
    };
    Launch& launch_;
    int64_t left_;
    const int64_t batch_;
    const double read_, again_;
    Batch asked_[2]{};
    int count_ = 0;
  };

  // ahead: the next batch is asked for before this one has arrived.
  Task update_rows(Rows& rows, bool ahead) {
    while (rows.asked() > 0 || !rows.all_asked()) {
      if (rows.asked() == 0) rows.ask();
      if (ahead && rows.asked() == 1 && !rows.all_asked()) rows.ask();
      co_await clock_.until(rows.arrives());
      rows.store();
    }
  }

 private:
  struct Finished {
    Launch& launch;
    LayerState& layer;
    bool await_ready() const { return false; }
    void await_suspend(std::coroutine_handle<> who) {
      layer.waiting.push_back({launch.clock_.now(), kPoll + launch.at_.l2, who});
    }
    void await_resume() {}
  };

  void finish(LayerState& layer) {
    layer.finished = true;
    for (const auto& one : layer.waiting)  // at the first look that sees it
      clock_.wake(one.looked + one.period * std::ceil((clock_.now() - one.looked) / one.period), one.who);
    layer.waiting.clear();
  }
};

// Every tile of the plan, in the order in which they are taken.
std::vector<Tile> all_tiles(const layerwise::Layout& layout) {
  std::vector<Tile> tiles;
  for (size_t layer = 0; layer < layout.layers.size(); ++layer)
    for (int64_t left = layout.layers[layer].size, index = 0; left > 0; left -= kTileElements, ++index)
      tiles.push_back({static_cast<int64_t>(layer), index, std::min<int64_t>(kTileElements, left)});
  return tiles;
}

// Norms, or an update: its workers walk the tiles, with a stride or by tickets.
class Walk : public Launch {
 public:
  using Launch::Launch;

  double norms() {
    tiles_ = all_tiles(of_.layout);
    return run(needs_weight_norms(of_.op) ? layerwise::kBothNormBlocks : layerwise::kNormBlocks,
               of_.kernels.warp_sums ? kWarpsABlock : 1, true);
  }
  double update() {
    tiles_ = all_tiles(of_.layout);
    std::reverse(tiles_.begin(), tiles_.end());
    return run(layerwise::kUpdateBlocks, 1, false);
  }

 private:
  std::vector<Tile> tiles_;
  int64_t next_ = 0;

  double run(int blocks, int workers_a_block, bool sums) {
    const auto count = static_cast<int64_t>(tiles_.size());
    int64_t workers = int64_t{of_.gpu.multiprocessors} * blocks * workers_a_block;
    if (!sums && of_.kernels.tiny_packed && mostly_tiny()) workers *= kWarpsABlock;
    workers = std::min(workers, count);
    for (int64_t first = 0; first < workers; ++first) clock_.start(worker(first, workers, sums));
    return end();
  }
  bool mostly_tiny() const { return of_.layout.elements <= int64_t{kAccumulators} * of_.layout.tiles; }

  Task worker(int64_t first, int64_t stride, bool sums) {
    const auto count = static_cast<int64_t>(tiles_.size());
    for (int64_t t = first; t < count;) {
      // A ticket that was drawn ahead costs nothing but for the first one.
      const bool waits = !of_.kernels.drawn_ahead || t == first;
      const double ticket = of_.kernels.drawn && t != first ? at_.atomic : 0;
      if (waits) co_await clock_.after(ticket + of_.kernels.layer_loads * at_.l2);
      if (sums)
        co_await sum(tiles_[t]);
      else
        co_await update_tile(tiles_[t]);
      t = of_.kernels.drawn ? stride + next_++ : t + stride;
    }
  }

  Task sum(Tile tile) {
    co_await read_rows(tile.elements, norm_read(), of_.kernels.norm_rows, summed_buffers());
    co_await clock_.after(at_.reduction + of_.kernels.norm_barriers * summed_buffers() * at_.barrier);
    co_await hand_up(tile, false);
  }
  Task update_tile(Tile tile) {
    if (!is_apply(of_.op) && !of_.kernels.drawn_ahead) co_await clock_.after(of_.kernels.constant_loads * at_.l2);
    if (is_apply(of_.op)) co_await clock_.after(at_.memory + at_.scalars + 2 * at_.barrier);  // by each block itself
    const RereadBytes again = is_apply(of_.op) ? RereadBytes{0, 0} : reread_bytes(of_.op, of_.bytes);
    Rows rows(*this, tile, 0, again.grad + again.weight, of_.kernels.update_rows);
    co_await update_rows(rows, false);
  }
};

// A persistent kernel: blocks draw the work list's tickets, hold tiles until their layers are finished, update them.
class OnePassWalk : public Launch {
 public:
  OnePassWalk(const Setting& setting, const OnePassPlan& plan) : Launch(setting), plan_(plan) { cached_ = 0; }

  double run() {
    const int64_t blocks = int64_t{of_.gpu.multiprocessors} * plan_.blocks;
    for (int64_t block = 0; block < std::min<int64_t>(blocks, plan_.list.items.size()); ++block) clock_.start(worker());
    return end();
  }

 private:
  const OnePassPlan& plan_;
  size_t next_ = 0;

  // What a block has drawn, and when its gradients are there where they were asked for ahead.
  struct Landing {
    layerwise::WorkItem item;
    double at = 0;
  };

  bool full(const std::vector<Tile>& waiting) const { return static_cast<int>(waiting.size()) == plan_.slots; }

  Task worker() {
    std::vector<Tile> waiting;
    std::optional<Landing> landing;
    bool first = true, more = true;
    for (;;) {
      if (!landing && more && !full(waiting)) {
        if (!of_.kernels.drawn_ahead || first)
          co_await clock_.after(at_.atomic + at_.l2 + of_.kernels.draw_barriers * at_.barrier);
        first = false;
        more = next_ < plan_.list.items.size();
        if (!more) continue;
        landing = Landing{plan_.list.items[next_++]};
        if (of_.kernels.ring_bytes > 0 && landing->item.kind == layerwise::WorkKind::kHold)
          landing->at = memory_.load(norm_read() * static_cast<double>(tile(landing->item, 0).elements));
      }
      // A block never waits for a layer while it has a tile to sum: the layer might be that tile's.
      const bool lands_later = landing && landing->at > clock_.now();
      if (landing && !(lands_later && !waiting.empty() && layers_[waiting.front().layer].finished)) {
        co_await take(*landing, waiting);
        landing.reset();
      } else if (!waiting.empty()) {
        const RereadBytes again = reread_bytes(of_.op, of_.bytes);
        co_await update_tile(waiting.front(), again.grad + (plan_.holds_weights ? again.weight : 0));
        waiting.erase(waiting.begin());
      } else {
        co_return;
      }
    }
  }

  Tile tile(const layerwise::WorkItem& item, int i) const { return Launch::tile(item.layer, item.tile + i); }

  Task take(Landing landing, std::vector<Tile>& waiting) {
    const layerwise::WorkItem& item = landing.item;
    for (int i = 0; i < item.tiles; ++i) {
      const Tile of_item = tile(item, i);
      if (!of_.kernels.drawn_ahead) co_await clock_.after(of_.kernels.layer_loads * at_.l2);
      if (item.kind == layerwise::WorkKind::kUpdate) {
        co_await update_tile(of_item, 0);
        continue;
      }
      if (item.kind == layerwise::WorkKind::kHold) waiting.push_back(of_item);
      if (landing.at > 0)
        co_await clock_.until(landing.at);
      else
        co_await read_rows(of_item.elements, norm_read(), kRowsSummed, summed_buffers());
      if (item.kind == layerwise::WorkKind::kNorm) {
        const RereadBytes again = reread_bytes(of_.op, of_.bytes);
        cached_ = std::min(cached_ + static_cast<double>(of_item.elements) * (again.grad + again.weight),
                           static_cast<double>(cached_bytes(of_.gpu)));
      }
      co_await clock_.after(at_.reduction + of_.kernels.norm_barriers * summed_buffers() * at_.barrier);
      co_await hand_up(of_item, true);
    }
  }

  // Of a stage, where there is a ring: as many as fit half of it, four or two.
  int rows_at_once() const {
    if (of_.kernels.ring_bytes == 0) return of_.kernels.one_pass_rows;
    return 8 * kAccumulators * (of_.bytes.weight + of_.bytes.moment) <= of_.kernels.ring_bytes ? 4 : 2;
  }

  // held: bytes of an element that wait on the chip; without any, L2 may have what the norms have read.
  Task update_tile(Tile tile, double held) {
    const RereadBytes again = reread_bytes(of_.op, of_.bytes);
    Rows rows(*this, tile, held, held > 0 ? 0 : again.grad + again.weight, rows_at_once());
    if (of_.kernels.prefetched) rows.ask();
    co_await wait_for(tile.layer);
    co_await update_rows(rows, of_.kernels.ring_bytes > 0);
  }
};

}  // namespace

double predict_two_passes(const Setting& setting) {
  double us = 0;
  if (!is_apply(setting.op)) us += setting.latencies.launch + Walk(setting).norms();
  if (!is_norms(setting.op)) us += setting.latencies.launch + Walk(setting).update();
  return us;
}

double predict_one_pass(const Setting& setting, const OnePassPlan& plan) {
  return setting.latencies.launch + OnePassWalk(setting, plan).run();
}

}  // namespace bench
