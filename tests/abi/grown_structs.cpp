// Inside a later library whose structs have all grown by a member "later" (tests/abi/CMakeLists.txt makes its header): what
// it takes from the struct of an older caller, who has other data behind it. The member is at its default, as the later
// library's initializer has it; what the caller set is kept. And a caller of the later header on the later library itself.
#include <cstdio>
#include <cstring>

#include "validate.h"

namespace {

int failures = 0;

void check(bool good, const char* what, const char* type) {
  if (!good) std::printf("%s: %s\n", type, what), ++failures;
}

template <class Options>
void check_struct(const char* type, int32_t (*init)(Options*, int64_t), int64_t first) {
  constexpr int64_t kOlder = sizeof(Options) - sizeof(double);
  Options older, newer;
  std::memset(static_cast<void*>(&older), 0xa5, sizeof older);
  check(init(&older, kOlder) == LAYERWISE_OK, "an older caller's struct is not filled", type);
  check(init(&newer, sizeof newer) == LAYERWISE_OK, "a struct of this version is not filled", type);
  check(older.struct_size == kOlder, "struct_size is not the caller's", type);
  double behind;
  std::memset(static_cast<void*>(&behind), 0xa5, sizeof behind);
  check(std::memcmp(&older.later, &behind, sizeof behind) == 0, "the initializer wrote behind the caller's struct", type);
  check(std::memcmp(&older.struct_size + 1, &newer.struct_size + 1, kOlder - 8) == 0, "other defaults", type);

  const Options taken = layerwise::received(&older, "options");
  check(std::memcmp(&taken.later, &newer.later, sizeof behind) == 0, "the new member is not at its default", type);
  check(std::memcmp(&taken, &older, kOlder) == 0, "what the caller set is not kept", type);
  newer.later = 3;
  check(layerwise::received(&newer, "options").later == 3, "the new member of a caller of this version is lost", type);
  check(init(&older, first) == LAYERWISE_OK, "the first of this ABI is not filled", type);
  check(init(&older, first - 8) == LAYERWISE_ERROR_STRUCT_SIZE, "smaller than the first of this ABI, and filled", type);
}

}  // namespace

// The sizes are those of the first header of this ABI, which stands in old_header.
int main() {
  check_struct("layerwise_novograd_options", layerwise_novograd_options_init, 184);
  check_struct("layerwise_larc_options", layerwise_larc_options_init, 136);
  check_struct("layerwise_sgd_options", layerwise_sgd_options_init, 64);
  check_struct("layerwise_plan_options", layerwise_plan_options_init, 104);
  check_struct("layerwise_layer_options", layerwise_layer_options_init, 48);
  check_struct("layerwise_shard_options", layerwise_shard_options_init, 64);
  return failures != 0;
}
