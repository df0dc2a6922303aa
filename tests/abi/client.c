/* A caller of every function that takes a struct, compiled against the header that LAYERWISE_HEADER names: today's, the
 * first of this ABI (old_header), or a later one whose structs have grown; linked with today's library or that later one.
 * What it prints must be the same. Behind each struct lie bytes that nobody may write or take an option from. */
#include LAYERWISE_HEADER
#include <stdio.h>
#include <string.h>

#define CHECK(call)                                                                                                    \
  do {                                                                                                                 \
    const int32_t status = (call);                                                                                     \
    if (status != LAYERWISE_OK) {                                                                                      \
      printf("%s: %s: %s\n", #call, layerwise_status_name(status), layerwise_last_error());                            \
      return 1;                                                                                                        \
    }                                                                                                                  \
  } while (0)

/* A struct of options as the caller knows it, filled by its initializer, with other data behind it. */
#define OPTIONS(type, name)                                                                                            \
  struct {                                                                                                             \
    layerwise_##type##_options options;                                                                                \
    unsigned char behind[512];                                                                                         \
  } name;                                                                                                              \
  memset(&name, 0xa5, sizeof name);                                                                                    \
  CHECK(layerwise_##type##_options_init(&name.options, sizeof name.options));                                          \
  if (name.options.struct_size != (int64_t)sizeof name.options || !untouched(name.behind)) {                           \
    printf("layerwise_" #type "_options_init wrote behind the struct\n");                                              \
    return 1;                                                                                                          \
  }

enum { kLayers = 2, kElements = 5 };

static int untouched(const unsigned char *bytes) {
  for (int i = 0; i < 512; ++i)
    if (bytes[i] != 0xa5) return 0;
  return 1;
}

static float weights[kElements], grads[kElements], moment[kElements], second[kLayers];
static double grad_sums[kLayers], weight_sums[kLayers], stats[kLayers][LAYERWISE_STAT_COUNT];

static void begin(void) {
  for (int i = 0; i < kElements; ++i)
    weights[i] = (float)(i + 1), grads[i] = (float)(5 - i) / 8, moment[i] = (float)(i % 2) / 4;
  for (int l = 0; l < kLayers; ++l) second[l] = (float)(l + 1) / 2;
}

static void show(const char *step) {
  printf("%s:", step);
  for (int i = 0; i < kElements; ++i) printf(" %a %a %a", weights[i], grads[i], moment[i]);
  for (int l = 0; l < kLayers; ++l) printf(" %a %a %a", second[l], stats[l][LAYERWISE_STAT_FACTOR], grad_sums[l]);
  printf("\n");
}

int main(void) {
  const int64_t sizes[kLayers] = {2, 3};
  const double lr_mult[kLayers] = {1, 0.5};
  layerwise_plan *plan = NULL;
  int64_t bytes = -1, elements = 0;

  OPTIONS(plan, layout)
  layout.options.layer_count = kLayers;
  layout.options.sizes = sizes;
  layout.options.threads = 1;
  CHECK(layerwise_plan_workspace_size(&layout.options, &bytes));
  CHECK(layerwise_plan_create(&layout.options, &plan));
  CHECK(layerwise_plan_query(plan, LAYERWISE_QUERY_ELEMENTS, &elements));
  printf("plan: %d %d\n", (int)bytes, (int)elements);

  OPTIONS(layer, layers)
  layers.options.lr_mult = lr_mult;
  CHECK(layerwise_plan_set_layers(plan, &layers.options));

  OPTIONS(novograd, novograd)
  novograd.options.lr = 0.125;
  novograd.options.bias_correction = 1;
  novograd.options.step = 3;
  begin();
  CHECK(novograd_step(plan, weights, grads, moment, second, NULL, NULL, NULL, &stats[0][0], &novograd.options, NULL));
  show("novograd_step");

  OPTIONS(larc, larc)
  larc.options.lr = 0.125;
  larc.options.weight_decay = 0.25;
  larc.options.fold_weight_decay = 1;
  begin();
  CHECK(larc_scale(plan, weights, grads, NULL, &stats[0][0], &larc.options, NULL));
  show("larc_scale");

  OPTIONS(sgd, sgd)
  sgd.options.nesterov = 1;
  begin();
  CHECK(larc_sgd_step(plan, weights, grads, moment, NULL, NULL, &stats[0][0], &larc.options, &sgd.options, NULL));
  show("larc_sgd_step");

  begin();
  CHECK(layerwise_partial_norms(plan, weights, NULL, grads, NULL, grad_sums, weight_sums, LAYERWISE_SUMS_LAYERS,
                                LAYERWISE_NORM_L2, NULL));
  CHECK(layerwise_novograd_apply(plan, weights, grads, moment, second, NULL, NULL, NULL, &stats[0][0], grad_sums,
                                 LAYERWISE_SUMS_LAYERS, &novograd.options, NULL));
  show("layerwise_novograd_apply");

  begin();
  CHECK(layerwise_larc_apply(plan, weights, grads, moment, NULL, NULL, &stats[0][0], grad_sums, weight_sums,
                             LAYERWISE_SUMS_LAYERS, &larc.options, &sgd.options, NULL));
  show("layerwise_larc_apply");

  OPTIONS(larc, ahead)
  begin();
  CHECK(layerwise_larc_novograd_step(plan, weights, grads, moment, second, NULL, NULL, NULL, &stats[0][0],
                                     &ahead.options, &novograd.options, NULL));
  show("layerwise_larc_novograd_step");
  CHECK(layerwise_plan_reset(plan));
  CHECK(layerwise_plan_destroy(plan));
  return 0;
}
