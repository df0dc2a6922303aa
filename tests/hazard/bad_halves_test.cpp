// What the two halves of a step refuse, without a byte written.
#include "refusal.h"

namespace {

using namespace oracle;

struct Caller : Witness {
  std::vector<double> sums = std::vector<double>(4, 1.0), before_sums = sums;

  int32_t norms(const void* grads, double* grad_sums, double* weight_sums, int32_t kind, int32_t norm) {
    return layerwise_partial_norms(model.plan.get(), model.weights.data(), nullptr, grads, nullptr, grad_sums,
                                   weight_sums, kind, norm, nullptr);
  }
  int32_t novograd(const double* grad_sums, int32_t kind, const layerwise_novograd_options* options) {
    return layerwise_novograd_apply(model.plan.get(), model.weights.data(), model.grads.data(), model.moment.data(),
                                    model.second_moment.data(), nullptr, nullptr, nullptr, nullptr, grad_sums, kind,
                                    options, nullptr);
  }
  int32_t larc(void* momentum, void* extra, const double* grad_sums, const double* weight_sums, int32_t kind,
               const layerwise_larc_options* larc, const layerwise_sgd_options* sgd) {
    return layerwise_larc_apply(model.plan.get(), model.weights.data(), model.grads.data(), momentum, extra, nullptr,
                                nullptr, grad_sums, weight_sums, kind, larc, sgd, nullptr);
  }
  void refused_all(int32_t status, int32_t expected, std::initializer_list<std::string> words) {
    refused(status, expected, words);
    CHECK(sums == before_sums);
  }
};

constexpr int32_t kLayers = LAYERWISE_SUMS_LAYERS, kL2 = LAYERWISE_NORM_L2, kNull = LAYERWISE_ERROR_NULL_ARGUMENT,
                  kFlag = LAYERWISE_ERROR_UNKNOWN_FLAG, kCombination = LAYERWISE_ERROR_COMBINATION;

}  // namespace

TEST_CASE("partial norms refuse what they cannot mean", "[bad_input]") {
  Caller h;
  std::vector<double> others(4);
  void* const grads = h.model.grads.data();
  h.refused_all(h.norms(nullptr, h.sums.data(), nullptr, kLayers, kL2), kNull, {"grads", "NULL"});
  h.refused_all(h.norms(grads, nullptr, nullptr, kLayers, kL2), kNull, {"grad_sums", "NULL"});
  h.refused_all(h.norms(grads, h.sums.data(), nullptr, 1, kL2), kFlag, {"sums_kind", "1"});
  h.refused_all(h.norms(grads, h.sums.data(), nullptr, kLayers, 2), kFlag, {"norm", "2"});
  h.refused_all(h.norms(grads, h.sums.data(), others.data(), kLayers, LAYERWISE_NORM_INF), kCombination,
                {"weight_sums", "infinity"});
  h.refused_all(h.norms(grads, h.sums.data(), h.sums.data(), kLayers, kL2), LAYERWISE_ERROR_ALIASED,
                {"grad_sums", "weight_sums"});
  h.refused_all(
      h.norms(grads, reinterpret_cast<double*>(reinterpret_cast<char*>(h.sums.data()) + 4), nullptr, kLayers, kL2),
      LAYERWISE_ERROR_MISALIGNED, {"grad_sums", "8"});
  h.refused_all(layerwise_partial_norms(h.model.plan.get(), nullptr, nullptr, grads, nullptr, h.sums.data(),
                                        others.data(), kLayers, kL2, nullptr),
                kNull, {"weights", "NULL"});
  h.refused_all(layerwise_partial_norms(h.model.plan.get(), h.model.weights.data(), h.model.extra.data(), grads,
                                        nullptr, h.sums.data(), others.data(), kLayers, kL2, nullptr),
                kCombination, {"weights_extra", "split"});
}

TEST_CASE("applying sums refuses what it cannot mean", "[bad_input]") {
  Caller h;
  const auto options = good_novograd();
  const auto larc = good_larc();
  const auto sgd = good_sgd();
  void* const moment = h.model.moment.data();
  const double* const sums = h.sums.data();
  h.refused_all(h.novograd(nullptr, kLayers, &options), kNull, {"grad_sums", "NULL"});
  h.refused_all(h.novograd(sums, -1, &options), kFlag, {"sums_kind", "-1"});
  h.refused_all(h.novograd(sums, kLayers, nullptr), kNull, {"options", "NULL"});
  h.refused_all(h.novograd(h.model.second_moment.get(0) ? static_cast<double*>(h.model.second_moment.data()) : sums,
                           kLayers, &options),
                LAYERWISE_ERROR_ALIASED, {"grad_sums", "second_moment"});
  h.refused_all(h.larc(moment, nullptr, nullptr, sums, kLayers, &larc, &sgd), kNull, {"grad_sums", "NULL"});
  h.refused_all(h.larc(moment, nullptr, sums, nullptr, kLayers, &larc, &sgd), kNull, {"weight_sums", "NULL"});
  h.refused_all(h.larc(moment, nullptr, sums, sums, 7, &larc, &sgd), kFlag, {"sums_kind", "7"});
  h.refused_all(h.larc(moment, nullptr, sums, sums, kLayers, nullptr, &sgd), kNull, {"larc", "NULL"});
  h.refused_all(h.larc(moment, nullptr, sums, sums, kLayers, &larc, nullptr), kCombination, {"momentum", "sgd"});
  h.refused_all(h.larc(nullptr, h.model.extra.data(), sums, sums, kLayers, &larc, nullptr), kCombination,
                {"weights_extra", "sgd"});
}
