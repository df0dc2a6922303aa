#!/bin/sh
# nvcc-keep.sh DIR NVCC ARG...
# Runs the CUDA compiler and keeps in DIR what the tests read, so that nothing is compiled twice for them:
# NAME.ptxas, what ptxas said of each kernel on each architecture, and NAME.compute_XX.ptx. Its other output goes on.
set -u
dir=$1
shift
object= previous=
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
case $object in
*.o) ;;
*) exec "$@" ;;
esac
name=$(basename "$object" .cu.o)
work=$object.keep
rm -rf "$work" && mkdir -p "$work" "$dir" || exit 1
"$@" -Xptxas -v --keep --keep-dir "$work" 2>"$work/log"
status=$?
grep -v -e '^ptxas info' -e '^    .* bytes stack frame' "$work/log" >&2
if [ $status = 0 ]; then
  rm -f "$dir/$name".*
  mv "$work/log" "$dir/$name.ptxas"
  for ptx in "$work"/*.ptx; do
    mv "$ptx" "$dir/"
  done
fi
rm -rf "$work"
exit $status
