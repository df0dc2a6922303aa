#include "models.h"

#include <charconv>
#include <numeric>
#include <stdexcept>

namespace bench {
namespace {

using Sizes = std::vector<int64_t>;

void append(Sizes& sizes, std::initializer_list<int64_t> more) {
  for (const int64_t size : more) sizes.push_back(size);
}

// A convolution without bias, then batch normalization's weight and bias.
void append_normalized(Sizes& sizes, int64_t in, int64_t out, int64_t kernel) {
  append(sizes, {out * in * kernel, out, out});
}

Sizes resnet50() {
  Sizes sizes;
  append_normalized(sizes, 3, 64, 7 * 7);
  int64_t width = 64;
  const struct {
    int64_t inner;
    int blocks;
  } stages[] = {{64, 3}, {128, 4}, {256, 6}, {512, 3}};
  for (const auto& stage : stages)
    for (int block = 0; block < stage.blocks; ++block) {
      append_normalized(sizes, width, stage.inner, 1);
      append_normalized(sizes, stage.inner, stage.inner, 3 * 3);
      append_normalized(sizes, stage.inner, 4 * stage.inner, 1);
      if (block == 0) append_normalized(sizes, width, 4 * stage.inner, 1);
      width = 4 * stage.inner;
    }
  append(sizes, {1000 * width, 1000});
  return sizes;
}

// As NeMo's configuration jasper_10x5dr: 64 mel features, a prologue, ten blocks of five convolutions, two more
// convolutions and the decoder. Every block adds 1x1 convolutions of the inputs of all blocks so far, its own included.
Sizes jasper10x5() {
  Sizes sizes;
  append_normalized(sizes, 64, 256, 11);
  int64_t width = 256;
  std::vector<int64_t> inputs;
  const struct {
    int64_t filters, kernel;
  } blocks[] = {{256, 11}, {256, 11}, {384, 13}, {384, 13}, {512, 17},
                {512, 17}, {640, 21}, {640, 21}, {768, 25}, {768, 25}};
  for (const auto& block : blocks) {
    inputs.push_back(width);
    for (int repeat = 0; repeat < 5; ++repeat)
      append_normalized(sizes, repeat == 0 ? width : block.filters, block.filters, block.kernel);
    for (int64_t input : inputs) append_normalized(sizes, input, block.filters, 1);
    width = block.filters;
  }
  append_normalized(sizes, width, 896, 29);
  append_normalized(sizes, 896, 1024, 1);
  append(sizes, {1024 * 29, 29});
  return sizes;
}

void append_linear(Sizes& sizes, int64_t in, int64_t out) { append(sizes, {in * out, out}); }

Sizes bert_large() {
  constexpr int64_t kWidth = 1024, kInner = 4096;
  Sizes sizes{30522 * kWidth, 512 * kWidth, 2 * kWidth, kWidth, kWidth};
  for (int layer = 0; layer < 24; ++layer) {
    for (int projection = 0; projection < 4; ++projection) append_linear(sizes, kWidth, kWidth);
    append(sizes, {kWidth, kWidth});
    append_linear(sizes, kWidth, kInner);
    append_linear(sizes, kInner, kWidth);
    append(sizes, {kWidth, kWidth});
  }
  append_linear(sizes, kWidth, kWidth);
  return sizes;
}

Sizes llama3_8b() {
  constexpr int64_t kWidth = 4096, kKeys = 1024, kInner = 14336, kVocabulary = 128256;
  Sizes sizes{kVocabulary * kWidth};
  for (int layer = 0; layer < 32; ++layer)
    append(sizes, {kWidth * kWidth, kWidth * kKeys, kWidth * kKeys, kWidth * kWidth, kWidth * kInner, kWidth * kInner,
                   kWidth * kInner, kWidth, kWidth});
  append(sizes, {kWidth, kVocabulary * kWidth});
  return sizes;
}

Sizes equal_layers(const std::string& model) {
  int64_t layers = 0, elements = 0;
  const char* const end = model.data() + model.size();
  const auto first = std::from_chars(model.data(), end, layers);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != 'x' || layers < 1 || layers > 100'000'000) return {};
  const auto second = std::from_chars(first.ptr + 1, end, elements);
  if (second.ec != std::errc() || second.ptr != end || elements < 1 || elements > 1'000'000'000'000) return {};
  return Sizes(static_cast<size_t>(layers), elements);
}

}  // namespace

std::vector<int64_t> layer_sizes(const std::string& model) {
  if (model == "resnet50") return resnet50();
  if (model == "jasper10x5") return jasper10x5();
  if (model == "bert-large") return bert_large();
  if (model == "llama3-8b") return llama3_8b();
  Sizes sizes = equal_layers(model);
  if (sizes.empty())
    throw std::invalid_argument(model + " is no model: resnet50, jasper10x5, bert-large, llama3-8b or LxN, such as 400x1000");
  return sizes;
}

int64_t element_count(const std::vector<int64_t>& sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
}

}  // namespace bench
