/* layerwise: layer-wise optimizers over one packed buffer, behind a flat C ABI.
 *
 * One call applies one optimizer step (NovoGrad, LARC, or LARC with SGD) to every layer of a model. The layers lie
 * in one packed buffer, or in buffers of their own; the memory is the caller's, on a CUDA device or on the host. The
 * result is a function of the inputs alone: the same bits on every CPU and GPU, for any number of threads.
 *
 * A complete program (cc example.c -llayerwise):
 *
 * //[example]
 *   #include <layerwise.h>
 *   #include <stdio.h>
 *
 *   int main(void) {
 *     float weights[5] = {1, 2, 3, 4, 5}, grads[5] = {.1f, .2f, .3f, .4f, .5f};   // two layers: 2 and 3 elements
 *     float first_moment[5] = {0}, second_moment[2] = {0};
 *     const int64_t sizes[2] = {2, 3};
 *     layerwise_plan_options layout;
 *     layerwise_plan_options_init(&layout, sizeof layout);
 *     layout.layer_count = 2;
 *     layout.sizes = sizes;
 *     layerwise_plan *plan = NULL;
 *     layerwise_novograd_options step;
 *     layerwise_novograd_options_init(&step, sizeof step);
 *     step.lr = 0.01;
 *     int32_t status = layerwise_plan_create(&layout, &plan);
 *     if (status == LAYERWISE_OK)
 *       status = novograd_step(plan, weights, grads, first_moment, second_moment, NULL, NULL, NULL, NULL, &step, NULL);
 *     if (status != LAYERWISE_OK) printf("%s: %s\n", layerwise_status_name(status), layerwise_last_error());
 *     else printf("%.6f %.6f %.6f %.6f %.6f\n", weights[0], weights[1], weights[2], weights[3], weights[4]);
 *     layerwise_plan_destroy(plan);
 *     return status != LAYERWISE_OK;
 *   }
 * //[/example]
 *
 * Index
 *   plans       layerwise_plan_options_init  layerwise_plan_workspace_size  layerwise_plan_create  layerwise_plan_destroy
 *               layerwise_plan_reset  layerwise_plan_query  layerwise_layer_options_init  layerwise_plan_set_layers
 *   shards      layerwise_shard_options_init  layerwise_plan_set_shard  layerwise_shard_claim  layerwise_shard_verify
 *   steps       novograd_step  larc_scale  larc_sgd_step  and layerwise_{novograd,larc,sgd}_options_init
 *               layerwise_larc_novograd_step
 *   in halves   layerwise_partial_norms  layerwise_novograd_apply  layerwise_larc_apply  layerwise_larc_novograd_apply
 *   the library layerwise_version  layerwise_numerics_version  layerwise_build_info  layerwise_abi_description
 *               layerwise_status_name  layerwise_last_error
 *
 * Rules that hold for every function
 *   - 0 (LAYERWISE_OK) is success; any other status leaves a message for this thread in layerwise_last_error().
 *   - All arguments are checked before the first write: on error, nothing has changed.
 *   - Options structs grow at their end. Callers compiled against an older header keep working: options they lack have
 *     their defaults. So do callers of a newer header, as long as the options this library does not know are 0.
 *   - No function prints, exits, throws across this boundary or changes the caller's current CUDA device.
 *   - "The plan's memory" is host memory for a CPU plan and memory the plan's CUDA device can reach for a CUDA plan.
 *   - Pointers must be aligned to their element's size, no more. Buffers aligned to 4 elements are read fastest.
 */
#ifndef LAYERWISE_H
#define LAYERWISE_H

#include <stdint.h>

#if defined(_WIN32)
#define LAYERWISE_API
#else
#define LAYERWISE_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. The library a program runs with may be newer: layerwise_version(). */
#define LAYERWISE_VERSION_MAJOR 0
#define LAYERWISE_VERSION_MINOR 1
#define LAYERWISE_VERSION_PATCH 0
/* Raised when programs built against an older header would break; part of the shared library's soname. */
#define LAYERWISE_ABI_VERSION 0

/* ---- Status codes: stable numbers in families of a hundred ------------------------------------------------------ */

#define LAYERWISE_OK 0 /* success */

/* 1xx: an argument */
#define LAYERWISE_ERROR_NULL_ARGUMENT 101    /* a pointer that must not be NULL is NULL */
#define LAYERWISE_ERROR_INVALID_VALUE 102    /* a number outside its range, or not finite */
#define LAYERWISE_ERROR_UNKNOWN_FLAG 103     /* a selector, flag or reserved field has an unknown value */
#define LAYERWISE_ERROR_STRUCT_SIZE 104      /* struct_size is too small, or bytes this library does not know are set */
#define LAYERWISE_ERROR_INVALID_PLAN 105     /* not a plan, already destroyed, or a CUDA plan in a forked process */
#define LAYERWISE_ERROR_COMBINATION 106      /* options that exclude each other, or a missing or superfluous buffer */
#define LAYERWISE_ERROR_ALIASED 107          /* buffers overlap where they must not */
#define LAYERWISE_ERROR_MISALIGNED 108       /* a pointer not aligned to its element's size */
/* 2xx: the layout of the layers */
#define LAYERWISE_ERROR_LAYER_RANGE 201      /* a negative size, offset or layer count */
#define LAYERWISE_ERROR_LAYER_OVERLAP 202    /* two layers share elements */
#define LAYERWISE_ERROR_LAYER_OVERFLOW 203   /* offset + size does not fit the address space */
#define LAYERWISE_ERROR_RANKS_DISAGREE 204   /* the ranks' pieces do not make up whole layers, or the ranks disagree */
/* 3xx: dtypes */
#define LAYERWISE_ERROR_UNKNOWN_DTYPE 301    /* not one of the LAYERWISE_DTYPE_ constants */
#define LAYERWISE_ERROR_UNSUPPORTED_DTYPE 302 /* a dtype this buffer cannot have */
/* 4xx: the backend */
#define LAYERWISE_ERROR_NO_CUDA 401          /* built without CUDA or for other devices, or no device is present */
#define LAYERWISE_ERROR_UNSUPPORTED_ISA 402  /* this processor lacks the instruction set asked for */
#define LAYERWISE_ERROR_WORKSPACE 403        /* the caller's workspace is too small or not aligned to 256 bytes */
#define LAYERWISE_ERROR_OUT_OF_MEMORY 404    /* host or device memory could not be allocated */
#define LAYERWISE_ERROR_PLAN_FAILED 405      /* an earlier step of this plan failed midway; call layerwise_plan_reset */
#define LAYERWISE_ERROR_INTERNAL 499         /* a bug in this library */
/* 5xx: CUDA */
#define LAYERWISE_ERROR_CUDA 501             /* a CUDA call failed; the message quotes CUDA's */

/* ---- Selectors ---------------------------------------------------------------------------------------------------- */

#define LAYERWISE_DTYPE_NONE 0        /* no such buffer */
#define LAYERWISE_DTYPE_FLOAT32 1     /* IEEE binary32 */
#define LAYERWISE_DTYPE_BFLOAT16 2    /* the upper 16 bits of a float32 */
#define LAYERWISE_DTYPE_FLOAT16 3     /* IEEE binary16 */
#define LAYERWISE_DTYPE_FLOAT64 4     /* IEEE binary64 */
#define LAYERWISE_DTYPE_REMAINDER16 5 /* 16 bits: the lower half of a float32 whose upper half is a bfloat16 weight */

#define LAYERWISE_DEVICE_CPU (-1) /* any number from 0 on is a CUDA device's ordinal */

#define LAYERWISE_LAYOUT_PACKED 0    /* one buffer; layer l is at buffer + offsets[l] */
#define LAYERWISE_LAYOUT_SCATTERED 1 /* each buffer argument is a table of layer_count pointers, in the plan's memory */

#define LAYERWISE_ISA_AUTO 0     /* the best that this processor has */
#define LAYERWISE_ISA_BASELINE 1 /* what every processor of the architecture has */
#define LAYERWISE_ISA_AVX2 2     /* AVX2 and FMA */
#define LAYERWISE_ISA_AVX512 3   /* AVX-512 F, BW, VL and DQ */
#define LAYERWISE_ISA_NEON 4     /* Advanced SIMD */

#define LAYERWISE_NORM_L2 0  /* the Euclidean norm */
#define LAYERWISE_NORM_INF 1 /* the largest magnitude */

#define LAYERWISE_SEED_OFF 0        /* NovoGrad's v is averaged from the first step on */
#define LAYERWISE_SEED_WHILE_ZERO 1 /* v becomes n2 whenever it is 0: also after steps whose gradients were 0 */
#define LAYERWISE_SEED_FIRST_STEP 2 /* v becomes n2 at t = 1 only, even if that is 0: optax, TensorFlow Addons, apex */

#define LAYERWISE_DECOUPLED_OFF 0        /* weight decay is in NovoGrad's momentum */
#define LAYERWISE_DECOUPLED_RAW 1        /* outside a momentum of raw gradients: apex's default */
#define LAYERWISE_DECOUPLED_NORMALIZED 2 /* outside one of normalised gradients, w *= 1 - lr*weight_decay: novogradw of timm */

#define LAYERWISE_LARC_CLIP 0  /* min(max(r_raw/lr, min_update), 1): the rate is capped at lr */
#define LAYERWISE_LARC_SCALE 1 /* max(r_raw, min_update): the factor itself */

#define LAYERWISE_FOLD_OFF 0       /* weight decay is neither in LARC's norm nor inside its factor */
#define LAYERWISE_FOLD_NORMS 1     /* inside the factor, and its norm added to the gradient's: apex, timm, TensorFlow 1 */
#define LAYERWISE_FOLD_GRADIENT 2  /* inside the factor, whose norm is that of the decayed gradient: optax, OpenSeq2Seq */
#define LAYERWISE_FOLD_BOTH 3      /* as GRADIENT, and weight decay's norm is added as well: fastai's decouple_wd=False */
#define LAYERWISE_FOLD_DECOUPLED 4 /* before the step, w *= 1 - lr*weight_decay; its norm is added: fastai; only with SGD */

#define LAYERWISE_ZERO_NORM_KEEP 0      /* r is 1 where |w| or |g| is 0: the layer trains without LARC */
#define LAYERWISE_ZERO_NORM_FREEZE 1    /* the formula; r is 0 where |w| is 0 */
#define LAYERWISE_ZERO_NORM_FLOOR 2     /* the formula; r is min_update where |w| is 0 */
#define LAYERWISE_ZERO_NORM_UNTOUCHED 3 /* as KEEP, and not decayed: apex's rule */
#define LAYERWISE_ZERO_NORM_UNIT 4      /* r_raw is 1 where |w| or |g| is 0: in CLIP r is then min(1/lr, 1), as in timm */

#define LAYERWISE_ZERO_GRAD_AS_WEIGHT 0 /* zero_norm decides where |g| is 0, too */
#define LAYERWISE_ZERO_GRAD_FORMULA 1   /* zero_norm is for |w| alone; the formula where |g| is 0: fastai, Chainer, holocron */
#define LAYERWISE_ZERO_GRAD_AT_LEAST_ONE 2 /* as FORMULA, but r_raw is 1 there where it would be less: objax */

#define LAYERWISE_ROUNDING_NEAREST 0    /* to the nearest, ties to even */
#define LAYERWISE_ROUNDING_STOCHASTIC 1 /* up or down at random, correct on average */

#define LAYERWISE_SUMS_LAYERS 0 /* one sum a layer: float64 [layer_count] */

/* Columns of layer_stats, a float64 array of shape (layer_count, LAYERWISE_STAT_COUNT). NaN where a step has no such
 * value. Rows of masked and skipped layers are left as they are. */
#define LAYERWISE_STAT_WEIGHT_NORM 0   /* |w|: LARC, alone or before another optimizer */
#define LAYERWISE_STAT_GRAD_NORM 1     /* |g'|, unscaled by grad_scale; the largest |g'| with the infinity norm */
#define LAYERWISE_STAT_SECOND_MOMENT 2 /* v as stored: NovoGrad */
#define LAYERWISE_STAT_FACTOR 3        /* LARC: r; NovoGrad: 1/d, 0 where d is 0 */
#define LAYERWISE_STAT_EFFECTIVE_LR 4  /* LARC: lr * lr_mult * r; NovoGrad: lr * lr_mult, over 1 - beta1^t with bias correction */
#define LAYERWISE_STAT_CLIPPED 5       /* LARC clip: 1 where the factor was cut to 1, else 0; 0 for all others */
#define LAYERWISE_STAT_COUNT 6         /* the number of columns */

/* Keys of layerwise_plan_query. */
#define LAYERWISE_QUERY_LAYERS 1      /* number of layers */
#define LAYERWISE_QUERY_ELEMENTS 2    /* number of elements in all layers */
#define LAYERWISE_QUERY_TILES 3       /* number of 8192-element tiles */
#define LAYERWISE_QUERY_EXTENT 4      /* packed: elements a buffer must hold, the largest offset + size */
#define LAYERWISE_QUERY_DEVICE 5      /* LAYERWISE_DEVICE_CPU or the CUDA ordinal */
#define LAYERWISE_QUERY_THREADS 6     /* CPU threads; 0 on CUDA */
#define LAYERWISE_QUERY_ISA 7         /* a LAYERWISE_ISA_ constant; 0 on CUDA */
#define LAYERWISE_QUERY_WORKSPACE 8   /* bytes of device scratch memory; 0 on the CPU */
#define LAYERWISE_QUERY_FINGERPRINT 9 /* a hash of sizes, offsets and dtypes, the same on every backend */
#define LAYERWISE_QUERY_PATH 10       /* a LAYERWISE_PATH_ constant: how the last step ran; before the first step, how
                                         novograd_step would run */
#define LAYERWISE_QUERY_HELD_GRADS 11   /* elements whose gradient a one-pass step reads from memory only once; 0: two
                                           passes */
#define LAYERWISE_QUERY_HELD_WEIGHTS 12 /* elements whose gradient and weight a one-pass larc_sgd_step reads only once;
                                           0: only gradients, HELD_GRADS of them, or two passes */
#define LAYERWISE_QUERY_GLOBAL_FINGERPRINT 13 /* a hash of whole layers' sizes, dtypes and the numerics version: the
                                                 same on every rank of a sharded model, however it is cut */
#define LAYERWISE_QUERY_EXPERIMENTAL 14 /* LAYERWISE_EXPERIMENTAL_ flags: those that the plan was given and its device has */

#define LAYERWISE_PATH_CPU 0      /* one thread for a layer that fits the cache; threads share larger layers */
#define LAYERWISE_PATH_TWO_PASS 1 /* CUDA: norms, then the update: two launches for the whole model */
#define LAYERWISE_PATH_ONE_PASS 2 /* CUDA: one cooperative launch; gradients stay in shared memory until their layer's
                                     norm is known */

/* Ways of running a step that no GPU has yet shown to be right and faster; they may go, or become the default. */
#define LAYERWISE_EXPERIMENTAL_DEPENDENT_LAUNCH 1 /* two passes: the update's launch begins while the norms' ends
                                                     (programmatic dependent launch). Until then its blocks wait on the
                                                     multiprocessors beside the norms' */
#define LAYERWISE_EXPERIMENTAL_BULK_COPY 2 /* one pass: a warp of its own fetches tiles by asynchronous bulk copies, ahead of
                                              those that sum and update them */

/* ---- Plans -------------------------------------------------------------------------------------------------------- */

/* The layout of a model's layers, their dtypes and where they run: built once, used for every step. Opaque.
 * A plan serves one stream at a time, or on the CPU one calling thread: its scratch memory is in use until the step
 * has finished. Different plans are independent. On the CPU all plans of a process share one thread pool, which starts
 * with the first step that uses several threads. A step uses fewer threads than it asks for while other steps use
 * them, or when there is little to do. If an OpenMP runtime is loaded (libgomp, LLVM's or Intel's; PyTorch's is
 * preferred), a step runs as a parallel region of that runtime, and on the calling thread alone when called inside a
 * parallel region. The pool's own threads block all signals and end with the last plan. A forked process can keep
 * using its parent's CPU plans; the pool starts again there. CUDA plans of the parent are refused
 * (LAYERWISE_ERROR_INVALID_PLAN). */
typedef struct layerwise_plan layerwise_plan;

/* What a plan is made from: the layout of a model's layers, their dtypes and where they run. */
typedef struct layerwise_plan_options {
  int64_t struct_size;        /* bytes of this struct as the caller knows it */
  int64_t layer_count;        /* >= 0 */
  const int64_t *sizes;       /* [layer_count], elements, >= 0; host memory; copied. NULL only when layer_count is 0 */
  const int64_t *offsets;     /* [layer_count], elements from the start of every packed buffer, in any order, gaps
                                 allowed, no overlap; host memory; copied. NULL: one layer after the other. Scattered
                                 plans add it to each layer's pointer; NULL there means 0 */
  int32_t device;             /* LAYERWISE_DEVICE_CPU (default) or a CUDA ordinal */
  int32_t layout;             /* LAYERWISE_LAYOUT_, default PACKED */
  int32_t weights_dtype;      /* LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16 */
  int32_t grads_dtype;        /* LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16, FLOAT16; any mix with the weights */
  int32_t first_moment_dtype; /* LAYERWISE_DTYPE_: FLOAT32 (default), BFLOAT16: NovoGrad's m and SGD's momentum */
  int32_t second_moment_dtype; /* LAYERWISE_DTYPE_: FLOAT32 (default), FLOAT64: one value a layer */
  int32_t weights_extra_dtype; /* LAYERWISE_DTYPE_: NONE (default); BFLOAT16, FLOAT16 beside FLOAT32 weights: the
                                  low-precision copy; REMAINDER16 beside BFLOAT16 weights: split weights */
  int32_t threads;            /* CPU: number of threads, the caller's included; 0 (default): the least of the cores in
                                 this thread's affinity, the first number in OMP_NUM_THREADS, and the CPU quota of its
                                 control groups (Linux, version 1 or 2), rounded up; at least 1 */
  int32_t isa;                /* CPU: LAYERWISE_ISA_, default AUTO; every choice gives the same bits */
  int32_t path;               /* CUDA: the number 0 (default): one pass if the device supports it, two fifths or more of
                                 the model fits on the chip, and tiles of 8192 elements are at least half full on average;
                                 LAYERWISE_PATH_TWO_PASS; LAYERWISE_PATH_ONE_PASS: one pass whenever the device supports
                                 it. A step whose blocks cannot all be resident in its context runs in two passes in
                                 any case */
  void *workspace;            /* CUDA: the caller's scratch memory on that device, aligned to 256 bytes, in use until
                                 the plan is destroyed; NULL (default): the plan allocates and owns it */
  int64_t workspace_bytes;    /* its size; 0 with NULL */
  int64_t multiprocessors;    /* CUDA: a step launches no more blocks than this many multiprocessors hold; 0 (default):
                                 than all hold. The hardware spreads them over all multiprocessors, so that each has
                                 room left for a communication kernel beside the step, and none is left out */
  int64_t experimental;       /* CUDA: a sum of LAYERWISE_EXPERIMENTAL_ flags; 0 (default): none. What the device and the
                                 library's code do not have (both of compute capability 9.0 or newer) is left out. The
                                 bits are the same with each */
} layerwise_plan_options;

/* Fills options with the defaults: packed, CPU, float32, all cores, no layers.
 * options      out, host, not NULL
 * struct_size  sizeof *options as the caller was compiled; that many bytes are written, and the size is recorded
 * Returns LAYERWISE_OK; NULL_ARGUMENT; STRUCT_SIZE. */
LAYERWISE_API int32_t layerwise_plan_options_init(layerwise_plan_options *options, int64_t struct_size);

/* Computes how many bytes of device scratch memory a plan with these options needs.
 * options  in, host, not NULL; workspace and workspace_bytes are ignored
 * bytes    out, host, not NULL; 0 for a CPU plan
 * Does not use the device. Returns what layerwise_plan_create returns for the same options, except errors of CUDA and
 * of memory allocation. */
LAYERWISE_API int32_t layerwise_plan_workspace_size(const layerwise_plan_options *options, int64_t *bytes);

/* Creates a plan.
 * options  in, host, not NULL; everything it points to is copied, except the workspace
 * plan     out, host, not NULL; the plan, or NULL on error
 * Ownership: the caller destroys the plan. Synchronous: allocates, uploads and waits; not during graph capture.
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, UNKNOWN_FLAG, STRUCT_SIZE; LAYER_RANGE, LAYER_OVERLAP,
 * LAYER_OVERFLOW; UNKNOWN_DTYPE, UNSUPPORTED_DTYPE; COMBINATION; NO_CUDA, UNSUPPORTED_ISA, WORKSPACE, OUT_OF_MEMORY;
 * CUDA. */
LAYERWISE_API int32_t layerwise_plan_create(const layerwise_plan_options *options, layerwise_plan **plan);

/* Frees a plan and all it owns. Does not wait: the caller must ensure that the plan's steps have finished.
 * plan  in, NULL is allowed and does nothing
 * Returns LAYERWISE_OK; INVALID_PLAN; CUDA. */
LAYERWISE_API int32_t layerwise_plan_destroy(layerwise_plan *plan);

/* Makes a plan usable again after a step that failed midway or was killed: waits for the device, then clears the plan's
 * scratch memory. Weights and moments are as that step left them: restore them from a checkpoint.
 * plan  in, not NULL
 * Synchronous; not during graph capture.
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_PLAN; CUDA. */
LAYERWISE_API int32_t layerwise_plan_reset(layerwise_plan *plan);

/* Reads one property of a plan.
 * plan   in, not NULL
 * key    a LAYERWISE_QUERY_ constant
 * value  out, host, not NULL
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_PLAN, UNKNOWN_FLAG. */
LAYERWISE_API int32_t layerwise_plan_query(const layerwise_plan *plan, int32_t key, int64_t *value);

/* Options that differ from layer to layer. */
typedef struct layerwise_layer_options {
  int64_t struct_size;      /* bytes of this struct as the caller knows it */
  const double *lr_mult;    /* [layer_count], finite, >= 0, multiplies lr; host; copied; NULL: 1 for every layer */
  const double *wd_mult;    /* [layer_count], finite, >= 0, multiplies weight_decay; host; copied; NULL: 1 */
  const uint8_t *skip_larc; /* [layer_count], 1: LARC's factor is 1 for this layer, else 0; host; copied; NULL: 0 */
  int64_t reserved[2];      /* 0 */
} layerwise_layer_options;

/* Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init. */
LAYERWISE_API int32_t layerwise_layer_options_init(layerwise_layer_options *options, int64_t struct_size);

/* Sets the per-layer options, replacing all that were set before.
 * plan     in, not NULL
 * options  in, host, not NULL; its arrays are copied
 * Synchronous; not during graph capture. Replaces the plan's data in place, so replays of a captured step use the new
 * values; the caller must ensure that no step of this plan is running.
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, UNKNOWN_FLAG, STRUCT_SIZE, INVALID_PLAN; OUT_OF_MEMORY; CUDA. */
LAYERWISE_API int32_t layerwise_plan_set_layers(layerwise_plan *plan, const layerwise_layer_options *options);

/* ---- A plan for a shard --------------------------------------------------------------------------------------------
 *
 * If ranks hold pieces of layers, each rank has a plan of all layers, in the same order on every rank. sizes has the
 * sizes of the rank's own pieces, 0 where it has none; layerwise_plan_set_shard describes the whole layers. A step is
 * then taken in halves: layerwise_partial_norms, an all-reduce of its sums over the ranks (SUM; with the infinity
 * norm, MAX), and an apply call. The caller exchanges one double a layer, two with LARC; this library opens no
 * connection. All ranks get the same sums, and so the same bits of second moments and factors; they differ from those
 * of a single process only by the rounding of the sums.
 *
 * For a layer that is empty on this rank but not on others, layer_mask alone decides whether it is stepped, and its
 * entries in pointer tables are ignored: apply computes its second moment and statistics, and counts it if it is
 * skipped. Masks, hyper-parameters and second moments must be the same on every rank. */

/* Describes the whole layers that a plan's pieces belong to. */
typedef struct layerwise_shard_options {
  int64_t struct_size;         /* bytes of this struct as the caller knows it */
  const int64_t *layer_sizes;  /* [layer_count], elements of the whole layers, at least the plan's sizes; host; copied.
                                  NULL only when layer_count is 0 */
  const int64_t *layer_begins; /* [layer_count], elements from the start of the whole layer to that of the piece, any
                                  number >= 0 if it is empty; -1, on every rank: the layer's pieces are not contiguous;
                                  host; copied. NULL: -1 for every layer */
  const uint8_t *counted;      /* [layer_count], 1: this rank's elements enter the sums; 0: another rank counts a replica
                                  of them; host; copied. NULL: 1 */
  int64_t reserved[4];         /* 0 */
} layerwise_shard_options;

/* Fills options with the defaults: NULL everywhere. As layerwise_plan_options_init. */
LAYERWISE_API int32_t layerwise_shard_options_init(layerwise_shard_options *options, int64_t struct_size);

/* Makes a plan a plan for a shard, replacing what was set before. Whole steps are refused from then on, as their norms
 * would be those of the pieces.
 * plan     in, not NULL
 * options  in, host, not NULL; its arrays are copied
 * Stochastic rounding needs layer_begins, since an element's random bits depend on its place in the whole layer.
 * Otherwise as layerwise_plan_set_layers.
 * Returns LAYERWISE_OK; NULL_ARGUMENT, UNKNOWN_FLAG, STRUCT_SIZE, INVALID_PLAN; LAYER_RANGE; OUT_OF_MEMORY; CUDA. */
LAYERWISE_API int32_t layerwise_plan_set_shard(layerwise_plan *plan, const layerwise_shard_options *options);

#define LAYERWISE_CLAIM_HEAD 17 /* numbers at the start of a claim, about what must agree; two for each layer follow */

/* Writes this rank's claim about its plan, to be exchanged before the first step: all-reduce it over the ranks (SUM),
 * then call layerwise_shard_verify. All numbers are integers, so that their sums are exact in any order for up to 2^21
 * ranks.
 * plan    in, not NULL, for a shard
 * agreed  in, host, agreed_bytes bytes that must be the same on every rank, such as lr and the other options of a step,
 *         without pointers; NULL with 0 bytes
 * claim   out, host, float64 [count], not NULL
 * count   LAYERWISE_CLAIM_HEAD: what must agree (layer count and whole sizes, dtypes, numerics version, agreed);
 *         LAYERWISE_CLAIM_HEAD + 2*layer_count: also that the pieces make up whole layers. If ranks may differ in
 *         layer_count, and so in the length of their claims, exchange the head first: an engine may not notice it
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, INVALID_PLAN; COMBINATION. */
LAYERWISE_API int32_t layerwise_shard_claim(const layerwise_plan *plan, const void *agreed, int64_t agreed_bytes,
                                            double *claim, int64_t count);

/* Verifies the sum of all ranks' claims: every rank agrees, and each element of each layer is counted once.
 * claim  in, host, float64 [count], not NULL: this rank's own
 * sum    in, host, float64 [count], not NULL: the sum over all ranks, this one included
 * count  as in layerwise_shard_claim
 * If one rank gets RANKS_DISAGREE, every rank does, except for collisions of hashes (2^-32 for what must agree, 2^-20
 * for gaps and overlaps of the same size).
 * Returns LAYERWISE_OK; RANKS_DISAGREE; NULL_ARGUMENT, INVALID_VALUE, INVALID_PLAN; COMBINATION. */
LAYERWISE_API int32_t layerwise_shard_verify(const layerwise_plan *plan, const double *claim, const double *sum,
                                             int64_t count);

/* ---- Steps ------------------------------------------------------------------------------------------------------------
 *
 * For every step function:
 *
 * Arguments. plan: in, not NULL. Buffers lie in the plan's memory and have the dtypes of the plan. In a packed plan a
 * buffer is its address, and layer l is elements offsets[l] to offsets[l] + sizes[l]; in a scattered plan it is a
 * table of layer_count pointers in the plan's memory, read when the step runs, so a table may be changed between
 * replays of a graph; a NULL gradient in it masks that layer. Buffers with one value a layer (second moments, mask,
 * statistics) are plain arrays in both layouts. Elements outside the layers are neither read nor written. If the plan
 * has no elements at all, buffers may be NULL.
 *   layer_mask   in, uint8 [layer_count], 1: the layer is stepped, 0: it is masked, and its buffers are not read; NULL:
 *                all layers are stepped
 *   layer_stats  out, float64 [layer_count][LAYERWISE_STAT_COUNT]; NULL: none
 *   options      in, host, not NULL, copied before the call returns; what its pointers point to lies in the plan's
 *                memory and is read when the step runs
 *   stream       a cudaStream_t of the plan's device; NULL is the legacy default stream; ignored by CPU plans
 *
 * Aliasing: no buffer that is written may overlap another buffer. Packed plans check this; for scattered plans only the
 * tables themselves are compared.
 *
 * Asynchronous on CUDA: one or two launches on the stream, no allocation, no synchronisation, nothing copied to the
 * host; a step can be captured into a graph and replayed. A graph keeps the value of a host scalar: pass a device
 * pointer for what is to change. On the CPU the call returns when the step is done.
 *
 * Skipped layers: a layer whose gradient norm (with LARC, weight norm too) or whose scalars are not finite is skipped:
 * its buffers and its statistics stay as they are, and it is counted in nonfinite_layers. A second moment that
 * overflows its dtype counts as not finite. If found_inf is non-zero, the whole step changes nothing.
 *
 * Split weights (weights_extra_dtype REMAINDER16): each float32 weight is stored as two halves, 4 bytes together
 * instead of 4 for a master and 2 for a copy. weights holds it rounded to bfloat16, ties away from zero, and
 * weights_extra its low 16 bits; the float32's upper 16 bits are those of the bfloat16, minus 1 where the remainder's
 * top bit is set. Steps read and write the float32 value, with the same bits as a plan of float32 weights; NaN is
 * stored as the canonical NaN with remainder 0. Start with the model's bfloat16 weights and remainders of zero.
 * larc_scale has no weights_extra and uses the bfloat16 weights only.
 *
 * Stochastic rounding of a bfloat16 first moment: 16 random bits are added to the float32's bits, and the lower 16 are
 * cut off, so that updates too small for rounding to nearest are added on average; infinity and NaN are stored as with
 * nearest. The bits are Philox4x32-10 (Salmon et al., SC11) keyed by seed, of the counter (q mod 2^32, q / 2^32,
 * layer, t mod 2^32) for elements 4q to 4q + 3 of a layer, each the low half of its word: the same on every device and
 * for every layout. In a plan for a shard q counts from the start of the whole layer. Ranks with plans for different
 * parts of a model should use different seeds.
 *
 * Deterministic: the same inputs give the same bits on every device, for every thread count and layout; any NaN counts
 * as equal to any other.
 *
 * Returns LAYERWISE_OK; NULL_ARGUMENT, INVALID_VALUE, UNKNOWN_FLAG, STRUCT_SIZE, INVALID_PLAN, COMBINATION, ALIASED,
 * MISALIGNED; PLAN_FAILED; CUDA. */

/* The hyper-parameters of NovoGrad. */
typedef struct layerwise_novograd_options {
  int64_t struct_size;         /* bytes of this struct as the caller knows it */
  double lr;                   /* learning rate, finite, >= 0; no default: NaN is refused */
  double beta1;                /* [0, 1), default 0.95 */
  double beta2;                /* [0, 1), default 0.98 */
  double eps;                  /* >= 0, default 1e-8, added to the root */
  double eps_root;             /* >= 0, default 0, added under the root; 0 with the infinity norm */
  double weight_decay;         /* >= 0, default 0.001 */
  double grad_scale;           /* finite, not 0, default 1; the gradients are divided by it */
  int64_t step;                /* t, 1-based; 0 (default): not given, an error if the result depends on it; not together
                                  with step_ptr */
  const float *lr_ptr;         /* float32, in place of lr; NULL: lr */
  const float *grad_scale_ptr; /* float32, in place of grad_scale; NULL: grad_scale */
  int64_t *step_ptr;           /* int64, completed steps: t = *step_ptr + 1; NULL: step */
  const float *found_inf;      /* float32, non-zero: the whole step changes nothing; NULL: not looked at */
  int64_t *nonfinite_layers;   /* int64, the number of skipped layers is added to it; NULL: not counted */
  int32_t advance_step;        /* 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0 */
  int32_t norm;                /* LAYERWISE_NORM_, default L2 */
  int32_t grad_averaging;      /* 1: the update is multiplied by 1 - beta1 as it enters the momentum; default 0 */
  int32_t average_first_step;  /* 0: grad_averaging starts at t = 2 (TensorFlow Addons); default 1 */
  int32_t amsgrad;             /* 1: divide by the running maximum of v; needs max_second_moment; default 0 */
  int32_t bias_correction;     /* 1: as Adam's; default 0 */
  int32_t seed_second_moment;  /* LAYERWISE_SEED_, default WHILE_ZERO; FIRST_STEP needs step or step_ptr */
  int32_t decoupled_weight_decay; /* LAYERWISE_DECOUPLED_, default OFF */
  int32_t lr_in_momentum;      /* 1: lr is inside the momentum (TensorFlow, Keras); default 0 */
  int32_t maximize;            /* 1: ascend; default 0 */
  int32_t rounding;            /* LAYERWISE_ROUNDING_ of the first moment, default NEAREST; STOCHASTIC: bfloat16 only,
                                  needs step or step_ptr */
  int32_t reserved;            /* 0 */
  int64_t seed;                /* of stochastic rounding, any number; 0 (default) without */
  int64_t reserved2[2];        /* 0 */
} layerwise_novograd_options;

/* Fills options with the defaults of the paper (arXiv 1905.11286); lr is NaN. As layerwise_plan_options_init. */
LAYERWISE_API int32_t layerwise_novograd_options_init(layerwise_novograd_options *options, int64_t struct_size);

/* Applies one NovoGrad step to every layer (Ginsburg et al., arXiv 1905.11286).
 *
 *   g' = g / grad_scale, negated by maximize        n2 = sum g'^2
 *   v  = n2 to seed it (seed_second_moment: while v is 0, or at t = 1); else beta2*v + (1-beta2)*n2
 *   vh = v, or its running maximum (amsgrad); divided by 1 - beta2^t with bias_correction
 *   d  = sqrt(vh + eps_root) + eps                  u  = g'/d + weight_decay*w, 0 for g'/d where d is 0
 *   m  = beta1*m + c*u                              c  = 1, or 1 - beta1 with grad_averaging
 *   w  = w - lr*m                                   m divided by 1 - beta1^t with bias_correction
 *
 *   infinity norm: n = max |g'|; v holds and blends n; d = vh + eps; bias correction divides vh by sqrt(1 - beta2^t)
 *   decoupled, raw: m = beta1*m + c*g'; w -= lr*(m/d + weight_decay*w), m alone divided by 1 - beta1^t
 *   normalized:    m = beta1*m + c*g'/d; w -= lr*(m + weight_decay*w), m alone divided by 1 - beta1^t
 *   lr_in_momentum: m = beta1*m + lr*c*u; w -= m; excludes bias_correction and decoupled_weight_decay
 *
 * weights            in/out, weights_dtype, not NULL
 * grads              in, grads_dtype, not NULL
 * first_moment       in/out, first_moment_dtype, not NULL; zeros before the first step
 * second_moment      in/out, second_moment_dtype [layer_count], not NULL; zeros before the first step
 * max_second_moment  in/out, second_moment_dtype [layer_count]; not NULL with amsgrad, NULL without; zeros at first
 * weights_extra      out, weights_extra_dtype, the rounded new weights; NULL: no copy. Split weights: in/out, the
 *                    remainders, not NULL */
LAYERWISE_API int32_t novograd_step(layerwise_plan *plan, void *weights, const void *grads, void *first_moment,
                                    void *second_moment, void *max_second_moment, void *weights_extra,
                                    const uint8_t *layer_mask, double *layer_stats,
                                    const layerwise_novograd_options *options, void *stream);

/* The hyper-parameters of LARC: alone, with SGD, or before NovoGrad. */
typedef struct layerwise_larc_options {
  int64_t struct_size;         /* bytes of this struct as the caller knows it */
  double lr;                   /* learning rate, finite, >= 0; no default: NaN is refused */
  double eta;                  /* trust coefficient, >= 0, default 0.002 */
  double eps;                  /* >= 0, default 1e-8 */
  double min_update;           /* >= 0, default 0: a lower bound of the factor */
  double weight_decay;         /* >= 0, default 0 */
  double grad_scale;           /* finite, not 0, default 1; the gradients are divided by it */
  const float *lr_ptr;         /* float32, in place of lr; NULL: lr */
  const float *grad_scale_ptr; /* float32, in place of grad_scale; NULL: grad_scale */
  const float *found_inf;      /* float32, non-zero: the whole step changes nothing; NULL: not looked at */
  int64_t *nonfinite_layers;   /* int64, the number of skipped layers is added to it; NULL: not counted */
  int32_t mode;                /* LAYERWISE_LARC_, default CLIP */
  int32_t zero_norm;           /* LAYERWISE_ZERO_NORM_, default KEEP */
  int32_t fold_weight_decay;   /* LAYERWISE_FOLD_, default OFF */
  int32_t maximize;            /* 1: ascend; default 0 */
  int32_t rounding;            /* LAYERWISE_ROUNDING_ of the momentum, default NEAREST; STOCHASTIC: in larc_sgd_step,
                                  with bfloat16 momentum only, needs sgd's step or step_ptr */
  int32_t zero_grad_norm;      /* LAYERWISE_ZERO_GRAD_, default AS_WEIGHT */
  int64_t seed;                /* of stochastic rounding, any number; 0 (default) without */
  double weight_norm_threshold; /* >= 0, default 0: zero_norm takes a |w| up to this for 0 (Chainer: 0.01) */
  double max_update;           /* >= 0, default 0 for none: an upper bound of the factor; SCALE only (fastai: 1) */
} layerwise_larc_options;

/* Fills options with the defaults; lr is NaN. As layerwise_plan_options_init. */
LAYERWISE_API int32_t layerwise_larc_options_init(layerwise_larc_options *options, int64_t struct_size);

/* Scales every layer's gradient by LARC's factor, in place, so that any optimizer can follow (You et al., LARS, arXiv
 * 1708.03888; OpenSeq2Seq's and apex's LARC).
 *
 *   g'    = g / grad_scale, negated by maximize
 *   n     = |g'|; fold_weight_decay norms: |g'| + weight_decay*|w|; gradient: |g' + weight_decay*w|, summed over elements;
 *           both: |g' + weight_decay*w| + weight_decay*|w|
 *   r_raw = eta*|w| / (n + eps)
 *   r     = clip:  min(max(r_raw/lr, min_update), 1)       lr * r is then min(lr, r_raw), LARS' rate capped at lr
 *           scale: max(r_raw, min_update), at most max_update where that is not 0
 *   g     = r*g', or r*(g' + weight_decay*w) folded by norms, gradient or both; else weight_decay is not used
 *
 *   zero_norm: keep: r = 1 where |w| or |g| is 0. untouched: as keep, but without weight decay (apex). unit: the
 *   formula, but r_raw is 1 there. freeze, floor: the formula, but where |w| is 0, r is 0 or min_update.
 *   zero_grad_norm: formula: zero_norm applies only where |w| is 0. at_least_one: as formula, and r_raw is at least 1
 *   where |g| is 0.
 *   For both, |w| counts as 0 up to weight_norm_threshold. If fold_weight_decay is gradient or both, |g| is the norm of
 *   g' + weight_decay*w, here and in the statistics' GRAD_NORM.
 *   If the denominator is 0, or with clip if lr is 0, then r is 1 whatever zero_norm says. A layer with skip_larc has
 *   r = 1 and is decayed, whatever its norms.
 *   lr is that of the layer: lr * lr_mult.
 *
 * The gradients are then unscaled and have their final sign: run the next optimizer with grad_scale 1 and maximize 0.
 *
 * weights  in, weights_dtype, not NULL
 * grads    in/out, grads_dtype, not NULL; rounded to nearest even on the way back */
LAYERWISE_API int32_t larc_scale(layerwise_plan *plan, const void *weights, void *grads, const uint8_t *layer_mask,
                                 double *layer_stats, const layerwise_larc_options *options, void *stream);

/* The hyper-parameters of SGD in larc_sgd_step. */
typedef struct layerwise_sgd_options {
  int64_t struct_size;  /* bytes of this struct as the caller knows it */
  double momentum;      /* mu, [0, 1), default 0.9 */
  double dampening;     /* [0, 1], default 0 */
  int64_t step;         /* t, 1-based; 0 (default): not given, an error with dampening unless dampen_first_step is 1;
                           not together with step_ptr */
  int64_t *step_ptr;    /* int64, completed steps: t = *step_ptr + 1; NULL: step */
  int32_t advance_step; /* 1: the step ends by adding 1 to *step_ptr, unless found_inf is set; default 0 */
  int32_t nesterov;     /* 1: Nesterov's momentum; needs momentum, and excludes dampening, as in PyTorch, unless
                           dampen_first_step is 1; default 0 */
  int32_t lr_in_momentum; /* 1: lr is inside the momentum (optax, Paddle, TensorFlow, MMPretrain); default 0 */
  int32_t factor_after_momentum; /* 1: LARC's factor multiplies the momentum, not what enters it (fastai, ColossalAI);
                                    excludes lr_in_momentum; default 0 */
  int32_t dampen_first_step; /* 1: dampening at t = 1 too, and together with nesterov (pytorch_optimizer); default 0 */
  int32_t reserved;     /* 0 */
  double clip_value;    /* 0 (default): none; else >= 2^-126: elements of h are cut to this size (ColossalAI: 10) */
} layerwise_sgd_options;

/* Fills options with the defaults. As layerwise_plan_options_init. */
LAYERWISE_API int32_t layerwise_sgd_options_init(layerwise_sgd_options *options, int64_t struct_size);

/* Applies LARC and SGD with momentum in one step.
 *
 *   r, g' as in larc_scale     h = r*(g' + weight_decay*w) folded by norms, gradient or both, else r*g' + weight_decay*w
 *   b = h at t = 1 (torch.optim.SGD) unless dampen_first_step, else momentum*b + (1 - dampening)*h
 *   w = w - lr*(nesterov ? h + momentum*b : b)
 *
 *   lr_in_momentum:        lr*h in place of h, and w = w - (nesterov ? lr*h + momentum*b : b)
 *   clip_value:            every element of h is cut to [-clip_value, clip_value] before it enters the momentum
 *   factor_after_momentum: h = g' + weight_decay*w, and lr*r in place of lr
 *   folded decoupled:      w = w - lr*weight_decay*w first, h without weight_decay; r_raw and n of that w
 *
 * weights        in/out, weights_dtype, not NULL
 * grads          in, grads_dtype, not NULL
 * momentum       in/out, the buffer b, first_moment_dtype; zeros before the first step (not read when t is 1);
 *                NULL exactly when sgd->momentum is 0: then w = w - lr*h
 * weights_extra  out, weights_extra_dtype, the rounded new weights; NULL: no copy. Split weights: in/out, the
 *                remainders, not NULL
 * larc, sgd      in, host, not NULL */
LAYERWISE_API int32_t larc_sgd_step(layerwise_plan *plan, void *weights, const void *grads, void *momentum,
                                    void *weights_extra, const uint8_t *layer_mask, double *layer_stats,
                                    const layerwise_larc_options *larc, const layerwise_sgd_options *sgd, void *stream);

/* Applies LARC and NovoGrad in one step: larc_scale, then novograd_step, as OpenSeq2Seq chains them, except that the
 * scaled gradient is neither rounded nor stored.
 *
 *   g', r  as in larc_scale, without weight decay; lr is NovoGrad's, times lr_mult
 *   h      = r*g', and n2 = r^2 * sum g'^2
 *   v, m, w as in novograd_step, with h in place of g'
 *
 *   zero_norm: untouched is the same as keep, since LARC decays nothing here
 *   statistics: WEIGHT_NORM, GRAD_NORM (of g'), FACTOR (r) and CLIPPED are LARC's; SECOND_MOMENT and EFFECTIVE_LR are
 *   NovoGrad's (EFFECTIVE_LR without r, which NovoGrad's normalization cancels)
 *
 * buffers  as in novograd_step
 * larc     in, host, not NULL: eta, eps, min_update, max_update, mode, zero_norm, zero_grad_norm and
 *          weight_norm_threshold. Leave the others at their defaults, lr at NaN: options has them for both. Setting
 *          weight_decay or fold_weight_decay is an error (COMBINATION), since the norm of r*(g' + weight_decay*w) does
 *          not follow from the two norms
 * options  in, host, not NULL; norm must be LAYERWISE_NORM_L2: the infinity norm is an error (COMBINATION), as it would
 *          need a second reduction */
LAYERWISE_API int32_t layerwise_larc_novograd_step(layerwise_plan *plan, void *weights, const void *grads,
                                                   void *first_moment, void *second_moment, void *max_second_moment,
                                                   void *weights_extra, const uint8_t *layer_mask, double *layer_stats,
                                                   const layerwise_larc_options *larc,
                                                   const layerwise_novograd_options *options, void *stream);

/* ---- A step in two halves ----------------------------------------------------------------------------------------
 *
 * For callers who know the layers' norms before the step, for example from unscaling or all-reducing the gradients:
 * first the sums, then the step that uses them. The two halves together give the same bits as the whole step.
 *
 * The sums are of raw squares, before grad_scale, in float64; with the infinity norm, of a layer the largest |g|. The
 * results of layerwise_partial_norms have the same bits on every device; callers may also pass sums of their own.
 *
 * Everything said above about the step functions applies here too, except that the sums are one launch and an apply call
 * is two: a short one that looks at each layer, and the update. */

/* Computes every layer's sum of squares: what a step does before it updates anything.
 *
 *   grad_sums[l] = sum g^2, or max |g|      weight_sums[l] = sum w^2
 *
 * weights      in, weights_dtype, not NULL if weight_sums is not NULL, else ignored
 * weights_extra  in, the remainders of split weights: the squares are then of the float32 values; NULL: of the bfloat16
 *              weights only, as in larc_scale. Must be NULL if the weights are not split, or weight_sums is NULL
 * grads        in, grads_dtype, not NULL; may alias weights: nothing of either is written
 * layer_mask   in, as in a step
 * grad_sums    out, float64 [layer_count], not NULL
 * weight_sums  out, float64 [layer_count]; NULL: not computed; must be NULL with the infinity norm, which LARC lacks
 * sums_kind    LAYERWISE_SUMS_LAYERS
 * norm         LAYERWISE_NORM_
 *
 * Layers that are empty, masked or, in a plan for a shard, not counted get +0, so that a reused buffer, or one that is
 * summed over ranks, holds nothing of an earlier call. A sum that is not finite is written as it is; a largest
 * magnitude that is NaN is written as +infinity, since a maximum over ranks may lose a NaN. */
LAYERWISE_API int32_t layerwise_partial_norms(layerwise_plan *plan, const void *weights, const void *weights_extra,
                                              const void *grads, const uint8_t *layer_mask, double *grad_sums,
                                              double *weight_sums, int32_t sums_kind, int32_t norm, void *stream);

/* Applies one NovoGrad step from norms that the caller provides.
 *
 *   as novograd_step, with sum g^2 (or max |g|) taken from grad_sums
 *
 * grad_sums  in, float64 [layer_count], not NULL. A layer whose sum is negative or not finite is skipped and counted
 * sums_kind  LAYERWISE_SUMS_LAYERS
 * the others as in novograd_step */
LAYERWISE_API int32_t layerwise_novograd_apply(layerwise_plan *plan, void *weights, const void *grads,
                                               void *first_moment, void *second_moment, void *max_second_moment,
                                               void *weights_extra, const uint8_t *layer_mask, double *layer_stats,
                                               const double *grad_sums, int32_t sums_kind,
                                               const layerwise_novograd_options *options, void *stream);

/* Applies LARC, alone or with SGD, from norms that the caller provides.
 *
 *   as larc_sgd_step, or with sgd NULL as larc_scale, with |g|^2 and |w|^2 taken from grad_sums and weight_sums
 *
 * grads        in, not written; in/out with sgd NULL
 * momentum, weights_extra  as in larc_sgd_step; NULL with sgd NULL
 * grad_sums, weight_sums   in, float64 [layer_count], not NULL. A layer is skipped and counted where one is negative or
 *                          not finite
 * sums_kind    LAYERWISE_SUMS_LAYERS
 * larc         in, host, not NULL; fold_weight_decay GRADIENT or BOTH is an error (COMBINATION): the norm of
 *              g' + weight_decay*w does not follow from the two sums
 * sgd          in, host; NULL: the gradients are scaled, and the weights are not written
 * the others as in larc_sgd_step */
LAYERWISE_API int32_t layerwise_larc_apply(layerwise_plan *plan, void *weights, void *grads, void *momentum,
                                           void *weights_extra, const uint8_t *layer_mask, double *layer_stats,
                                           const double *grad_sums, const double *weight_sums, int32_t sums_kind,
                                           const layerwise_larc_options *larc, const layerwise_sgd_options *sgd,
                                           void *stream);

/* Applies LARC and NovoGrad in one step, from norms that the caller provides.
 *
 *   as layerwise_larc_novograd_step, with |g|^2 and |w|^2 taken from grad_sums and weight_sums
 *
 * grad_sums, weight_sums, sums_kind  as in layerwise_larc_apply
 * the others as in layerwise_larc_novograd_step */
LAYERWISE_API int32_t layerwise_larc_novograd_apply(layerwise_plan *plan, void *weights, const void *grads,
                                                    void *first_moment, void *second_moment, void *max_second_moment,
                                                    void *weights_extra, const uint8_t *layer_mask, double *layer_stats,
                                                    const double *grad_sums, const double *weight_sums,
                                                    int32_t sums_kind, const layerwise_larc_options *larc,
                                                    const layerwise_novograd_options *options, void *stream);

/* ---- The library ------------------------------------------------------------------------------------------------------ */

/* The version as major*10000 + minor*100 + patch. Never fails. */
LAYERWISE_API int32_t layerwise_version(void);

/* The version of the numerics: two libraries that return the same number give the same bits. Never fails. */
LAYERWISE_API int32_t layerwise_numerics_version(void);

/* A static string with one "key: value" a line: what the library was built with, and what it can run on here.
 * The first call asks the CUDA runtime for its devices. Never fails. */
LAYERWISE_API const char *layerwise_build_info(void);

/* Every constant, struct layout and function of this header as JSON, for authors of bindings, as a static string:
 * {"constants": {"LAYERWISE_OK": 0, ...}, "structs": {"layerwise_plan_options": {"size": bytes, "fields":
 * [{"name": "struct_size", "offset": 0, "size": 8, "type": "int64"}, ...]}, ...}, "functions": {"novograd_step":
 * {"returns": "int32_t", "arguments": [{"name": "plan", "type": "layerwise_plan *"}, ...]}, ...}}. Never fails. */
LAYERWISE_API const char *layerwise_abi_description(void);

/* The name of a status, such as "LAYERWISE_ERROR_LAYER_OVERLAP", as a static string; "unknown status" for others. */
LAYERWISE_API const char *layerwise_status_name(int32_t status);

/* The message of this thread's last failed call: it names the argument, the value received and the rule. Valid until
 * this thread's next failed call; empty if no call has failed. */
LAYERWISE_API const char *layerwise_last_error(void);

#ifdef __cplusplus
}
#endif

#endif /* LAYERWISE_H */
