# Message catalogues po/*.po, compiled into locale/ of the build folder, where --localedir can be pointed at too.
find_program(MSGFMT msgfmt REQUIRED)
file(GLOB catalogues CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/po/*.po)
set(compiled)
foreach(catalogue ${catalogues})
  cmake_path(GET catalogue STEM language)
  set(folder ${PROJECT_BINARY_DIR}/locale/${language}/LC_MESSAGES)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${folder}/emailrelay.mo COMMAND ${MSGFMT} --check -o ${folder}/emailrelay.mo ${catalogue}
                     DEPENDS ${catalogue} VERBATIM)
  list(APPEND compiled ${folder}/emailrelay.mo)
  install(FILES ${folder}/emailrelay.mo DESTINATION ${CMAKE_INSTALL_LOCALEDIR}/${language}/LC_MESSAGES)
endforeach()
add_custom_target(translations ALL DEPENDS ${compiled})
