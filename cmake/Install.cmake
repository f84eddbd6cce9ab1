# cmake --install build --prefix DIR: the program, its man pages, its completion, the batch scripts and a module
# file. Relocatable: no installed file names another by an absolute path. The target `uninstall` undoes it.
if(TARGET lockstep)
  install(TARGETS lockstep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY ${PROJECT_BINARY_DIR}/share/man/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(DIRECTORY ${PROJECT_BINARY_DIR}/share/bash-completion DESTINATION ${CMAKE_INSTALL_DATADIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/slurm DESTINATION ${CMAKE_INSTALL_DATADIR}/lockstep)
  configure_file(${PROJECT_SOURCE_DIR}/packaging/modulefile.in ${PROJECT_BINARY_DIR}/share/modulefile @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/share/modulefile RENAME ${PROJECT_VERSION}
          DESTINATION ${CMAKE_INSTALL_DATADIR}/modulefiles/lockstep)
endif()
add_custom_target(uninstall VERBATIM
  COMMAND ${CMAKE_COMMAND} -D MANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt
          -P ${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake)
