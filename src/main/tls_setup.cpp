#include "main/tls_setup.hpp"

#include "base/text.hpp"
#include "os/process.hpp"

#include <algorithm>
#include <utility>

namespace {

tls::settings settings_of(const config::tls_side& given, tls::role side,
                          const tls::library_settings& library) {
    tls::settings out;
    out.side = side;
    out.certificate_files = given.certificate_files;
    out.verify = given.verify;
    out.verify_name = given.verify_name;
    out.server_name = given.server_name;
    out.library = library;
    return out;
}

base::result<std::unique_ptr<tls::context>> open_side(const config::tls_side& given, tls::role side,
                                                      const tls::library_settings& library,
                                                      const base::logger& log) {
    if (!given.enabled())
        return std::unique_ptr<tls::context>();
    return tls::make_context(settings_of(given, side, library), log);
}

} // namespace

tls_setup::tls_setup(const config::configuration& config, const base::logger& log) {
    auto read = tls::read_library_settings(config.whole.tls_config);
    library_ = read.settings;
    for (const std::string& word : read.unknown)
        log.warning("tls-config: tls configuration items ignored: [{}]", base::printable(word));
    const bool used = std::any_of(config.instances.begin(), config.instances.end(), [](const auto& one) {
        return one.server_tls.enabled() || one.client_tls.enabled();
    });
    if (!used)
        return;
    threads_ = std::make_unique<os::worker_pool>("tls", std::max(os::processor_count(), 1U));
    handshakes_ = std::make_unique<net::background>(*threads_);
}

void tls_setup::drain() {
    if (handshakes_)
        handshakes_->drain();
}

void tls_setup::stop() {
    if (threads_)
        threads_->stop();
}

base::result<void> instance_tls::open(const config::instance& config, tls_setup& shared,
                                      const base::logger& log) {
    shared_ = &shared;
    auto server = open_side(config.server_tls, tls::role::server, shared.library(), log);
    if (server.has_error())
        return server.error();
    auto client = open_side(config.client_tls, tls::role::client, shared.library(), log);
    if (client.has_error())
        return client.error();
    server_ = std::move(*server);
    client_ = std::move(*client);
    return {};
}

std::optional<net::tls_service> instance_tls::service(tls::context* context) const {
    if (context == nullptr)
        return std::nullopt;
    return net::tls_service{*context, shared_->handshakes()};
}
