# lockstep_component(NAME SOURCES ... DEPENDS components... PRIVATE_LIBS libraries...):
# the static library of src/NAME. DEPENDS is part of its contract; PRIVATE_LIBS never reach others.
function(lockstep_component name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PUBLIC_LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(lockstep_${name} STATIC ${arg_SOURCES})
  target_include_directories(lockstep_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include
                             ${PROJECT_BINARY_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM arg_DEPENDS PREPEND lockstep_)
  target_link_libraries(lockstep_${name} PUBLIC ${arg_DEPENDS} ${arg_PUBLIC_LIBS}
                        PRIVATE ${arg_PRIVATE_LIBS})
endfunction()

# lockstep_test(NAME SOURCES ... LIBS components... [RANKS 1 2 4] [ARGS ...] [LABELS ...]
#               [TIMEOUT seconds]): a GoogleTest program tests_NAME, run once, or under mpirun for
# each count in RANKS (with a main that knows ranks).
function(lockstep_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBS;RANKS;ARGS;LABELS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(tests_${name} ${arg_SOURCES})
  target_include_directories(tests_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src
                             ${PROJECT_SOURCE_DIR}/tests)
  list(TRANSFORM arg_LIBS PREPEND lockstep_)
  if(arg_RANKS)
    target_sources(tests_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/mpi_main.cpp)
    target_link_libraries(tests_${name} PRIVATE ${arg_LIBS} lockstep_comm GTest::gtest)
  else()
    target_link_libraries(tests_${name} PRIVATE ${arg_LIBS} lockstep_test_support)
  endif()
  if(arg_RANKS)
    foreach(ranks ${arg_RANKS})
      add_test(NAME ${name}.np${ranks}
               COMMAND ${PROJECT_SOURCE_DIR}/scripts/mpirun.sh -np ${ranks} $<TARGET_FILE:tests_${name}> ${arg_ARGS})
      # Ranks share two cores on a small machine: tests under mpirun take their number of slots.
      set_tests_properties(${name}.np${ranks} PROPERTIES LABELS "mpi;${arg_LABELS}"
                           TIMEOUT ${arg_TIMEOUT} PROCESSORS 2)
    endforeach()
  else()
    add_test(NAME ${name} COMMAND tests_${name} ${arg_ARGS})
    set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
  endif()
endfunction()

# lockstep_benchmark(NAME SOURCES ... LIBS components... [PLAIN]): bench_NAME on Google Benchmark,
# or with its own main when PLAIN.
function(lockstep_benchmark name)
  cmake_parse_arguments(arg "PLAIN" "" "SOURCES;LIBS" ${ARGN})
  add_executable(bench_${name} ${arg_SOURCES})
  target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  list(TRANSFORM arg_LIBS PREPEND lockstep_)
  target_link_libraries(bench_${name} PRIVATE ${arg_LIBS})
  if(NOT arg_PLAIN)
    target_link_libraries(bench_${name} PRIVATE benchmark::benchmark_main)
  endif()
endfunction()
