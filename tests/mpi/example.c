/* NovoGrad on a model that MPI's ranks hold in equal pieces, however the layers lie: mpicc example.c -llayerwise
 *
 * Checks itself: every rank has the second moments of rank 0 to the bit, and the weights are those of one plan of the
 * whole model to 1e-6. With the argument "disagree" rank 1 takes another lr, and every rank must hear of it. */
#include <layerwise.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kLayers = 5, kSteps = 100 };
static const int64_t kSizes[kLayers] = {5, 24593, 1, 70000, 16384};

static int rank, ranks;

static void check(int32_t status) {
  if (status == LAYERWISE_OK) return;
  fprintf(stderr, "rank %d: %s: %s\n", rank, layerwise_status_name(status), layerwise_last_error());
  MPI_Abort(MPI_COMM_WORLD, 1);
}

/* Of element i of the model in step t; 0 for the weights before the first. */
static float value(int64_t i, int64_t t) {
  uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + (uint64_t)t * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return (float)((double)(x >> 11) * 0x1p-53 - 0.5);
}

static void fill(float *to, int64_t first, int64_t count, int64_t t) {
  for (int64_t i = 0; i < count; ++i) to[i] = value(first + i, t);
}

static layerwise_plan *plan_of(const int64_t *sizes) {
  layerwise_plan_options layout;
  check(layerwise_plan_options_init(&layout, sizeof layout));
  layout.layer_count = kLayers;
  layout.sizes = sizes;
  layout.threads = 1;
  layerwise_plan *plan = NULL;
  check(layerwise_plan_create(&layout, &plan));
  return plan;
}

/* This rank has elements first to last of the model: of each layer the piece that lies in them. */
static layerwise_plan *shard_of(int64_t first, int64_t last) {
  int64_t sizes[kLayers], begins[kLayers], at = 0;
  for (int l = 0; l < kLayers; at += kSizes[l++]) {
    const int64_t begin = at > first ? at : first, end = at + kSizes[l] < last ? at + kSizes[l] : last;
    sizes[l] = end > begin ? end - begin : 0;
    begins[l] = sizes[l] > 0 ? begin - at : 0;
  }
  layerwise_plan *plan = plan_of(sizes);
  layerwise_shard_options shard;
  check(layerwise_shard_options_init(&shard, sizeof shard));
  shard.layer_sizes = kSizes;
  shard.layer_begins = begins;
  check(layerwise_plan_set_shard(plan, &shard));
  return plan;
}

/* Before the first step: holes, double counting, other layouts and another lr are an error on every rank. */
static int32_t agree(layerwise_plan *plan, double lr) {
  enum { kCount = LAYERWISE_CLAIM_HEAD + 2 * kLayers };
  double claim[kCount], sum[kCount];
  check(layerwise_shard_claim(plan, &lr, sizeof lr, claim, kCount));
  MPI_Allreduce(claim, sum, kCount, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  return layerwise_shard_verify(plan, claim, sum, kCount);
}

static void train_whole(layerwise_plan *plan, float *weights, int64_t count, layerwise_novograd_options options) {
  float *grads = malloc(count * sizeof(float)), *moment = calloc(count, sizeof(float)), second[kLayers] = {0};
  for (int64_t t = 1; t <= kSteps; ++t) {
    fill(grads, 0, count, t);
    check(novograd_step(plan, weights, grads, moment, second, NULL, NULL, NULL, NULL, &options, NULL));
  }
  free(grads), free(moment);
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  int64_t total = 0;
  for (int l = 0; l < kLayers; ++l) total += kSizes[l];
  const int64_t first = total * rank / ranks, last = total * (rank + 1) / ranks, count = last - first;

  layerwise_novograd_options options;
  check(layerwise_novograd_options_init(&options, sizeof options));
  const int disagrees = argc > 1 && strcmp(argv[1], "disagree") == 0;
  options.lr = disagrees && rank == 1 ? 0.02 : 0.01;

  layerwise_plan *plan = shard_of(first, last);
  const int32_t verified = agree(plan, options.lr);
  if (disagrees) {
    printf("rank %d: %s\n", rank, layerwise_last_error());
    MPI_Finalize();
    return verified != LAYERWISE_ERROR_RANKS_DISAGREE;
  }
  check(verified);

  float *weights = malloc((count + 1) * sizeof(float)), *grads = malloc((count + 1) * sizeof(float));
  float *moment = calloc(count + 1, sizeof(float)), second[kLayers] = {0};
  double sums[kLayers];
  fill(weights, first, count, 0);
  for (int64_t t = 1; t <= kSteps; ++t) {
    fill(grads, first, count, t);
    check(layerwise_partial_norms(plan, NULL, NULL, grads, NULL, sums, NULL, LAYERWISE_SUMS_LAYERS, LAYERWISE_NORM_L2,
                                  NULL));
    MPI_Allreduce(MPI_IN_PLACE, sums, kLayers, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    check(layerwise_novograd_apply(plan, weights, grads, moment, second, NULL, NULL, NULL, NULL, sums,
                                   LAYERWISE_SUMS_LAYERS, &options, NULL));
  }
  check(layerwise_plan_destroy(plan));

  float of_first[kLayers];
  memcpy(of_first, second, sizeof second);
  MPI_Bcast(of_first, kLayers, MPI_FLOAT, 0, MPI_COMM_WORLD);
  int wrong = memcmp(of_first, second, sizeof second) != 0;
  plan = plan_of(kSizes);
  float *whole = malloc(total * sizeof(float));
  fill(whole, 0, total, 0);
  train_whole(plan, whole, total, options);
  check(layerwise_plan_destroy(plan));
  double largest = 0, difference = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = fmax(largest, fabs(whole[first + i]));
    difference = fmax(difference, fabs((double)weights[i] - whole[first + i]));
  }
  wrong = wrong || !(difference <= 1e-6 * largest);
  printf("rank %d of %d: elements %lld to %lld, %.1e from one plan's at most\n", rank, ranks, (long long)first,
         (long long)last, difference);
  free(weights), free(grads), free(moment), free(whole);
  MPI_Finalize();
  return wrong;
}
