if(LOCKSTEP_CUDA)
  lockstep_benchmark(kernels SOURCES cuda/main.cpp cuda/ceilings.cpp cuda/norm_entries.cpp
    cuda/loss_entries.cpp cuda/attention_entries.cpp cuda/update_entries.cpp cuda/pass_entries.cpp LIBS ops kernels PLAIN)
  target_include_directories(bench_kernels PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/cuda)
  target_link_libraries(bench_kernels PRIVATE CUDA::cublasLt)
endif()
# The benchmark itself, on shapes that the emulation runs at once.
if(LOCKSTEP_CUDA AND LOCKSTEP_BUILD_TESTS)
  add_test(NAME cuda.bench_kernels COMMAND bench_kernels --tiny)
  set_tests_properties(cuda.bench_kernels PROPERTIES LABELS cuda TIMEOUT 120)
  if(NOT LOCKSTEP_TEST_GPU)
    set_tests_properties(cuda.bench_kernels PROPERTIES ENVIRONMENT "LD_LIBRARY_PATH=${LOCKSTEP_EMULATION}/lib")
  endif()
endif()
