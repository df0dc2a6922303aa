// A plan in a child process: data loaders and launchers fork, and threads do not survive it.
#include "refusal.h"

#if defined(__unix__)
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

namespace {

using namespace oracle;

Layout layout() {
  Layout layout;
  layout.sizes = {5, 300000, 1024, 70000};
  layout.threads = 4;
  return layout;
}

// Runs call in a child, which ends after a minute whatever happens. The child's exit status, or -1.
template <class Call>
int in_child(Call call) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(call());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("a plan works in a child process, used there first or used before", "[fork]") {
  for (bool used_before : {false, true}) {
    Model model = Witness::filled(layout()), expected = model;
    if (used_before) REQUIRE_OK(model.novograd(good_novograd()));
    expected = model;
    REQUIRE_OK(expected.novograd(good_novograd()));
    const auto options = good_novograd();
    const int result = in_child([&] {
      if (model.novograd(options) != LAYERWISE_OK) return 1;
      return model.same_bits(expected) ? 0 : 2;
    });
    CAPTURE(used_before);
    CHECK(result == 0);
    // The parent's plan is as good as before.
    REQUIRE_OK(model.novograd(options));
    CHECK(model.same_bits(expected));
  }
}

TEST_CASE("a plan can be created and destroyed in a child process", "[fork]") {
  Model model = Witness::filled(layout());
  REQUIRE_OK(model.novograd(good_novograd()));
  const auto described = plan_options(model.layout);
  const auto options = good_novograd();
  const int result = in_child([&] {
    layerwise_plan* plan = nullptr;
    if (layerwise_plan_create(&described, &plan) != LAYERWISE_OK) return 1;
    if (novograd_step(plan, model.weights.data(), model.grads.data(), model.moment.data(), model.second_moment.data(),
                      nullptr, nullptr, nullptr, nullptr, &options, nullptr) != LAYERWISE_OK)
      return 2;
    if (layerwise_plan_destroy(plan) != LAYERWISE_OK) return 3;
    return layerwise_plan_destroy(model.plan.get()) == LAYERWISE_OK ? 0 : 4;  // the parent's own copy stays
  });
  CHECK(result == 0);
  REQUIRE_OK(model.novograd(options));
}

TEST_CASE("a CUDA plan says in a child process that it belongs to the parent", "[fork]") {
  const Layout described_layout = layout();  // options point into it
  layerwise_plan_options described = plan_options(described_layout);
  described.device = 0;
  described.threads = 0;
  layerwise_plan* plan = nullptr;
  if (layerwise_plan_create(&described, &plan) != LAYERWISE_OK) SKIP("no CUDA device");
  const int result = in_child([&] {
    if (layerwise_plan_reset(plan) != LAYERWISE_ERROR_INVALID_PLAN) return 1;
    return strstr(layerwise_last_error(), "forked") ? 0 : 2;
  });
  CHECK(result == 0);
  CHECK(layerwise_plan_destroy(plan) == LAYERWISE_OK);
}
#endif
