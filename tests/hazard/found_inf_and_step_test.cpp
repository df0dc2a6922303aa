// Scalars by value and by pointer, the step counter, and the flag that stops a step: what a mixed-precision loop or a
// replayed graph relies on. (PyTorch issue 106802: a host learning rate frozen in a graph. GradScaler: a step that is
// skipped must not advance the counter.)
#include "refusal.h"

namespace {

using namespace oracle;

Layout layout() {
  Layout layout;
  layout.sizes = {5, 1, 9000, 300};
  layout.extra = LAYERWISE_DTYPE_FLOAT16;
  layout.threads = 3;
  return layout;
}

}  // namespace

TEST_CASE("scalars by value and by pointer give the same bits", "[scalars]") {
  for (double lr : {0.01, 0.1, 1e-5, 0.0})
    for (double grad_scale : {1.0, 1024.0, 0.5}) {
      const float lr_value = static_cast<float>(lr), scale_value = static_cast<float>(grad_scale);
      Model by_value = Witness::filled(layout()), by_pointer = Witness::filled(layout());
      int64_t completed = 6;
      auto novograd = good_novograd();
      novograd.lr = lr, novograd.grad_scale = grad_scale, novograd.step = 7, novograd.bias_correction = 1;
      REQUIRE_OK(by_value.novograd(novograd));
      // What a pointer replaces is not looked at: the initialiser leaves lr NaN.
      novograd.lr = NAN, novograd.lr_ptr = &lr_value;
      novograd.grad_scale = 0, novograd.grad_scale_ptr = &scale_value;
      novograd.step = 0, novograd.step_ptr = &completed;
      REQUIRE_OK(by_pointer.novograd(novograd));
      CHECK(by_value.same_bits(by_pointer));
      CHECK(completed == 6);

      auto larc = good_larc();
      auto sgd = good_sgd();
      larc.lr = lr, larc.grad_scale = grad_scale, sgd.step = 7, sgd.dampening = 0.25;
      REQUIRE_OK(by_value.larc_sgd(larc, sgd));
      REQUIRE_OK(by_value.larc_scale(larc));
      larc.lr = NAN, larc.lr_ptr = &lr_value, larc.grad_scale = 0, larc.grad_scale_ptr = &scale_value;
      sgd.step = 0, sgd.step_ptr = &completed;
      REQUIRE_OK(by_pointer.larc_sgd(larc, sgd));
      REQUIRE_OK(by_pointer.larc_scale(larc));
      CAPTURE(lr, grad_scale);
      CHECK(by_value.same_bits(by_pointer));
    }
}

TEST_CASE("a host learning rate is rounded to float32 like a device one", "[scalars]") {
  Model exact = Witness::filled(layout()), rounded = Witness::filled(layout());
  auto options = good_novograd();
  options.lr = 0.1;
  REQUIRE_OK(exact.novograd(options));
  options.lr = static_cast<double>(0.1f);
  REQUIRE_OK(rounded.novograd(options));
  CHECK(exact.same_bits(rounded));
}

TEST_CASE("the step advances once a call, after it was read", "[scalars]") {
  Model by_value = Witness::filled(layout()), by_pointer = Witness::filled(layout());
  int64_t completed = 0;
  auto counting = good_novograd();
  counting.bias_correction = 1, counting.step_ptr = &completed, counting.advance_step = 1;
  auto given = good_novograd();
  given.bias_correction = 1;
  for (int64_t t = 1; t <= 5; ++t) {
    REQUIRE_OK(by_pointer.novograd(counting));
    CHECK(completed == t);
    given.step = t;
    REQUIRE_OK(by_value.novograd(given));
    CHECK(by_value.same_bits(by_pointer));
  }
  auto sgd = good_sgd();
  sgd.step_ptr = &completed, sgd.advance_step = 1;
  REQUIRE_OK(by_pointer.larc_sgd(good_larc(), sgd));
  CHECK(completed == 6);
}

TEST_CASE("the step does not move unless asked, nor when a call is refused", "[scalars]") {
  Model model = Witness::filled(layout());
  int64_t completed = 3;
  auto options = good_novograd();
  options.step_ptr = &completed;
  REQUIRE_OK(model.novograd(options));
  CHECK(completed == 3);
  options.advance_step = 1, options.beta1 = 2;
  CHECK(model.novograd(options) == LAYERWISE_ERROR_INVALID_VALUE);
  CHECK(completed == 3);
}

TEST_CASE("a step advances though all its layers are masked, empty or not finite", "[scalars]") {
  Layout masked = layout();
  masked.mask.assign(masked.sizes.size(), 0);
  Model model = Witness::filled(masked);
  int64_t completed = 3;
  auto options = good_novograd();
  options.step_ptr = &completed, options.advance_step = 1;
  REQUIRE_OK(model.novograd(options));
  CHECK(completed == 4);
  Layout empty;
  empty.sizes = {0, 0};
  Model nothing(empty);
  REQUIRE_OK(nothing.novograd(options));
  CHECK(completed == 5);
  Model spoilt = Witness::filled(layout());
  spoilt.grads.fill(NAN);
  REQUIRE_OK(spoilt.novograd(options));
  CHECK(completed == 6);
}

TEST_CASE("found_inf stops the whole step and leaves every byte", "[scalars]") {
  for (float found : {1.0f, -1.0f, 1e-45f, INFINITY, NAN}) {
    CAPTURE(found);
    Model model = Witness::filled(layout());
    model.grads.set(2, NAN);  // what a scaler found; not counted either
    const Model before = model;
    int64_t completed = 3, nonfinite = 9;
    auto novograd = good_novograd();
    novograd.found_inf = &found, novograd.step_ptr = &completed, novograd.advance_step = 1;
    novograd.nonfinite_layers = &nonfinite;
    REQUIRE_OK(model.novograd(novograd));
    auto larc = good_larc();
    auto sgd = good_sgd();
    larc.found_inf = &found, larc.nonfinite_layers = &nonfinite, sgd.step_ptr = &completed, sgd.advance_step = 1;
    REQUIRE_OK(model.larc_sgd(larc, sgd));
    REQUIRE_OK(model.larc_scale(larc));
    CHECK(model.same_bits(before));
    CHECK(completed == 3);
    CHECK(nonfinite == 9);
  }
}

TEST_CASE("a found_inf of 0 changes nothing", "[scalars]") {
  for (float found : {0.0f, -0.0f}) {
    Model flagged = Witness::filled(layout()), plain = Witness::filled(layout());
    auto options = good_novograd();
    REQUIRE_OK(plain.novograd(options));
    options.found_inf = &found;
    REQUIRE_OK(flagged.novograd(options));
    CHECK(flagged.same_bits(plain));
  }
}

TEST_CASE("scalars by pointer that are not finite skip every layer", "[scalars]") {
  // They cannot be refused: nothing is read back. The layers stay whole and are counted.
  for (float bad : {NAN, INFINITY}) {
    Model model = Witness::filled(layout());
    const Model before = model;
    int64_t counter = 0;
    auto options = good_novograd();
    options.lr_ptr = &bad, options.nonfinite_layers = &counter;
    REQUIRE_OK(model.novograd(options));
    CHECK(counter == 4);
    options = good_novograd();
    const float zero = 0;
    options.grad_scale_ptr = &zero, options.nonfinite_layers = &counter;
    REQUIRE_OK(model.novograd(options));
    CHECK(counter == 8);
    CHECK(model.same_bits(before));
  }
}

TEST_CASE("SGD's momentum is not read on the first step", "[scalars]") {
  Model zeros = Witness::filled(layout()), rubbish = Witness::filled(layout());
  zeros.moment.fill(0);
  rubbish.moment.fill(NAN);
  auto sgd = good_sgd();
  sgd.step = 1, sgd.dampening = 0.5;  // as in PyTorch, the first buffer is not dampened
  REQUIRE_OK(zeros.larc_sgd(good_larc(), sgd));
  REQUIRE_OK(rubbish.larc_sgd(good_larc(), sgd));
  CHECK(zeros.same_bits(rubbish));
}
