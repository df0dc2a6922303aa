# What of CUDA is built, and the line that says so. LAYERWISE_CUDA is
#
#   AUTO  for the GPUs of this machine, where nvcc and a GPU are; else the CPU backend alone
#   ON    for every GPU that a release serves
#   OFF   the CPU backend alone
#
# and where architectures are named, by CMAKE_CUDA_ARCHITECTURES or by CUDAARCHS in the environment, AUTO and ON build
# for those. Sets LAYERWISE_HAVE_CUDA, and CMAKE_CUDA_ARCHITECTURES where none are named.

include("${CMAKE_CURRENT_LIST_DIR}/packaged-nvcc.cmake")

# Machine code runs on later GPUs of the same major number too: 8.0's on 8.6 and 8.9, which no line of the kernels tells
# apart, and 10.0's on 10.3. What is newer than all has the PTX of the last.
set(layerwise_release 75-real 80-real 90-real 100-real 120)
set(layerwise_oldest_gpu 75)
set(layerwise_oldest_nvcc 12.8)

# Architectures as CMake names them, in words: "7.5, 9.0, PTX 9.0". A name without a suffix is both, code and PTX.
function(layerwise_describe_architectures result)
  set(code "")
  set(ptx "")
  foreach(architecture IN LISTS ARGN)
    string(REGEX REPLACE "^([0-9]+)([0-9][af]?)(-real|-virtual)?$" "\\1.\\2" capability "${architecture}")
    if(NOT architecture MATCHES "-virtual$")
      list(APPEND code "${capability}")
    endif()
    if(architecture MATCHES "^[0-9]+[af]?(-virtual)?$")
      list(APPEND ptx "PTX ${capability}")
    endif()
  endforeach()
  list(APPEND code ${ptx})
  list(JOIN code ", " code)
  set(${result} "${code}" PARENT_SCOPE)
endfunction()

# The compute capabilities of the GPUs that the driver gives to this process, the oldest first, 90 for 9.0.
function(layerwise_gpus_here result)
  set(printed "")
  if(NOT CMAKE_CROSSCOMPILING)
    set(program "${CMAKE_CURRENT_BINARY_DIR}/gpus-here")
    try_compile(compiled SOURCES "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/gpus-here.cpp" LINK_LIBRARIES ${CMAKE_DL_LIBS}
                COPY_FILE "${program}" NO_CACHE)
    if(compiled) # a driver that is not in use may take seconds for each GPU
      execute_process(COMMAND "${program}" TIMEOUT 60 OUTPUT_VARIABLE printed ERROR_QUIET)
    endif()
  endif()
  string(REGEX MATCHALL "[0-9]+" gpus "${printed}")
  list(REMOVE_DUPLICATES gpus)
  list(SORT gpus COMPARE NATURAL)
  set(${result} ${gpus} PARENT_SCOPE)
endfunction()

# What CMAKE_CUDA_ARCHITECTURES is for these GPUs: code for each, and PTX of the newest. A GPU that nvcc does not know
# yet gets the newest PTX below it, which its driver compiles; one that is too old gets nothing.
function(layerwise_architectures_for result nvcc)
  execute_process(COMMAND "${nvcc}" --list-gpu-arch OUTPUT_VARIABLE printed ERROR_QUIET)
  string(REGEX MATCHALL "compute_[0-9]+" known "${printed}")
  list(TRANSFORM known REPLACE "compute_" "")
  list(SORT known COMPARE NATURAL)
  set(architectures "")
  foreach(gpu IN LISTS ARGN)
    set(newest "")
    foreach(architecture IN LISTS known)
      if(NOT architecture LESS layerwise_oldest_gpu AND NOT architecture GREATER gpu)
        set(newest ${architecture})
      endif()
    endforeach()
    if(newest STREQUAL gpu)
      list(APPEND architectures ${gpu}-real)
    elseif(newest)
      list(APPEND architectures ${newest}-virtual)
    endif()
  endforeach()
  list(REMOVE_DUPLICATES architectures)
  list(POP_BACK architectures newest)
  string(REPLACE "-real" "" newest "${newest}")
  set(${result} ${architectures} ${newest} PARENT_SCOPE)
endfunction()

# ---- The choice ------------------------------------------------------------------------------------------------------

set(LAYERWISE_HAVE_CUDA 0)
set(layerwise_lacks "")  # why there is no CUDA
if(NOT LAYERWISE_CUDA AND NOT LAYERWISE_CUDA STREQUAL "AUTO")
  set(layerwise_lacks "LAYERWISE_CUDA is ${LAYERWISE_CUDA}")
else()
  find_program(LAYERWISE_NVCC NAMES "${CMAKE_CUDA_COMPILER}" "$ENV{CUDACXX}" nvcc
               HINTS "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin NO_CACHE)
  set(layerwise_nvcc_lacks "")
  if(NOT LAYERWISE_NVCC)
    layerwise_packaged_nvcc(LAYERWISE_NVCC)
  endif()
  set(layerwise_nvcc_version 0)
  if(LAYERWISE_NVCC)
    layerwise_packaged_nvcc_lacks(layerwise_nvcc_lacks "${LAYERWISE_NVCC}")
    execute_process(COMMAND "${LAYERWISE_NVCC}" --version OUTPUT_VARIABLE layerwise_printed ERROR_QUIET)
    if(layerwise_printed MATCHES " release ([0-9.]+)")
      set(layerwise_nvcc_version ${CMAKE_MATCH_1})
    endif()
  endif()
  set(layerwise_named "$ENV{CUDAARCHS}")
  if(DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(layerwise_named "${CMAKE_CUDA_ARCHITECTURES}")
  endif()

  if(NOT LAYERWISE_NVCC)
    set(layerwise_lacks "no CUDA compiler (nvcc) was found")
  elseif(layerwise_nvcc_version VERSION_LESS layerwise_oldest_nvcc)
    set(layerwise_lacks "${LAYERWISE_NVCC} is older than nvcc ${layerwise_oldest_nvcc}")
  elseif(layerwise_nvcc_lacks)
    set(layerwise_lacks "${layerwise_nvcc_lacks}")
  elseif(layerwise_named AND NOT layerwise_named STREQUAL "native")
    set(CMAKE_CUDA_ARCHITECTURES ${layerwise_named})
  elseif(LAYERWISE_CUDA STREQUAL "AUTO" OR layerwise_named)
    layerwise_gpus_here(layerwise_gpus)
    layerwise_architectures_for(CMAKE_CUDA_ARCHITECTURES "${LAYERWISE_NVCC}" ${layerwise_gpus})
    if(NOT layerwise_gpus)
      set(layerwise_lacks "nvcc is here, but no GPU")
    elseif(NOT CMAKE_CUDA_ARCHITECTURES)
      layerwise_describe_architectures(layerwise_gpus ${layerwise_gpus})
      set(layerwise_lacks "the GPU here has compute capability ${layerwise_gpus}, and 7.5 is the oldest supported")
    endif()
  else()
    set(CMAKE_CUDA_ARCHITECTURES ${layerwise_release})
  endif()
  if(layerwise_lacks AND NOT LAYERWISE_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "layerwise: LAYERWISE_CUDA is ${LAYERWISE_CUDA}, but ${layerwise_lacks}")
  endif()
endif()

# Minutes of two cores, with g++ 12 and nvcc 13.0.
if(layerwise_lacks)
  set(layerwise_builds "the CPU backend alone (${layerwise_lacks})")
  set(layerwise_minutes 1)
else()
  set(LAYERWISE_HAVE_CUDA 1)
  layerwise_describe_architectures(LAYERWISE_CUDA_FOR ${CMAKE_CUDA_ARCHITECTURES})
  list(LENGTH CMAKE_CUDA_ARCHITECTURES layerwise_minutes)
  math(EXPR layerwise_minutes "(1 + 7 * ${layerwise_minutes}) / 4")
  set(layerwise_builds "the CPU backend, and CUDA for compute capability ${LAYERWISE_CUDA_FOR}")
endif()
message(STATUS "layerwise: building ${layerwise_builds}: about ${layerwise_minutes} min on two cores")
if(LAYERWISE_CUDA STREQUAL "AUTO" AND LAYERWISE_NVCC AND NOT layerwise_nvcc_lacks AND NOT layerwise_named)
  message(STATUS "layerwise: for other GPUs than those here name them, CUDAARCHS=90 in the environment or "
                 "-DCMAKE_CUDA_ARCHITECTURES=90 (\"75;90\" for two); for all that a release serves, about 9 min, "
                 "LAYERWISE_CUDA=ON or -DLAYERWISE_CUDA=ON")
endif()
