#include "cpu/plain_loop.h"

namespace bench {
namespace {

template <class W, class G, class M>
void update_loop(const StepBuffers& buffers, int64_t begin, int64_t end, uint32_t mask) {
  W* const __restrict__ weights = static_cast<W*>(buffers.weights);
  const G* const __restrict__ grads = static_cast<const G*>(buffers.grads);
  M* const __restrict__ moments = static_cast<M*>(buffers.moment);
  for (int64_t i = begin; i < end; ++i) {
    moments[i] = static_cast<M>(moments[i] + (grads[i] & mask));
    weights[i] = static_cast<W>(weights[i] ^ (moments[i] & mask));
  }
}

template <class W, class G>
void scale_loop(const StepBuffers& buffers, int64_t begin, int64_t end, uint32_t mask) {
  const W* const __restrict__ weights = static_cast<const W*>(buffers.weights);
  G* const __restrict__ grads = static_cast<G*>(buffers.grads);
  for (int64_t i = begin; i < end; ++i) grads[i] = static_cast<G>(grads[i] ^ (weights[i] & mask));
}

template <class Visitor>
void visit_width(int bytes, Visitor&& visitor) {
  if (bytes == 4)
    visitor.template operator()<uint32_t>();
  else
    visitor.template operator()<uint16_t>();
}

}  // namespace

void plain_loop(Op op, const ElementBytes& bytes, const StepBuffers& buffers, int64_t begin, int64_t end, uint32_t mask) {
  visit_width(bytes.weight, [&]<class W>() {
    visit_width(bytes.grad, [&]<class G>() {
      if (op == Op::kLarcScale) return scale_loop<W, G>(buffers, begin, end, mask);
      visit_width(bytes.moment, [&]<class M>() { update_loop<W, G, M>(buffers, begin, end, mask); });
    });
  });
}

}  // namespace bench
