lockstep_benchmark(published SOURCES scaling/published.cpp LIBS plan PLAIN)
