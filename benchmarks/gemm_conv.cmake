lockstep_benchmark(gemm_conv PLAIN SOURCES gemm_conv.cpp LIBS ops)
target_link_libraries(bench_gemm_conv PRIVATE benchmark::benchmark)
