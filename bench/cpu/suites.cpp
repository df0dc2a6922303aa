#include "cpu/suites.h"

namespace bench {
namespace {

using Rows = std::vector<Case>;

constexpr Op kOps[] = {Op::kNovograd, Op::kLarcScale, Op::kLarcSgd};

// Every op with every kind of dtypes on one model, and the full-size ones as far as memory goes.
Rows models() {
  Rows rows;
  for (const Op op : kOps)
    for (const BufferDtypes& dtypes :
         {kFull, kMasters, BufferDtypes{kF32, kF16, kF32}, kAllBf16, BufferDtypes{kF16, kF16, kF32}})
      rows.push_back({"models", op, "resnet50", dtypes});
  for (const char* model : {"jasper10x5", "bert-large"})
    for (const Op op : kOps) rows.push_back({"models", op, model, kFull});
  rows.push_back({"models", Op::kNovograd, "jasper10x5", kMasters});
  rows.push_back({"models", Op::kNovograd, "llama3-8b", kAllBf16});
  for (const Op op : kOps) rows.push_back({"models", op, "400x1000", kFull});
  return rows;
}

// Whether a parameter costs the same in a large model as in a small one: layers of a million, then one single layer.
Rows sizes() {
  Rows rows;
  for (const char* model : {"1x1000000", "10x1000000", "100x1000000", "1000x1000000", "1x10000000", "1x100000000",
                            "1x1000000000"})
    rows.push_back({"sizes", Op::kNovograd, model});
  return rows;
}

Rows layers() {
  Rows rows;
  for (const Op op : kOps)
    for (const char* model : {"10000x64", "10000x256", "10000x1000", "10000x4000"}) rows.push_back({"layers", op, model});
  return rows;
}

Rows zeros() {
  Rows rows;
  for (const Op op : kOps)
    for (const char* model : {"resnet50", "10000x1000"}) rows.push_back({"zeros", op, model, kFull, 0, 0, true});
  return rows;
}

Rows isa() {
  Rows rows;
  for (const BufferDtypes& dtypes : {kFull, kMasters})
    for (const int32_t isa : {LAYERWISE_ISA_BASELINE, LAYERWISE_ISA_AVX2, LAYERWISE_ISA_AVX512, LAYERWISE_ISA_NEON})
      rows.push_back({"isa", Op::kNovograd, "resnet50", dtypes, 0, isa});
  return rows;
}

Rows threads(int cores) {
  Rows rows;
  for (int count = 1; count < cores; count *= 2) rows.push_back({"threads", Op::kNovograd, "resnet50", kFull, count});
  rows.push_back({"threads", Op::kNovograd, "resnet50", kFull, cores});
  return rows;
}

}  // namespace

std::vector<Case> suite_rows(const std::string& suite, int cores) {
  if (suite == "models") return models();
  if (suite == "sizes") return sizes();
  if (suite == "layers") return layers();
  if (suite == "zeros") return zeros();
  if (suite == "isa") return isa();
  if (suite == "threads") return threads(cores);
  return {};
}

}  // namespace bench
