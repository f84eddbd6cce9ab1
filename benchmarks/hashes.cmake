lockstep_benchmark(hashes SOURCES hashes.cpp LIBS data comm core PLAIN)
target_link_libraries(bench_hashes PRIVATE fmt::fmt)
