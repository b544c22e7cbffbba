# `cmake --install`, `make install`: programs, manual pages, completions, configuration, what the system needs to run the
# relay as a service. DESTDIR and the directories of GNUInstallDirs are honoured.
#
# Configuration that is there already is left alone. As root, also under fakeroot, the spool, the secrets and the set-gid
# programs get their group; otherwise a line says what is left to do.

include(GNUInstallDirs)
set(EMAILRELAY_USER "emailrelay" CACHE STRING "User of the installed service")
set(EMAILRELAY_GROUP "daemon" CACHE STRING "Group of the spool directory and of the programs that write to it")
set(EMAILRELAY_RUN_DIR "/run/emailrelay" CACHE STRING "Directory of the pid file")
set(EMAILRELAY_SYSTEMD_DIR "${CMAKE_INSTALL_PREFIX}/lib" CACHE STRING "Where systemd/system, sysusers.d and tmpfiles.d are")

set(EMAILRELAY_UNIT_DIR "${EMAILRELAY_SYSTEMD_DIR}/systemd/system" CACHE STRING "Where the units are")

set(packaging ${PROJECT_SOURCE_DIR}/packaging)
set(made ${PROJECT_BINARY_DIR}/install)
set(sysconf ${CMAKE_INSTALL_FULL_SYSCONFDIR})
set(libexec ${CMAKE_INSTALL_FULL_LIBEXECDIR}/emailrelay)

# Programs. What reads or writes the spool on behalf of any user has its group.
set(set_gid_programs emailrelay-submit emailrelay-sendmail)
foreach(program emailrelay emailrelay-passwd emailrelay-keygen ${set_gid_programs})
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
  endif()
endforeach()
if(TARGET emailrelay-filter-copy)
  install(TARGETS emailrelay-filter-copy RUNTIME DESTINATION ${libexec})
endif()

# Scripts: one among the programs, the others as examples.
configure_file(${packaging}/emailrelay-resubmit.in ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/emailrelay-resubmit @ONLY
               FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
install(PROGRAMS ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/emailrelay-resubmit DESTINATION ${libexec})
install(PROGRAMS ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/emailrelay-resubmit DESTINATION ${libexec}/examples
        RENAME emailrelay-resubmit.sh)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples/ DESTINATION ${libexec}/examples USE_SOURCE_PERMISSIONS
        PATTERN __pycache__ EXCLUDE)

# Files with the directories of this installation in them.
foreach(file emailrelay.conf emailrelay.default emailrelay.init systemd/emailrelay.service systemd/emailrelay.sysusers
        systemd/emailrelay.tmpfiles apparmor/usr.sbin.emailrelay)
  configure_file(${packaging}/${file}.in ${made}/${file} @ONLY)
endforeach()

install(PROGRAMS ${made}/emailrelay.init DESTINATION ${libexec}/init RENAME emailrelay)
install(FILES ${made}/systemd/emailrelay.service ${packaging}/systemd/emailrelay.socket
        DESTINATION ${EMAILRELAY_UNIT_DIR})
install(FILES ${made}/systemd/emailrelay.sysusers DESTINATION ${EMAILRELAY_SYSTEMD_DIR}/sysusers.d RENAME emailrelay.conf)
install(FILES ${made}/systemd/emailrelay.tmpfiles DESTINATION ${EMAILRELAY_SYSTEMD_DIR}/tmpfiles.d RENAME emailrelay.conf)

install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)

include(cmake/documents.cmake)
include(cmake/translations.cmake)

target_compile_definitions(emailrelay PRIVATE EMAILRELAY_LOCALE_DIR="${CMAKE_INSTALL_FULL_LOCALEDIR}")

# install_configuration(from to mode...): only where there is none yet.
function(install_configuration from to)
  list(JOIN ARGN " " mode)
  get_filename_component(directory ${to} DIRECTORY)
  get_filename_component(name ${to} NAME)
  install(CODE "
    if(EXISTS \"\$ENV{DESTDIR}${to}\")
      message(STATUS \"Left alone: \$ENV{DESTDIR}${to}\")
    else()
      file(INSTALL \"${from}\" DESTINATION \"${directory}\" RENAME \"${name}\" PERMISSIONS ${mode})
    endif()")
endfunction()
set(mode_644 OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
set(mode_640 OWNER_READ OWNER_WRITE GROUP_READ)
install_configuration(${made}/emailrelay.conf ${sysconf}/emailrelay.conf ${mode_644})
install_configuration(${packaging}/emailrelay.auth ${sysconf}/emailrelay.auth ${mode_640})
install_configuration(${made}/emailrelay.default ${sysconf}/default/emailrelay ${mode_644})
install_configuration(${packaging}/emailrelay.pam ${sysconf}/pam.d/emailrelay ${mode_644})
install_configuration(${made}/apparmor/usr.sbin.emailrelay ${sysconf}/apparmor.d/usr.sbin.emailrelay ${mode_644})
install_configuration(${packaging}/fail2ban/filter.conf ${sysconf}/fail2ban/filter.d/emailrelay.conf ${mode_644})
install_configuration(${packaging}/fail2ban/jail.conf ${sysconf}/fail2ban/jail.d/emailrelay.conf ${mode_644})

# Last, because it works on what is installed: the group, and the bits that go with it. Changing the group of a file
# clears its set-gid bit, so the mode comes second.
list(TRANSFORM set_gid_programs PREPEND ${CMAKE_INSTALL_FULL_SBINDIR}/)
configure_file(${PROJECT_SOURCE_DIR}/cmake/permissions.sh.in ${made}/permissions.sh @ONLY)
install(CODE "execute_process(COMMAND sh \"${made}/permissions.sh\" COMMAND_ERROR_IS_FATAL ANY)")
