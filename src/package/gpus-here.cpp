// Prints the compute capability of every GPU that the CUDA driver gives to this process, one a line, 90 for 9.0;
// nothing where no driver is. The driver is asked itself: containers often have it and no nvidia-smi.
#include <dlfcn.h>

#include <cstdio>

namespace {

constexpr int kMajor = 75, kMinor = 76;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR

template <typename Function>
bool load(Function*& function, void* library, const char* name) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

int main() {
  int (*init)(unsigned);
  int (*count_devices)(int*);
  int (*device_at)(int*, int);
  int (*attribute)(int*, int, int);
  void* driver = dlopen("libcuda.so.1", RTLD_NOW);
  int count = 0;
  if (!driver || !load(init, driver, "cuInit") || !load(count_devices, driver, "cuDeviceGetCount") ||
      !load(device_at, driver, "cuDeviceGet") || !load(attribute, driver, "cuDeviceGetAttribute") || init(0) != 0 ||
      count_devices(&count) != 0)
    return 0;
  for (int index = 0; index < count; ++index) {
    int device = 0, major = 0, minor = 0;
    if (device_at(&device, index) == 0 && attribute(&major, kMajor, device) == 0 &&
        attribute(&minor, kMinor, device) == 0)
      std::printf("%d%d\n", major, minor);
  }
  return 0;
}
