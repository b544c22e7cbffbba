// What a login can be bound to, out of what TLS says of its session.
#pragma once

#include "base/tls_session.hpp"
#include "sasl/scram.hpp"

#include <utility>
#include <vector>

namespace sasl {

inline std::vector<channel_binding> bindings_of(const base::tls_session& tls) {
    std::vector<channel_binding> out;
    for (const auto& [type, data] :
         {std::pair("tls-exporter", &tls.exporter), std::pair("tls-unique", &tls.unique),
          std::pair("tls-server-end-point", &tls.server_end_point)})
        if (!data->empty())
            out.push_back({type, *data});
    return out;
}

} // namespace sasl
