// The tests of the emulated instructions, for what processors without SSE2 run, compiled for this one. LAYERWISE_ISA keeps
// its functions apart from those of the other tests.
#define LAYERWISE_ISA portable
#define LAYERWISE_PORTABLE
#define FUSED "the portable emulated fused multiply-add"
#define LANES "the portable lanes"
#include "fused_test.cpp"
#include "lanes_test.cpp"
