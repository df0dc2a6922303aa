// What the CUDA backend asks of the CUDA runtime, and what becomes of a plan when the runtime refuses. In the harness
// alone, whose runtime counts calls and fails on demand. The expectations are the header's words.
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include "cross_case.h"
#include "device_under_test.h"
#include "same_bits.h"

namespace {

using namespace cross;

oracle::Layout layout() {
  oracle::Layout layout;
  layout.sizes = {5, 9000, 0, 300};
  return layout;
}

layerwise_novograd_options novograd() {
  layerwise_novograd_options options;
  REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = 0.01;
  return options;
}

oracle::Model filled_model() {
  oracle::Model model(layout());
  model.weights.fill(0.5);
  model.grads.fill(0.25);
  return model;
}

int32_t create(int32_t device, void* workspace = nullptr, int64_t bytes = 0) {
  const oracle::Layout described = layout();
  auto options = oracle::plan_options(described);
  options.device = device;
  options.threads = 0;
  options.workspace = workspace;
  options.workspace_bytes = bytes;
  layerwise_plan* plan = nullptr;
  const int32_t status = layerwise_plan_create(&options, &plan);
  CHECK((plan != nullptr) == (status == LAYERWISE_OK));
  layerwise_plan_destroy(plan);
  return status;
}

int64_t workspace_bytes() {
  const oracle::Layout described = layout();
  auto options = oracle::plan_options(described);
  options.device = 0;
  int64_t bytes = 0;
  REQUIRE_OK(layerwise_plan_workspace_size(&options, &bytes));
  return bytes;
}

}  // namespace

// Hazard: a hidden allocation or synchronisation breaks graph capture and stalls the stream.
TEST_CASE("a step is its launches and nothing else", "[runtime]") {
  const int32_t path = GENERATE(LAYERWISE_PATH_TWO_PASS, LAYERWISE_PATH_ONE_PASS);
  simt::reset();
  const oracle::Model model = filled_model();
  DeviceModel device(model, 0, path);
  const auto options = novograd();
  const size_t allocations = simt::live_allocations();
  const char* const quiet[] = {"cudaMalloc", "cudaMallocAsync", "cudaFree", "cudaMemcpy", "cudaMemcpyAsync", "cudaMemset",
                               "cudaMemsetAsync", "cudaDeviceSynchronize", "cudaStreamSynchronize"};
  std::vector<int> before;
  for (const char* function : quiet) before.push_back(simt::calls(function));
  const uint64_t launches = simt::statistics().launches;
  REQUIRE_OK(device.novograd(options));
  CHECK(simt::statistics().launches == launches + (path == LAYERWISE_PATH_TWO_PASS ? 2 : 1));
  for (size_t i = 0; i < before.size(); ++i) {
    INFO(quiet[i]);
    CHECK(simt::calls(quiet[i]) == before[i]);
  }
  CHECK(simt::live_allocations() == allocations);
}

// The second half has the layers' constants worked out before any element is updated.
TEST_CASE("sums are one launch, and applying them is two", "[runtime]") {
  simt::reset();
  const oracle::Model model = filled_model();
  DeviceModel device(model);
  layerwise_larc_options larc;
  REQUIRE_OK(layerwise_larc_options_init(&larc, sizeof larc));
  larc.lr = 0.01;
  layerwise_sgd_options sgd;
  REQUIRE_OK(layerwise_sgd_options_init(&sgd, sizeof sgd));
  const auto launches_of = [](auto call) {
    const uint64_t before = simt::statistics().launches;
    REQUIRE_OK(call());
    return simt::statistics().launches - before;
  };
  CHECK(launches_of([&] { return device.partial_norms(true, LAYERWISE_NORM_L2, false); }) == 1);
  CHECK(launches_of([&] { return device.novograd_apply(novograd()); }) == 2);
  CHECK(launches_of([&] { return device.larc_apply(larc, &sgd); }) == 2);
  CHECK(launches_of([&] { return device.larc_apply(larc, nullptr); }) == 2);
}

// Hazard: a device that has no such way refuses the launch, or takes it and gives other bits; a library without code for
// it, which the driver compiles from older PTX, does nothing in silence.
TEST_CASE("experimental ways are taken where the device has them", "[runtime]") {
  for (const int64_t asked : {int64_t{0}, int64_t{LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH}, kEveryExperiment})
    for (const auto& [capability, compiled_for] : {std::pair{75, 75}, {90, 90}, {90, 80}})
      for (const int32_t path : {LAYERWISE_PATH_TWO_PASS, LAYERWISE_PATH_ONE_PASS}) {
        simt::reset();
        simt::options().compute_capability = capability;
        simt::options().compiled_for = compiled_for;
        CAPTURE(asked, capability, compiled_for, path);
        oracle::Model expected = filled_model();
        DeviceModel device(expected, 0, {path, asked});
        CHECK(device.query(LAYERWISE_QUERY_EXPERIMENTAL) == (compiled_for == 90 ? asked : 0));
        REQUIRE_OK(device.novograd(novograd()));
        CHECK(device.query(LAYERWISE_QUERY_PATH) == path);
        REQUIRE_OK(expected.novograd(novograd()));
        oracle::Model stepped = filled_model();
        Scalars scalars;
        device.pull(stepped, scalars);
        CHECK(difference(expected, stepped) == "");
      }
}

// Hazard: a copy from pageable memory that is still on its way when the call returns, and a step that overtakes it.
TEST_CASE("setting the layers' options waits for its copy", "[runtime]") {
  simt::reset();
  const oracle::Model model = filled_model();
  DeviceModel device(model);
  layerwise_layer_options options;
  REQUIRE_OK(layerwise_layer_options_init(&options, sizeof options));
  const int waits = simt::calls("cudaStreamSynchronize");
  REQUIRE_OK(layerwise_plan_set_layers(device.plan(), &options));
  CHECK(simt::calls("cudaStreamSynchronize") > waits);
}

TEST_CASE("a plan frees what it allocated", "[runtime]") {
  simt::reset();
  const size_t allocations = simt::live_allocations();
  CHECK(create(0) == LAYERWISE_OK);
  CHECK(simt::live_allocations() == allocations);
}

TEST_CASE("a plan whose creation fails anywhere leaves nothing behind", "[runtime]") {
  for (const char* function : {"cudaGetDevice", "cudaDeviceGetAttribute", "cudaFuncGetAttributes", "cudaFuncSetAttribute",
                               "cudaOccupancyMaxActiveBlocksPerMultiprocessor", "cudaMalloc", "cudaMemcpy", "cudaMemset",
                               "cudaStreamSynchronize", "cudaDeviceSynchronize"})
    for (int after = 0; after < 3; ++after) {
      simt::reset();
      CAPTURE(function, after);
      const size_t allocations = simt::live_allocations();
      simt::fail_call(function, cudaErrorUnknown, after);
      const int32_t status = create(0);
      CHECK((status == LAYERWISE_ERROR_CUDA || (status == LAYERWISE_OK && after > 0)));
      if (status != LAYERWISE_OK) CHECK(std::string(layerwise_last_error()).find("cudaErrorUnknown") != std::string::npos);
      CHECK(simt::live_allocations() == allocations);
      CHECK(cudaGetLastError() == cudaSuccess);  // reported, and not left for the caller to find
    }
  simt::reset();
  simt::fail_call("cudaMalloc", cudaErrorMemoryAllocation);
  CHECK(create(0) == LAYERWISE_ERROR_OUT_OF_MEMORY);
}

TEST_CASE("no device, or one that is not there, is a status", "[runtime]") {
  simt::reset();
  simt::options().devices = 0;
  CHECK(create(0) == LAYERWISE_ERROR_NO_CUDA);
  simt::options().devices = 2;
  CHECK(create(1) == LAYERWISE_OK);
  CHECK(create(2) == LAYERWISE_ERROR_NO_CUDA);
  CHECK(std::string(layerwise_last_error()).find("device is 2") != std::string::npos);
  simt::options().compute_capability = 70;
  CHECK(create(0) == LAYERWISE_ERROR_NO_CUDA);
}

// Hazard: a library that leaves another device current makes the caller's next allocation land on it.
TEST_CASE("the caller's current device stays current", "[runtime]") {
  simt::reset();
  simt::options().devices = 2;
  REQUIRE_CUDA(cudaSetDevice(0));
  {
    const oracle::Model model = filled_model();
    DeviceModel device(model, 1);
    CHECK(device.novograd(novograd()) == LAYERWISE_OK);
    REQUIRE_OK(layerwise_plan_reset(device.plan()));
  }
  int current = -1;
  REQUIRE_CUDA(cudaGetDevice(&current));
  CHECK(current == 0);
}

TEST_CASE("a failed launch leaves the plan unusable until it is reset", "[runtime]") {
  struct Failure {
    int32_t path;
    int launch;
  };
  for (const Failure& failure : {Failure{LAYERWISE_PATH_TWO_PASS, 0}, Failure{LAYERWISE_PATH_TWO_PASS, 1},
                                 Failure{LAYERWISE_PATH_ONE_PASS, 0}}) {
    simt::reset();
    CAPTURE(failure.path, failure.launch);
    const oracle::Model model = filled_model();
    DeviceModel device(model, 0, failure.path);
    simt::fail_call("launch", cudaErrorLaunchFailure, failure.launch);
    CHECK(device.novograd(novograd()) == LAYERWISE_ERROR_CUDA);
    CHECK(device.novograd(novograd()) == LAYERWISE_ERROR_PLAN_FAILED);
    REQUIRE_OK(layerwise_plan_reset(device.plan()));
    CHECK(device.novograd(novograd()) == LAYERWISE_OK);
  }
}

// Hazard: "no kernel image is available", from which no one learns that the library was built for another GPU.
TEST_CASE("a library that was built for other GPUs says so", "[runtime]") {
  simt::reset();
  simt::fail_call("cudaFuncGetAttributes", cudaErrorNoKernelImageForDevice);
  CHECK(create(0) == LAYERWISE_ERROR_NO_CUDA);
  const std::string message = layerwise_last_error();
  CHECK(message.find("device 0 has compute capability ") != std::string::npos);
  CHECK(message.find("this library was built for ") != std::string::npos);
  CHECK(message.find("CUDAARCHS=") != std::string::npos);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("the caller's workspace is used, and refused where it does not fit", "[runtime]") {
  simt::reset();
  const int64_t bytes = workspace_bytes();
  void* memory = nullptr;
  REQUIRE_CUDA(cudaMalloc(&memory, static_cast<size_t>(bytes) + 256));
  const int allocations = simt::calls("cudaMalloc");
  CHECK(create(0, memory, bytes) == LAYERWISE_OK);
  CHECK(simt::calls("cudaMalloc") == allocations);
  CHECK(create(0, memory, bytes - 1) == LAYERWISE_ERROR_WORKSPACE);
  CHECK(create(0, static_cast<char*>(memory) + 128, bytes) == LAYERWISE_ERROR_WORKSPACE);
  CHECK(create(0, nullptr, bytes) == LAYERWISE_ERROR_INVALID_VALUE);
  REQUIRE_CUDA(cudaFree(memory));
}

TEST_CASE("the library says what it would run on", "[runtime]") {
  simt::reset();
  const std::string info = layerwise_build_info();
  CHECK(info.find("CUDA built for: compute capability ") != std::string::npos);
  CHECK(info.find("CUDA backend: runtime") != std::string::npos);
  CHECK(info.find("device 0: ") != std::string::npos);
  const oracle::Model model = filled_model();
  DeviceModel device(model, 0, LAYERWISE_PATH_ONE_PASS);
  CHECK(device.query(LAYERWISE_QUERY_PATH) == LAYERWISE_PATH_ONE_PASS);
  CHECK(device.query(LAYERWISE_QUERY_WORKSPACE) == workspace_bytes());
  CHECK(device.query(LAYERWISE_QUERY_DEVICE) == 0);
}
