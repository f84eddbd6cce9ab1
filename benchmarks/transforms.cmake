lockstep_benchmark(transforms SOURCES transforms.cpp LIBS data core PLAIN)
