/* Trains a small network in C, from the schedule to the resumed checkpoint:
 *
 *   cc -O2 train.c -llayerwise -lm -o train
 *   ./train                                 NovoGrad, 300 steps, about a second
 *   ./train larc 300 run.ckpt 100           stops after 100 steps, as if the job had been stopped there
 *   ./train larc 300 run.ckpt               goes on from there, and ends with the bits of a run without a stop
 *   ./train compare                         NovoGrad, LARC, AdamW and SGD: equal steps and seeds, 5 learning rates each
 *
 * The data are drawn: ten patterns of 8 x 8, each image one of them, moved by a pixel or none, under noise. The network is
 * 64 - 48 - 10 with tanh, written out by hand. All of it is one packed buffer of four layers: float32 weights, which the
 * steps change, beside a bfloat16 copy, written in the same pass, which the network computes with. Gradients are clipped by
 * the norm of all of them, from the layers' sums that layerwise_partial_norms gives, in the pass of the step itself. */
#include <layerwise.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kInputs = 64, kHidden = 48, kClasses = 10, kBatch = 64, kImages = 3000, kTrain = 2000, kValidation = 500, kLayers = 4 };
enum { kW1 = 0, kB1 = kW1 + kInputs * kHidden, kW2 = kB1 + kHidden, kB2 = kW2 + kHidden * kClasses, kWeights = kB2 + kClasses };
static const double kClip = 1.0, kPi = 3.14159265358979323846;

static float images[kImages][kInputs];
static int classes[kImages];

/* Everything that changes from step to step: a checkpoint is this struct. */
typedef struct {
  int64_t fingerprint, done; /* of the plan's layout; completed steps */
  uint64_t random;
  float weights[kWeights], first_moment[kWeights], second[kWeights]; /* second: one a layer, AdamW's one an element */
  uint16_t copy[kWeights];
} State;

static float gradients[kWeights];

static double drawn(uint64_t *random) { /* [0, 1) */
  *random = *random * 6364136223846793005u + 1442695040888963407u;
  return (double)(*random >> 40) / (double)(1u << 24);
}

static void draw_data(void) {
  uint64_t random = 7;
  float patterns[kClasses][8][8];
  for (int c = 0; c < kClasses; ++c)
    for (int i = 0; i < 64; ++i) patterns[c][i / 8][i % 8] = drawn(&random) < 0.4 ? (float)drawn(&random) : 0;
  for (int n = 0; n < kImages; ++n) {
    classes[n] = (int)(drawn(&random) * kClasses);
    const int down = (int)(drawn(&random) * 3), right = (int)(drawn(&random) * 3);
    for (int i = 0; i < 64; ++i)
      images[n][i] = patterns[classes[n]][(i / 8 + down) % 8][(i + right) % 8] + 0.6f * (float)(drawn(&random) - 0.5);
  }
}

static float wide(uint16_t bits) { /* bfloat16 are the upper 16 bits of a float32 */
  const uint32_t whole = (uint32_t)bits << 16;
  float value;
  memcpy(&value, &whole, sizeof value);
  return value;
}

/* The shares of the classes for an image; hidden receives what lies between. */
static void forward(const uint16_t *w, const float *image, float *hidden, float *shares) {
  for (int h = 0; h < kHidden; ++h) {
    float sum = wide(w[kB1 + h]);
    for (int i = 0; i < kInputs; ++i) sum += wide(w[kW1 + h * kInputs + i]) * image[i];
    hidden[h] = tanhf(sum);
  }
  float most = -INFINITY, total = 0;
  for (int c = 0; c < kClasses; ++c) {
    shares[c] = wide(w[kB2 + c]);
    for (int h = 0; h < kHidden; ++h) shares[c] += wide(w[kW2 + c * kHidden + h]) * hidden[h];
    most = fmaxf(most, shares[c]);
  }
  for (int c = 0; c < kClasses; ++c) total += shares[c] = expf(shares[c] - most);
  for (int c = 0; c < kClasses; ++c) shares[c] /= total;
}

/* Fills gradients with those of a batch; returns its loss. */
static double backward(State *state) {
  const uint16_t *w = state->copy;
  double loss = 0;
  memset(gradients, 0, sizeof gradients);
  for (int n = 0; n < kBatch; ++n) {
    const int chosen = (int)(drawn(&state->random) * kTrain);
    float hidden[kHidden], shares[kClasses], at_hidden[kHidden] = {0};
    forward(w, images[chosen], hidden, shares);
    loss -= log(fmax(shares[classes[chosen]], 1e-30)) / kBatch;
    for (int c = 0; c < kClasses; ++c) {
      const float error = (shares[c] - (c == classes[chosen])) / kBatch;
      gradients[kB2 + c] += error;
      for (int h = 0; h < kHidden; ++h) {
        gradients[kW2 + c * kHidden + h] += error * hidden[h];
        at_hidden[h] += error * wide(w[kW2 + c * kHidden + h]);
      }
    }
    for (int h = 0; h < kHidden; ++h) {
      const float error = at_hidden[h] * (1 - hidden[h] * hidden[h]);
      gradients[kB1 + h] += error;
      for (int i = 0; i < kInputs; ++i) gradients[kW1 + h * kInputs + i] += error * images[chosen][i];
    }
  }
  return loss;
}

static void measure(const State *state, int begin, int end, double *loss, double *right) {
  *loss = *right = 0;
  for (int n = begin; n < end; ++n) {
    float hidden[kHidden], shares[kClasses];
    forward(state->copy, images[n], hidden, shares);
    int guess = 0;
    for (int c = 1; c < kClasses; ++c) guess = shares[c] > shares[guess] ? c : guess;
    *loss -= log(fmax(shares[classes[n]], 1e-30)) / (end - begin);
    *right += (double)(guess == classes[n]) / (end - begin);
  }
}

/* A tenth of the steps up, then half a cosine down. */
static double schedule(double lr, int64_t step, int64_t steps) {
  const int64_t warm = steps / 10 > 0 ? steps / 10 : 1;
  if (step < warm) return lr * (double)(step + 1) / (double)warm;
  return lr * 0.5 * (1 + cos(kPi * (double)(step - warm) / (double)(steps - warm > 0 ? steps - warm : 1)));
}

static void check(int32_t status) {
  if (status == LAYERWISE_OK) return;
  fprintf(stderr, "train: %s: %s\n", layerwise_status_name(status), layerwise_last_error());
  exit(1);
}

static layerwise_plan *make_plan(int adapts) {
  static const int64_t sizes[kLayers] = {kB1 - kW1, kW2 - kB1, kB2 - kW2, kWeights - kB2};
  static const double decays[kLayers] = {1, 0, 1, 0}; /* biases do not decay, and LARC leaves them alone */
  const uint8_t skipped[kLayers] = {!adapts, 1, !adapts, 1};
  layerwise_plan_options layout;
  check(layerwise_plan_options_init(&layout, sizeof layout));
  layout.layer_count = kLayers;
  layout.sizes = sizes;
  layout.weights_extra_dtype = LAYERWISE_DTYPE_BFLOAT16;
  layout.threads = 1; /* the layers are too small for more */
  layerwise_plan *plan = NULL;
  check(layerwise_plan_create(&layout, &plan));
  layerwise_layer_options layers;
  check(layerwise_layer_options_init(&layers, sizeof layers));
  layers.wd_mult = decays;
  layers.skip_larc = skipped;
  check(layerwise_plan_set_layers(plan, &layers));
  return plan;
}

/* AdamW, which the library does not have, to compare with; written out, and the copy rounded to nearest even. */
static void adamw_step(State *state, double lr, double scale) {
  const double t = (double)state->done + 1, b1 = 0.9, b2 = 0.999;
  for (int i = 0; i < kWeights; ++i) {
    const double g = gradients[i] / scale, decay = (i < kB1 || (i >= kW2 && i < kB2)) ? 0.01 : 0;
    state->first_moment[i] = (float)(b1 * state->first_moment[i] + (1 - b1) * g);
    state->second[i] = (float)(b2 * state->second[i] + (1 - b2) * g * g);
    const double m = state->first_moment[i] / (1 - pow(b1, t)), v = state->second[i] / (1 - pow(b2, t));
    state->weights[i] = (float)(state->weights[i] * (1 - lr * decay) - lr * m / (sqrt(v) + 1e-8));
    uint32_t bits;
    memcpy(&bits, &state->weights[i], sizeof bits);
    state->copy[i] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

/* One step; returns the loss before it. */
static double step(layerwise_plan *plan, State *state, const char *optimizer, double lr) {
  const double loss = backward(state);
  double squares[kLayers], of_weights[kLayers], norm = 0;
  check(layerwise_partial_norms(plan, state->weights, NULL, gradients, NULL, squares, of_weights, LAYERWISE_SUMS_LAYERS,
                                LAYERWISE_NORM_L2, NULL));
  for (int l = 0; l < kLayers; ++l) norm += squares[l];
  const double scale = fmax(sqrt(norm) / kClip, 1); /* gradients are divided by it in the step */
  if (strcmp(optimizer, "adamw") == 0) {
    adamw_step(state, lr, scale);
  } else if (strcmp(optimizer, "novograd") == 0) {
    layerwise_novograd_options options;
    check(layerwise_novograd_options_init(&options, sizeof options));
    options.lr = lr;
    options.grad_scale = scale;
    check(layerwise_novograd_apply(plan, state->weights, gradients, state->first_moment, state->second, NULL, state->copy,
                                   NULL, NULL, squares, LAYERWISE_SUMS_LAYERS, &options, NULL));
  } else { /* larc; sgd, where every layer skips LARC */
    layerwise_larc_options larc;
    layerwise_sgd_options sgd;
    check(layerwise_larc_options_init(&larc, sizeof larc));
    check(layerwise_sgd_options_init(&sgd, sizeof sgd));
    larc.lr = lr;
    larc.grad_scale = scale;
    larc.weight_decay = 1e-4;
    check(layerwise_larc_apply(plan, state->weights, gradients, state->first_moment, state->copy, NULL, NULL, squares,
                               of_weights, LAYERWISE_SUMS_LAYERS, &larc, &sgd, NULL));
  }
  ++state->done;
  return loss;
}

static void begin(State *state, layerwise_plan *plan, uint64_t seed) {
  memset(state, 0, sizeof *state);
  state->random = seed;
  check(layerwise_plan_query(plan, LAYERWISE_QUERY_FINGERPRINT, &state->fingerprint));
  for (int i = 0; i < kWeights; ++i) {
    const int fan_in = i < kB1 ? kInputs : (i >= kW2 && i < kB2) ? kHidden : 0;
    state->weights[i] = fan_in ? (float)((2 * drawn(&state->random) - 1) * sqrt(3.0 / fan_in)) : 0;
    uint32_t bits;
    memcpy(&bits, &state->weights[i], sizeof bits);
    state->copy[i] = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
}

static int load(State *state, const char *path, int64_t fingerprint) {
  FILE *file = path ? fopen(path, "rb") : NULL;
  if (!file) return 0;
  const int whole = fread(state, sizeof *state, 1, file) == 1 && fgetc(file) == EOF && state->fingerprint == fingerprint;
  fclose(file);
  if (!whole) fprintf(stderr, "train: %s is no checkpoint of this network\n", path), exit(1);
  return 1;
}

/* Written beside it and renamed: a job that is killed leaves the old one or the new one. */
static void save(const State *state, const char *path) {
  char beside[4096];
  snprintf(beside, sizeof beside, "%s.new", path);
  FILE *file = fopen(beside, "wb");
  const int written = file && fwrite(state, sizeof *state, 1, file) == 1;
  if (!file || fclose(file) != 0 || !written || rename(beside, path) != 0) perror(path), exit(1);
}

static const struct {
  const char *name;
  double lr; /* the middle of those that compare tries */
} kOptimizers[] = {{"novograd", 0.3}, {"larc", 1}, {"adamw", 0.1}, {"sgd", 1}};

static int by_value(const void *a, const void *b) {
  return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void compare(int64_t steps) {
  printf("%lld steps, 5 learning rates each, 3 seeds; share of the test set that is guessed right:\n"
         "%10s%8s%8s%8s%8s\n", (long long)steps, "", "lr", "median", "least", "most");
  for (size_t o = 0; o < sizeof kOptimizers / sizeof *kOptimizers; ++o) {
    layerwise_plan *plan = make_plan(strcmp(kOptimizers[o].name, "sgd") != 0);
    double best_loss = INFINITY, best_lr = 0, best[3] = {0};
    for (int power = -2; power <= 2; ++power) {
      const double lr = kOptimizers[o].lr * pow(10, power / 2.0);
      double losses[3], rights[3], unused;
      for (uint64_t seed = 0; seed < 3; ++seed) {
        State state;
        begin(&state, plan, seed + 1);
        while (state.done < steps) step(plan, &state, kOptimizers[o].name, schedule(lr, state.done, steps));
        measure(&state, kTrain, kTrain + kValidation, &losses[seed], &unused);
        measure(&state, kTrain + kValidation, kImages, &unused, &rights[seed]);
      }
      qsort(losses, 3, sizeof *losses, by_value);
      if (losses[1] < best_loss) best_loss = losses[1], best_lr = lr, memcpy(best, rights, sizeof best);
    }
    qsort(best, 3, sizeof *best, by_value);
    printf("%10s%8.3g%8.3f%8.3f%8.3f\n", kOptimizers[o].name, best_lr, best[1], best[0], best[2]);
    fflush(stdout);
    check(layerwise_plan_destroy(plan));
  }
}

int main(int count, char **arguments) {
  const char *optimizer = count > 1 ? arguments[1] : "novograd", *path = count > 3 ? arguments[3] : NULL;
  const int64_t steps = count > 2 ? atoll(arguments[2]) : 300, until = count > 4 ? atoll(arguments[4]) : steps;
  double lr = 0, loss = 0, right;
  draw_data();
  if (strcmp(optimizer, "compare") == 0) return compare(steps), 0;
  for (size_t o = 0; o < sizeof kOptimizers / sizeof *kOptimizers; ++o)
    if (strcmp(optimizer, kOptimizers[o].name) == 0) lr = kOptimizers[o].lr;
  if (lr == 0) return fprintf(stderr, "train: %s is none of novograd, larc, adamw, sgd, compare\n", optimizer), 2;
  layerwise_plan *plan = make_plan(strcmp(optimizer, "sgd") != 0);
  State state;
  begin(&state, plan, 1);
  if (load(&state, path, state.fingerprint)) printf("goes on after step %lld of %s\n", (long long)state.done, path);
  while (state.done < until) {
    const double rate = schedule(lr, state.done, steps);
    loss = step(plan, &state, optimizer, rate);
    if (state.done % (steps / 10 > 0 ? steps / 10 : 1) == 0)
      printf("step %5lld  loss %.4f  lr %.2e\n", (long long)state.done, loss, rate);
  }
  if (path) save(&state, path);
  measure(&state, kTrain + kValidation, kImages, &loss, &right);
  printf("test: loss %.6f, %.3f right\n", loss, right);
  check(layerwise_plan_destroy(plan));
  return 0;
}
