/* Loads the shared library as a foreign-function caller does. Where no NVIDIA driver is there the CPU backend works,
 * and a CUDA plan is refused with a status and a message. */
#include <dlfcn.h>
#include <layerwise.h>
#include <stdio.h>
#include <string.h>

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) {                                             \
      printf("line %d: " #condition " is not so\n", __LINE__);      \
      return 1;                                                     \
    }                                                               \
  } while (0)

/* A function of the library; the copy avoids a cast that ISO C lacks. */
#define LOAD(function)                         \
  do {                                         \
    void *found = dlsym(library, #function);   \
    CHECK(found != NULL);                      \
    memcpy(&function##_, &found, sizeof found); \
  } while (0)

int main(int argc, char **argv) {
  CHECK(argc == 2);
#if LAYERWISE_HAVE_CUDA
  if (dlopen("libcuda.so.1", RTLD_NOW) != NULL) {
    printf("SKIPPED: an NVIDIA driver is installed here\n");
    return 0;
  }
#endif
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) printf("%s\n", dlerror());
  CHECK(library != NULL);
  int32_t (*layerwise_plan_options_init_)(layerwise_plan_options *, int64_t);
  int32_t (*layerwise_plan_create_)(const layerwise_plan_options *, layerwise_plan **);
  int32_t (*layerwise_plan_destroy_)(layerwise_plan *);
  const char *(*layerwise_last_error_)(void);
  const char *(*layerwise_build_info_)(void);
  LOAD(layerwise_plan_options_init);
  LOAD(layerwise_plan_create);
  LOAD(layerwise_plan_destroy);
  LOAD(layerwise_last_error);
  LOAD(layerwise_build_info);

  const int64_t sizes[2] = {3, 5};
  layerwise_plan_options options;
  CHECK(layerwise_plan_options_init_(&options, sizeof options) == LAYERWISE_OK);
  options.layer_count = 2;
  options.sizes = sizes;

  options.device = 0;
  layerwise_plan *plan = (layerwise_plan *)&options; /* anything but NULL */
  const int32_t status = layerwise_plan_create_(&options, &plan);
  printf("a CUDA plan: status %d, %s\n", (int)status, layerwise_last_error_());
  CHECK(status == LAYERWISE_ERROR_NO_CUDA);
  CHECK(plan == NULL);
  CHECK(strlen(layerwise_last_error_()) > 0);

  options.device = LAYERWISE_DEVICE_CPU;
  CHECK(layerwise_plan_create_(&options, &plan) == LAYERWISE_OK);
  CHECK(layerwise_plan_destroy_(plan) == LAYERWISE_OK);

  printf("%s\n", layerwise_build_info_());
  CHECK(strlen(layerwise_build_info_()) > 0);
  CHECK(dlclose(library) == 0);
  return 0;
}
