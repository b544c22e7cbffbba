// What happens when the system has no more memory (a limit on the process, no overcommitment). Nothing here
// helps against a kernel that ends processes instead.
//
// An allocation that fails gets the reserve, a block kept for that, once; from then on memory is short, which
// those ask who could do with less: listeners, and sessions before they take up what has come. What has to be
// done to the end, such as giving a thread its answer, waits until others have given memory back: a thread
// that has no one to tell must not fail. Only where a failure concerns one session alone is it thrown.
#pragma once

namespace os {

// Once, before there are threads. For std::bad_alloc's part of the process: what C libraries allocate is
// theirs to deal with.
void keep_memory_in_reserve();

// True from when the reserve was used until there is enough for another one, which each call looks for. Any
// thread; free while memory is not short.
bool memory_is_short() noexcept;

// While one exists on this thread, allocations that fail throw std::bad_alloc instead of waiting. Not across
// a suspension.
class allocations_may_fail {
public:
    allocations_may_fail() noexcept;
    ~allocations_may_fail();
    allocations_may_fail(const allocations_may_fail&) = delete;
    allocations_may_fail& operator=(const allocations_may_fail&) = delete;
};

} // namespace os
