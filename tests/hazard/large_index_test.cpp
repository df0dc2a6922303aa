// Offsets beyond 2^31 and 2^32 elements. (DeepSpeed 7640, apex 1825, TransformerEngine 2918: beyond 2^31 elements
// weights were silently not updated.) The buffers are reserved, not owned: only the pages of the layers are ever
// touched.
#include "../oracle/check.h"
#include "refusal.h"

#if defined(__unix__)
#include <sys/mman.h>

namespace {

using namespace oracle;

class Sparse {
 public:
  explicit Sparse(int64_t bytes) : bytes_(static_cast<size_t>(bytes)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_ == MAP_FAILED) SKIP("this system does not reserve that much address space");
  }
  ~Sparse() { munmap(memory_, bytes_); }
  Sparse(const Sparse&) = delete;
  float* data() { return static_cast<float*>(memory_); }

 private:
  size_t bytes_;
  void* memory_;
};

constexpr int64_t kTwo31 = int64_t{1} << 31, kTwo32 = int64_t{1} << 32;

}  // namespace

TEST_CASE("layers beyond 2^31 and 2^32 elements are stepped like the same layers near 0", "[large]") {
  Layout far;
  far.sizes = {100, 9000, 8193, 77};
  far.offsets = {0, kTwo31 - 4000, kTwo32 - 8000, 3 * kTwo31 + 5};  // the middle two lie across the boundaries
  far.threads = 2;
  Layout close = far;
  close.offsets.clear();
  Model expected = Witness::filled(close);
  const int64_t bytes = far.extent() * 4;
  Sparse weights(bytes), grads(bytes), moment(bytes);
  const auto begins = close.begins();
  for (size_t l = 0; l < far.sizes.size(); ++l)
    for (int64_t i = 0; i < far.sizes[l]; ++i) {
      weights.data()[far.offsets[l] + i] = static_cast<float>(expected.weights.get(begins[l] + i));
      grads.data()[far.offsets[l] + i] = static_cast<float>(expected.grads.get(begins[l] + i));
      moment.data()[far.offsets[l] + i] = static_cast<float>(expected.moment.get(begins[l] + i));
    }
  Buffer second_moment = expected.second_moment;

  const auto novograd = good_novograd();
  const auto larc = good_larc();
  const auto sgd = good_sgd();
  REQUIRE_OK(expected.novograd(novograd));
  REQUIRE_OK(expected.larc_sgd(larc, sgd));
  REQUIRE_OK(expected.larc_scale(larc));
  const auto plan = create_plan(plan_options(far));
  REQUIRE_OK(novograd_step(plan.get(), weights.data(), grads.data(), moment.data(), second_moment.data(), nullptr,
                           nullptr, nullptr, nullptr, &novograd, nullptr));
  REQUIRE_OK(larc_sgd_step(plan.get(), weights.data(), grads.data(), moment.data(), nullptr, nullptr, nullptr, &larc,
                           &sgd, nullptr));
  REQUIRE_OK(larc_scale(plan.get(), weights.data(), grads.data(), nullptr, nullptr, &larc, nullptr));

  for (size_t l = 0; l < far.sizes.size(); ++l) {
    CAPTURE(l);
    const size_t size = static_cast<size_t>(far.sizes[l]) * 4;
    CHECK(std::memcmp(weights.data() + far.offsets[l], expected.weights.at(begins[l]), size) == 0);
    CHECK(std::memcmp(grads.data() + far.offsets[l], expected.grads.at(begins[l]), size) == 0);
    CHECK(std::memcmp(moment.data() + far.offsets[l], expected.moment.at(begins[l]), size) == 0);
  }
  int64_t extent = 0;
  REQUIRE_OK(layerwise_plan_query(plan.get(), LAYERWISE_QUERY_EXTENT, &extent));
  CHECK(extent == far.extent());
}

TEST_CASE("a plan for more than 2^32 elements in one layer counts its tiles", "[large]") {
  Layout layout;
  layout.sizes = {kTwo32 + 1, kTwo31};
  const auto plan = create_plan(plan_options(layout));
  int64_t value = 0;
  REQUIRE_OK(layerwise_plan_query(plan.get(), LAYERWISE_QUERY_ELEMENTS, &value));
  CHECK(value == kTwo32 + 1 + kTwo31);
  REQUIRE_OK(layerwise_plan_query(plan.get(), LAYERWISE_QUERY_TILES, &value));
  CHECK(value == kTwo32 / 8192 + 1 + kTwo31 / 8192);
}
#endif
