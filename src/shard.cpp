#include "shard.h"

#include "error.h"
#include "fingerprint.h"
#include "layerwise.h"

namespace layerwise {
namespace {

// What must agree: a hash of each, so that an error can say what does not.
enum Subject { kLayout, kDtypes, kAgreed, kNumerics, kSubjects };
constexpr const char* kNames[kSubjects] = {
    "layers: their number, their whole sizes or whether their pieces are contiguous", "dtypes",
    "agreed bytes: lr, options, state, or what else a step is told",
    "numerics versions: their libraries give other bits"};
constexpr int kChunks = 2, kChunkBits = 16;
static_assert(1 + kSubjects * kChunks * 2 == LAYERWISE_CLAIM_HEAD);

int64_t layout_fingerprint(const PlanDescription& plan) {
  Fingerprint print;
  const bool is_shard = plan.is_shard;
  print.add(static_cast<int64_t>(plan.layout.layers.size()));
  for (size_t l = 0; l < plan.layout.layers.size(); ++l)
    print.add(is_shard ? plan.pieces[l].whole : plan.layout.layers[l].size);
  return print.value();
}

int64_t dtypes_fingerprint(const PlanDescription& plan) {
  Fingerprint print;
  print.add(plan.dtypes);
  return print.value();
}

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccd;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53;
  return x ^ (x >> 33);
}

int64_t chunk(int64_t hash, int index) {
  const uint64_t folded = mixed(static_cast<uint64_t>(hash));
  return static_cast<int64_t>((folded >> (kChunkBits * index)) & ((1 << kChunkBits) - 1));
}

// Of a place in a layer. What pieces claim, the difference between their ends, adds up to that of the whole where they
// follow each other.
double mark(int64_t place) { return static_cast<double>(mixed(static_cast<uint64_t>(place)) >> 44); }

double span(const LayerPiece& piece, int64_t size) {
  if (piece.begin < 0 || !piece.counted || size == 0) return 0;
  return mark(piece.begin + size) - mark(piece.begin);
}

}  // namespace

int64_t global_fingerprint(const PlanDescription& plan) {
  Fingerprint print;
  print.add(layout_fingerprint(plan));
  print.add(plan.dtypes);
  print.add(kNumericsVersion);
  return print.value();
}

void write_claim(const PlanDescription& plan, const void* agreed, int64_t agreed_bytes, double* claim, int64_t count) {
  Fingerprint of_agreed, of_layout;
  for (int64_t i = 0; i < agreed_bytes; ++i) of_agreed.add_byte(static_cast<const uint8_t*>(agreed)[i]);
  of_layout.add(layout_fingerprint(plan));
  for (const LayerPiece& piece : plan.pieces) of_layout.add(piece.whole > 0 && piece.begin < 0);
  const int64_t hashes[kSubjects] = {of_layout.value(), dtypes_fingerprint(plan), of_agreed.value(), kNumericsVersion};
  *claim++ = 1;  // rank
  for (int64_t hash : hashes)
    for (int index = 0; index < kChunks; ++index) {
      const auto value = static_cast<double>(chunk(hash, index));
      *claim++ = value;
      *claim++ = value * value;
    }
  if (count == LAYERWISE_CLAIM_HEAD) return;
  for (size_t l = 0; l < plan.pieces.size(); ++l) {
    const LayerPiece& piece = plan.pieces[l];
    const int64_t size = plan.layout.layers[l].size;
    *claim++ = piece.counted ? static_cast<double>(size) : 0;
    *claim++ = span(piece, size);
  }
}

void verify_claims(const PlanDescription& plan, const double* claim, const double* sum, int64_t count) {
  const double ranks = sum[0];
  if (!(ranks >= 1))
    fail(LAYERWISE_ERROR_RANKS_DISAGREE, "sum[0] is %g; it must be the number of ranks: the claims were not added up",
         ranks);
  // The mean of the squares is the square of the mean, this rank's own, where all are equal, and nowhere else.
  for (int subject = 0; subject < kSubjects; ++subject)
    for (int i = 1 + subject * 2 * kChunks; i < 1 + (subject + 1) * 2 * kChunks; ++i)
      if (sum[i] != ranks * claim[i])
        fail(LAYERWISE_ERROR_RANKS_DISAGREE, "the %.0f ranks differ in their %s", ranks, kNames[subject]);
  if (count == LAYERWISE_CLAIM_HEAD) return;
  for (size_t l = 0; l < plan.pieces.size(); ++l) {
    const LayerPiece& piece = plan.pieces[l];
    const double counted = sum[LAYERWISE_CLAIM_HEAD + 2 * l], spans = sum[LAYERWISE_CLAIM_HEAD + 2 * l + 1];
    if (counted != static_cast<double>(piece.whole))
      fail(LAYERWISE_ERROR_RANKS_DISAGREE, "layer %lld has %lld elements; the %.0f ranks count %.0f of them: %s",
           static_cast<long long>(l), static_cast<long long>(piece.whole), ranks, counted,
           counted < static_cast<double>(piece.whole) ? "some are missing" : "some are counted twice");
    if (piece.begin >= 0 && piece.whole > 0 && spans != mark(piece.whole) - mark(0))
      fail(LAYERWISE_ERROR_RANKS_DISAGREE,
           "the pieces of layer %lld do not follow each other: some of its %lld elements are missing, as many counted "
           "twice",
           static_cast<long long>(l), static_cast<long long>(piece.whole));
  }
}

}  // namespace layerwise
