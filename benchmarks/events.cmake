lockstep_benchmark(events SOURCES events.cpp LIBS core)
