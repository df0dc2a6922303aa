// The threads of the process: a program has one plan for each group of parameters, hundreds of them, its own signals to
// handle, and often an OpenMP runtime whose threads spin for milliseconds after each parallel region. Tasks and masks are
// those of Linux's proc(5), parallel regions those of libgomp's ABI.
#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "cpu/cores.h"
#include "refusal.h"

namespace {

using namespace oracle;
namespace fs = std::filesystem;

Layout layout(int32_t threads) {
  Layout layout;
  layout.sizes = {5, 300000, 1024, 70000, 30000, 40000, 50000};
  layout.threads = threads;
  return layout;
}

std::vector<std::string> tasks() {
  std::vector<std::string> found;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) found.push_back(task.path().filename());
  return found;
}
int count_tasks() { return static_cast<int>(tasks().size()); }

// The kernel lists a thread for a moment after it was joined.
bool come_down_to(int count) {
  for (int i = 0; i < 1000 && count_tasks() > count; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  return count_tasks() <= count;
}

uint64_t blocked_signals(const std::string& task) {
  std::ifstream status("/proc/self/task/" + task + "/status");
  for (std::string word; status >> word;)
    if (word == "SigBlk:" && status >> word) return std::stoull(word, nullptr, 16);
  return 0;
}

int32_t step(Model& model) {
  layerwise_novograd_options options;
  layerwise_novograd_options_init(&options, sizeof options);
  options.lr = 0.01;
  return model.novograd(options);
}

// libgomp, as a program that computes with OpenMP has it; null where it is not installed.
struct Runtime {
  void (*parallel)(void (*function)(void*), void* data, unsigned threads, unsigned flags) = nullptr;
  int (*most)() = nullptr;

  static Runtime load() {
    Runtime runtime;
    if (void* const library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_LOCAL)) {
      runtime.parallel = reinterpret_cast<decltype(runtime.parallel)>(dlsym(library, "GOMP_parallel"));
      runtime.most = reinterpret_cast<decltype(runtime.most)>(dlsym(library, "omp_get_max_threads"));
    }
    return runtime;
  }
};

}  // namespace

TEST_CASE("hundreds of plans share one pool of threads, which ends with the last of them", "[pool]") {
  const int before = count_tasks();
  {
    Layout small = layout(4);
    small.sizes = {70000, 1024, 30000};  // enough to share
    std::vector<Model> models;
    for (int i = 0; i < 100; ++i) models.push_back(Witness::filled(small));
    for (Model& model : models) REQUIRE_OK(step(model));
    const int cores = layerwise::available_cores();
    CHECK(count_tasks() > before);
    CHECK(count_tasks() <= before + std::max(4, cores) - 1);
  }
  CHECK(come_down_to(before));
}

TEST_CASE("a plan of few elements starts no threads", "[pool]") {
  const int before = count_tasks();
  Layout small = layout(8);
  small.sizes = {64, 64, 1000};
  Model model = Witness::filled(small);
  REQUIRE_OK(step(model));
  CHECK(count_tasks() == before);
}

TEST_CASE("the pool's threads leave the program's signals to its own threads", "[pool]") {
  const std::vector<std::string> before = tasks();
  Model model = Witness::filled(layout(4));
  REQUIRE_OK(step(model));
  int seen = 0;
  for (const std::string& task : tasks()) {
    if (std::find(before.begin(), before.end(), task) != before.end()) continue;
    ++seen;
    for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1, SIGPROF, SIGVTALRM, SIGRTMIN}) {
      CAPTURE(signal);
      CHECK((blocked_signals(task) >> (signal - 1) & 1) == 1);
    }
  }
  CHECK(seen == 3);
  sigset_t mine;  // the calling thread's are what they were
  pthread_sigmask(SIG_SETMASK, nullptr, &mine);
  CHECK(sigismember(&mine, SIGINT) == 0);
}

TEST_CASE("callers in several threads share the pool, or step alone, to the same bits", "[pool]") {
  Model expected = Witness::filled(layout(1));
  for (int i = 0; i < 20; ++i) REQUIRE_OK(step(expected));
  std::vector<Model> models;
  for (int i = 0; i < 6; ++i) models.push_back(Witness::filled(layout(3 + i % 3)));
  std::vector<std::thread> callers;
  std::atomic<int> failures = 0;
  for (Model& model : models)
    callers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) failures += step(model) != LAYERWISE_OK;
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
  for (Model& model : models) CHECK(model.same_bits(expected));
}

TEST_CASE("where the process has an OpenMP runtime, its team is the pool", "[pool][openmp]") {
  const Runtime runtime = Runtime::load();
  if (!runtime.parallel) SKIP("libgomp is not installed");
  const int before = count_tasks();
  std::atomic<int> entered{0};
  runtime.parallel([](void* count) { ++*static_cast<std::atomic<int>*>(count); }, &entered, 4, 0);
  REQUIRE(entered == 4);
  const std::vector<std::string> team = tasks();
  REQUIRE(count_tasks() == before + 3);

  Model expected = Witness::filled(layout(1)), model = Witness::filled(layout(4));
  for (int i = 0; i < 3; ++i) {
    REQUIRE_OK(step(expected));
    REQUIRE_OK(step(model));
  }
  CHECK(model.same_bits(expected));
  CHECK(tasks() == team);

  // More of the runtime's threads than the plan takes, and fewer.
  for (int32_t threads : {2, 9}) {
    Model other = Witness::filled(layout(threads));
    for (int i = 0; i < 3; ++i) REQUIRE_OK(step(other));
    CHECK(other.same_bits(expected));
  }
}

TEST_CASE("plans step in the threads of a caller's parallel region", "[pool][openmp]") {
  const Runtime runtime = Runtime::load();
  if (!runtime.parallel) SKIP("libgomp is not installed");
  Model expected = Witness::filled(layout(1));
  REQUIRE_OK(step(expected));
  struct Work {
    std::vector<Model> models;
    std::atomic<size_t> next{0};
    std::atomic<int> failures{0};
  } work;
  for (int i = 0; i < 4; ++i) work.models.push_back(Witness::filled(layout(3)));
  runtime.parallel(
      [](void* data) {
        Work& work = *static_cast<Work*>(data);
        work.failures += step(work.models[work.next++]) != LAYERWISE_OK;
      },
      &work, 4, 0);
  CHECK(work.failures == 0);
  REQUIRE(work.next == 4);
  for (Model& model : work.models) CHECK(model.same_bits(expected));
}

TEST_CASE("a forked child of a process with an OpenMP runtime steps with threads of its own", "[pool][openmp][fork]") {
  const Runtime runtime = Runtime::load();
  if (!runtime.parallel) SKIP("libgomp is not installed");
  Model model = Witness::filled(layout(4)), expected = Witness::filled(layout(1));
  REQUIRE_OK(step(model));
  for (int i = 0; i < 2; ++i) REQUIRE_OK(step(expected));
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // a runtime's threads are gone in the child, and a region there would wait for them for ever
    _exit(step(model) == LAYERWISE_OK && model.same_bits(expected) ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  REQUIRE_OK(step(model));
  CHECK(model.same_bits(expected));
}
