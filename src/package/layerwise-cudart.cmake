# layerwise::cudart, the CUDA runtime as a static library, for the build and for those who link to liblayerwise.a.
# Not FindCUDAToolkit: CMake 3.25's stops at CUDA 13, which has no nvToolsExt.
find_package(Threads QUIET)
find_library(LAYERWISE_CUDART NAMES cudart_static
             HINTS ${CMAKE_CUDA_HOST_IMPLICIT_LINK_DIRECTORIES} "$ENV{CUDA_PATH}" ${layerwise_cudart_dir}
             PATHS /usr/local/cuda PATH_SUFFIXES lib64 lib)
mark_as_advanced(LAYERWISE_CUDART)
if(LAYERWISE_CUDART AND Threads_FOUND AND NOT TARGET layerwise::cudart)
  add_library(layerwise::cudart INTERFACE IMPORTED)
  target_link_libraries(layerwise::cudart INTERFACE "${LAYERWISE_CUDART}" Threads::Threads ${CMAKE_DL_LIBS} rt)
endif()
