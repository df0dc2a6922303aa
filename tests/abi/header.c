/* The header stands alone: nothing is included before it, and including it twice is harmless. */
#include <layerwise.h>
#include <layerwise.h>

int header_compiles_as_c(void);
int header_compiles_as_c(void) { return LAYERWISE_OK; }
