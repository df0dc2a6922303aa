/* Built against the installed header, run against the installed library: versions agree and a step works. */
#include <layerwise.h>
#include <stdio.h>

int main(void) {
  const int32_t version =
      LAYERWISE_VERSION_MAJOR * 10000 + LAYERWISE_VERSION_MINOR * 100 + LAYERWISE_VERSION_PATCH;
  const int64_t size = 4;
  float weights[4] = {1, 1, 1, 1}, grads[4] = {1, 1, 1, 1};
  layerwise_plan *plan = NULL;
  layerwise_plan_options layout;
  layerwise_larc_options larc;
  int32_t status;
  layerwise_plan_options_init(&layout, sizeof layout);
  layout.layer_count = 1;
  layout.sizes = &size;
  layerwise_larc_options_init(&larc, sizeof larc);
  larc.lr = 1;
  larc.eta = 0.5; /* |w| is |g|, so the factor is 0.5 */
  status = layerwise_plan_create(&layout, &plan);
  if (status == LAYERWISE_OK) status = larc_scale(plan, weights, grads, NULL, NULL, &larc, NULL);
  if (status != LAYERWISE_OK) printf("%s: %s\n", layerwise_status_name(status), layerwise_last_error());
  layerwise_plan_destroy(plan);
  printf("version %d, header %d, gradient %.7f\n", (int)layerwise_version(), (int)version, grads[0]);
  return status != LAYERWISE_OK || layerwise_version() != version || grads[0] < 0.4999999f || grads[0] > 0.5000001f;
}
