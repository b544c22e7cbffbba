// What the system did wrong, as a value.
//
// An `error` says what was tried and on what, and why not; it prints as
// "rename /var/spool/x.envelope: no space left on device". `result<T>` carries either a T or an error and
// must be looked at. What a *peer* does wrong is not an error here but a reply or a verdict.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <utility>

namespace base {

using boost::system::error_code;

struct error {
    error_code code;  // the reason, for decisions: compare with boost::system::errc
    std::string what; // what was tried, on what; may be the whole text when `code` is not set

    std::string message() const; // "<what>: <reason in lower case>"
};

// The error of the system call that has just failed: reads errno.
error last_error(std::string what);
error make_error(int errno_value, std::string what);

// Used by boost::system::result when value() is called on an error: a broken invariant.
[[noreturn]] inline void throw_exception_from_error(const error& e, const boost::source_location&) {
    throw std::runtime_error(e.message());
}

template <class T>
class [[nodiscard]] result : public boost::system::result<T, error> {
public:
    using boost::system::result<T, error>::result;
};

// True when trying again later may help (disk full, too many files, out of memory); the one place that
// decides.
bool is_temporary(const error_code& code) noexcept;

} // namespace base
