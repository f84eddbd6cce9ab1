lockstep_benchmark(step SOURCES step.cpp LIBS parallel PLAIN)
