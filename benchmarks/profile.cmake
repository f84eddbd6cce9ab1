lockstep_benchmark(profile SOURCES profile.cpp LIBS train PLAIN)
