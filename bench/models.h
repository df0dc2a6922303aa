// The layers of real models, generated from their architectures' definitions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

// The parameter tensors of a model, in the order of its definition, as numbers of elements:
//
//   resnet50     He et al. 2015 with the usual classifier of 1000 classes: 161 tensors, 25 557 032 parameters
//   jasper10x5   Li et al. 2019, dense residual connections, 29 labels: 326 tensors, 332 632 349 parameters
//   bert-large   Devlin et al. 2018, the encoder with embeddings and pooler: 391 tensors, 335 141 888 parameters
//   llama3-8b    Dubey et al. 2024: 291 tensors, 8 030 261 248 parameters
//   LxN          L layers of N elements each, such as 400x1000
//
// Throws std::invalid_argument for any other name.
std::vector<int64_t> layer_sizes(const std::string& model);

int64_t element_count(const std::vector<int64_t>& sizes);

}  // namespace bench
