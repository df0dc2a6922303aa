# What the harness offers to other CMake files:
#
#   layerwise_add_simt_test(NAME name MODE fine|asan|tsan...
#       SOURCES test.cpp...          the test's own files
#       [LIBRARY file.cpp...]        host files of the project, built once per mode for all tests that name
#                                    the same files, includes and definitions
#       KERNELS kernel.cu...         likewise
#       [INCLUDES dir...] [DEFINITIONS name=value...] [LINK target...])
#
# adds one executable and one test, simt.<name>.<mode>, for each mode; labels simt and the mode. Where the
# harness was skipped at configure time it adds nothing.
#
# Kernels are compiled twice, not three times: `fine` links the objects of `tsan` with hooks of its own in libtsan's place.

# Frame pointers: reports walk the stacks of parked threads. fma and no contraction: the project's arithmetic.
set(LAYERWISE_SIMT_EVERY_FILE -fno-omit-frame-pointer -mfma -ffp-contract=off)
set(LAYERWISE_SIMT_UNDEFINED -fsanitize=undefined -fno-sanitize-recover=undefined)

set(LAYERWISE_CUDA_INCLUDE_DIRS "" CACHE STRING
    "Folders with the CUDA toolkit's headers (cuda_runtime.h and cub/), where no toolkit is installed")

# Sets `result` to the reason why the harness cannot be built, or to nothing.
function(layerwise_simt_toolkit result)
  set(${result} "" PARENT_SCOPE)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    set(${result} "the host is ${CMAKE_SYSTEM_PROCESSOR}; the fiber switch is written for x86-64" PARENT_SCOPE)
    return()
  endif()
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
    set(${result} "the compiler is not g++ 12 or later" PARENT_SCOPE)
    return()
  endif()
  if(CMAKE_CXX_FLAGS MATCHES "-fsanitize=")
    set(${result} "CMAKE_CXX_FLAGS names a sanitizer; the harness has builds of its own for that" PARENT_SCOPE)
    return()
  endif()
  if(NOT Python3_FOUND)
    set(${result} "no Python 3 interpreter, which prepares CUB's headers" PARENT_SCOPE)
    return()
  endif()
  if(NOT TARGET Catch2::Catch2WithMain)
    set(${result} "Catch2 3 was not found" PARENT_SCOPE)
    return()
  endif()
  set(candidates ${LAYERWISE_CUDA_INCLUDE_DIRS})
  if(NOT candidates)
    find_package(CUDAToolkit QUIET)
    set(candidates ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
  endif()
  foreach(dir IN LISTS candidates)      # CUDA 13 keeps CUB and libcu++ one folder further down
    list(APPEND candidates ${dir}/cccl)
  endforeach()
  find_path(LAYERWISE_SIMT_RUNTIME_DIR cuda_runtime.h PATHS ${candidates} NO_DEFAULT_PATH)
  find_path(LAYERWISE_SIMT_CCCL_DIR cub/block/block_reduce.cuh PATHS ${candidates} NO_DEFAULT_PATH)
  mark_as_advanced(LAYERWISE_SIMT_RUNTIME_DIR LAYERWISE_SIMT_CCCL_DIR)
  if(NOT LAYERWISE_SIMT_RUNTIME_DIR OR NOT LAYERWISE_SIMT_CCCL_DIR)
    set(${result} "no headers of a CUDA toolkit (set LAYERWISE_CUDA_INCLUDE_DIRS)" PARENT_SCOPE)
    return()
  endif()
  set_property(GLOBAL PROPERTY LAYERWISE_SIMT_CCCL ${LAYERWISE_SIMT_CCCL_DIR})
  set_property(GLOBAL PROPERTY LAYERWISE_SIMT_TOOLKIT ${LAYERWISE_SIMT_RUNTIME_DIR} ${LAYERWISE_SIMT_CCCL_DIR})
endfunction()

function(layerwise_simt_modes result)
  set(modes fine asan tsan)
  # The next runtime of TSan keeps 255 threads at most: races between CUDA threads beyond them are lost.
  if(CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    list(REMOVE_ITEM modes tsan)
    message(STATUS "SIMT harness: no tsan build, which needs g++ 12 (this is ${CMAKE_CXX_COMPILER_VERSION})")
  endif()
  set(${result} ${modes} PARENT_SCOPE)
endfunction()

# The instrumentation that kernels have in a mode.
function(layerwise_simt_kernel_kind result mode)
  if(mode STREQUAL "asan")
    set(${result} memory PARENT_SCOPE)
  else()
    set(${result} threads PARENT_SCOPE)
  endif()
endfunction()

# Two sets of options for kernels, as interface targets: simt_kernel_memory and simt_kernel_threads.
function(layerwise_simt_kernels overlay)
  get_property(toolkit GLOBAL PROPERTY LAYERWISE_SIMT_TOOLKIT)
  set(here ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  foreach(kind memory threads)
    add_library(simt_kernel_${kind} INTERFACE)
    target_compile_features(simt_kernel_${kind} INTERFACE cxx_std_20)
    target_include_directories(simt_kernel_${kind} SYSTEM INTERFACE ${overlay} ${here} ${toolkit})
    # -O1 -g1: g++ takes half the time of -O2 -g for kernels that are inlined whole, and reports have their lines.
    target_compile_options(simt_kernel_${kind} INTERFACE -O1 -g1 ${LAYERWISE_SIMT_EVERY_FILE} -include ${here}/simt.h
                           -Wno-unknown-pragmas -fsanitize-coverage=trace-pc)
  endforeach()
  # Checks as calls, where inlined ones would take g++ twice as long.
  target_compile_options(simt_kernel_memory INTERFACE -fsanitize=address ${LAYERWISE_SIMT_UNDEFINED}
                         "SHELL:--param asan-instrumentation-with-call-threshold=0")
  target_compile_definitions(simt_kernel_memory INTERFACE LAYERWISE_PAIRWISE_DTYPES)
  target_compile_options(simt_kernel_threads INTERFACE -fsanitize=thread)
endfunction()

# Two sets of options per mode, as interface targets: for host code and for the engine.
function(layerwise_simt_engine mode)
  get_property(toolkit GLOBAL PROPERTY LAYERWISE_SIMT_TOOLKIT)
  set(here ${CMAKE_CURRENT_FUNCTION_LIST_DIR})

  foreach(kind host engine)
    add_library(simt_${kind}_${mode} INTERFACE)
    target_compile_features(simt_${kind}_${mode} INTERFACE cxx_std_20)
    target_include_directories(simt_${kind}_${mode} INTERFACE ${here})
    target_include_directories(simt_${kind}_${mode} SYSTEM INTERFACE ${toolkit})
    target_compile_options(simt_${kind}_${mode} INTERFACE -O2 -g ${LAYERWISE_SIMT_EVERY_FILE})
    string(TOUPPER ${mode} upper)
    target_compile_definitions(simt_${kind}_${mode} INTERFACE SIMT_MODE_${upper})
  endforeach()
  if(mode STREQUAL asan)
    target_compile_options(simt_host_${mode} INTERFACE -fsanitize=address ${LAYERWISE_SIMT_UNDEFINED})
    target_compile_options(simt_engine_${mode} INTERFACE -fsanitize=address)
    target_link_options(simt_host_${mode} INTERFACE -fsanitize=address,undefined)
  elseif(mode STREQUAL tsan)
    target_compile_options(simt_host_${mode} INTERFACE -fsanitize=thread)
    target_compile_definitions(simt_engine_${mode} INTERFACE SIMT_TSAN=1)
    target_link_options(simt_host_${mode} INTERFACE -fsanitize=thread)
  endif()

  file(GLOB sources CONFIGURE_DEPENDS ${here}/engine/*.cpp ${here}/cudart/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/hooks_")
  set(hooks ${here}/engine/hooks_blocks.cpp)
  if(mode STREQUAL fine)
    set(hooks ${here}/engine/hooks_access.cpp)
  endif()
  add_library(simt_${mode} OBJECT ${sources} ${hooks})
  set_target_properties(simt_${mode} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  target_compile_options(simt_${mode} PRIVATE -Wall -Wextra)
  target_link_libraries(simt_${mode} PRIVATE simt_engine_${mode})
endfunction()

# Objects of `files`, built with the options of the interface target simt_`kind`; one target for equal requests.
function(_layerwise_simt_objects result kind files includes definitions)
  if(NOT files)
    set(${result} "" PARENT_SCOPE)
    return()
  endif()
  string(SHA1 hash "${CMAKE_CURRENT_SOURCE_DIR} ${files} ${includes} ${definitions}")
  string(SUBSTRING ${hash} 0 10 hash)
  set(target simt_${kind}_${hash})
  if(NOT TARGET ${target})
    if(kind MATCHES "^kernel_")
      set_source_files_properties(${files} PROPERTIES LANGUAGE CXX)   # g++ -x c++ for .cu
    endif()
    add_library(${target} OBJECT ${files})
    target_include_directories(${target} PRIVATE ${includes})
    target_compile_definitions(${target} PRIVATE ${definitions})
    target_link_libraries(${target} PRIVATE simt_${kind})
  endif()
  set(${result} ${target} PARENT_SCOPE)
endfunction()

function(layerwise_add_simt_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "MODE;SOURCES;LIBRARY;KERNELS;INCLUDES;DEFINITIONS;LINK")
  get_property(possible GLOBAL PROPERTY LAYERWISE_SIMT_MODES)
  find_package(Threads REQUIRED)
  foreach(mode IN LISTS arg_MODE)
    if(NOT mode IN_LIST possible)
      continue()
    endif()
    set(target simt_${arg_NAME}_${mode})
    layerwise_simt_kernel_kind(kind ${mode})
    _layerwise_simt_objects(kernels kernel_${kind} "${arg_KERNELS}" "${arg_INCLUDES}" "${arg_DEFINITIONS}")
    _layerwise_simt_objects(library host_${mode} "${arg_LIBRARY}" "${arg_INCLUDES}" "${arg_DEFINITIONS}")
    add_executable(${target} ${arg_SOURCES})
    target_include_directories(${target} PRIVATE ${arg_INCLUDES})
    target_compile_definitions(${target} PRIVATE ${arg_DEFINITIONS})
    target_link_libraries(${target} PRIVATE simt_${mode} ${kernels} ${library} simt_host_${mode} ${arg_LINK}
                                            Catch2::Catch2WithMain Threads::Threads)
    set(before "")
    if(COMMAND layerwise_passed_before)  # a part of the project's tests
      layerwise_passed_before(before simt.${arg_NAME}.${mode})
    endif()
    add_test(NAME simt.${arg_NAME}.${mode} COMMAND ${before} $<TARGET_FILE:${target}>)
    set_tests_properties(simt.${arg_NAME}.${mode} PROPERTIES LABELS "simt;${mode}" TIMEOUT 900)
  endforeach()
endfunction()
