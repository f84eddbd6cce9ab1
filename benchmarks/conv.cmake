lockstep_benchmark(conv PLAIN SOURCES conv.cpp LIBS ops)
target_link_libraries(bench_conv PRIVATE benchmark::benchmark)
