lockstep_benchmark(vector_loops SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/vector_loops.cpp LIBS ops)
