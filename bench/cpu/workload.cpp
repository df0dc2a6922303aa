#include "cpu/workload.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "cpu/plain_loop.h"
#include "models.h"

namespace bench {
namespace {

// Pages of an array, large ones where the system has them; touched first by whoever fills it.
class Pages {
 public:
  explicit Pages(int64_t bytes) : bytes_(static_cast<size_t>(std::max<int64_t>(bytes, 1))) {
    address_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address_ == MAP_FAILED) throw std::bad_alloc();
    madvise(address_, bytes_, MADV_HUGEPAGE);
  }
  ~Pages() { munmap(address_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void* get() const { return address_; }

 private:
  void* address_;
  size_t bytes_;
};

double quantile(std::vector<double>& values, double q) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

template <class Body>
double microseconds(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

class Workload {
 public:
  explicit Workload(const Case& row)
      : row_(row),
        sizes_(layer_sizes(row.model)),
        elements_(element_count(sizes_)),
        bytes_(element_bytes(row.dtypes)),
        weights_(elements_ * bytes_.weight),
        grads_(elements_ * bytes_.grad),
        moment_(row.op == Op::kLarcScale ? 0 : elements_ * bytes_.moment),
        second_moment_(sizes_.size()),
        plan_(sizes_, {row.dtypes, LAYERWISE_DEVICE_CPU, row.threads, row.isa}),
        most_threads_(static_cast<int>(plan_.query(LAYERWISE_QUERY_THREADS))),
        buffers_{weights_.get(), grads_.get(), moment_.get(), second_moment_.data(), nullptr} {
    threads_.run(most_threads_, [this](layerwise::Member member) {
      fill(member, buffers_.weights, row_.dtypes.weights, 1, 0.05f);
      fill(member, buffers_.grads, row_.dtypes.grads, 2, row_.zero_grads ? 0.0f : 0.01f);
      if (row_.op != Op::kLarcScale) fill(member, buffers_.moment, row_.dtypes.moment, 3, 0.01f);
    });
  }

  void run_step() { step(row_.op, plan_, buffers_, {}); }
  void run_plain_loop() {
    threads_.run(most_threads_, [this](layerwise::Member member) {
      const auto [begin, end] = part(member);
      plain_loop(row_.op, bytes_, buffers_, begin, end, mask_);
    });
  }

  int64_t layers() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t elements() const { return elements_; }
  const Plan& plan() const { return plan_; }

 private:
  // A thread's elements, from cache line to cache line.
  std::pair<int64_t, int64_t> part(layerwise::Member member) const {
    const auto bound = [&](int64_t t) { return t == member.size ? elements_ : elements_ * t / member.size / 64 * 64; };
    return {bound(member.thread), bound(member.thread + 1)};
  }
  void fill(layerwise::Member member, void* buffer, int32_t dtype, uint32_t seed, float amplitude) const {
    const auto [begin, end] = part(member);
    fill_values(element_address(buffer, dtype, begin), dtype, begin, end - begin, seed, amplitude);
  }

  const Case row_;
  const std::vector<int64_t> sizes_;
  const int64_t elements_;
  const ElementBytes bytes_;
  const Pages weights_, grads_, moment_;
  std::vector<float> second_moment_;
  const Plan plan_;
  const int most_threads_;
  layerwise::Threads threads_;
  const StepBuffers buffers_;
  volatile uint32_t mask_ = 0;
};

int64_t memory_bytes(const Case& row) {
  const ElementBytes bytes = element_bytes(row.dtypes);
  const int per_element = bytes.weight + bytes.grad + (row.op == Op::kLarcScale ? 0 : bytes.moment);
  return element_count(layer_sizes(row.model)) * per_element;
}

Allowance::Allowance() : large_(std::make_unique<Workload>(Case{"allowance", Op::kNovograd, "resnet50"})) {
  large_->run_plain_loop();
  measure_rate();
}
Allowance::~Allowance() = default;

void Allowance::measure_rate() {
  const double us = microseconds([&] { large_->run_plain_loop(); });
  bytes_per_us_ = static_cast<double>(floor_bytes(Op::kNovograd, element_bytes({kF32, kF32, kF32})) * large_->elements()) / us;
}

double Allowance::us(int64_t bytes, int64_t layers, int threads) const {
  return static_cast<double>(bytes) / bytes_per_us_ + 0.1 * static_cast<double>(layers) / threads;
}

Measurement measure(const Case& row, double seconds, Allowance* allowance) {
  constexpr size_t kFewest = 5, kMost = 20000;
  constexpr double kRateHoldsUs = 1e5;
  Workload work(row);
  const auto threads = static_cast<int32_t>(work.plan().query(LAYERWISE_QUERY_THREADS));
  const int64_t bytes = floor_bytes(row.op, element_bytes(row.dtypes)) * work.elements();
  const auto warm_up = [&] {
    work.run_step();
    work.run_plain_loop();
  };
  warm_up();
  warm_up();
  std::vector<double> steps, plains, ratios, shares;
  double next_rate = 0;
  for (double spent = 0; steps.size() < kFewest || (spent < seconds * 1e6 && steps.size() < kMost);) {
    if (allowance && spent >= next_rate) {
      allowance->measure_rate();
      next_rate = spent + kRateHoldsUs;
      warm_up();
    }
    steps.push_back(microseconds([&] { work.run_step(); }));
    plains.push_back(microseconds([&] { work.run_plain_loop(); }));
    ratios.push_back(plains.back() / steps.back());
    if (allowance) shares.push_back(steps.back() / allowance->us(bytes, work.layers(), threads));
    spent += steps.back() + plains.back();
  }
  return {work.layers(),
          work.elements(),
          static_cast<int64_t>(steps.size()),
          threads,
          static_cast<int32_t>(work.plan().query(LAYERWISE_QUERY_ISA)),
          quantile(steps, 0.5),
          quantile(plains, 0.5),
          quantile(steps, 0),
          quantile(plains, 0),
          quantile(ratios, 0.5),
          quantile(ratios, 0.25),
          quantile(ratios, 0.75),
          allowance ? quantile(shares, 0.5) : 0};
}

}  // namespace bench
