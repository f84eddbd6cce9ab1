lockstep_benchmark(costs SOURCES costs.cpp LIBS bench config PLAIN)
