// Buffers that must not be stepped: missing, misaligned, or lying on top of each other.
#include "refusal.h"

namespace {

using namespace oracle;

// The arguments of the three steps, each to be replaced by a bad one.
struct Arguments {
  layerwise_plan* plan;
  void *weights, *grads, *moment, *second_moment, *max_second_moment, *extra;
  const uint8_t* mask;
  double* stats;
  layerwise_novograd_options novograd = good_novograd();
  layerwise_larc_options larc = good_larc();
  layerwise_sgd_options sgd = good_sgd();

  explicit Arguments(Model& m)
      : plan(m.plan.get()),
        weights(m.weights.data()),
        grads(m.grads.data()),
        moment(m.moment.data()),
        second_moment(m.second_moment.data()),
        max_second_moment(m.max_second_moment.data()),
        extra(m.extra.data()),
        mask(m.layout.mask.data()),
        stats(m.stats.data()) {
    novograd.amsgrad = 1;
  }
  int32_t step_novograd() {
    return novograd_step(plan, weights, grads, moment, second_moment, max_second_moment, extra, mask, stats, &novograd,
                         nullptr);
  }
  int32_t scale() { return larc_scale(plan, weights, grads, mask, stats, &larc, nullptr); }
  int32_t step_sgd() { return larc_sgd_step(plan, weights, grads, moment, extra, mask, stats, &larc, &sgd, nullptr); }
};

template <class Change>
void novograd(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  Arguments arguments(witness.model);
  change(arguments);
  witness.refused(arguments.step_novograd(), expected, words);
}

template <class Change>
void larc(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  Arguments arguments(witness.model);
  change(arguments);
  witness.refused(arguments.scale(), expected, words);
  witness.refused(arguments.step_sgd(), expected, words);
}

template <class Change>
void sgd(int32_t expected, std::initializer_list<std::string> words, Change change) {
  Witness witness;
  Arguments arguments(witness.model);
  change(arguments);
  witness.refused(arguments.step_sgd(), expected, words);
}

template <class T>
T* plus(T* pointer, int64_t bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(pointer) + static_cast<uintptr_t>(bytes));
}

constexpr int32_t kNull = LAYERWISE_ERROR_NULL_ARGUMENT, kAliased = LAYERWISE_ERROR_ALIASED,
                  kMisaligned = LAYERWISE_ERROR_MISALIGNED;

}  // namespace

TEST_CASE("the witness itself is a good call", "[bad_input]") {
  Witness witness;
  Arguments arguments(witness.model);
  REQUIRE_OK(arguments.step_novograd());
  REQUIRE_OK(arguments.scale());
  REQUIRE_OK(arguments.step_sgd());
  CHECK_FALSE(witness.model.same_bits(witness.before));
}

TEST_CASE("NULL where a buffer must be", "[bad_input]") {
  novograd(kNull, {"plan", "NULL"}, [](Arguments& a) { a.plan = nullptr; });
  novograd(kNull, {"weights", "NULL"}, [](Arguments& a) { a.weights = nullptr; });
  novograd(kNull, {"grads", "NULL"}, [](Arguments& a) { a.grads = nullptr; });
  novograd(kNull, {"first_moment", "NULL"}, [](Arguments& a) { a.moment = nullptr; });
  novograd(kNull, {"second_moment", "NULL"}, [](Arguments& a) { a.second_moment = nullptr; });
  larc(kNull, {"plan", "NULL"}, [](Arguments& a) { a.plan = nullptr; });
  larc(kNull, {"weights", "NULL"}, [](Arguments& a) { a.weights = nullptr; });
  larc(kNull, {"grads", "NULL"}, [](Arguments& a) { a.grads = nullptr; });

  Witness w;
  Arguments a(w.model);
  w.refused(novograd_step(a.plan, a.weights, a.grads, a.moment, a.second_moment, nullptr, nullptr, nullptr, nullptr,
                          nullptr, nullptr),
            kNull, {"options", "NULL"});
  w.refused(larc_scale(a.plan, a.weights, a.grads, nullptr, nullptr, nullptr, nullptr), kNull, {"options", "NULL"});
  w.refused(larc_sgd_step(a.plan, a.weights, a.grads, a.moment, nullptr, nullptr, nullptr, nullptr, &a.sgd, nullptr),
            kNull, {"larc", "NULL"});
  w.refused(larc_sgd_step(a.plan, a.weights, a.grads, a.moment, nullptr, nullptr, nullptr, &a.larc, nullptr, nullptr),
            kNull, {"sgd", "NULL"});
}

TEST_CASE("buffers that overlap where one is written", "[bad_input]") {
  novograd(kAliased, {"weights", "grads"}, [](Arguments& a) { a.grads = a.weights; });
  novograd(kAliased, {"weights", "first_moment"}, [](Arguments& a) { a.moment = a.weights; });
  novograd(kAliased, {"grads", "first_moment"}, [](Arguments& a) { a.moment = a.grads; });
  novograd(kAliased, {"weights_extra"}, [](Arguments& a) { a.extra = a.weights; });
  novograd(kAliased, {"second_moment", "max_second_moment"},
           [](Arguments& a) { a.max_second_moment = a.second_moment; });
  // One element from the end, one element before the beginning; in a place of their own, since what reaches beyond a
  // buffer's end may meet another one on the heap.
  static double room[1024];
  void* const place = room + 512;
  novograd(kAliased, {"weights", "grads"}, [=](Arguments& a) { a.grads = plus(a.weights = place, 43 * 4); });
  novograd(kAliased, {"weights", "grads"}, [=](Arguments& a) { a.grads = plus(a.weights = place, -43 * 4); });
  novograd(kAliased, {"second_moment", "weights"},
           [=](Arguments& a) { a.second_moment = plus(a.weights = place, 160); });
  novograd(kAliased, {"layer_stats", "weights"},
           [=](Arguments& a) { a.stats = static_cast<double*>(a.weights = place); });
  novograd(kAliased, {"layer_stats", "second_moment"}, [=](Arguments& a) {
    a.stats = static_cast<double*>(place);
    a.second_moment = plus(place, LAYERWISE_STAT_COUNT * 4 * 8 - 8);  // the last value of the statistics
  });
  novograd(kAliased, {"layer_mask"},
           [=](Arguments& a) { a.mask = plus(static_cast<uint8_t*>(a.weights = place), 170); });
  larc(kAliased, {"weights", "grads"}, [](Arguments& a) { a.grads = a.weights; });
  larc(kAliased, {"layer_stats"}, [=](Arguments& a) { a.stats = static_cast<double*>(a.weights = place); });
  sgd(kAliased, {"momentum", "weights"}, [](Arguments& a) { a.moment = a.weights; });
  sgd(kAliased, {"momentum", "grads"}, [=](Arguments& a) { a.moment = plus(a.grads = place, 16); });
  sgd(kAliased, {"weights_extra"}, [](Arguments& a) { a.extra = a.moment; });
}

TEST_CASE("counters that lie in a buffer that is written", "[bad_input]") {
  novograd(kAliased, {"nonfinite_layers"},
           [](Arguments& a) { a.novograd.nonfinite_layers = static_cast<int64_t*>(a.weights); });
  novograd(kAliased, {"step_ptr"}, [](Arguments& a) { a.novograd.step_ptr = static_cast<int64_t*>(a.moment); });
  novograd(kAliased, {"lr_ptr"}, [](Arguments& a) { a.novograd.lr_ptr = static_cast<float*>(a.weights); });
  larc(kAliased, {"found_inf"}, [](Arguments& a) { a.larc.found_inf = reinterpret_cast<const float*>(a.stats); });
}

TEST_CASE("buffers side by side do not overlap", "[bad_input]") {
  Layout layout;
  layout.sizes = {3, 40, 1};
  Model model(layout);
  std::vector<float> all(44 * 3);
  const auto options = good_novograd();
  REQUIRE_OK(novograd_step(model.plan.get(), &all[44], &all[0], &all[88], model.second_moment.data(), nullptr, nullptr,
                           nullptr, nullptr, &options, nullptr));
}

TEST_CASE("pointers not aligned to their element", "[bad_input]") {
  novograd(kMisaligned, {"weights"}, [](Arguments& a) { a.weights = plus(a.weights, 2); });
  novograd(kMisaligned, {"grads"}, [](Arguments& a) { a.grads = plus(a.grads, 1); });
  novograd(kMisaligned, {"first_moment"}, [](Arguments& a) { a.moment = plus(a.moment, 3); });
  novograd(kMisaligned, {"second_moment"}, [](Arguments& a) { a.second_moment = plus(a.second_moment, 4); });
  novograd(kMisaligned, {"max_second_moment"},
           [](Arguments& a) { a.max_second_moment = plus(a.max_second_moment, 4); });
  novograd(kMisaligned, {"weights_extra"}, [](Arguments& a) { a.extra = plus(a.extra, 1); });
  novograd(kMisaligned, {"layer_stats"}, [](Arguments& a) { a.stats = plus(a.stats, 4); });
  larc(kMisaligned, {"weights"}, [](Arguments& a) { a.weights = plus(a.weights, 1); });
  larc(kMisaligned, {"grads"}, [](Arguments& a) { a.grads = plus(a.grads, 2); });
  sgd(kMisaligned, {"momentum"}, [](Arguments& a) { a.moment = plus(a.moment, 2); });

  float number[2] = {1, 1};
  int64_t counter[2] = {0, 0};
  novograd(kMisaligned, {"lr_ptr"}, [&](Arguments& a) { a.novograd.lr_ptr = plus(number, 2); });
  novograd(kMisaligned, {"grad_scale_ptr"}, [&](Arguments& a) { a.novograd.grad_scale_ptr = plus(number, 1); });
  novograd(kMisaligned, {"found_inf"}, [&](Arguments& a) { a.novograd.found_inf = plus(number, 3); });
  novograd(kMisaligned, {"step_ptr"}, [&](Arguments& a) { a.novograd.step_ptr = plus(counter, 4); });
  novograd(kMisaligned, {"nonfinite_layers"}, [&](Arguments& a) { a.novograd.nonfinite_layers = plus(counter, 4); });
  larc(kMisaligned, {"lr_ptr"}, [&](Arguments& a) { a.larc.lr_ptr = plus(number, 2); });
  sgd(kMisaligned, {"step_ptr"}, [&](Arguments& a) { a.sgd.step_ptr = plus(counter, 2); });
}

TEST_CASE("tables of scattered layers are checked as the pointers they are", "[bad_input]") {
  Layout layout = Witness::small();
  layout.scattered = true;
  Witness w(layout);
  std::vector<void*> weights, grads, moment;
  for (int64_t begin : layout.begins()) {
    weights.push_back(w.model.weights.at(begin));
    grads.push_back(w.model.grads.at(begin));
    moment.push_back(w.model.moment.at(begin));
  }
  Arguments a(w.model);
  a.weights = weights.data(), a.grads = grads.data(), a.moment = moment.data(), a.extra = nullptr;
  Arguments same = a;
  same.moment = a.weights;
  w.refused(same.step_novograd(), kAliased, {"weights", "first_moment"});
  Arguments odd = a;
  odd.grads = plus(a.grads, 4);
  w.refused(odd.step_novograd(), kMisaligned, {"grads"});
}
