// The little JSON the test vectors need: objects, arrays, strings without escapes, numbers, true, false.
#pragma once

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace json {

class Value {
 public:
  using Object = std::map<std::string, Value>;
  using Array = std::vector<Value>;

  Value() = default;
  template <class T>
  explicit Value(T held) : held_(std::move(held)) {}

  bool has(const std::string& key) const { return get<Object>("an object").count(key) != 0; }
  const Value& at(const std::string& key) const {
    const Object& object = get<Object>("an object");
    const auto found = object.find(key);
    if (found == object.end()) throw std::runtime_error("no member \"" + key + "\"");
    return found->second;
  }
  const Array& array() const { return get<Array>("an array"); }
  const std::string& string() const { return get<std::string>("a string"); }
  double number() const { return get<double>("a number"); }
  bool boolean() const { return get<bool>("true or false"); }

  std::vector<double> numbers() const {
    std::vector<double> result;
    for (const Value& element : array()) result.push_back(element.number());
    return result;
  }

 private:
  template <class T>
  const T& get(const char* kind) const {
    if (const T* value = std::get_if<T>(&held_)) return *value;
    throw std::runtime_error(std::string("expected ") + kind);
  }
  std::variant<std::monostate, bool, double, std::string, Array, Object> held_;
};

class Reader {
 public:
  explicit Reader(const std::string& text) : at_(text.c_str()) {}

  Value document() {
    Value result = value();
    if (*peek() != '\0') throw std::runtime_error("text after the document");
    return result;
  }

 private:
  const char* peek() {
    while (std::isspace(static_cast<unsigned char>(*at_))) ++at_;
    return at_;
  }
  bool take(char expected) {
    if (*peek() != expected) return false;
    ++at_;
    return true;
  }
  void need(char expected) {
    if (!take(expected)) throw std::runtime_error(std::string("expected '") + expected + "' at: " + near());
  }
  std::string near() const { return std::string(at_).substr(0, 20); }

  Value value() {
    switch (*peek()) {
      case '{':
        return object();
      case '[':
        return array();
      case '"':
        return Value(string());
      case 't':
        return word("true", true);
      case 'f':
        return word("false", false);
      default:
        return number();
    }
  }
  Value object() {
    Value::Object members;
    need('{');
    while (!take('}')) {
      if (!members.empty()) need(',');
      peek();
      std::string key = string();
      need(':');
      members[std::move(key)] = value();
    }
    return Value(std::move(members));
  }
  Value array() {
    Value::Array elements;
    need('[');
    while (!take(']')) {
      if (!elements.empty()) need(',');
      elements.push_back(value());
    }
    return Value(std::move(elements));
  }
  std::string string() {
    need('"');
    const char* begin = at_;
    while (*at_ != '"' && *at_ != '\0' && *at_ != '\\') ++at_;
    std::string result(begin, at_);
    need('"');
    return result;
  }
  Value word(const std::string& text, bool meaning) {
    if (near().compare(0, text.size(), text) != 0) throw std::runtime_error("unknown word: " + near());
    at_ += text.size();
    return Value(meaning);
  }
  Value number() {
    char* end = nullptr;
    const double result = std::strtod(at_, &end);
    if (end == at_) throw std::runtime_error("expected a value at: " + near());
    at_ = end;
    return Value(result);
  }

  const char* at_;
};

inline Value read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return Reader(text).document();
}

}  // namespace json
