// The same tests of what processors without SSE2 run, compiled for this one. LAYERWISE_ISA keeps its functions apart from
// those of fused_test.cpp.
#define LAYERWISE_ISA portable
#define LAYERWISE_PORTABLE_FUSED
#define FUSED "the portable emulated fused multiply-add"
#include "fused_test.cpp"
