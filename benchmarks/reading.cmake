lockstep_benchmark(reading SOURCES reading.cpp LIBS data comm core hdf5 PLAIN)
target_link_libraries(bench_reading PRIVATE fmt::fmt)
