// The threads of an OpenMP runtime that the process has loaded already, for whatever else runs in it.
#pragma once

#include "cpu/team.h"

namespace layerwise {

class OpenMp {
 public:
  // The runtime that PyTorch computes with where PyTorch is loaded, else the first that is loaded; null where none is,
  // and in a process that was forked and runs on: a runtime's threads do not survive a fork, and it waits for them.
  static const OpenMp* loaded();

  // As Pool::run, in a parallel region: one thread where the caller is in a region already.
  void run(int most, TeamTask task, void* context) const;

 private:
  // libgomp's entry for a parallel region, which LLVM's and Intel's runtimes have as well.
  using Parallel = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);
  using Number = int (*)();

  bool find_in(void* library);

  Parallel parallel_ = nullptr;
  Number thread_ = nullptr, size_ = nullptr, most_ = nullptr;
};

}  // namespace layerwise
