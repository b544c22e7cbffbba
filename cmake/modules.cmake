# One folder is one library; its dependencies here are the dependency rule of docs/flow.md.
#
# emailrelay_module(name [USES other-folders...] [LINK libraries...])
#   makes library er_<name> of src/<name>/**.cpp and, if there are *_test.cpp, the test program <name>_test.

add_library(er_flags INTERFACE)
target_compile_options(er_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor -Wold-style-cast)
# g++ 12 takes the operator delete of Asio's coroutine frames, when inlined, for a mismatch with their operator new.
target_compile_options(er_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
target_compile_definitions(er_flags INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED
  EMAILRELAY_VERSION="${PROJECT_VERSION}" EMAILRELAY_SPOOL_DIR="${EMAILRELAY_SPOOL_DIR}")
target_include_directories(er_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
if(EMAILRELAY_WERROR)
  target_compile_options(er_flags INTERFACE -Werror)
endif()
if(EMAILRELAY_SANITIZE)
  target_compile_options(er_flags INTERFACE -fsanitize=${EMAILRELAY_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(er_flags INTERFACE -fsanitize=${EMAILRELAY_SANITIZE})
  # g++ 12 sees uninitialised members in Boost.Variant2's storage once the sanitizers' checks stand between.
  target_compile_options(er_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(EMAILRELAY_SANITIZE MATCHES thread)
    target_compile_options(er_flags INTERFACE -Wno-tsan)  # Boost uses atomic_thread_fence, which g++ warns of
  endif()
endif()

function(emailrelay_module name)
  cmake_parse_arguments(arg "" "" "USES;LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(TRANSFORM arg_USES PREPEND "er_")
  if(sources)
    add_library(er_${name} STATIC ${sources})
    target_link_libraries(er_${name} PUBLIC er_flags Boost::headers fmt::fmt ${arg_USES} ${arg_LINK})
  else()
    add_library(er_${name} INTERFACE)
    target_link_libraries(er_${name} INTERFACE er_flags Boost::headers fmt::fmt ${arg_USES} ${arg_LINK})
  endif()
  if(EMAILRELAY_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE er_${name} GTest::gmock GTest::gtest_main)
    # Half of what tests take to compile under sanitizers is optimising them.
    target_compile_options(${name}_test PRIVATE $<$<CONFIG:Debug>:-O0>)
    add_test(NAME ${name}_test COMMAND ${name}_test)
  endif()
endfunction()

# emailrelay_tool(program source... [USES folders...]): a program beside the relay.
function(emailrelay_tool program)
  cmake_parse_arguments(arg "" "" "USES" ${ARGN})
  list(TRANSFORM arg_USES PREPEND "er_")
  add_executable(${program} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${program} PRIVATE er_flags ${arg_USES})
  if(EMAILRELAY_SANITIZE MATCHES address)
    target_sources(${program} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/set_gid_leak_check.cpp)
  endif()
endfunction()
