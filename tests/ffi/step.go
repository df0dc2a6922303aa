// The README's C example in Go. What C keeps pointers to lies in C memory: Go's may move.
package main

/*
#cgo LDFLAGS: -llayerwise
#include <stdlib.h>
#include <layerwise.h>
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"
)

func check(status C.int32_t) {
	if status != C.LAYERWISE_OK {
		fmt.Printf("%s: %s\n", C.GoString(C.layerwise_status_name(status)), C.GoString(C.layerwise_last_error()))
		os.Exit(1)
	}
}

func main() {
	weights := []float32{1, 2, 3, 4, 5} // two layers: 2 and 3 elements
	grads := []float32{.1, .2, .3, .4, .5}
	firstMoment, secondMoment := make([]float32, 5), make([]float32, 2)

	sizes := (*[2]C.int64_t)(C.malloc(2 * C.sizeof_int64_t))
	defer C.free(unsafe.Pointer(sizes))
	*sizes = [2]C.int64_t{2, 3}
	var layout C.layerwise_plan_options
	check(C.layerwise_plan_options_init(&layout, C.sizeof_layerwise_plan_options))
	layout.layer_count = 2
	layout.sizes = &sizes[0]
	var plan *C.layerwise_plan
	check(C.layerwise_plan_create(&layout, &plan))
	defer C.layerwise_plan_destroy(plan)

	var step C.layerwise_novograd_options
	check(C.layerwise_novograd_options_init(&step, C.sizeof_layerwise_novograd_options))
	step.lr = -1
	if status := C.novograd_step(plan, unsafe.Pointer(&weights[0]), unsafe.Pointer(&grads[0]),
		unsafe.Pointer(&firstMoment[0]), unsafe.Pointer(&secondMoment[0]), nil, nil, nil, nil, &step, nil); status !=
		C.LAYERWISE_ERROR_INVALID_VALUE {
		fmt.Println("a negative lr is not refused:", status)
		os.Exit(1)
	}
	step.lr = 0.01
	check(C.novograd_step(plan, unsafe.Pointer(&weights[0]), unsafe.Pointer(&grads[0]), unsafe.Pointer(&firstMoment[0]),
		unsafe.Pointer(&secondMoment[0]), nil, nil, nil, nil, &step, nil))
	for _, weight := range weights {
		fmt.Printf("%.6f ", weight)
	}
}
