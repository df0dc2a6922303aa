// What _watch.py does, compiled: finds the tensors of a step, and whether they are those that it was made with. And
// whether the options of its groups are.
#include <torch/csrc/autograd/python_variable.h>

#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <cstring>
#include <exception>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

struct Reference {
  PyObject* object;
  explicit Reference(PyObject* owned = nullptr) : object(owned) {}
  Reference(Reference&& other) noexcept : object(std::exchange(other.object, nullptr)) {}
  Reference(const Reference&) = delete;
  ~Reference() { Py_XDECREF(object); }
};

// All that a step depends on but the address. Keeps no memory alive.
struct Kind {
  c10::DispatchKeySet keys;
  caffe2::TypeMeta dtype;
  c10::Device device = c10::kCPU;
  std::vector<int64_t> sizes, strides;

  explicit Kind(const c10::TensorImpl& tensor)
      : keys(tensor.key_set()),
        dtype(tensor.dtype()),
        device(tensor.device()),
        sizes(tensor.sizes().vec()),
        strides(tensor.strides().vec()) {}

  bool is_that_of(const c10::TensorImpl& tensor) const {
    return tensor.key_set() == keys && tensor.dtype() == dtype && tensor.device() == device &&
           tensor.sizes().equals(sizes) && tensor.strides().equals(strides);
  }
};

struct Layer {
  Py_ssize_t place;                                    // among the optimizer's parameters
  c10::weak_intrusive_ptr<c10::TensorImpl> parameter;  // no other tensor is there as long as this is
};

struct Call {
  std::vector<Layer> layers;
  std::vector<Reference> entries;  // of a state, by name
};

constexpr Py_ssize_t kOther = -1;  // the place of a key of the state that is none of the parameters

class Watch {
 public:
  // calls: a list of pairs, the places of a call's layers among the parameters and the names of its states' entries.
  Watch(PyObject* calls, PyObject* parameters, PyObject* state) : absent_(PyList_GET_SIZE(parameters), true) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(calls); ++i) {
      PyObject* const call = PyList_GET_ITEM(calls, i);
      PyObject *const places = PyTuple_GET_ITEM(call, 0), *const entries = PyTuple_GET_ITEM(call, 1);
      calls_.emplace_back();
      for (Py_ssize_t layer = 0; layer < PyTuple_GET_SIZE(places); ++layer)
        calls_.back().layers.push_back(layer_at(PyLong_AsSsize_t(PyTuple_GET_ITEM(places, layer)), parameters));
      for (Py_ssize_t entry = 0; entry < PyTuple_GET_SIZE(entries); ++entry)
        calls_.back().entries.emplace_back(Py_NewRef(PyTuple_GET_ITEM(entries, entry)));
      has_state_ |= !calls_.back().entries.empty();
      const size_t layers = calls_.back().layers.size();
      is_gradient_.insert(is_gradient_.end(), layers, false);
      is_gradient_.insert(is_gradient_.end(), layers, true);
      is_gradient_.insert(is_gradient_.end(), layers * calls_.back().entries.size(), false);
    }
    if (has_state_) remember_order(parameters, state);
  }

  // The tensors, new references, whose addresses are written; empty where any is missing or not what it was. At first
  // what they are is noted.
  std::vector<Reference> look(PyObject* parameters, PyObject* state, uint64_t* addresses) {
    std::vector<Reference> found = find(parameters, state);
    for (size_t i = 0; i < found.size(); ++i) {
      addresses[i] = reinterpret_cast<uint64_t>(THPVariable_Unpack(found[i].object).mutable_data_ptr());
      if (is_first_) addresses_.push_back(addresses[i]);
      const bool stays = is_gradient_[i] ? !addresses[i] == !addresses_[i] : addresses[i] == addresses_[i];
      if (!stays) return {};
    }
    is_first_ = false;
    return found;
  }

 private:
  std::vector<Reference> find(PyObject* parameters, PyObject* state) {
    if (PyList_GET_SIZE(parameters) != static_cast<Py_ssize_t>(absent_.size()) || !none_is_added(parameters) ||
        (has_state_ && !find_states(parameters, state)))
      return {};
    std::vector<Reference> found;
    found.reserve(is_gradient_.size());
    for (const Call& call : calls_) {
      for (const Layer& layer : call.layers)
        if (!add(found, Py_NewRef(PyList_GET_ITEM(parameters, layer.place))) ||
            THPVariable_Unpack(found.back().object).unsafeGetTensorImpl() != layer.parameter._unsafe_get_target())
          return {};
      for (const Layer& layer : call.layers) {
        const at::Tensor& grad = THPVariable_Unpack(PyList_GET_ITEM(parameters, layer.place)).grad();
        if (!grad.defined() || !add(found, THPVariable_Wrap(grad))) return {};
      }
      for (const Reference& entry : call.entries)
        for (const Layer& layer : call.layers) {
          PyObject* const value = PyDict_GetItemWithError(states_[layer.place], entry.object);
          if (!value || !add(found, Py_NewRef(value))) return {};
        }
    }
    return found;
  }

  Layer layer_at(Py_ssize_t place, PyObject* parameters) {
    absent_.at(place) = false;
    const at::Tensor& parameter = THPVariable_Unpack(PyList_GET_ITEM(parameters, place));
    return {place, c10::weak_intrusive_ptr<c10::TensorImpl>(parameter.getIntrusivePtr())};
  }

  bool none_is_added(PyObject* parameters) const {
    for (size_t place = 0; place < absent_.size(); ++place) {
      if (!absent_[place]) continue;
      PyObject* const parameter = PyList_GET_ITEM(parameters, place);
      if (!THPVariable_CheckExact(parameter) || THPVariable_Unpack(parameter).grad().defined()) return false;
    }
    return true;
  }

  // A walk through the state in its own order takes no hash of a tensor, which Python code would make.
  void remember_order(PyObject* parameters, PyObject* state) {
    std::unordered_map<PyObject*, Py_ssize_t> places;
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(parameters); ++place)
      places.emplace(PyList_GET_ITEM(parameters, place), place);
    Py_ssize_t position = 0;
    PyObject *key = nullptr, *value = nullptr;
    while (PyDict_Next(state, &position, &key, &value)) {
      const auto found = places.find(key);
      order_.push_back(found == places.end() ? kOther : found->second);
    }
  }

  bool find_states(PyObject* parameters, PyObject* state) {
    if (PyDict_GET_SIZE(state) != static_cast<Py_ssize_t>(order_.size())) return false;
    states_.assign(absent_.size(), nullptr);
    Py_ssize_t position = 0;
    PyObject *key = nullptr, *value = nullptr;
    for (const Py_ssize_t place : order_) {
      if (!PyDict_Next(state, &position, &key, &value)) return false;
      if (place == kOther) continue;
      if (PyList_GET_ITEM(parameters, place) != key || !PyDict_CheckExact(value)) return false;
      states_[place] = value;
    }
    for (const Call& call : calls_)
      for (const Layer& layer : call.layers)
        if (!states_[layer.place]) return false;
    return true;
  }

  bool add(std::vector<Reference>& found, PyObject* owned) {
    const size_t index = found.size();
    found.emplace_back(owned);
    if (!owned || !THPVariable_CheckExact(owned)) return false;
    if (THPVariable_Unpack(owned).is_inference()) return false;  // it has no version to tell autograd of
    const c10::TensorImpl& tensor = *THPVariable_Unpack(owned).unsafeGetTensorImpl();
    if (is_first_) kind_of_.push_back(static_cast<uint32_t>(kind_of(tensor)));
    return index < kind_of_.size() && kinds_[kind_of_[index]].is_that_of(tensor);
  }

  size_t kind_of(const c10::TensorImpl& tensor) {
    size_t kind = 0;
    while (kind < kinds_.size() && !kinds_[kind].is_that_of(tensor)) ++kind;
    if (kind == kinds_.size()) kinds_.emplace_back(tensor);
    return kind;
  }

  std::vector<Call> calls_;
  std::vector<bool> absent_;  // for each parameter whether it must be without a gradient
  bool has_state_ = false;
  std::vector<Py_ssize_t> order_;  // of the state's keys: their places among the parameters
  std::vector<PyObject*> states_;  // of one look, borrowed
  // For each tensor of a look:
  std::vector<bool> is_gradient_;
  std::vector<uint32_t> kind_of_;
  std::vector<uint64_t> addresses_;
  std::vector<Kind> kinds_;  // each once: few fit the cache
  bool is_first_ = true;
};

// What a step depends on in a dict of options, as it was. A walk in the dict's own order takes no hash.
class Options {
 public:
  // names: a set, of the options whose values must stay the very objects; null: all.
  Options(PyObject* options, PyObject* names) {
    Py_ssize_t position = 0;
    PyObject *key = nullptr, *value = nullptr;
    while (PyDict_Next(options, &position, &key, &value))
      entries_.emplace_back(Reference(Py_NewRef(key)),
                            Reference(!names || PySet_Contains(names, key) == 1 ? Py_NewRef(value) : nullptr));
  }

  // Gives the values of the others, by their place, to visit.
  template <class Visit>
  bool are_those_of(PyObject* options, const Visit& visit) const {
    if (!PyDict_CheckExact(options)) return false;
    if (PyDict_GET_SIZE(options) != static_cast<Py_ssize_t>(entries_.size())) return false;
    Py_ssize_t position = 0;
    PyObject *key = nullptr, *value = nullptr;
    for (size_t place = 0; place < entries_.size(); ++place) {
      if (!PyDict_Next(options, &position, &key, &value) || key != entries_[place].first.object) return false;
      if (entries_[place].second.object ? value != entries_[place].second.object : !visit(place, value)) return false;
    }
    return true;
  }

  // Of an option; -1: it is not there.
  Py_ssize_t place_of(const char* name) const {
    for (size_t place = 0; place < entries_.size(); ++place)
      if (PyUnicode_Check(entries_[place].first.object) &&
          PyUnicode_CompareWithASCIIString(entries_[place].first.object, name) == 0)
        return static_cast<Py_ssize_t>(place);
    return -1;
  }

 private:
  std::vector<std::pair<Reference, Reference>> entries_;  // name and value; no value: it may change
};

// See _group_watch.py.
class Groups {
 public:
  // own: options that are no group's, all of which must stay; texts, labels: tuples of a number for each group.
  Groups(PyObject* groups, PyObject* names, PyObject* own, PyObject* texts, PyObject* labels) : own_(own, nullptr) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(groups); ++i) {
      PyObject* const group = PyList_GET_ITEM(groups, i);
      PyObject* const parameters = PyDict_GetItemString(group, "params");
      Options options(group, names);
      const Py_ssize_t lr = options.place_of("lr"), params = options.place_of("params");
      groups_.push_back({std::move(options), lr, params, PyList_GET_SIZE(parameters)});
      count_ += PyList_GET_SIZE(parameters);
      texts_.push_back(PyLong_AsSsize_t(PyTuple_GET_ITEM(texts, i)));
      const Py_ssize_t label = PyLong_AsSsize_t(PyTuple_GET_ITEM(labels, i));
      if (firsts_.size() <= static_cast<size_t>(label)) firsts_.resize(label + 1, i);
      labels_.push_back(label);
    }
    rates_.resize(groups_.size());
  }

  // A pair of lists, the rates and all parameters; null where anything but the rates is not what it was, or other
  // groups may share a call.
  PyObject* look(PyObject* groups, PyObject* own) {
    if (PyList_GET_SIZE(groups) != static_cast<Py_ssize_t>(groups_.size())) return nullptr;
    if (!own_.are_those_of(own, [](size_t, PyObject*) { return false; })) return nullptr;
    const Reference found(PyList_New(PyList_GET_SIZE(groups))), all(PyList_New(count_));
    if (!found.object || !all.object) return nullptr;
    Py_ssize_t next = 0;
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Group& group = groups_[i];
      const bool is_same = group.options.are_those_of(PyList_GET_ITEM(groups, i), [&](size_t place, PyObject* value) {
        if (static_cast<Py_ssize_t>(place) == group.params) {
          if (!PyList_CheckExact(value) || PyList_GET_SIZE(value) != group.parameters) return false;
          for (Py_ssize_t parameter = 0; parameter < group.parameters; ++parameter)
            PyList_SET_ITEM(all.object, next++, Py_NewRef(PyList_GET_ITEM(value, parameter)));
          return true;
        }
        if (static_cast<Py_ssize_t>(place) != group.lr) return true;
        if (!PyFloat_CheckExact(value)) return false;
        rates_[i] = PyFloat_AS_DOUBLE(value);
        PyList_SET_ITEM(found.object, static_cast<Py_ssize_t>(i), Py_NewRef(value));
        return rates_[i] >= 0 && rates_[i] <= DBL_MAX;
      });
      if (!is_same) return nullptr;
    }
    return share_as_before() ? PyTuple_Pack(2, found.object, all.object) : nullptr;
  }

 private:
  struct Group {
    Options options;
    Py_ssize_t lr, params;  // their places
    Py_ssize_t parameters;  // how many
  };

  // Whether groups of one label still have one rate; and those of two labels and one text two, else one call would do.
  bool share_as_before() {
    for (size_t i = 0; i < groups_.size(); ++i)
      if (rates_[i] != rates_[firsts_[labels_[i]]]) return false;
    apart_.clear();
    for (const size_t first : firsts_) apart_.emplace_back(texts_[first], rates_[first]);
    std::sort(apart_.begin(), apart_.end());
    return std::adjacent_find(apart_.begin(), apart_.end()) == apart_.end();
  }

  Options own_;
  std::vector<Group> groups_;
  Py_ssize_t count_ = 0;  // of all parameters
  std::vector<Py_ssize_t> texts_, labels_;  // by group
  std::vector<size_t> firsts_;              // by label, its first group
  std::vector<double> rates_;               // of one look
  std::vector<std::pair<Py_ssize_t, double>> apart_;
};

// See _columns.py.
struct Columns {
  struct Vector {
    char* values;
    Py_ssize_t size;  // of one of them
  };
  uint64_t* tables;
  Py_ssize_t table_count, width;
  std::vector<Vector> vectors;
  const int64_t* places;
  Py_ssize_t count;
  const uint64_t* rows;
  bool has_step;

  Columns(PyObject* tables, PyObject* vectors, PyObject* columns, PyObject* rows)
      : tables(static_cast<uint64_t*>(pointer(tables, 0))),
        table_count(number(tables, 1)),
        width(number(tables, 2)),
        places(static_cast<const int64_t*>(pointer(columns, 0))),
        count(number(columns, 1)),
        rows(static_cast<const uint64_t*>(pointer(rows, 0))),
        has_step(number(rows, 1) != 0) {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(vectors); ++i) {
      PyObject* const vector = PyList_GET_ITEM(vectors, i);
      this->vectors.push_back({static_cast<char*>(pointer(vector, 0)), number(vector, 1)});
    }
  }

  void fill() const {
    for (Py_ssize_t table = 0; table < table_count; ++table)
      for (Py_ssize_t layer = 0; layer < count; ++layer)
        tables[table * width + places[layer]] = rows[table * count + layer];
    each_value([](char* in_vector, void* in_tensor, Py_ssize_t size) { std::memcpy(in_vector, in_tensor, size); });
  }

  void write_back() const {
    each_value([](char* in_vector, void* in_tensor, Py_ssize_t size) { std::memcpy(in_tensor, in_vector, size); });
    if (!has_step) return;
    for (Py_ssize_t layer = 0; layer < count; ++layer) ++step(layer);
  }

  int64_t completed() const {
    for (Py_ssize_t layer = 1; layer < count; ++layer)
      if (step(layer) != step(0)) return -1;
    return step(0);
  }

 private:
  static Py_ssize_t number(PyObject* tuple, Py_ssize_t index) {
    return PyLong_AsSsize_t(PyTuple_GET_ITEM(tuple, index));
  }
  static void* pointer(PyObject* tuple, Py_ssize_t index) { return PyLong_AsVoidPtr(PyTuple_GET_ITEM(tuple, index)); }

  int64_t& step(Py_ssize_t layer) const {
    const size_t row = table_count + vectors.size();
    return *reinterpret_cast<int64_t*>(rows[row * count + layer]);
  }

  template <class Copy>
  void each_value(const Copy& copy) const {
    for (size_t i = 0; i < vectors.size(); ++i)
      for (Py_ssize_t layer = 0; layer < count; ++layer)
        copy(vectors[i].values + places[layer] * vectors[i].size,
             reinterpret_cast<void*>(rows[(table_count + i) * count + layer]), vectors[i].size);
  }
};

constexpr const char* kName = "layerwise.torch.Watch";
constexpr const char* kGroups = "layerwise.torch.Groups";
constexpr const char* kColumns = "layerwise.torch.Columns";

template <class Object>
PyObject* capsule_of(Object* object, const char* name) {
  return PyCapsule_New(object, name, [](PyObject* capsule) {
    delete static_cast<Object*>(PyCapsule_GetPointer(capsule, PyCapsule_GetName(capsule)));
  });
}

const Columns* columns_in(PyObject* capsule) {
  return static_cast<const Columns*>(PyCapsule_GetPointer(capsule, kColumns));
}

// What torch refuses, as memory that a tensor does not have, is nothing that was there before.
template <class Function>
PyObject* none_on_refusal(const Function& function) {
  PyObject* result = nullptr;
  try {
    result = function();
  } catch (const std::exception&) {
  }
  if (result) return result;
  PyErr_Clear();
  return Py_NewRef(Py_None);
}

}  // namespace

// A capsule, for layerwise_torch_look; None for parameters in no list, or state in no dict. See Watch's constructor.
extern "C" PyObject* layerwise_torch_watch(PyObject* calls, PyObject* parameters, PyObject* state) {
  return none_on_refusal([&]() -> PyObject* {
    if (!PyList_Check(parameters) || !PyDict_Check(state)) return nullptr;
    return capsule_of(new Watch(calls, parameters, state), kName);
  });
}

// A list of the tensors, whose addresses are written; None where not all are what they were.
extern "C" PyObject* layerwise_torch_look(PyObject* capsule, PyObject* parameters, PyObject* state,
                                          uint64_t* addresses) {
  return none_on_refusal([&]() -> PyObject* {
    auto* const watch = static_cast<Watch*>(PyCapsule_GetPointer(capsule, kName));
    if (!watch) return nullptr;
    std::vector<Reference> tensors = watch->look(parameters, state, addresses);
    if (tensors.empty()) return nullptr;
    PyObject* const list = PyList_New(static_cast<Py_ssize_t>(tensors.size()));
    for (size_t i = 0; list && i < tensors.size(); ++i)
      PyList_SET_ITEM(list, static_cast<Py_ssize_t>(i), std::exchange(tensors[i].object, nullptr));
    return list;
  });
}

// A capsule, for layerwise_torch_rates; None for groups that are not lists and dicts, or have no rate of their own. See
// Groups' constructor.
extern "C" PyObject* layerwise_torch_groups(PyObject* groups, PyObject* names, PyObject* own, PyObject* texts,
                                            PyObject* labels) {
  return none_on_refusal([&]() -> PyObject* {
    if (!PyList_CheckExact(groups) || !PyDict_CheckExact(own)) return nullptr;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(groups); ++i) {
      PyObject* const group = PyList_GET_ITEM(groups, i);
      if (!PyDict_CheckExact(group)) return nullptr;
      PyObject *const lr = PyDict_GetItemString(group, "lr"), *const parameters = PyDict_GetItemString(group, "params");
      if (!lr || !PyFloat_CheckExact(lr) || !parameters || !PyList_CheckExact(parameters)) return nullptr;
    }
    return capsule_of(new Groups(groups, names, own, texts, labels), kGroups);
  });
}

// A pair of lists, the groups' rates and their parameters; None where anything but the rates is not what it was.
extern "C" PyObject* layerwise_torch_rates(PyObject* capsule, PyObject* groups, PyObject* own) {
  return none_on_refusal([&]() -> PyObject* {
    auto* const watch = static_cast<Groups*>(PyCapsule_GetPointer(capsule, kGroups));
    return watch && PyList_CheckExact(groups) ? watch->look(groups, own) : nullptr;
  });
}

// Tells autograd that the tensors of a list are written. Their types were looked at.
extern "C" PyObject* layerwise_torch_written(PyObject* tensors) {
  try {
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(tensors); ++i)
      THPVariable_Unpack(PyList_GET_ITEM(tensors, i)).unsafeGetTensorImpl()->bump_version();
  } catch (const std::exception& problem) {
    PyErr_SetString(PyExc_RuntimeError, problem.what());
    return nullptr;
  }
  return Py_NewRef(Py_None);
}

// A capsule, for the three below.
extern "C" PyObject* layerwise_torch_columns(PyObject* tables, PyObject* vectors, PyObject* columns, PyObject* rows) {
  auto* const made = new Columns(tables, vectors, columns, rows);
  if (!PyErr_Occurred()) return capsule_of(made, kColumns);
  delete made;
  return nullptr;
}

extern "C" PyObject* layerwise_torch_completed(PyObject* capsule) {
  const Columns* const columns = columns_in(capsule);
  return columns ? PyLong_FromLongLong(columns->completed()) : nullptr;
}

extern "C" PyObject* layerwise_torch_fill(PyObject* capsule) {
  const Columns* const columns = columns_in(capsule);
  if (!columns) return nullptr;
  columns->fill();
  return Py_NewRef(Py_None);
}

extern "C" PyObject* layerwise_torch_write_back(PyObject* capsule) {
  const Columns* const columns = columns_in(capsule);
  if (!columns) return nullptr;
  columns->write_back();
  return Py_NewRef(Py_None);
}
