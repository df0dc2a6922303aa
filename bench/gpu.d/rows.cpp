#include "gpu.d/rows.h"

#include <sstream>

#include "models.h"

namespace bench {
namespace {

constexpr const char *kResnet = "resnet50", *kBert = "bert-large", *kJasper = "jasper10x5", *kLlama = "llama3-8b",
                     *kTiny = "10000x64";
constexpr Special kSpecials[] = {Special::kUnaligned,  Special::kOddFirst,  Special::kScattered, Special::kCopy,
                                 Special::kStochastic, Special::kZeroGrads, Special::kFoundInf, Special::kExperimental};

void append(std::vector<Row>& rows, std::initializer_list<Row> more) { rows.insert(rows.end(), more); }

// Norms and update apart: what either costs does not show in their sum.
void append_halves(std::vector<Row>& rows, std::initializer_list<Op> halves) {
  for (const BufferDtypes& dtypes : {kFull, kAllBf16})
    for (const char* model : {kResnet, kBert, kTiny})
      for (const Op op : halves) rows.push_back({model, dtypes, op});
}

void append_special(std::vector<Row>& rows) {
  for (const Special special : {Special::kScattered, Special::kOddFirst})
    for (const BufferDtypes& dtypes : {kFull, kAllBf16}) rows.push_back({kResnet, dtypes, Op::kNovograd, special});
  append(rows, {{kResnet, kFull, Op::kNovograd, Special::kZeroGrads},
                {kBert, kFull, Op::kNovograd, Special::kZeroGrads},
                {kResnet, kCopied, Op::kNovograd, Special::kCopy},
                {kBert, kCopied, Op::kNovograd, Special::kCopy},
                {kResnet, kAllBf16, Op::kNovograd, Special::kStochastic},
                {kBert, kAllBf16, Op::kNovograd, Special::kStochastic},
                {kResnet, kFull, Op::kNovograd, Special::kUnaligned},
                {kResnet, kAllBf16, Op::kNovograd, Special::kUnaligned},
                {kTiny, kFull, Op::kNovograd, Special::kScattered},
                {kTiny, kFull, Op::kNovograd, Special::kFoundInf},
                {kResnet, kFull, Op::kNovograd, Special::kFoundInf},
                {kResnet, kFull, Op::kLarcSgd, Special::kOddFirst},
                {kResnet, kFull, Op::kLarcSgd, Special::kScattered},
                {kResnet, kCopied, Op::kLarcSgd, Special::kCopy}});
}

}  // namespace

const char* name_of(Special special) {
  constexpr const char* kNames[] = {"",     "unaligned",  "odd first layer", "scattered",
                                    "copy", "stochastic", "zero gradients",  "found_inf", "experimental"};
  return kNames[static_cast<int>(special)];
}

std::string name_of(const Row& row) {
  const std::string special = name_of(row.special);
  return std::string(name_of(row.op)) + " " + row.model + " " + short_name(row.dtypes) + (special.empty() ? "" : ", ") +
         special;
}

Layers layers_of(const Row& row) {
  constexpr int64_t kOddSize = 7;
  std::vector<int64_t> sizes = layer_sizes(row.model);
  if (row.special == Special::kOddFirst) sizes.insert(sizes.begin(), kOddSize);
  Layers layers(std::move(sizes), row.dtypes,
                row.special == Special::kUnaligned   ? Placement::kUnaligned
                : row.special == Special::kScattered ? Placement::kAllocated
                                                     : Placement::kPacked);
  layers.scattered = row.special == Special::kScattered;
  layers.zero_grads = row.special == Special::kZeroGrads;
  return layers;
}

StepSettings settings_of(const Row& row) {
  StepSettings settings;
  if (row.special == Special::kStochastic) settings.rounding = LAYERWISE_ROUNDING_STOCHASTIC;
  return settings;
}

// A model that fits the chip, one whose largest layer does not, LARC's two buffers, half the bytes, layers far smaller
// than a tile, and a model of which two thirds are held.
std::vector<Row> first_rows() {
  return {{kResnet, kFull, Op::kNovograd},    {kBert, kFull, Op::kNovograd}, {kResnet, kFull, Op::kLarcSgd},
          {kResnet, kAllBf16, Op::kNovograd}, {kTiny, kFull, Op::kNovograd}, {kJasper, kFull, Op::kNovograd}};
}

std::vector<Row> other_rows() {
  std::vector<Row> rows;
  for (const Row& row : {Row{kResnet, kAllBf16, Op::kNovograd}, Row{kResnet, kFull, Op::kNovograd},
                         Row{kBert, kFull, Op::kNovograd}, Row{kResnet, kFull, Op::kLarcSgd}})
    rows.push_back({row.model, row.dtypes, row.op, Special::kExperimental});
  append_halves(rows, {Op::kGradNorms, Op::kNovogradApply});
  append_special(rows);
  append(rows, {{kLlama, kAllBf16, Op::kNovograd},
                {kLlama, kMasters, Op::kNovograd},
                {kResnet, kMasters, Op::kNovograd},
                {kBert, kAllBf16, Op::kNovograd},
                {kBert, kFull, Op::kLarcSgd},
                {"400x1000", kFull, Op::kNovograd},
                {"100000x64", kFull, Op::kNovograd},
                {kTiny, kAllBf16, Op::kNovograd},
                {kTiny, kFull, Op::kLarcSgd}});
  append_halves(rows, {Op::kBothNorms, Op::kLarcSgdApply});
  for (const BufferDtypes& dtypes : {kFull, kAllBf16})
    for (const char* model : {kResnet, kJasper}) rows.push_back({model, dtypes, Op::kLarcScale});
  for (const BufferDtypes& dtypes : {kMasters, kAllBf16}) rows.push_back({kJasper, dtypes, Op::kNovograd});
  for (const char* model : {kResnet, kJasper}) rows.push_back({model, kFull, Op::kLarcNovograd});
  append(rows, {{kResnet, kAllBf16, Op::kLarcSgd},
                {kJasper, kFull, Op::kLarcSgd},
                {kJasper, kAllBf16, Op::kLarcSgd},
                {kLlama, kAllBf16, Op::kLarcSgd},
                {kLlama, kAllBf16, Op::kLarcScale},
                {kLlama, kAllBf16, Op::kNovogradApply},
                {kResnet, kFull, Op::kLarcScaleApply},
                {kResnet, kHalf, Op::kNovograd},
                {"400x1000", kFull, Op::kLarcSgd},
                {"400x1000", kFull, Op::kLarcScale}});
  return rows;
}

std::vector<Row> rows_on(const std::string& models) {
  std::vector<Row> rows;
  std::istringstream names(models);
  for (std::string model; std::getline(names, model, ',');) {
    for (const Op op : kSteps)
      for (const BufferDtypes& dtypes : {kFull, kMasters, kAllBf16}) rows.push_back({model, dtypes, op});
    for (const Op op : kApplies) rows.push_back({model, kMasters, op});
    for (const Op op : kNorms) rows.push_back({model, kMasters, op});
    for (const Special special : kSpecials)
      rows.push_back({model,
                      special == Special::kCopy         ? kCopied
                      : special == Special::kStochastic ? kAllBf16
                                                        : kFull,
                      Op::kNovograd, special});
  }
  return rows;
}

}  // namespace bench
