// The TLS of the process and of its relay instances, built from the configuration.
//
// What is shared: the keywords of --tls-config, and threads for the arithmetic of handshakes, which exist
// only when some instance uses TLS. The setup outlives the network threads' connections.
#pragma once

#include "base/log.hpp"
#include "base/result.hpp"
#include "config/configuration.hpp"
#include "net/background.hpp"
#include "net/stream.hpp"
#include "os/worker_pool.hpp"
#include "tls/context.hpp"

#include <memory>
#include <optional>

// Of the whole process.
class tls_setup {
public:
    // Warns of keywords that are not known.
    tls_setup(const config::configuration& config, const base::logger& log);

    const tls::library_settings& library() const noexcept { return library_; }
    net::background& handshakes() noexcept { return *handshakes_; }

    // No handshake step is under way any more: event loops may be destroyed.
    void drain();
    void stop();

private:
    tls::library_settings library_;
    std::unique_ptr<os::worker_pool> threads_;
    std::unique_ptr<net::background> handshakes_;
};

// Of one relay instance.
class instance_tls {
public:
    // Reads the files. [blocks]
    base::result<void> open(const config::instance& config, tls_setup& shared, const base::logger& log);

    std::optional<net::tls_service> server() const { return service(server_.get()); }
    std::optional<net::tls_service> client() const { return service(client_.get()); }

private:
    std::optional<net::tls_service> service(tls::context* context) const;

    tls_setup* shared_ = nullptr;
    std::unique_ptr<tls::context> server_;
    std::unique_ptr<tls::context> client_;
};
