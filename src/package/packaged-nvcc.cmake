# nvcc as pip installs it, from NVIDIA's packages (nvidia-cuda-nvcc of CUDA 13 and what it needs), without root.

# The newest nvcc in the packages of the Python at hand, or nothing: that of an active environment, else python3.
function(layerwise_packaged_nvcc result)
  find_program(layerwise_python NAMES "${Python3_EXECUTABLE}" "${Python_EXECUTABLE}" "$ENV{VIRTUAL_ENV}/bin/python"
               "$ENV{CONDA_PREFIX}/bin/python" python3 NO_CACHE)
  set(folders "")
  if(layerwise_python) # -E: what pip sets while it builds a package would hide the environment that it builds for
    execute_process(COMMAND "${layerwise_python}" -E -c
      "import importlib.util; nvidia = importlib.util.find_spec('nvidia')
print(*(nvidia.submodule_search_locations if nvidia else []), sep=';')"
      TIMEOUT 20 OUTPUT_VARIABLE folders OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  set(found "")
  foreach(folder IN LISTS folders)
    file(GLOB here "${folder}/cu[0-9]*/bin/nvcc")
    list(APPEND found ${here})
  endforeach()
  list(SORT found COMPARE NATURAL ORDER DESCENDING)
  list(POP_FRONT found newest)
  set(${result} "${newest}" PARENT_SCOPE)
endfunction()

# The version of a package installed in `folder`, such as 13.5, or nothing.
function(layerwise_package_version result folder package)
  string(REPLACE "-" "_" name "${package}")
  file(GLOB installed "${folder}/${name}-[0-9]*.dist-info")
  set(version "")
  if(installed MATCHES "/${name}-([0-9]+\\.[0-9]+)[^/]*$")
    set(version ${CMAKE_MATCH_1})
  endif()
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# Why an nvcc from packages cannot compile, and the command that mends it; nothing for one that can, or is no package's.
function(layerwise_packaged_nvcc_lacks result nvcc)
  set(${result} "" PARENT_SCOPE)
  string(REGEX REPLACE "/bin/[^/]*$" "" toolkit "${nvcc}")  # nvidia/cu13
  string(REGEX REPLACE "/[^/]*/[^/]*$" "" folder "${toolkit}")
  layerwise_package_version(version "${folder}" nvidia-cuda-nvcc)
  if(NOT version)
    return()
  endif()
  set(mended "")
  set(lacks "")
  # What is in which of the other packages. The first two go with nvcc's version: a newer nvvm makes PTX that the older
  # ptxas cannot read.
  foreach(part IN ITEMS "nvidia-nvvm=nvvm/bin/cicc" "nvidia-cuda-crt=include/crt/host_config.h"
                        "nvidia-cuda-runtime=lib/libcudart_static.a" "nvidia-cuda-cccl=include/cccl/cub/cub.cuh")
    string(REGEX REPLACE "=.*" "" package "${part}")
    string(REGEX REPLACE ".*=" "" file "${part}")
    layerwise_package_version(other "${folder}" ${package})
    if(NOT EXISTS "${toolkit}/${file}")
      list(APPEND lacks "${package} is not installed")
    elseif(package MATCHES "nvvm|crt" AND NOT other STREQUAL version)
      list(APPEND lacks "${package} is ${other}")
    else()
      continue()
    endif()
    if(package STREQUAL "nvidia-cuda-cccl")  # which counts otherwise, and need not be of the same version
      list(APPEND mended "${package}")
    else()
      list(APPEND mended "\"${package}==${version}.*\"")
    endif()
  endforeach()
  if(lacks)
    list(JOIN lacks ", " lacks)
    list(JOIN mended " " mended)
    set(lacks "${nvcc} is ${version}, but ${lacks}: pip install ${mended}")
  elseif(version VERSION_LESS 13.2 AND NOT EXISTS "${toolkit}/lib64")
    set(lacks "${nvcc} is ${version}, which looks for its libraries in lib64: ln -s lib ${toolkit}/lib64")
  endif()
  set(${result} "${lacks}" PARENT_SCOPE)
endfunction()
