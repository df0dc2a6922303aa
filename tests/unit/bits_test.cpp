// The same bits everywhere: for every thread count, instruction set, layout and order of the layers, and run after run.
// The reference is one thread on the baseline; whether that is right is the property test's business.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"
#include "available_isas.h"

namespace {

using namespace oracle;

// A model with something of everything: layers within a tile and over several, zeros, infinities, extreme scales. From
// the fourteenth on, layers of several rows in one tile, of which each may be summed beside the update of the one before:
// gradients too small and too large for their squares, an infinity, small weights, a masked and an empty one between.
Layout mixed_layout(int32_t weights, int32_t grads, int32_t moment, int32_t second, int32_t extra) {
  Layout layout;
  layout.sizes = {1,  0,     8193, 7,    1024, 1025, 20000, 33,   3, 8192,
                  64, 41000, 5,    2100, 8191, 2050, 3000,  2049, 0, 2500, 5000};
  layout.weights = weights, layout.grads = grads, layout.moment = moment;
  layout.second_moment = second, layout.extra = extra;
  for (size_t l = 0; l < layout.sizes.size(); ++l) {
    layout.mask.push_back(l != 3 && l != 19);
    layout.lr_mult.push_back(l == 4 ? 0.5 : 1);
    layout.wd_mult.push_back(l == 5 ? 0 : 1);
    layout.skip_larc.push_back(l == 7);
  }
  return layout;
}

void fill(Model& model, uint64_t seed) {
  Random random(seed);
  const auto begins = model.layout.begins();
  for (size_t l = 0; l < begins.size(); ++l) {
    const int64_t begin = begins[l], end = begin + model.layout.sizes[l];
    fill_layer(random, model.weights, begin, end, l == 10 ? 0 : l == 20 ? 1e-30 : 0.1);
    fill_layer(random, model.grads, begin, end, l == 6 || l == 14 ? 1e-30 : l == 7 ? 0 : l == 15 ? 1e25 : 1);
    if (l == 8 || l == 16) model.grads.set(begin, INFINITY);
    fill_layer(random, model.moment, begin, end, 0.5);
    model.second_moment.set(static_cast<int64_t>(l), l % 2 ? 0 : 0.7);
    model.max_second_moment.set(static_cast<int64_t>(l), l % 3 ? 0 : 0.9);
  }
}

// The same state as another model's, whose layers lie alike; filling takes longer than stepping.
void begin_as(Model& model, const Model& filled) {
  model.weights = filled.weights, model.grads = filled.grads, model.moment = filled.moment;
  model.second_moment = filled.second_moment, model.max_second_moment = filled.max_second_moment;
}

// Three steps of every kind with options drawn by variant.
void run(Model& model, uint64_t variant) {
  Random random(variant);
  for (int step = 0; step < 3; ++step) {
    layerwise_novograd_options novograd = random_novograd(random);
    draw_modes(random, novograd);
    REQUIRE_OK(model.novograd(novograd));
    layerwise_sgd_options sgd = random_sgd(random);  // arguments are drawn in any order
    layerwise_larc_options larc = random_larc(random);
    draw_modes(random, larc, sgd);
    REQUIRE_OK(model.larc_sgd(larc, sgd));
    layerwise_larc_options scaling = random_larc(random);
    draw_modes(random, scaling);
    REQUIRE_OK(model.larc_scale(scaling));
  }
}

Model reference(const Layout& described, uint64_t variant) {
  Layout layout = described;
  layout.threads = 1;
  layout.isa = LAYERWISE_ISA_BASELINE;
  Model model(layout);
  fill(model, variant);
  run(model, variant);
  return model;
}

const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {mixed_layout(1, 1, 1, 1, 0), mixed_layout(1, 2, 2, 4, 2),
                                          mixed_layout(2, 1, 2, 1, 0), mixed_layout(3, 3, 1, 4, 0),
                                          mixed_layout(1, 3, 1, 1, 3)};
  return all;
}

// Layer by layer: elements, moments and statistics of two models whose layers lie elsewhere.
bool same_layers(const Model& a, const Model& b, const std::vector<size_t>& place_in_b) {
  const auto begins_a = a.layout.begins(), begins_b = b.layout.begins();
  for (size_t l = 0; l < begins_a.size(); ++l) {
    const size_t other = place_in_b[l];
    const auto same = [&](const Buffer& x, const Buffer& y) {
      for (int64_t i = 0; x.present() && i < a.layout.sizes[l]; ++i)
        if (x.bits(begins_a[l] + i) != y.bits(begins_b[other] + i)) return false;
      return true;
    };
    if (!same(a.weights, b.weights) || !same(a.grads, b.grads) || !same(a.moment, b.moment) || !same(a.extra, b.extra))
      return false;
    const int64_t row = static_cast<int64_t>(l), other_row = static_cast<int64_t>(other);
    if (a.second_moment.bits(row) != b.second_moment.bits(other_row)) return false;
    if (std::memcmp(&a.stats[l * LAYERWISE_STAT_COUNT], &b.stats[other * LAYERWISE_STAT_COUNT],
                    LAYERWISE_STAT_COUNT * sizeof(double)) != 0)
      return false;
  }
  return true;
}

std::vector<size_t> identity(size_t count) {
  std::vector<size_t> result(count);
  for (size_t i = 0; i < count; ++i) result[i] = i;
  return result;
}

}  // namespace

TEST_CASE("bits do not depend on threads or instruction set", "[bits]") {
  for (const Layout& described : layouts())
    for (uint64_t variant = 1; variant <= 3; ++variant) {
      const Model expected = reference(described, variant);
      Model filled(described);
      fill(filled, variant);
      for (int32_t isa : available_isas())
        for (int32_t threads : {1, 2, 3, 7}) {
          Layout layout = described;
          layout.isa = isa, layout.threads = threads;
          Model model(layout);
          begin_as(model, filled);
          run(model, variant);
          CAPTURE(variant, isa, threads, dtype_name(layout.weights), dtype_name(layout.grads));
          REQUIRE(model.same_bits(expected));
        }
    }
}

TEST_CASE("bits do not depend on packed or scattered layers, nor on a NULL gradient or a mask", "[bits]") {
  for (const Layout& described : layouts()) {
    const Model expected = reference(described, 4);
    for (bool null_gradient : {false, true}) {
      Layout layout = described;
      layout.scattered = true, layout.mask_by_null = null_gradient, layout.threads = 3;
      Model model(layout);
      fill(model, 4);
      run(model, 4);
      CAPTURE(null_gradient, dtype_name(layout.weights), dtype_name(layout.grads));
      REQUIRE(model.same_bits(expected));
    }
  }
}

TEST_CASE("bits do not depend on alignment, gaps or where the layers lie", "[bits]") {
  for (const Layout& described : layouts()) {
    const Model expected = reference(described, 5);
    for (int64_t shift = 0; shift < 5; ++shift) {
      Layout layout = described;
      layout.shift = shift;
      Random random(static_cast<uint64_t>(shift));
      auto order = identity(layout.sizes.size());
      random.shuffle(order);
      layout.offsets.assign(order.size(), 0);
      int64_t at = shift;
      for (size_t l : order) layout.offsets[l] = at, at += layout.sizes[l] + shift;
      Model model(layout);
      fill(model, 5);
      run(model, 5);
      CAPTURE(shift, dtype_name(layout.weights), dtype_name(layout.grads));
      REQUIRE(same_layers(expected, model, identity(order.size())));
    }
  }
}

TEST_CASE("bits do not depend on the order of the layers or on which other layers are there", "[bits]") {
  for (const Layout& described : layouts()) {
    const Model expected = reference(described, 6);
    Model whole(described);
    fill(whole, 6);
    for (size_t l = 0; l < described.sizes.size(); ++l) {  // each layer alone, in a plan of its own
      Layout alone = described;
      alone.sizes = {described.sizes[l]};
      alone.mask = {described.mask[l]}, alone.skip_larc = {described.skip_larc[l]};
      alone.lr_mult = {described.lr_mult[l]}, alone.wd_mult = {described.wd_mult[l]};
      Model model(alone);
      const int64_t begin = whole.layout.begins()[l];
      for (int64_t i = 0; i < alone.sizes[0]; ++i) {
        model.weights.set(i, whole.weights.get(begin + i));
        model.grads.set(i, whole.grads.get(begin + i));
        model.moment.set(i, whole.moment.get(begin + i));
      }
      model.second_moment.set(0, whole.second_moment.get(static_cast<int64_t>(l)));
      model.max_second_moment.set(0, whole.max_second_moment.get(static_cast<int64_t>(l)));
      run(model, 6);
      CAPTURE(l, alone.sizes[0]);
      REQUIRE(same_layers(model, expected, {l}));
    }
  }
}

TEST_CASE("bits do not depend on what a plan ran before", "[bits]") {
  for (const Layout& described : layouts()) {
    Layout layout = described;
    layout.threads = 2;
    Model used(layout);
    for (uint64_t variant = 20; variant < 25; ++variant) fill(used, variant), run(used, variant);
    REQUIRE_OK(layerwise_plan_reset(used.plan.get()));
    Model fresh(layout);
    used.stats = fresh.stats;
    if (used.extra.present()) used.extra = fresh.extra;
    fill(used, 7), run(used, 7);
    fill(fresh, 7), run(fresh, 7);
    REQUIRE(used.same_bits(fresh));
  }
}
