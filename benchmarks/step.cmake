lockstep_benchmark(step SOURCES step.cpp LIBS bench PLAIN)
