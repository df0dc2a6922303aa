// Layers that take no part: their memory is not read, not written, and need not exist. (pytorch 38655, 87308: some
// gradients are None. Buffers of frozen layers may be unmapped, or owned by somebody else.)
#include "refusal.h"

#if defined(__unix__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

using namespace oracle;

#if defined(__unix__)
// Three pages; the middle one cannot be touched.
class Fenced {
 public:
  Fenced() : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    memory_ = static_cast<unsigned char*>(
        mmap(nullptr, 3 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory_ != MAP_FAILED);
    for (size_t i = 0; i < 3 * page_; i += 4) *reinterpret_cast<float*>(memory_ + i) = 0.5f;
    REQUIRE(mprotect(memory_ + page_, page_, PROT_NONE) == 0);
  }
  ~Fenced() { munmap(memory_, 3 * page_); }
  Fenced(const Fenced&) = delete;
  float* data() { return reinterpret_cast<float*>(memory_); }
  int64_t page_elements() const { return static_cast<int64_t>(page_ / sizeof(float)); }

 private:
  size_t page_;
  unsigned char* memory_;
};
#endif

}  // namespace

#if defined(__unix__)
TEST_CASE("a masked layer's buffers are not touched", "[mask]") {
  Fenced weights, grads, moment;
  const int64_t page = weights.page_elements();
  for (int32_t threads : {1, 3}) {
    Layout layout;
    layout.sizes = {page, page, page};
    layout.threads = threads;
    const auto plan = create_plan(plan_options(layout));
    std::vector<float> second_moment(3, 0);
    const uint8_t mask[] = {1, 0, 1};
    const auto novograd = good_novograd();
    const auto larc = good_larc();
    const auto sgd = good_sgd();
    // A fault here ends the process: that is the failure.
    REQUIRE_OK(novograd_step(plan.get(), weights.data(), grads.data(), moment.data(), second_moment.data(), nullptr,
                             nullptr, mask, nullptr, &novograd, nullptr));
    REQUIRE_OK(larc_sgd_step(plan.get(), weights.data(), grads.data(), moment.data(), nullptr, mask, nullptr, &larc,
                             &sgd, nullptr));
    REQUIRE_OK(larc_scale(plan.get(), weights.data(), grads.data(), mask, nullptr, &larc, nullptr));
    CHECK(second_moment[0] > 0);
    CHECK(second_moment[1] == 0);
    CHECK(second_moment[2] > 0);
  }
}

TEST_CASE("gaps between layers are not touched, and nothing beyond the last element is", "[mask]") {
  Fenced weights, grads, moment;
  const int64_t page = weights.page_elements();
  for (int64_t size : {int64_t{1}, int64_t{3}, int64_t{17}, page - 1, page}) {  // up against the fence from both sides
    Layout layout;
    layout.sizes = {size, size};
    layout.offsets = {page - size, 2 * page};
    const auto plan = create_plan(plan_options(layout));
    std::vector<float> second_moment(2, 0);
    const auto novograd = good_novograd();
    REQUIRE_OK(novograd_step(plan.get(), weights.data(), grads.data(), moment.data(), second_moment.data(), nullptr,
                             nullptr, nullptr, nullptr, &novograd, nullptr));
    const auto larc = good_larc();
    REQUIRE_OK(larc_scale(plan.get(), weights.data(), grads.data(), nullptr, nullptr, &larc, nullptr));
    CHECK(second_moment[1] > 0);
  }
}
#endif

TEST_CASE("in a scattered plan a NULL gradient leaves its layer out", "[mask]") {
  Layout layout = Witness::small();
  layout.scattered = true, layout.mask = {1, 1, 0, 1};
  for (bool by_null : {false, true}) {
    layout.mask_by_null = by_null;
    Witness w(layout);
    REQUIRE_OK(w.model.novograd(good_novograd()));
    REQUIRE_OK(w.model.larc_sgd(good_larc(), good_sgd()));
    REQUIRE_OK(w.model.larc_scale(good_larc()));
    CHECK(w.model.weights.same_elements(w.before.weights, 3, 43));
    CHECK(w.model.grads.same_elements(w.before.grads, 3, 43));
    CHECK(w.model.moment.same_elements(w.before.moment, 3, 43));
    CHECK_FALSE(w.model.weights.same_elements(w.before.weights, 0, 3));
    CHECK_FALSE(w.model.weights.same_elements(w.before.weights, 43, 44));
  }
}

TEST_CASE("gaps keep their bytes", "[mask]") {
  Layout layout;
  layout.sizes = {7, 5, 100};
  layout.offsets = {130, 3, 20};
  Witness w(layout);  // gaps: 0-2, 8-19, 120-129
  REQUIRE_OK(w.model.novograd(good_novograd()));
  for (const auto& [begin, end] : {std::pair{0, 3}, std::pair{8, 20}, std::pair{120, 130}}) {
    CHECK(w.model.weights.same_elements(w.before.weights, begin, end));
    CHECK(w.model.moment.same_elements(w.before.moment, begin, end));
  }
}

TEST_CASE("a layer stepped alone gets the bits it gets in company", "[mask]") {
  Layout layout = Witness::small();
  layout.mask = {};
  Witness all(layout);
  REQUIRE_OK(all.model.novograd(good_novograd()));
  Witness one_by_one(layout);
  for (size_t l = 0; l < layout.sizes.size(); ++l) {
    one_by_one.model.layout.mask.assign(layout.sizes.size(), 0);
    one_by_one.model.layout.mask[l] = 1;
    REQUIRE_OK(one_by_one.model.novograd(good_novograd()));
  }
  CHECK(one_by_one.model.same_bits(all.model));
}
