// What logging in needs from outside of sasl, on both sides: unpredictable text, and another thread.
#pragma once

#include "relay/blocking.hpp"

#include <functional>
#include <string>

namespace relay {

// "<random digits>.<seconds since 1970>": never the same, not to be guessed. Any thread.
std::string fresh_text();

// Has something computed on the disk threads.
net::awaitable<void> compute(blocking& work, std::function<void()> job);

} // namespace relay
