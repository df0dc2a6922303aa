#include "symbols.h"

#include "engine.h"

#include <link.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>

namespace simt::engine {

namespace {

struct Pc {
  const void* pc;
};

// Built with frame pointers: each frame is {caller's frame, return address}.
std::vector<Pc> backtrace(const Fiber& fiber) {
  const auto low = reinterpret_cast<std::uintptr_t>(fiber.stack), high = low + options().stack_bytes;
  const auto within_call = [](std::uintptr_t return_address) {
    return Pc{reinterpret_cast<const void*>(return_address - 1)};
  };
  std::vector<Pc> found;
  constexpr int kSavedRbp = 5, kReturnAddress = 6;  // as simt_switch_stacks pushes them
  const auto* saved = reinterpret_cast<const std::uintptr_t*>(fiber.stack_pointer);
  found.push_back(within_call(saved[kReturnAddress]));
  std::uintptr_t frame = saved[kSavedRbp];
  while (frame >= low && frame + 16 <= high && frame % 8 == 0 && found.size() < 64) {
    const auto* words = reinterpret_cast<const std::uintptr_t*>(frame);
    if (!words[1]) break;
    found.push_back(within_call(words[1]));
    if (words[0] <= frame) break;
    frame = words[0];
  }
  return found;
}

std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        *static_cast<std::uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the executable comes first
      },
      &address);
  return address;
}

// The harness's own frames and the toolkit's say nothing about the kernel.
bool of_the_project(const std::string& path) {
  static const std::string own = [] {
    std::string directory = __FILE__;  // .../engine/symbols.cpp
    directory.resize(directory.rfind('/'));
    return directory.substr(0, directory.rfind('/') + 1);
  }();
  for (const char* part : {"engine/", "device/", "cudart/"})
    if (path.compare(0, own.size() + std::strlen(part), own + part) == 0) return false;
  for (const char* part : {"/cub/", "/cccl/", "/cuda/", "/c++/", "/crt/", "??"})
    if (path.find(part) != path.npos) return false;
  return true;
}

std::string file_and_line(const std::string& place) {
  std::string text = place.substr(place.rfind('/') + 1);
  return text.substr(0, text.find(' '));  // addr2line adds "(discriminator n)"
}

bool is_header(const std::string& place) {
  return place.find(".cu:") == place.npos && place.find(".cpp:") == place.npos;
}

// "name<arguments>" of "void name<arguments>(parameters)"
std::string without_parameters(std::string function) {
  if (function.starts_with("void ")) function.erase(0, 5);
  int depth = 0;
  for (std::size_t i = function.size(); i-- > 0;) {
    if (function[i] == ')') ++depth;
    if (function[i] == '(' && --depth == 0 && i) return function.substr(0, i);
  }
  return function;
}

}  // namespace

Symbols::Symbols() {
  if (!options().source_lines) return;
  std::vector<Address> addresses;
  for (const auto& block : resident_blocks())
    if (block->running)
      for (const Fiber& fiber : block->fibers)
        if (fiber.state != State::kFinished)
          for (const Pc& pc : backtrace(fiber))
            if (known_.emplace(pc.pc, Frames{}).second) addresses.push_back({pc.pc});
  addresses.push_back({launched().kernel});
  resolve(addresses);
  const auto& frames = known_[launched().kernel].frames;
  if (!frames.empty()) kernel_ = without_parameters(frames.back().function);
}

void Symbols::resolve(const std::vector<Address>& addresses) {
  char executable[4096];
  const ssize_t length = readlink("/proc/self/exe", executable, sizeof executable - 1);
  if (length <= 0) return;
  executable[length] = 0;
  std::string command = "addr2line -a -f -i -C -e '" + std::string(executable) + "'";
  char text[64];
  for (const Address& address : addresses) {
    std::snprintf(text, sizeof text, " %#zx", reinterpret_cast<std::uintptr_t>(address.pc) - load_address());
    command += text;
  }
  FILE* pipe = popen((command + " 2>/dev/null").c_str(), "r");
  if (!pipe) return;
  // For every address: a line 0x..., then for every frame a line with the function and one with the place.
  char* line = nullptr;
  std::size_t capacity = 0, at = 0;
  Frames* frames = nullptr;
  std::string function;
  bool is_function = true;
  for (ssize_t n; (n = getline(&line, &capacity, pipe)) > 0;) {
    if (line[n - 1] == '\n') line[n - 1] = 0;
    if (!std::strncmp(line, "0x", 2) && is_function && at < addresses.size()) {
      frames = &known_[addresses[at++].pc];
      continue;
    }
    if (is_function)
      function = line;
    else if (frames)
      frames->frames.push_back({function, line});
    is_function = !is_function;
  }
  std::free(line);
  pclose(pipe);
}

std::string Symbols::place_of(const Fiber& fiber) const {
  std::string inner;
  for (const Pc& pc : backtrace(fiber)) {
    const auto found = known_.find(pc.pc);
    if (found == known_.end()) continue;
    for (const Frame& frame : found->second.frames) {
      if (!of_the_project(frame.place)) continue;
      const std::string place = file_and_line(frame.place);
      if (inner.empty()) {
        if (!is_header(place)) return place;
        inner = place;
      } else if (!is_header(place)) {
        return inner + ", from " + place;
      }
    }
  }
  return inner.empty() ? "its start" : inner;
}

}  // namespace simt::engine
