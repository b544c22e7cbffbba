// Signals that end the process, as events of a worker.
#pragma once

#include <functional>
#include <memory>
#include <vector>

namespace net {

class worker;

class signal_watch {
public:
    // `handler` runs on the worker's thread, at each signal.
    signal_watch(worker& on, const std::vector<int>& signals, std::function<void(int)> handler);
    ~signal_watch();

private:
    struct impl;
    std::shared_ptr<impl> impl_;
};

} // namespace net
