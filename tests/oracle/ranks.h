// A model cut over ranks: each has a plan of its pieces, which lie where the whole model's elements lie, and second
// moments and statistics of its own.
#pragma once

#include "random_case.h"

namespace oracle {

// Of one layer, on one rank.
struct Piece {
  int64_t begin, size;
};

// One row a rank: the pieces of every layer, one after the other, some of them empty.
inline std::vector<std::vector<Piece>> random_cuts(Random& random, const Layout& layout, int64_t ranks) {
  std::vector<std::vector<Piece>> pieces(static_cast<size_t>(ranks));
  for (int64_t size : layout.sizes) {
    std::vector<int64_t> cuts = {0, size};
    for (int64_t cut = 1; cut < ranks; ++cut)
      cuts.push_back(random.one_in(3) ? random.pick({int64_t{0}, size}) : random.below(size + 1));
    std::sort(cuts.begin(), cuts.end());
    for (size_t rank = 0; rank < pieces.size(); ++rank)
      pieces[rank].push_back({cuts[rank], cuts[rank + 1] - cuts[rank]});
  }
  return pieces;
}

class Rank {
 public:
  // The elements are the owner's. begins: whether the plan is told where its pieces begin.
  Rank(Model& owner, std::vector<Piece> pieces, bool begins)
      : owner_(owner),
        pieces_(std::move(pieces)),
        second_moment(owner.second_moment),
        max_second_moment(owner.max_second_moment),
        stats(owner.stats),
        sums(owner.layout) {
    const Layout& whole = owner.layout;
    const auto first = whole.begins();
    Layout local = whole;
    local.offsets.clear();
    std::vector<int64_t> at;
    for (size_t l = 0; l < pieces_.size(); ++l) {
      local.sizes[l] = pieces_[l].size;
      at.push_back(pieces_[l].begin);
      local.offsets.push_back(first[l] + pieces_[l].begin);
    }
    plan = create_plan(plan_options(local));
    layerwise_layer_options layers;
    REQUIRE_OK(layerwise_layer_options_init(&layers, sizeof layers));
    layers.lr_mult = whole.lr_mult.empty() ? nullptr : whole.lr_mult.data();
    layers.wd_mult = whole.wd_mult.empty() ? nullptr : whole.wd_mult.data();
    layers.skip_larc = whole.skip_larc.empty() ? nullptr : whole.skip_larc.data();
    const bool shard_first = at.size() % 2;  // neither forgets what the other has set
    if (!shard_first) REQUIRE_OK(layerwise_plan_set_layers(plan.get(), &layers));
    layerwise_shard_options shard;
    REQUIRE_OK(layerwise_shard_options_init(&shard, sizeof shard));
    shard.layer_sizes = whole.sizes.data();
    shard.layer_begins = begins ? at.data() : nullptr;
    REQUIRE_OK(layerwise_plan_set_shard(plan.get(), &shard));
    if (shard_first) REQUIRE_OK(layerwise_plan_set_layers(plan.get(), &layers));
    offsets_ = local.offsets;
  }

  int32_t partial_norms(bool of_weights, int32_t norm, bool joins) {
    return layerwise_partial_norms(plan.get(), of(owner_.weights),
                                   owner_.layout.split() && of_weights && joins ? of(owner_.extra) : nullptr,
                                   of(owner_.grads), mask(), sums.grads.data(),
                                   of_weights ? sums.weights.data() : nullptr, LAYERWISE_SUMS_LAYERS, norm, nullptr);
  }
  int32_t novograd_apply(const Model::Sums& all, const layerwise_novograd_options& options) {
    return layerwise_novograd_apply(plan.get(), of(owner_.weights), of(owner_.grads), of(owner_.moment),
                                    second_moment.data(), options.amsgrad ? max_second_moment.data() : nullptr,
                                    of(owner_.extra), mask(), stats.data(), all.grads.data(), LAYERWISE_SUMS_LAYERS,
                                    &options, nullptr);
  }
  int32_t larc_novograd_apply(const Model::Sums& all, const layerwise_larc_options& larc,
                              const layerwise_novograd_options& options) {
    return layerwise_larc_novograd_apply(plan.get(), of(owner_.weights), of(owner_.grads), of(owner_.moment),
                                         second_moment.data(), options.amsgrad ? max_second_moment.data() : nullptr,
                                         of(owner_.extra), mask(), stats.data(), all.grads.data(), all.weights.data(),
                                         LAYERWISE_SUMS_LAYERS, &larc, &options, nullptr);
  }
  int32_t larc_apply(const Model::Sums& all, const layerwise_larc_options& larc, const layerwise_sgd_options* sgd) {
    return layerwise_larc_apply(plan.get(), of(owner_.weights), of(owner_.grads),
                                sgd && sgd->momentum != 0 ? of(owner_.moment) : nullptr,
                                sgd ? of(owner_.extra) : nullptr, mask(), stats.data(), all.grads.data(),
                                all.weights.data(), LAYERWISE_SUMS_LAYERS, &larc, sgd, nullptr);
  }

 private:
  const uint8_t* mask() const { return owner_.layout.mask.empty() ? nullptr : owner_.layout.mask.data(); }
  // Empty pieces have no address: tensors of no elements have none.
  void* of(Buffer& buffer) {
    if (!buffer.present() || !owner_.layout.scattered) return buffer.data();
    tables_.emplace_back(1);
    tables_.back().resize(std::max<size_t>(1, pieces_.size()));
    for (size_t l = 0; l < pieces_.size(); ++l)
      tables_.back()[l] = pieces_[l].size > 0 ? buffer.at(offsets_[l]) : nullptr;
    return tables_.back().data();
  }

  Model& owner_;
  std::vector<Piece> pieces_;
  std::vector<int64_t> offsets_;
  std::vector<std::vector<void*>> tables_;

 public:
  Buffer second_moment, max_second_moment;
  std::vector<double> stats;
  Model::Sums sums;
  PlanHandle plan;
};

}  // namespace oracle
