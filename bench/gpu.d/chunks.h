// How a model is cut into launches whose kernel arguments say what each block does: see chunked_novograd.
#pragma once

#include "gpu.d/rivals.h"

namespace bench {

inline constexpr int kMostTensors = 110, kMostBlocks = 320;  // of one launch

template <int kBuffers>
struct ChunkTable {
  void* addresses[kBuffers][kMostTensors];
  int64_t sizes[kMostTensors];
  int64_t first_layer;  // the number of tensor 0 in the model
  int chunks[kMostBlocks];
  uint8_t tensors[kMostBlocks];
};

// The elements of one block.
struct Chunk {
  int64_t layer, first;
  int tensor, number, count;
};

template <int kBuffers>
LAYERWISE_INLINE Chunk chunk_of(const ChunkTable<kBuffers>& table, int block) {
  const int tensor = table.tensors[block], number = table.chunks[block];
  const int64_t first = int64_t{number} * kChunk, left = table.sizes[tensor] - first;
  return {table.first_layer + tensor, first, tensor, number, static_cast<int>(left < kChunk ? left : kChunk)};
}

constexpr int64_t chunk_count(int64_t size) { return (size + kChunk - 1) / kChunk; }

// The buffers that a table has the addresses of.
template <int kBuffers>
struct ChunkedBuffers {
  void* start[kBuffers];
  int element_bytes[kBuffers];
};

// Calls launch(table, blocks) for as many tables as all chunks of all layers take. No layer is empty.
template <int kBuffers, class Launch>
void for_each_table(const ChunkedLayers& layers, const ChunkedBuffers<kBuffers>& buffers, Launch&& launch) {
  ChunkTable<kBuffers> table;
  int tensors = 0, blocks = 0;
  const auto add_tensor = [&](int64_t layer) {
    if (tensors == 0) table.first_layer = layer;
    for (int b = 0; b < kBuffers; ++b)
      table.addresses[b][tensors] =
          static_cast<char*>(buffers.start[b]) + layers.offsets[layer] * buffers.element_bytes[b];
    table.sizes[tensors++] = layers.sizes[layer];
  };
  for (int64_t layer = 0; layer < layers.count; ++layer) {
    add_tensor(layer);
    const int64_t last = chunk_count(layers.sizes[layer]) - 1;
    for (int64_t chunk = 0; chunk <= last; ++chunk) {
      table.tensors[blocks] = static_cast<uint8_t>(tensors - 1);
      table.chunks[blocks++] = static_cast<int>(chunk);
      const bool full = blocks == kMostBlocks || (tensors == kMostTensors && chunk == last);
      if (!full && !(chunk == last && layer + 1 == layers.count)) continue;
      launch(table, blocks);
      tensors = blocks = 0;
      if (chunk < last) add_tensor(layer);  // whose chunks go on in the next table
    }
  }
}

}  // namespace bench
