// Runs code in a child process: a sanitizer's report ends the process it happens in.
#pragma once

#include <functional>
#include <string>

namespace selftest {

enum class Outcome { kRight, kWrong, kReport, kSanitizer, kCrash };

struct Child {
  Outcome outcome;
  std::string text;  // what it wrote to stderr
};

// `code` says how it went; a sanitizer's report overrules it.
Child run_in_child(const std::function<Outcome()>& code);

}  // namespace selftest
