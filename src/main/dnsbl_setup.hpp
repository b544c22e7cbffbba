// What --dnsbl says, for the network code.
#pragma once

#include "config/specifications.hpp"
#include "net/dnsbl.hpp"

net::dnsbl_settings dnsbl_settings(const config::dnsbl_specification& given);
