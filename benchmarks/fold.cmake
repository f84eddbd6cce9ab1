lockstep_benchmark(fold SOURCES fold.cpp LIBS comm ops PLAIN)
target_link_libraries(bench_fold PRIVATE lockstep_mpi)
