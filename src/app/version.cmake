# cmake -D SOURCE=... -D OUT=... -D VERSION=... (and the rest of version.h.in) -P version.cmake
find_program(GIT git)
set(COMMIT "commit unknown")
if(GIT)
  execute_process(COMMAND ${GIT} describe --always --tags --dirty WORKING_DIRECTORY ${SOURCE}
                  OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(NOT failed)
    set(COMMIT "commit ${described}")
  endif()
endif()
configure_file(${SOURCE}/src/app/version.h.in ${OUT} @ONLY)
