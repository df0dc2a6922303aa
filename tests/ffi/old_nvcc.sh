#!/bin/sh
# A CUDA compiler that is too old, by what it says of itself.
echo "Cuda compilation tools, release 11.0, V11.0.194"
