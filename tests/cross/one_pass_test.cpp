// The one-pass step where it can go wrong: at the edge of what its blocks can hold, when it cannot run, after a launch that
// was killed. In the harness alone, whose pretended GPU has as many multiprocessors as a test wants. Expected are the CPU
// backend's bits, the header's words, and what kernels/tuning.h says of the pretended GPU's shared memory.
#include <catch2/catch_test_macros.hpp>

#include "cross_case.h"
#include "cuda/worklist.h"
#include "device_under_test.h"
#include "kernels/tuning.h"

namespace {

using namespace cross;

constexpr int64_t kTile = layerwise::kTileElements;
constexpr layerwise::SharedMemory kPretended{228 << 10, 227 << 10, 1 << 10};

void shape(int sms, int blocks_per_sm) {
  simt::reset();
  simt::options().sms = sms;
  simt::options().blocks_per_sm = blocks_per_sm;
}

// Sizes of a layer of float32, behind which the next one's tiles lie at multiples of 16 bytes, or do not.
constexpr int64_t kAligned = 4, kUnaligned = 3;

// Tiles that all blocks of a one-pass step of float32 gradients hold.
int64_t capacity(int sms, int blocks_per_sm) {
  const layerwise::HoldShape wanted = layerwise::hold_shape(kPretended, kTile * sizeof(float));
  return static_cast<int64_t>(sms) * std::min(blocks_per_sm, wanted.blocks) * wanted.slots;
}

// before: elements of a first layer, whose size decides where the second's tiles are aligned.
oracle::Layout tiles_and(int64_t tiles, int64_t elements, int64_t before = kUnaligned) {
  oracle::Layout layout;
  layout.sizes = {before, tiles * kTile + elements, 5};
  return layout;
}

layerwise_novograd_options novograd() {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = 0.01;
  return options;
}

oracle::Model filled(const oracle::Layout& layout) {
  oracle::Model model(layout);
  model.weights.fill(0.5);
  model.grads.fill(0.25);
  return model;
}

std::string difference_after(const oracle::Model& start, DeviceModel& device, int steps) {
  oracle::Model cpu = start, gpu = start;
  for (int step = 0; step < steps; ++step) REQUIRE_OK(cpu.novograd(novograd()));
  Scalars scalars;
  device.pull(gpu, scalars);
  return difference(cpu, gpu);
}

}  // namespace

// Hazard: blocks that are all full of one layer while a tile of it is still to be drawn wait for ever.
TEST_CASE("a layer of exactly what the blocks hold, of more and of less, has the CPU's bits", "[one_pass]") {
  struct Grid {
    int sms, blocks_per_sm;
  };
#if defined(SIMT_MODE_TSAN) || defined(SIMT_MODE_ASAN)
  const Grid grids[] = {{1, 1}, {3, 1}};
#else
  const Grid grids[] = {{1, 1}, {3, 1}, {1, 4}, {5, 4}};
#endif
  uint64_t seed = 1;
  for (const Grid& grid : grids)
    for (const Step step : {Step::kNovograd, Step::kLarcScale, Step::kLarcSgd, Step::kLarcNovograd})
      for (const int64_t elements : {int64_t{-1}, int64_t{0}, int64_t{1}, kTile + 1})
        for (const bool in_bulk : {false, true}) {
          shape(grid.sms, grid.blocks_per_sm);
          simt::set_seed(seed);
          CAPTURE(grid.sms, grid.blocks_per_sm, step, elements, in_bulk, seed);
          const oracle::Layout layout =
              tiles_and(capacity(grid.sms, grid.blocks_per_sm), elements, in_bulk ? kAligned : kUnaligned);
          const Way way(LAYERWISE_PATH_ONE_PASS, in_bulk ? LAYERWISE_EXPERIMENTAL_BULK_COPY : 0);
          const std::string found = Case(seed++, step, layout, Halves::kTogether, way).run();
          INFO(found);
          REQUIRE(found.empty());
        }
}

// Hazard: a bulk pass that fetches nothing is right on every schedule. Its tiles are fetched where they are whole and lie at
// multiples of 16 bytes: gradients, and through a ring of stages of 16 KiB what else an update reads.
TEST_CASE("a bulk pass fetches every whole tile that is aligned", "[one_pass]") {
  constexpr int64_t kTiles = 5, kStages = 4, kStagesOf16Bits = 2;  // of a tile's weights and moments
  const auto check = [](const oracle::Layout& layout, int64_t copies, auto step) {
    if (!is_built(layout)) return;
    const oracle::Model model = filled(layout);
    shape(3, 2);
    DeviceModel device(model, 0, {LAYERWISE_PATH_ONE_PASS, LAYERWISE_EXPERIMENTAL_BULK_COPY});
    const uint64_t before = simt::statistics().copies;
    REQUIRE_OK(step(device));
    CHECK(simt::statistics().copies - before == static_cast<uint64_t>(copies));
  };
  const auto by_novograd = [](DeviceModel& device) { return device.novograd(novograd()); };
  check(tiles_and(kTiles, 0, kAligned), kTiles * (1 + 2 * kStages), by_novograd);
  check(tiles_and(kTiles, 1, kAligned), kTiles * (1 + 2 * kStages), by_novograd);
  check(tiles_and(kTiles, 0, kUnaligned), 0, by_novograd);
  oracle::Layout half = tiles_and(kTiles, 0, kAligned);  // 4 elements of bfloat16 are 8 bytes
  half.grads = half.weights = half.moment = LAYERWISE_DTYPE_BFLOAT16;
  check(half, 0, by_novograd);
  half.sizes[0] = 2 * kAligned;
  check(half, kTiles * (1 + 2 * kStagesOf16Bits), by_novograd);
  layerwise_larc_options options;
  REQUIRE_OK(layerwise_larc_options_init(&options, sizeof options));
  options.lr = 0.1;
  layerwise_sgd_options sgd;
  REQUIRE_OK(layerwise_sgd_options_init(&sgd, sizeof sgd));
  check(half, kTiles * (1 + 2 * kStagesOf16Bits), [&](DeviceModel& device) { return device.larc_sgd(options, sgd); });
  check(half, kTiles, [&](DeviceModel& device) { return device.larc_scale(options); });
}

TEST_CASE("what a one-pass step holds is what its blocks have room for", "[one_pass]") {
  shape(3, 1);
  const int64_t room = capacity(3, 1);
  const auto held = [](const oracle::Layout& layout, int32_t key, int32_t path) {
    const oracle::Model model(layout);
    return DeviceModel(model, 0, path).query(key);
  };
  constexpr auto one = LAYERWISE_PATH_ONE_PASS, two = LAYERWISE_PATH_TWO_PASS;
  CHECK(held(tiles_and(room, 0), LAYERWISE_QUERY_HELD_GRADS, one) == room * kTile + 8);
  CHECK(held(tiles_and(room, 1), LAYERWISE_QUERY_HELD_GRADS, one) == (room - 1) * kTile + 1 + 8);
  CHECK(held(tiles_and(room, 0), LAYERWISE_QUERY_HELD_GRADS, two) == 0);
  // The plan's own choice: a model of which most is held, and one of which little is; and one of tiles that are mostly
  // empty.
  CHECK(held(tiles_and(room, 1), LAYERWISE_QUERY_PATH, 0) == LAYERWISE_PATH_ONE_PASS);
  CHECK(held(tiles_and(5 * room, 0), LAYERWISE_QUERY_PATH, 0) == LAYERWISE_PATH_TWO_PASS);
  CHECK(held(tiles_and(5 * room, 0), LAYERWISE_QUERY_PATH, one) == LAYERWISE_PATH_ONE_PASS);
  oracle::Layout filled, empty;
  filled.sizes = std::vector<int64_t>(20, kTile / 2);
  empty.sizes = std::vector<int64_t>(20, kTile / 2 - 1);
  CHECK(held(filled, LAYERWISE_QUERY_PATH, 0) == LAYERWISE_PATH_ONE_PASS);
  CHECK(held(empty, LAYERWISE_QUERY_PATH, 0) == LAYERWISE_PATH_TWO_PASS);
  CHECK(held(empty, LAYERWISE_QUERY_PATH, one) == LAYERWISE_PATH_ONE_PASS);
  oracle::Layout half = tiles_and(2 * room, 0);
  half.grads = LAYERWISE_DTYPE_BFLOAT16;
  CHECK(held(half, LAYERWISE_QUERY_HELD_GRADS, 0) == 2 * room * kTile + 8);  // 16-bit tiles need half the room
}

// Hazard: a step that fills the whole device stops the communication beside it.
TEST_CASE("a step fills no more multiprocessors than it may", "[one_pass]") {
  shape(5, 1);
  // Tiles for every warp of the norms, and so for every block of the others.
  const oracle::Layout layout = tiles_and(5 * layerwise::kNormBlocks * layerwise::kBlockThreads / 32, 0);
  const oracle::Model model = filled(layout);
  auto options = oracle::plan_options(layout);
  options.device = 0;
  for (const int64_t most : {int64_t{2}, int64_t{99}}) {
    options.multiprocessors = most;
    for (const int32_t path : {LAYERWISE_PATH_TWO_PASS, LAYERWISE_PATH_ONE_PASS}) {
      options.path = path;
      CAPTURE(most, path);
      DeviceModel device(model, 0, 0, oracle::create_plan(options));
      const uint64_t threads = simt::statistics().threads;
      REQUIRE_OK(device.novograd(novograd()));
      const uint64_t blocks = (simt::statistics().threads - threads) / layerwise::kBlockThreads;
      const uint64_t filled = static_cast<uint64_t>(std::min<int64_t>(most, 5));
      CHECK(blocks == filled * (path == LAYERWISE_PATH_ONE_PASS ? 1 : layerwise::kNormBlocks + layerwise::kUpdateBlocks));
      CHECK(device.query(LAYERWISE_QUERY_PATH) == path);
      CHECK(difference_after(model, device, 1) == "");
    }
  }
}

// Hazard: fewer multiprocessors than the plan was made for (MPS, green contexts): its blocks would wait for others that
// never start. The step runs in two passes then, with the same bits, and says so.
TEST_CASE("a one-pass step that cannot have all its blocks resident runs in two passes", "[one_pass]") {
  const auto run = [](auto shrink) {
    shape(3, 2);
    const oracle::Model model = filled(tiles_and(8, 7));
    DeviceModel device(model);
    REQUIRE(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_ONE_PASS);
    const uint64_t before = simt::statistics().launches;
    REQUIRE_OK(device.novograd(novograd()));
    CHECK(simt::statistics().launches == before + 1);
    shrink();
    REQUIRE_OK(device.novograd(novograd()));
    CHECK(simt::statistics().launches == before + 3);
    CHECK(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_TWO_PASS);
    CHECK(cudaGetLastError() == cudaSuccess);
    shape(3, 2);
    REQUIRE_OK(device.novograd(novograd()));
    CHECK(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_ONE_PASS);
    CHECK(difference_after(model, device, 3) == "");
  };
  SECTION("the context has fewer multiprocessors") {
    run([] { simt::options().sms = 1; });
  }
  SECTION("the launch is refused") {
    run([] { simt::options().blocks_per_sm = 1; });
  }
  SECTION("the context lets the kernel have less shared memory") {
    run([] { simt::fail_call("launch", cudaErrorInvalidValue); });
  }
  SECTION("the context has fewer registers to give") {
    run([] { simt::fail_call("launch", cudaErrorLaunchOutOfResources); });
  }
  // Then the launch itself is accepted, and the graph's instantiation fails, when it is too late for another launch.
  SECTION("the launch would be refused, and the stream is captured") {
    run([] {
      simt::options().capturing = true;
      simt::options().blocks_per_sm = 1;
    });
  }
  SECTION("a device without cooperative launch") {
    shape(3, 2);
    simt::options().cooperative_launch = false;
    const oracle::Model model = filled(tiles_and(2, 7));
    DeviceModel device(model, 0, LAYERWISE_PATH_ONE_PASS);
    CHECK(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_TWO_PASS);
    REQUIRE_OK(device.novograd(novograd()));
    CHECK(difference_after(model, device, 1) == "");
  }
}

// Hazard: a launch that was killed leaves tickets drawn, blocks gone and layers finished.
TEST_CASE("a reset makes a plan usable again after a one-pass launch that was killed", "[one_pass]") {
  shape(3, 2);
  const oracle::Layout described = tiles_and(20, 7);
  const oracle::Model model = filled(described);
  layerwise::Layout layout;
  for (const int64_t size : described.sizes) {
    layout.layers.push_back({layout.elements, size, layout.tiles});
    layout.elements += size;
    layout.tiles += layerwise::tiles_of(size);
  }
  const layerwise::WorkspaceLayout places(layout, true);
  const DeviceBytes memory(std::vector<std::byte>(static_cast<size_t>(places.bytes) + 256).data(),
                           static_cast<size_t>(places.bytes) + 256);
  auto* const workspace = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(memory.data()) + 255) / 256 * 256);
  auto options = oracle::plan_options(described);
  options.device = 0;
  options.workspace = workspace;
  options.workspace_bytes = places.bytes;
  const auto plan = oracle::create_plan(options);
  DeviceModel device(model, 0, 0, plan);
  const std::vector<std::byte> left(static_cast<size_t>(places.zeroed_bytes), std::byte{2});
  REQUIRE_CUDA(cudaMemcpy(workspace + places.arrivals, left.data(), left.size(), cudaMemcpyHostToDevice));
  REQUIRE_OK(layerwise_plan_reset(plan.get()));
  REQUIRE_OK(device.novograd(novograd()));
  CHECK(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_ONE_PASS);
  CHECK(difference_after(model, device, 1) == "");
}

// Planted: a list that holds one tile more of a layer than there is room for. Every block ends up full of tiles of that
// layer, none may draw the last one, and the harness must say so.
TEST_CASE("a work list that holds more than there is room for is caught", "[one_pass]") {
  layerwise::Layout layout;
  for (const int64_t more : {0, 1}) {
    shape(1, 3);
    simt::options().patience = 20'000'000;
    const int slots = 2, blocks = 3;
    const int64_t size = (slots * blocks + more) * kTile;
    layout.layers = {{0, size, 0}};
    layout.elements = layout.extent = size;
    layout.tiles = layerwise::tiles_of(size);
    const layerwise::Worklist worklist = layerwise::build_worklist(layout);
    const layerwise::OnePassList list = layerwise::one_pass_list(layout, slots * blocks + more);
    const layerwise::WorkspaceLayout places(layout, true);
    std::vector<std::byte> image(static_cast<size_t>(places.bytes));
    const auto put = [&](int64_t at, const auto& values) {
      std::memcpy(image.data() + at, values.data(), values.size() * sizeof values[0]);
    };
    put(places.layers, worklist.layers);
    put(places.tile_layer, worklist.tile_layer);
    put(places.options, std::vector<layerwise::LayerOptions>{{1, 1, 0}});
    put(places.items[0], list.items);
    const DeviceBytes workspace(image.data(), image.size());
    const std::vector<float> values(static_cast<size_t>(size), 0.5f);
    const DeviceBytes weights(values.data(), values.size() * 4), grads(values.data(), values.size() * 4),
        moment(values.data(), values.size() * 4), second(values.data(), 4);
    layerwise::NovogradStep step{};
    step.buffers.weights = weights.data(), step.buffers.grads = grads.data(), step.buffers.first_moment = moment.data();
    step.second_moment = second.data();
    step.hyper.second_moment_dtype = layerwise::Dtype::kFloat32;
    step.hyper.lr.value = 0.01, step.hyper.grad_scale.value = 1, step.hyper.beta1 = 0.9, step.hyper.beta2 = 0.9;
    const layerwise::Dtypes dtypes{layerwise::Dtype::kFloat32, layerwise::Dtype::kFloat32, layerwise::Dtype::kFloat32,
                                   layerwise::Dtype::kFloat32, layerwise::Dtype::kNone};
    layerwise::OnePassWork work = places.one_pass_work(0, static_cast<int64_t>(list.items.size()), workspace.data());
    work.slots = slots;
    const int shared = slots * kTile * static_cast<int>(sizeof(float));
    for (const bool in_bulk : {false, true}) {
      const auto kernel =
          in_bulk ? layerwise::novograd_bulk_pass(dtypes) : layerwise::novograd_kernels(dtypes).one_pass;
      const int ring = in_bulk ? layerwise::kRingBytes : 0;
      REQUIRE_CUDA(cudaMemcpy(workspace.data(), image.data(), image.size(), cudaMemcpyHostToDevice));
      REQUIRE_CUDA(kernel.allow_shared(kPretended.per_block));
      const cudaError_t ran =
          kernel.launch(places.device_plan(layout, workspace.data()), work, {blocks, shared + ring}, step, nullptr);
      INFO(cudaGetErrorName(ran) << ": " << simt::last_report());
      CHECK((ran == cudaSuccess) == (more == 0));
      if (more) CHECK(simt::last_report().find("LOCK") != std::string::npos);
    }
  }
  simt::reset();
}
