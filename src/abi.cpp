// The ABI described by itself: every constant, struct and function of the public header as JSON, for writers of
// bindings. The names are generated from the header, types and sizes are the compiler's.
#include <cstddef>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "abi_table.h"
#include "layerwise.h"

namespace {

template <class T>
constexpr const char* type_name() {
  if (std::is_array_v<T>) return type_name<std::remove_extent_t<T>>();
  if (std::is_pointer_v<T>) return "pointer";
  if (std::is_same_v<T, int32_t>) return "int32";
  if (std::is_same_v<T, int64_t>) return "int64";
  if (std::is_same_v<T, double>) return "float64";
  return "unknown";
}

// A type as C spells it, for functions.
template <class T>
std::string c_type() {
  if constexpr (std::is_pointer_v<T>) {
    const std::string to = c_type<std::remove_pointer_t<T>>();
    return to + (to.back() == '*' ? "*" : " *");
  } else if constexpr (std::is_const_v<T>) {
    return "const " + c_type<std::remove_const_t<T>>();
  } else {
#define TYPE(type) \
  if constexpr (std::is_same_v<T, type>) return #type;
    TYPE(void) TYPE(char) TYPE(uint8_t) TYPE(int32_t) TYPE(int64_t) TYPE(float) TYPE(double)
    LAYERWISE_ABI_TYPES(TYPE)
#undef TYPE
    return "unknown";
  }
}

class Json {
 public:
  void constant(const char* name, int64_t value) { item("\"" + std::string(name) + "\": " + std::to_string(value)); }
  void field(const char* name, size_t offset, size_t size, const char* type) {
    item("{\"name\": \"" + std::string(name) + "\", \"offset\": " + std::to_string(offset) +
         ", \"size\": " + std::to_string(size) + ", \"type\": \"" + type + "\"}");
  }
  template <class Result, class... Arguments>
  void function(const char* name, Result (*)(Arguments...), std::initializer_list<const char*> names) {
    begin("\"" + std::string(name) + "\": {\"returns\": \"" + c_type<Result>() + "\", \"arguments\": [");
    auto argument = names.begin();
    (item("{\"name\": \"" + std::string(*argument++) + "\", \"type\": \"" + c_type<Arguments>() + "\"}"), ...);
    end("]}");
  }
  void begin(const std::string& opening) {
    item(opening);
    first_ = true;
  }
  void end(const char* closing) {
    text_ += closing;
    first_ = false;
  }
  std::string text_;

 private:
  void item(const std::string& text) {
    if (!first_) text_ += ", ";
    first_ = false;
    text_ += text;
  }
  bool first_ = true;
};

#define CONSTANT(name) json.constant(#name, name);
#define STRUCT(type) json.begin("\"" #type "\": {\"size\": " + std::to_string(sizeof(type)) + ", \"fields\": [");
#define FIELD(type, name) \
  json.field(#name, offsetof(type, name), sizeof(type::name), type_name<decltype(type::name)>());
#define END_STRUCT(type) json.end("]}");
#define FUNCTION(name, ...) json.function(#name, &name, {__VA_ARGS__});

std::string describe() {
  Json json;
  json.begin("{\"constants\": {");
  LAYERWISE_ABI_CONSTANTS(CONSTANT)
  json.end("}");
  json.begin("\"structs\": {");
  LAYERWISE_ABI_STRUCTS(STRUCT, FIELD, END_STRUCT)
  json.end("}");
  json.begin("\"functions\": {");
  LAYERWISE_ABI_FUNCTIONS(FUNCTION)
  json.end("}");
  json.end("}");
  return json.text_;
}

}  // namespace

extern "C" const char* layerwise_abi_description(void) {
  static const std::string description = describe();
  return description.c_str();
}
