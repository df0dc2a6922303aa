// The header stands alone: nothing is included before it, and including it twice is harmless.
#include <layerwise.h>
#include <layerwise.h>

int header_compiles_as_cxx() { return LAYERWISE_OK; }
