// One line of JSON, member by member.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

namespace bench {

class JsonLine {
 public:
  JsonLine& add(const char* key, const std::string& value) {
    begin(key);
    text_ += '"';
    for (const char c : value) append_escaped(c);
    text_ += '"';
    return *this;
  }
  JsonLine& add(const char* key, const char* value) { return add(key, std::string(value)); }
  JsonLine& add(const char* key, int64_t value) { return raw(key, std::to_string(value)); }
  JsonLine& add(const char* key, int value) { return add(key, static_cast<int64_t>(value)); }
  JsonLine& add(const char* key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonLine& add(const char* key, const JsonLine& members) { return raw(key, members.text()); }
  JsonLine& add(const char* key, double value) {
    if (!std::isfinite(value)) return raw(key, "null");
    char text[40];
    std::snprintf(text, sizeof text, "%.6g", value);
    return raw(key, text);
  }

  std::string text() const { return "{" + text_ + "}"; }

  // One line on stdout, at once: what was measured survives whatever comes after.
  void print() const {
    std::printf("%s\n", text().c_str());
    std::fflush(stdout);
  }

 private:
  void begin(const char* key) {
    if (!text_.empty()) text_ += ", ";
    text_ += '"';
    text_ += key;
    text_ += "\": ";
  }
  JsonLine& raw(const char* key, const std::string& value) {
    begin(key);
    text_ += value;
    return *this;
  }
  void append_escaped(char c) {
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      text_ += code;
    } else {
      text_ += c;
    }
  }

  std::string text_;
};

}  // namespace bench
