// Which layers are shared by all threads, and how the others are bundled into work for single threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <vector>

#include "backend.h"

namespace layerwise {

// Layers [begin, end), worked on by one thread.
struct Bundle {
  int64_t begin, end;
};

struct Schedule {
  std::vector<int64_t> shared;
  std::vector<Bundle> bundles;
  int64_t most_shared_tiles = 0, most_bundled_tiles = 0;  // of the largest layer of each kind
  int most_threads = 1;  // more would have nothing to do

  // most_elements: the largest layer whose gradient stays in a thread's cache from the norm to the update.
  Schedule(const Layout& layout, int64_t most_elements, int threads) {
    // No single layer may keep one thread busy after the others are done. Sharing a layer costs about a microsecond.
    constexpr int64_t kWorthSharing = 8 * kTileElements;
    const int64_t fair_part = threads > 1 ? std::max(kWorthSharing, layout.elements / (4 * threads)) : layout.elements;
    const int64_t most = std::min(most_elements, fair_part);
    // Bundles are large enough for long sequential runs, and small enough for all threads to finish together.
    int64_t bundled = 0;
    for (const LayerExtent& layer : layout.layers) bundled += layer.size > most ? 0 : layer.size;
    constexpr int64_t kLeast = 4 * kTileElements, kMost = 32 * kTileElements, kBundleLayers = 256;
    const int64_t bundle_elements = std::clamp(bundled / (16 * threads), kLeast, kMost);

    int64_t elements = 0;
    Bundle bundle{0, 0};
    const auto close = [&](int64_t next) {
      if (bundle.end > bundle.begin) bundles.push_back(bundle);
      bundle = {next, next};
      elements = 0;
    };
    for (int64_t l = 0; l < static_cast<int64_t>(layout.layers.size()); ++l) {
      const int64_t size = layout.layers[l].size;
      if (size > most) {
        close(l + 1);
        shared.push_back(l);
        most_shared_tiles = std::max(most_shared_tiles, tiles_of(size));
        continue;
      }
      bundle.end = l + 1;
      elements += size;
      most_bundled_tiles = std::max(most_bundled_tiles, tiles_of(size));
      if (elements >= bundle_elements || bundle.end - bundle.begin >= kBundleLayers) close(l + 1);
    }
    close(0);
    most_threads = static_cast<int>(std::clamp<int64_t>(
        std::max(static_cast<int64_t>(bundles.size()), most_shared_tiles), 1, threads));
  }
};

// A work-stealing queue of bundles. Each thread gets an equal share of them, which is contiguous in memory; it takes
// its own bundles in order, and then those that are left in the shares of others.
class Deal {
 public:
  Deal(const std::vector<Bundle>& bundles, int threads) : bundles_(bundles), shares_(threads) { restart(); }

  // Refills the queue for the next step; no thread may be taking bundles meanwhile.
  void restart() {
    const size_t threads = shares_.size();
    for (size_t t = 0; t < threads; ++t) {
      shares_[t].next.store(bundles_.size() * t / threads, std::memory_order_relaxed);
      shares_[t].end = bundles_.size() * (t + 1) / threads;
    }
  }
  const Bundle* take(int thread) {
    for (size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[(thread + i) % shares_.size()];
      const size_t b = share.next.fetch_add(1, std::memory_order_relaxed);
      if (b < share.end) return &bundles_[b];
    }
    return nullptr;
  }

 private:
  // 128 bytes, because some processors fetch cache lines in pairs: no false sharing.
  struct alignas(128) Share {
    std::atomic<size_t> next;
    size_t end;
  };
  const std::vector<Bundle>& bundles_;
  std::vector<Share> shares_;
};

}  // namespace layerwise
