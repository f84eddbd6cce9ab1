lockstep_benchmark(attention PLAIN SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/attention.cpp LIBS ops)
