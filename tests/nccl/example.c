/* NovoGrad on a model whose pieces lie on GPUs, one a rank of NCCL: cc example.c -llayerwise -lnccl -lcudart -lm
 *
 *   ./example                  one rank
 *   ./example RANK RANKS FILE  one process a rank; rank 0 writes NCCL's id to FILE, which must be new for each run
 *
 * agree() and sharded_step() are what an engine needs: they take its communicator and its stream. The rest checks them:
 * a hole in the model is found before the first step, every rank has the second moments of rank 0 to the bit, and the
 * weights are those of one plan of the whole model, to the bit with one rank and to 1e-6 with several.
 * Exit code 77: there is no GPU. */
#include <cuda_runtime_api.h>
#include <layerwise.h>
#include <math.h>
#include <nccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kLayers = 5, kSteps = 100, kNoDevice = 77 };
static const int64_t kSizes[kLayers] = {5, 24593, 1, 70000, 16384};

static int rank = 0, ranks = 1;

static void fail(const char *name, const char *message) {
  fprintf(stderr, "rank %d: %s: %s\n", rank, name, message);
  exit(1);
}
static void check(int32_t status) {
  if (status != LAYERWISE_OK) fail(layerwise_status_name(status), layerwise_last_error());
}
static void check_cuda(cudaError_t status) {
  if (status != cudaSuccess) fail("CUDA", cudaGetErrorString(status));
}
static void check_nccl(ncclResult_t status) {
  if (status != ncclSuccess) fail("NCCL", ncclGetErrorString(status));
}

/* ---- What an engine needs ----------------------------------------------------------------------------------------- */

/* Before the first step: holes, double counting, other layouts and other options are LAYERWISE_ERROR_RANKS_DISAGREE on
 * every rank. Waits for the stream, once in a training. */
static int32_t agree(layerwise_plan *plan, const layerwise_novograd_options *options, ncclComm_t comm,
                     cudaStream_t stream) {
  enum { kCount = LAYERWISE_CLAIM_HEAD + 2 * kLayers };
  const double agreed[] = {options->lr, options->beta1, options->beta2, options->eps, options->weight_decay};
  double claim[kCount], sum[kCount], *on_device;
  check(layerwise_shard_claim(plan, agreed, sizeof agreed, claim, kCount));
  check_cuda(cudaMalloc((void **)&on_device, sizeof claim));
  check_cuda(cudaMemcpyAsync(on_device, claim, sizeof claim, cudaMemcpyHostToDevice, stream));
  check_nccl(ncclAllReduce(on_device, on_device, kCount, ncclDouble, ncclSum, comm, stream));
  check_cuda(cudaMemcpyAsync(sum, on_device, sizeof sum, cudaMemcpyDeviceToHost, stream));
  check_cuda(cudaStreamSynchronize(stream));
  check_cuda(cudaFree(on_device));
  return layerwise_shard_verify(plan, claim, sum, kCount);
}

/* This rank's elements and state, on its device. */
typedef struct {
  float *weights, *grads, *first_moment, *second_moment; /* second_moment: one a layer */
  double *sums;                                          /* one a layer */
} Shard;

/* One step: sums, one all-reduce of a double a layer, update. All of it is enqueued on the stream; the host waits for
 * nothing, and NCCL's kernel sees the sums because it follows them on the same stream. */
static void sharded_step(layerwise_plan *plan, const Shard *shard, const layerwise_novograd_options *options,
                         ncclComm_t comm, cudaStream_t stream) {
  check(layerwise_partial_norms(plan, NULL, NULL, shard->grads, NULL, shard->sums, NULL, LAYERWISE_SUMS_LAYERS,
                                LAYERWISE_NORM_L2, stream));
  check_nccl(ncclAllReduce(shard->sums, shard->sums, kLayers, ncclDouble, ncclSum, comm, stream));
  check(layerwise_novograd_apply(plan, shard->weights, shard->grads, shard->first_moment, shard->second_moment, NULL,
                                 NULL, NULL, NULL, shard->sums, LAYERWISE_SUMS_LAYERS, options, stream));
}

/* ---- What checks it ----------------------------------------------------------------------------------------------- */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static layerwise_plan *plan_of(const int64_t *sizes, int device) {
  layerwise_plan_options layout;
  check(layerwise_plan_options_init(&layout, sizeof layout));
  layout.layer_count = kLayers;
  layout.sizes = sizes;
  layout.device = device;
  layerwise_plan *plan = NULL;
  check(layerwise_plan_create(&layout, &plan));
  return plan;
}

/* This rank has elements first to last of the model: of each layer the piece that lies in them. */
static layerwise_plan *shard_of(int64_t first, int64_t last, int device) {
  int64_t sizes[kLayers], begins[kLayers], at = 0;
  for (int l = 0; l < kLayers; at += kSizes[l++]) {
    const int64_t begin = larger(at, first), end = smaller(at + kSizes[l], last);
    sizes[l] = larger(end - begin, 0);
    begins[l] = sizes[l] > 0 ? begin - at : 0;
  }
  layerwise_plan *plan = plan_of(sizes, device);
  layerwise_shard_options shard;
  check(layerwise_shard_options_init(&shard, sizeof shard));
  shard.layer_sizes = kSizes;
  shard.layer_begins = begins;
  check(layerwise_plan_set_shard(plan, &shard));
  return plan;
}

/* Of element i of the model in step t; 0 for the weights before the first. */
static float value(int64_t i, int64_t t) {
  uint64_t x = (uint64_t)i * 0x9e3779b97f4a7c15u + (uint64_t)t * 0xff51afd7ed558ccdu;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
  return (float)((double)(x >> 11) * 0x1p-53 - 0.5);
}

static void upload(float *device, float *host, int64_t first, int64_t count, int64_t t, cudaStream_t stream) {
  for (int64_t i = 0; i < count; ++i) host[i] = value(first + i, t);
  check_cuda(cudaMemcpyAsync(device, host, count * sizeof(float), cudaMemcpyHostToDevice, stream));
  check_cuda(cudaStreamSynchronize(stream)); /* host is written again by the next call */
}

static void *zeros(size_t bytes, cudaStream_t stream) {
  void *memory;
  check_cuda(cudaMalloc(&memory, bytes));
  check_cuda(cudaMemsetAsync(memory, 0, bytes, stream));
  return memory;
}

static Shard allocate(int64_t count, cudaStream_t stream) {
  const size_t bytes = larger(count, 1) * sizeof(float);
  return (Shard){zeros(bytes, stream), zeros(bytes, stream), zeros(bytes, stream),
                 zeros(kLayers * sizeof(float), stream), zeros(kLayers * sizeof(double), stream)};
}

static void release(Shard *shard) {
  check_cuda(cudaFree(shard->weights)), check_cuda(cudaFree(shard->grads)), check_cuda(cudaFree(shard->first_moment));
  check_cuda(cudaFree(shard->second_moment)), check_cuda(cudaFree(shard->sums));
}

/* kSteps steps of the elements from first on; with comm NULL by whole steps. Returns the weights, to be freed. */
static float *train(layerwise_plan *plan, Shard *shard, int64_t first, int64_t count,
                    const layerwise_novograd_options *options, ncclComm_t comm, cudaStream_t stream) {
  float *host = malloc(larger(count, 1) * sizeof(float));
  upload(shard->weights, host, first, count, 0, stream);
  for (int64_t t = 1; t <= kSteps; ++t) {
    upload(shard->grads, host, first, count, t, stream);
    if (comm)
      sharded_step(plan, shard, options, comm, stream);
    else
      check(novograd_step(plan, shard->weights, shard->grads, shard->first_moment, shard->second_moment, NULL, NULL,
                          NULL, NULL, options, stream));
  }
  check_cuda(cudaMemcpyAsync(host, shard->weights, count * sizeof(float), cudaMemcpyDeviceToHost, stream));
  check_cuda(cudaStreamSynchronize(stream));
  return host;
}

/* Whether every rank's second moments are those of rank 0. The received copy goes where the sums are. */
static int same_moments(const Shard *shard, ncclComm_t comm, cudaStream_t stream) {
  float own[kLayers], of_first[kLayers];
  check_nccl(ncclBroadcast(shard->second_moment, shard->sums, kLayers, ncclFloat, 0, comm, stream));
  check_cuda(cudaMemcpyAsync(own, shard->second_moment, sizeof own, cudaMemcpyDeviceToHost, stream));
  check_cuda(cudaMemcpyAsync(of_first, shard->sums, sizeof of_first, cudaMemcpyDeviceToHost, stream));
  check_cuda(cudaStreamSynchronize(stream));
  return memcmp(own, of_first, sizeof own) == 0;
}

/* The communicator that an engine would have already. */
static ncclComm_t communicator(const char *path) {
  ncclUniqueId id;
  if (rank == 0) check_nccl(ncclGetUniqueId(&id));
  if (path && rank == 0) {
    char unfinished[4096];
    snprintf(unfinished, sizeof unfinished, "%s.part", path);
    FILE *file = fopen(unfinished, "wb");
    if (!file || fwrite(&id, sizeof id, 1, file) != 1 || fclose(file) || rename(unfinished, path))
      fail(path, "cannot be written");
  } else if (path) {
    FILE *file = NULL;
    for (int waited = 0; !(file = fopen(path, "rb")); ++waited) {
      if (waited == 600) fail(path, "rank 0 did not write it within a minute");
      nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    if (fread(&id, sizeof id, 1, file) != 1) fail(path, "is no id of NCCL");
    fclose(file);
  }
  ncclComm_t comm;
  check_nccl(ncclCommInitRank(&comm, ranks, id, rank));
  return comm;
}

int main(int argc, char **argv) {
  if (argc == 4) rank = atoi(argv[1]), ranks = atoi(argv[2]);
  if ((argc != 1 && argc != 4) || rank < 0 || rank >= ranks) {
    fprintf(stderr, "%s [RANK RANKS FILE]\n", argv[0]);
    return 2;
  }
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    printf("no GPU: %s\n", found != cudaSuccess ? cudaGetErrorString(found) : "CUDA sees no device");
    return kNoDevice;
  }
  const int device = rank % devices;
  check_cuda(cudaSetDevice(device));
  ncclComm_t comm = communicator(argc == 4 ? argv[3] : NULL);
  cudaStream_t stream;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));

  int64_t total = 0;
  for (int l = 0; l < kLayers; ++l) total += kSizes[l];
  const int64_t first = total * rank / ranks, last = total * (rank + 1) / ranks, count = last - first;
  layerwise_novograd_options options;
  check(layerwise_novograd_options_init(&options, sizeof options));
  options.lr = 0.01;

  /* The last rank leaves out the model's last element. */
  layerwise_plan *plan = shard_of(first, rank + 1 == ranks ? last - 1 : last, device);
  const int hole_found = agree(plan, &options, comm, stream) == LAYERWISE_ERROR_RANKS_DISAGREE;
  check(layerwise_plan_destroy(plan));

  plan = shard_of(first, last, device);
  check(agree(plan, &options, comm, stream));
  Shard shard = allocate(count, stream);
  float *weights = train(plan, &shard, first, count, &options, comm, stream);
  const int moments = same_moments(&shard, comm, stream);
  release(&shard);
  check(layerwise_plan_destroy(plan));

  plan = plan_of(kSizes, device);
  Shard one = allocate(total, stream);
  float *whole = train(plan, &one, 0, total, &options, NULL, stream);
  release(&one);
  check(layerwise_plan_destroy(plan));
  check_cuda(cudaStreamDestroy(stream));
  check_nccl(ncclCommDestroy(comm));

  double largest = 0, difference = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = fmax(largest, fabs(whole[first + i]));
    difference = fmax(difference, fabs((double)weights[i] - whole[first + i]));
  }
  const int close = ranks == 1 ? memcmp(weights, whole, count * sizeof(float)) == 0 : difference <= 1e-6 * largest;
  free(weights), free(whole);
  printf("rank %d of %d: elements %lld to %lld, %.1e from one plan's at most%s%s\n", rank, ranks, (long long)first,
         (long long)last, difference, hole_found ? "" : "; A HOLE WAS NOT FOUND",
         moments ? "" : "; SECOND MOMENTS ARE NOT THOSE OF RANK 0");
  return !(hole_found && moments && close);
}
