lockstep_benchmark(gemm PLAIN SOURCES gemm.cpp LIBS ops)
target_link_libraries(bench_gemm PRIVATE benchmark::benchmark lockstep_dnnl)
