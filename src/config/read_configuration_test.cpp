#include "config/configuration.hpp"

#include <gtest/gtest.h>

using config::configuration;
using config::ending;

namespace {

config::outcome read(std::vector<std::string> words) {
    config::surroundings around;
    around.start_directory = "/home/u";
    return config::read_configuration(words, around);
}

TEST(read_configuration, without_options_it_is_the_default_server) {
    const auto found = std::get<configuration>(read({}));
    ASSERT_EQ(found.instances.size(), 1U);
    EXPECT_EQ(found.instances[0].spool_dir, "/var/spool/emailrelay");
    EXPECT_EQ(found.instances[0].port, "25");
    EXPECT_TRUE(found.whole.daemon);
    EXPECT_FALSE(found.whole.log);
}

} // namespace
