// Runs steps on the threads of an OpenMP runtime that the process has loaded already for other purposes.
#pragma once

#include "cpu/team.h"

namespace layerwise {

class OpenMp {
 public:
  // PyTorch's runtime if PyTorch is loaded, else the first runtime that is loaded; null if there is none. Also null in
  // a process that was forked without exec: the runtime's threads do not survive a fork, and it would wait for them.
  static const OpenMp* loaded();

  // As Pool::run, but as a parallel region; on the calling thread alone if that is in a parallel region already.
  void run(int most, TeamTask task, void* context) const;

 private:
  // The function that libgomp starts a parallel region with; LLVM's and Intel's runtimes have it as well.
  using Parallel = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);
  using Number = int (*)();

  bool find_in(void* library);

  Parallel parallel_ = nullptr;
  Number thread_ = nullptr, size_ = nullptr, most_ = nullptr;
};

}  // namespace layerwise
