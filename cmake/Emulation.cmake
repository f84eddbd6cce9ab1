# CUDA kernels tested without a GPU: their PTX becomes C++ inside a stand-in for libcudart (tests/ptx),
# which LD_LIBRARY_PATH puts before the real one. Programs know nothing of it.
if(NOT LOCKSTEP_CUDA)
  function(lockstep_cuda_test)
  endfunction()
  return()
endif()
option(LOCKSTEP_TEST_GPU "Run the CUDA tests on this machine's GPU instead of the emulation" OFF)
set(LOCKSTEP_EMULATION ${PROJECT_BINARY_DIR}/tests/ptx)
find_program(LOCKSTEP_PTXAS ptxas HINTS ${CUDAToolkit_BIN_DIR} REQUIRED)
find_package(Python3 3.9 COMPONENTS Interpreter REQUIRED)
add_custom_target(cuda_programs)  # all that the tests with the label cuda and scripts/gpu_check.sh run

# How translated kernels are compiled for a checker. The address check's accesses are calls, without red
# zones between the locals of a thread: registers are locals, compiling takes a quarter of the time.
set(LOCKSTEP_thread_OPTIONS -fsanitize=thread -fno-omit-frame-pointer -g1)
set(LOCKSTEP_address_OPTIONS -fsanitize=address -fno-omit-frame-pointer -g1 "SHELL:--param asan-stack=0"
    "SHELL:--param asan-instrumentation-with-call-threshold=0")

# lockstep_cuda_stand_in(NAME SONAME VARIANTS plain thread address SOURCES ... [SYMBOLS version-script]
#                        [LIBS ...]): the shared library SONAME in the folder of each variant: lib
# (plain), thread or address (built with that sanitizer). Tests under the emulation depend on it.
function(lockstep_cuda_stand_in name soname)
  cmake_parse_arguments(arg "" "SYMBOLS" "VARIANTS;SOURCES;LIBS" ${ARGN})
  string(REGEX MATCH "^lib(.*)\\.so\\.([0-9]+)$" matched ${soname})
  set(output ${CMAKE_MATCH_1})
  set(version ${CMAKE_MATCH_2})
  foreach(variant ${arg_VARIANTS})
    set(target stand_in_${name}_${variant})
    set(folder ${LOCKSTEP_EMULATION}/${variant})
    set(checker ${variant})
    if(variant STREQUAL "plain")
      set(folder ${LOCKSTEP_EMULATION}/lib)
      set(checker "${LOCKSTEP_SANITIZE}")
    elseif(LOCKSTEP_SANITIZE)
      continue()  # everything is built with that one
    endif()
    add_library(${target} SHARED ${arg_SOURCES})
    if(checker)
      target_compile_options(${target} PRIVATE ${LOCKSTEP_${checker}_OPTIONS})
      target_compile_definitions(${target} PRIVATE LOCKSTEP_CHECK_${checker})
      target_link_options(${target} PRIVATE -fsanitize=${checker})
    endif()
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include
                               ${PROJECT_SOURCE_DIR}/src ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE})
    target_link_libraries(${target} PRIVATE ${arg_LIBS} Threads::Threads ${CMAKE_DL_LIBS} rt)
    if(arg_SYMBOLS)
      target_link_options(${target} PRIVATE -Wl,--version-script=${arg_SYMBOLS})
      set_target_properties(${target} PROPERTIES LINK_DEPENDS ${arg_SYMBOLS})
    endif()
    set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output} VERSION ${version}
                          SOVERSION ${version} LIBRARY_OUTPUT_DIRECTORY ${folder})
    set_property(GLOBAL APPEND PROPERTY LOCKSTEP_STAND_INS_${variant} ${target})
  endforeach()
endfunction()

# lockstep_translate_kernels(OUT FOLDER sources.cu...): OUT names the C++ files that the PTX of each
# source becomes, and their registers by ptxas; FOLDER, in the build tree, takes them.
function(lockstep_translate_kernels out folder)
  set(translated)
  foreach(source ${ARGN})
    get_filename_component(name ${source} NAME_WE)
    set(ptx ${folder}/${name}.ptx)
    add_custom_command(
      OUTPUT ${ptx}
      COMMAND ${CMAKE_COMMAND} -E make_directory ${folder}
      COMMAND ${CUDAToolkit_NVCC_EXECUTABLE} -ptx -lineinfo -arch=compute_80 -std=c++20 --fmad=false
              --expt-relaxed-constexpr -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/include
              -I${PROJECT_SOURCE_DIR}/src -I${PROJECT_BINARY_DIR}/include
              -MD -MT ${ptx} -MF ${ptx}.d ${source} -o ${ptx}
      DEPENDS ${source} DEPFILE ${ptx}.d
      COMMENT "PTX of ${name}.cu" VERBATIM)
    add_custom_command(
      OUTPUT ${folder}/${name}.cpp
      COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/ptx/translate.py ${ptx}
              ${folder}/${name}.cpp ${LOCKSTEP_PTXAS}
      DEPENDS ${ptx} ${LOCKSTEP_TRANSLATOR}
      COMMENT "Translating ${name}.ptx" VERBATIM)
    list(APPEND translated ${folder}/${name}.cpp)
  endforeach()
  set_source_files_properties(${translated} PROPERTIES COMPILE_OPTIONS "-w;-O1")
  set(${out} ${translated} PARENT_SCOPE)
endfunction()

# lockstep_cuda_test(NAME SOURCES ... LIBS components... [RANKS 1 2 4] [ORDERS 0 1 7] [RACE] [ADDRESS]
#                    [NO_RACE Thing.test ...] [ENVIRONMENT A=b ...] [ARGS ...] [TIMEOUT seconds]): a GoogleTest program tests_NAME
# which uses CUDA, run under the emulation once for each order of threads (0 up, 1 down, n shuffled by
# seed n) as NAME.orderN, and for each count in RANKS as NAME.npR.orderN; RACE and ADDRESS add NAME.race
# and NAME.address, on kernels built with the thread and the address sanitizer and with
# LOCKSTEP_TINY=race or address (tests/support/tiny.h); tests named NO_RACE, of minutes there, are not in
# NAME.race. With LOCKSTEP_TEST_GPU: NAME, once, on the GPU.
# Nothing without CUDA.
function(lockstep_cuda_test name)
  if(NOT LOCKSTEP_CUDA)
    return()
  endif()
  cmake_parse_arguments(arg "RACE;ADDRESS" "TIMEOUT" "SOURCES;LIBS;RANKS;ORDERS;NO_RACE;ENVIRONMENT;ARGS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  if(NOT DEFINED arg_ORDERS)
    set(arg_ORDERS 0 1 7)
  endif()
  set(sources ${arg_SOURCES})
  list(TRANSFORM arg_LIBS PREPEND lockstep_)
  if(arg_RANKS)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
    list(APPEND arg_LIBS lockstep_comm GTest::gtest)
  else()
    list(APPEND arg_LIBS lockstep_test_support)
  endif()
  list(APPEND arg_LIBS CUDA::cudart)
  add_library(tests_${name}_objects OBJECT ${sources})
  target_include_directories(tests_${name}_objects PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(tests_${name}_objects PRIVATE ${arg_LIBS})
  lockstep_cuda_test_program(tests_${name} tests_${name}_objects plain "${arg_LIBS}")
  if(LOCKSTEP_TEST_GPU)
    lockstep_cuda_test_runs("${name}" tests_${name} "${arg_RANKS}" "${arg_ARGS}" ${arg_TIMEOUT} "${arg_ENVIRONMENT}")
    return()
  endif()
  foreach(order ${arg_ORDERS})
    lockstep_cuda_test_runs("${name}.order${order}" tests_${name} "${arg_RANKS}" "${arg_ARGS}" ${arg_TIMEOUT}
      "LD_LIBRARY_PATH=${LOCKSTEP_EMULATION}/lib;LOCKSTEP_EMULATION_ORDER=${order};${arg_ENVIRONMENT}")
  endforeach()
  foreach(checker RACE ADDRESS)
    if(arg_${checker})
      string(TOLOWER ${checker} suffix)
      set(variant address)
      set(filter)
      if(checker STREQUAL "RACE")
        set(variant thread)
        if(arg_NO_RACE)
          list(JOIN arg_NO_RACE ":" left_out)
          set(filter "GTEST_FILTER=-${left_out}")
        endif()
      endif()
      lockstep_cuda_test_program(tests_${name}_${suffix} tests_${name}_objects ${variant} "${arg_LIBS}")
      lockstep_cuda_test_runs("${name}.${suffix}" tests_${name}_${suffix} "${arg_RANKS}" "${arg_ARGS}" 600
        "LD_LIBRARY_PATH=${LOCKSTEP_EMULATION}/${variant}:${LOCKSTEP_EMULATION}/lib;LOCKSTEP_TINY=${suffix};LOCKSTEP_EMULATION_ORDER=0;TSAN_OPTIONS=halt_on_error=1;ASAN_OPTIONS=detect_leaks=0;${filter};${arg_ENVIRONMENT}")
    endif()
  endforeach()
endfunction()

# The program of one variant; only the kernels and what runs them are instrumented, so the program has
# the checker's library and nothing else of it.
function(lockstep_cuda_test_program target objects variant libraries)
  add_executable(${target} $<TARGET_OBJECTS:${objects}>)
  target_link_libraries(${target} PRIVATE ${libraries})
  target_link_options(${target} PRIVATE -Wl,--enable-new-dtags)
  add_dependencies(cuda_programs ${target})
  if(NOT variant STREQUAL "plain")
    target_link_options(${target} PRIVATE -fsanitize=${variant})
  endif()
  if(NOT LOCKSTEP_TEST_GPU)
    add_dependencies(${target} stand_ins_${variant})
  endif()
endfunction()

# One ctest, or one for each count of ranks.
function(lockstep_cuda_test_runs name target ranks arguments timeout environment)
  if(NOT ranks)
    add_test(NAME ${name} COMMAND ${target} ${arguments})
    set_tests_properties(${name} PROPERTIES LABELS cuda TIMEOUT ${timeout} ENVIRONMENT "${environment}")
    return()
  endif()
  foreach(count ${ranks})
    string(REGEX REPLACE "^([^.]+)" "\\1.np${count}" run ${name})
    add_test(NAME ${run} COMMAND ${PROJECT_SOURCE_DIR}/scripts/mpirun.sh -np ${count} $<TARGET_FILE:${target}> ${arguments})
    set_tests_properties(${run} PROPERTIES LABELS "cuda;mpi" TIMEOUT ${timeout} PROCESSORS 2 ENVIRONMENT "${environment}")
  endforeach()
endfunction()
