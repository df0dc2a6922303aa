#include "child.h"

#include "simt_test.h"

#include <sys/wait.h>
#include <unistd.h>
#include <cstdio>

namespace selftest {

namespace {

constexpr int kSanitizerExit = 66;  // engine/sanitizer_reports.cpp asks for it

[[noreturn]] void be_the_child(int out, const std::function<Outcome()>& code) {
  dup2(out, STDERR_FILENO);
  alarm(120);
  const int before = simt::sanitizer_reports();
  const Outcome outcome = code();
  _exit(simt::sanitizer_reports() > before ? kSanitizerExit : int(outcome));
}

}  // namespace

Child run_in_child(const std::function<Outcome()>& code) {
  int pipe_ends[2];
  std::fflush(nullptr);
  if (pipe(pipe_ends)) return {Outcome::kCrash, "no pipe"};
  const pid_t child = fork();
  if (child == 0) be_the_child(pipe_ends[1], code);
  close(pipe_ends[1]);
  Child result{Outcome::kCrash, ""};
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;) result.text.append(buffer, std::size_t(n));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) {
    const int code_of_child = WEXITSTATUS(status);
    if (code_of_child == kSanitizerExit)
      result.outcome = Outcome::kSanitizer;
    else if (code_of_child <= int(Outcome::kReport))
      result.outcome = Outcome(code_of_child);
  }
  return result;
}

}  // namespace selftest
