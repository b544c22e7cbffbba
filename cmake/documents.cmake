# Manual pages and completions, made from the option table by the program emailrelay-reference, and their installation.
# A page man/X.in has places that the program fills in; a page man/X is complete.

set(pages_made ${PROJECT_BINARY_DIR}/man)
file(MAKE_DIRECTORY ${pages_made} ${PROJECT_BINARY_DIR}/completions)
file(GLOB complete_pages CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.[158])
file(GLOB page_templates CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/man/*.in)

# made_by(output words...): a file that holds what emailrelay-reference prints.
set(made_files)
function(made_by output)
  add_custom_command(OUTPUT ${output} COMMAND emailrelay-reference ${ARGN} > ${output}.tmp
                     COMMAND ${CMAKE_COMMAND} -E rename ${output}.tmp ${output}
                     DEPENDS emailrelay-reference ${page_templates} VERBATIM)
  set(made_files ${made_files} ${output} PARENT_SCOPE)
endfunction()

set(pages ${complete_pages})
foreach(template ${page_templates})
  cmake_path(GET template STEM LAST_ONLY name)
  made_by(${pages_made}/${name} manual ${template})
  list(APPEND pages ${pages_made}/${name})
endforeach()
foreach(shell bash zsh fish)
  made_by(${PROJECT_BINARY_DIR}/completions/emailrelay.${shell} ${shell})
endforeach()
add_custom_target(documents ALL DEPENDS ${made_files})

foreach(page ${pages})
  # The page of a program is installed with the program.
  cmake_path(GET page STEM LAST_ONLY name)
  cmake_path(GET page EXTENSION LAST_ONLY section)
  if(name MATCHES "^emailrelay-" AND NOT section STREQUAL ".5" AND NOT TARGET ${name})
    continue()
  endif()
  string(SUBSTRING ${section} 1 -1 section)
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
# Where users of the older program look for it.
install(CODE "
  file(MAKE_DIRECTORY \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_MANDIR}/man1\")
  file(CREATE_LINK ../man8/emailrelay.8 \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_MANDIR}/man1/emailrelay.1\" SYMBOLIC)")

set(EMAILRELAY_ZSH_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Directory of completions for zsh")
set(completions ${PROJECT_BINARY_DIR}/completions)
install(FILES ${completions}/emailrelay.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME emailrelay)
install(FILES ${completions}/emailrelay.zsh DESTINATION ${EMAILRELAY_ZSH_DIR} RENAME _emailrelay)
install(FILES ${completions}/emailrelay.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
