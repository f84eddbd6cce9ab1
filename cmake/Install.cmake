# cmake --install build --prefix DIR: relocatable (one static program). `ninja uninstall` undoes it.
if(TARGET lockstep)
  install(TARGETS lockstep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
