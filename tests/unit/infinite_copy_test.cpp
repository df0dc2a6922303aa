// Hazard: a store that rounds or saturates what is no number. NovoGrad does not look at the weights, so one that leaves
// float32's range, or is NaN, reaches the stores as it is: the copy must say the same in its own type.
#include <catch2/catch_test_macros.hpp>

#include "../oracle/random_case.h"
#include "available_isas.h"

using namespace oracle;

TEST_CASE("infinity and NaN are infinity and NaN in the weights' copy", "[dtypes]") {
  for (int32_t isa : available_isas())
    for (int32_t dtype : {LAYERWISE_DTYPE_BFLOAT16, LAYERWISE_DTYPE_FLOAT16}) {
      Layout layout;
      layout.sizes = {200};  // whole blocks of a vector loop, and a rest
      layout.extra = dtype;
      layout.isa = isa;
      Model model(layout);
      model.grads.fill(0);
      for (int64_t i = 0; i < 200; ++i) {  // w = w - lr*0.95*m lies beyond 3.4e38
        const double sign = i % 2 ? -1 : 1;
        model.weights.set(i, i % 4 < 2 ? sign * 3e38 : NAN);
        model.moment.set(i, i % 4 < 2 ? sign * -3e38 : 0);
      }
      layerwise_novograd_options options;
      REQUIRE_OK(layerwise_novograd_options_init(&options, sizeof options));
      options.lr = 1, options.weight_decay = 0;
      REQUIRE_OK(model.novograd(options));
      for (int64_t i = 0; i < 200; ++i) {
        CAPTURE(isa, dtype_name(dtype), i, model.extra.bits(i));
        if (i % 4 < 2)
          CHECK(model.extra.bits(i) == encode(dtype, i % 2 ? -INFINITY : INFINITY));
        else
          CHECK(std::isnan(model.extra.get(i)));
      }
    }
}
