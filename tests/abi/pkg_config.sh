#!/bin/sh
# pkg_config.sh PREFIX LIBDIR PKG_CONFIG WORK SOURCE CC FLAG...
# Builds SOURCE with what layerwise.pc says, against the shared library and against the static one, and runs both.
set -eu
prefix=$1 libdir=$2 pkg_config=$3 work=$4 source=$5
shift 5
export PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig"
"$pkg_config" --modversion layerwise
"$@" "$source" $("$pkg_config" --cflags --libs layerwise) -Wl,-rpath,"$prefix/$libdir" -o "$work/pkg_shared"
"$work/pkg_shared"
"$@" "$source" $("$pkg_config" --cflags --static --libs layerwise | sed 's/-llayerwise/-l:liblayerwise.a/') -o "$work/pkg_static"
"$work/pkg_static"
