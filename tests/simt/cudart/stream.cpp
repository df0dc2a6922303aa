// Streams and events. Everything has been done by the time a call returns, so they order nothing; their
// handles are checked: made, not destroyed, of the current device.
#include "state.h"

using namespace simt::cudart;

namespace {

template <class Pointer>
cudaError_t create(Pointer* handle, bool is_event) {
  if (!handle) return failed(cudaErrorInvalidValue);
  if (!simt::options().devices) return failed(cudaErrorNoDevice);
  *handle = reinterpret_cast<Pointer>(new char);
  std::lock_guard lock(state().mutex);
  state().handles[*handle] = {current_device(), is_event};
  return cudaSuccess;
}

Handle* find(const void* handle, bool is_event) {
  const auto found = state().handles.find(handle);
  return found == state().handles.end() || found->second.is_event != is_event ? nullptr : &found->second;
}

cudaError_t destroy(const void* handle, bool is_event) {
  std::lock_guard lock(state().mutex);
  if (!find(handle, is_event)) return failed(cudaErrorInvalidResourceHandle);
  state().handles.erase(handle);
  delete static_cast<const char*>(handle);
  return cudaSuccess;
}

cudaError_t check_event(cudaEvent_t event) {
  std::lock_guard lock(state().mutex);
  return failed(find(event, true) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

cudaError_t record(cudaEvent_t event, cudaStream_t stream) {
  if (const cudaError_t code = check_stream(stream)) return code;
  std::lock_guard lock(state().mutex);
  Handle* found = find(event, true);
  if (!found || found->device != current_device()) return failed(cudaErrorInvalidResourceHandle);
  found->recorded = true;
  return cudaSuccess;
}

bool is_default(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

}  // namespace

namespace simt::cudart {

cudaError_t check_stream(cudaStream_t stream) {
  if (!options().devices) return failed(cudaErrorNoDevice);
  if (is_default(stream)) return cudaSuccess;
  std::lock_guard lock(state().mutex);
  const Handle* found = find(stream, false);
  return failed(found && found->device == current_device() ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

}  // namespace simt::cudart

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  SIMT_ENTER(cudaStreamCreate);
  return create(stream, false);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  SIMT_ENTER(cudaStreamCreateWithFlags);
  return create(stream, false);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  SIMT_ENTER(cudaStreamCreateWithPriority);
  return create(stream, false);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  SIMT_ENTER(cudaStreamDestroy);
  return destroy(stream, false);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  SIMT_ENTER(cudaStreamSynchronize);
  return check_stream(stream);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  SIMT_ENTER(cudaStreamQuery);
  return check_stream(stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  SIMT_ENTER(cudaStreamWaitEvent);
  if (const cudaError_t code = check_stream(stream)) return code;
  return check_event(event);
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  SIMT_ENTER(cudaStreamGetDevice);
  std::lock_guard lock(state().mutex);
  const Handle* found = find(stream, false);
  if (!found && !is_default(stream)) return failed(cudaErrorInvalidResourceHandle);
  *device = found ? found->device : current_device();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  SIMT_ENTER(cudaStreamIsCapturing);
  *status = simt::options().capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return check_stream(stream);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, size_t* dependency_count) {
  SIMT_ENTER(cudaStreamGetCaptureInfo);
  if (status) *status = cudaStreamCaptureStatusNone;
  if (id) *id = 0;
  if (graph) *graph = nullptr;
  if (dependencies) *dependencies = nullptr;
  if (edges) *edges = nullptr;
  if (dependency_count) *dependency_count = 0;
  return check_stream(stream);
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  SIMT_ENTER(cudaThreadExchangeStreamCaptureMode);
  static thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  const cudaStreamCaptureMode before = current;
  current = *mode;
  *mode = before;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  SIMT_ENTER(cudaEventCreate);
  return create(event, true);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  SIMT_ENTER(cudaEventCreateWithFlags);
  return create(event, true);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  SIMT_ENTER(cudaEventDestroy);
  return destroy(event, true);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  SIMT_ENTER(cudaEventRecord);
  return record(event, stream);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  SIMT_ENTER(cudaEventRecordWithFlags);
  return record(event, stream);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  SIMT_ENTER(cudaEventSynchronize);
  return check_event(event);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  SIMT_ENTER(cudaEventQuery);
  return check_event(event);
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  SIMT_ENTER(cudaEventElapsedTime);
  std::lock_guard lock(state().mutex);
  const Handle *a = find(start, true), *b = find(end, true);
  if (!milliseconds || !a || !b || !a->recorded || !b->recorded) return failed(cudaErrorInvalidResourceHandle);
  *milliseconds = 0;
  return cudaSuccess;
}

}  // extern "C"
