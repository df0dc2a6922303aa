// One random model stepped by a CPU plan and by a CUDA plan, in one pass or two, drawn from one number.
#pragma once

#include <optional>

#include "../oracle/random_case.h"
#include "device_model.h"
#include "same_bits.h"

namespace cross {

enum class Step { kNovograd, kLarcScale, kLarcSgd, kLarcNovograd };
// In halves the device sums and then applies, while the CPU takes the whole step. Of a shard both take the halves, with
// sums to which others have added.
enum class Halves { kTogether, kApart, kOfShard };

class Case {
 public:
  // Without a way, one drawn from the seed: one pass in two of three, the experimental ones in half the cases.
  Case(uint64_t seed, Step step, const oracle::Layout& layout, Halves halves = Halves::kTogether,
       std::optional<Way> way = {})
      : random_(seed),
        step_(step),
        halves_(halves),
        way_(way.value_or(Way(seed % 3 == 1 ? LAYERWISE_PATH_TWO_PASS : LAYERWISE_PATH_ONE_PASS,
                              seed / 3 % 2 ? kEveryExperiment : 0))),
        cpu_(layout),
        scales_(oracle::fill_state(random_, cpu_, random_.one_in(4))),
        novograd_(oracle::random_novograd(random_)),
        larc_(step == Step::kLarcNovograd ? oracle::random_larc_ahead(random_) : oracle::random_larc(random_)),
        sgd_(oracle::random_sgd(random_)),
        sums_(layout) {
    oracle::draw_modes(random_, novograd_);
    if (step == Step::kLarcNovograd) oracle::draw_zero_norms(random_, larc_);
    if (step == Step::kLarcScale) oracle::draw_modes(random_, larc_);
    if (step == Step::kLarcSgd) oracle::draw_modes(random_, larc_, sgd_);
    if (halves != Halves::kTogether) oracle::do_without_decayed_norm(larc_);
    if (random_.one_in(4)) cpu_.stats.clear();
    if (step == Step::kLarcNovograd) novograd_.norm = LAYERWISE_NORM_L2;
    const bool is_novograd = step == Step::kNovograd || step == Step::kLarcNovograd;
    scalars_.lr = static_cast<float>(is_novograd ? novograd_.lr : larc_.lr);
    scalars_.grad_scale = random_.pick({1.0f, 0.25f, -3.0f, 65536.0f});
    scalars_.found_inf = random_.one_in(10) ? 1.0f : 0.0f;
    scalars_.completed = random_.pick<int64_t>({0, 0, 1, 999});
    point(novograd_);
    if (step != Step::kLarcNovograd) point(larc_);
    if (random_.one_in(2)) count_on_device(novograd_);
    if (random_.one_in(2)) count_on_device(sgd_);
    if (layout.moment == LAYERWISE_DTYPE_BFLOAT16 && random_.one_in(2)) round_stochastically();
  }

  // Steps both, and returns the first difference.
  std::string run() {
    const bool nonfinite = random_.one_in(5);
    DeviceModel device(cpu_, 0, way_);
    oracle::Model gpu = cpu_;
    if (halves_ == Halves::kOfShard) make_shard(device.plan());
    for (int64_t count = 1 + random_.below(2); count > 0; --count) {
      oracle::fill_gradients(random_, cpu_, scales_, nonfinite);
      device.push(cpu_, scalars_);
      if (halves_ != Halves::kTogether) {
        const std::string found = sums_of(device);
        if (!found.empty()) return found;
      }
      if (halves_ == Halves::kOfShard) exchange(device);
      const int32_t of_cpu = on_cpu(), of_device = on(device);
      if (of_cpu != of_device)
        return std::string("the CPU returns ") + layerwise_status_name(of_cpu) + ", CUDA " +
               layerwise_status_name(of_device) + ": " + layerwise_last_error();
      Scalars after;
      device.pull(gpu, after);
      const std::string found = difference(cpu_, gpu);
      if (!found.empty()) return found;
      if (after.nonfinite != scalars_.nonfinite || after.completed != scalars_.completed)
        return "counters: CPU " + std::to_string(scalars_.nonfinite) + ", " + std::to_string(scalars_.completed) +
               "; CUDA " + std::to_string(after.nonfinite) + ", " + std::to_string(after.completed);
    }
    return "";
  }

 private:
  template <class Options>
  void point(Options& options) {
    if (random_.one_in(3)) options.lr_ptr = &scalars_.lr;
    if (random_.one_in(3)) options.grad_scale_ptr = &scalars_.grad_scale;
    if (random_.one_in(3)) options.found_inf = &scalars_.found_inf;
    if (random_.one_in(2)) options.nonfinite_layers = &scalars_.nonfinite;
  }
  template <class Options>
  void count_on_device(Options& options) {
    options.step = 0;
    options.step_ptr = &scalars_.completed;
    options.advance_step = random_.one_in(2);
  }

  void round_stochastically() {
    const bool has_momentum = step_ == Step::kLarcSgd && sgd_.momentum != 0;
    novograd_.rounding = LAYERWISE_ROUNDING_STOCHASTIC;
    if (has_momentum) larc_.rounding = LAYERWISE_ROUNDING_STOCHASTIC;
    novograd_.seed = static_cast<int64_t>(random_.bits());
    if (has_momentum) larc_.seed = novograd_.seed;
  }

  // Pieces of larger layers, some of them counted elsewhere, some empty here.
  void make_shard(layerwise_plan* device) {
    std::vector<int64_t> whole, begins;
    std::vector<uint8_t> counted;
    for (int64_t size : cpu_.layout.sizes) {
      begins.push_back(random_.pick<int64_t>({0, 1, 2, 3, 8192, 1000001, int64_t{1} << 40}));
      whole.push_back(begins.back() + size + random_.below(3));
      counted.push_back(!random_.one_in(4));
    }
    layerwise_shard_options shard;
    REQUIRE_OK(layerwise_shard_options_init(&shard, sizeof shard));
    shard.layer_sizes = whole.data(), shard.layer_begins = begins.data(), shard.counted = counted.data();
    REQUIRE_OK(layerwise_plan_set_shard(cpu_.plan.get(), &shard));
    REQUIRE_OK(layerwise_plan_set_shard(device, &shard));
  }
  void exchange(DeviceModel& device) {
    const bool of_weights = step_ != Step::kNovograd;
    for (auto* sums : {&sums_.grads, &sums_.weights}) {
      if (sums == &sums_.weights && !of_weights) continue;
      for (double& sum : *sums) sum += random_.unit() * random_.pick({0.0, 1.0, 1e4});
    }
    device.push_sums(sums_);
  }

  int32_t on_cpu() {
    if (halves_ == Halves::kOfShard) {
      if (step_ == Step::kNovograd) return cpu_.novograd_apply(sums_, novograd_);
      if (step_ == Step::kLarcNovograd) return cpu_.larc_novograd_apply(sums_, larc_, novograd_);
      return cpu_.larc_apply(sums_, larc_, step_ == Step::kLarcScale ? nullptr : &sgd_);
    }
    if (step_ == Step::kNovograd) return cpu_.novograd(novograd_);
    if (step_ == Step::kLarcNovograd) return cpu_.larc_novograd(larc_, novograd_);
    return step_ == Step::kLarcScale ? cpu_.larc_scale(larc_) : cpu_.larc_sgd(larc_, sgd_);
  }
  int32_t on(DeviceModel& device) {
    Scalars* const there = device.device_scalars();
    const auto larc = moved(larc_, scalars_, there);
    auto novograd = moved(novograd_, scalars_, there);
    auto sgd = sgd_;
    if (novograd.step_ptr) novograd.step_ptr = &there->completed;
    if (sgd.step_ptr) sgd.step_ptr = &there->completed;
    const bool apart = halves_ != Halves::kTogether;
    if (step_ == Step::kLarcNovograd)
      return apart ? device.larc_novograd_apply(larc, novograd) : device.larc_novograd(larc, novograd);
    if (step_ == Step::kNovograd) return apart ? device.novograd_apply(novograd) : device.novograd(novograd);
    if (step_ == Step::kLarcScale) return apart ? device.larc_apply(larc, nullptr) : device.larc_scale(larc);
    return apart ? device.larc_apply(larc, &sgd) : device.larc_sgd(larc, sgd);
  }

  // The first half on both.
  std::string sums_of(DeviceModel& device) {
    const bool of_weights = step_ != Step::kNovograd;
    const int32_t norm = of_weights ? LAYERWISE_NORM_L2 : novograd_.norm;
    oracle::Model::Sums of_cpu(cpu_.layout), of_device(cpu_.layout);
    const bool joins = step_ == Step::kLarcSgd || step_ == Step::kLarcNovograd;
    REQUIRE_OK(cpu_.partial_norms(of_cpu, of_weights, norm, joins));
    REQUIRE_OK(device.partial_norms(of_weights, norm, joins));
    device.pull_sums(of_device);
    sums_ = of_cpu;
    for (size_t l = 0; l < of_cpu.grads.size(); ++l)
      for (const auto& [cpu, there] :
           {std::pair{of_cpu.grads[l], of_device.grads[l]}, std::pair{of_cpu.weights[l], of_device.weights[l]}})
        if (std::memcmp(&cpu, &there, sizeof cpu) != 0 && !(std::isnan(cpu) && std::isnan(there)))
          return "a sum of layer " + std::to_string(l) + ": CPU " + std::to_string(cpu) + ", CUDA " +
                 std::to_string(there);
    return "";
  }

  oracle::Random random_;
  const Step step_;
  const Halves halves_;
  const Way way_;
  oracle::Model cpu_;
  const std::vector<double> scales_;
  layerwise_novograd_options novograd_;
  layerwise_larc_options larc_;
  layerwise_sgd_options sgd_;
  oracle::Model::Sums sums_;
  Scalars scalars_;
};

}  // namespace cross
