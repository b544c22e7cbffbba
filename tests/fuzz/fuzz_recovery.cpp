// A spool directory with the journal of a process that is gone, of whatever octets, in front of a store that
// is opened.
//
// Input: an octet of switches (1: files of the message are there; 2: they are short; 4: the machine has been
// restarted), then what stands behind the header of the segment; an octet 0xf0 to 0xf8 begins a whole record
// of that kind, whose id is one of three.
//
// Oracles: the store opens; a foreign message and an unknown file stay as they were; every message that is
// ready can be claimed with an envelope and a content; a second start changes nothing.
#include "os/filesystem.hpp"
#include "os/machine.hpp"
#include "os/worker_pool.hpp"
#include "spool/journal_format.hpp"
#include "spool/names.hpp"
#include "spool/store.hpp"
#include "support.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdlib.h>
#include <string>
#include <string_view>
#include <sys/stat.h>

namespace {

constexpr std::uint64_t key = 0x1122334455667788;

class silence : public base::log_sink {
public:
    bool wants(base::severity, base::detail) const noexcept override { return true; }
    void write(base::severity, const base::log_context&, std::string_view text) override {
        require(text.find('\n') == std::string_view::npos, "a log line of two");
    }
};

struct directory {
    directory() {
        std::string name = "/dev/shm/fuzz_recovery.XXXXXX";
        require(::mkdtemp(name.data()) != nullptr, "no directory");
        path = name;
    }
    ~directory() { std::filesystem::remove_all(path); }

    void write(const std::string& name, std::string_view text) const {
        std::ofstream(path / name, std::ios::binary) << text;
    }
    std::map<std::string, std::string> files() const {
        std::map<std::string, std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(path)) {
            std::ifstream in(entry.path(), std::ios::binary);
            found[entry.path().filename().string()] = {std::istreambuf_iterator<char>(in), {}};
        }
        return found;
    }

    std::filesystem::path path;
};

std::string segment_of(std::string_view rest, const std::string& envelope) {
    constexpr const char* ids[] = {"emailrelay.1.1000.1", "emailrelay.1.1000.2", "../../etc/passwd"};
    std::string segment;
    std::uint64_t sequence = 0;
    while (!rest.empty()) {
        const auto head = static_cast<unsigned char>(rest.front());
        rest.remove_prefix(1);
        if (head < 0xf0 || head > 0xf8 || rest.empty()) {
            segment += static_cast<char>(head);
            continue;
        }
        const auto more = static_cast<unsigned char>(rest.front());
        rest.remove_prefix(1);
        spool::pad_to_block(segment);
        spool::record r;
        r.kind = static_cast<spool::record_kind>(head - 0xf0 + 1);
        r.sequence = ++sequence;
        r.number = more >> 4;
        r.id = ids[more % 3];
        if (r.kind == spool::record_kind::put) {
            r.envelope = envelope;
            r.content = "content";
        }
        spool::append_record(segment, r, key);
    }
    spool::pad_to_block(segment);
    return segment;
}

void open_and_look(const std::string& path, bool claim_all) {
    static const std::unique_ptr<os::filesystem> files = os::make_filesystem();
    static silence sink;
    static os::worker_pool pool("disk", 2);
    spool::settings config;
    config.directory = path;
    config.sync = false;
    auto opened = spool::store::open(config, *files, pool, base::logger(sink));
    require(opened.has_value(), "the store does not open");
    const auto ready = (*opened)->list(spool::message_state::ready);
    require(ready.has_value(), "no list");
    if (!claim_all)
        return;
    for (const std::string& id : *ready) {
        auto claimed = (*opened)->claim(id);
        require(claimed.has_value(), "ready, and cannot be claimed");
        std::string content(100, '\0');
        require(claimed->read(content).has_value(), "no content");
        require((*opened)->release(std::move(*claimed)).has_value(), "not released");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0)
        return 0;
    const unsigned switches = data[0];
    mail::envelope e;
    e.from = "a@b";
    e.to_remote = {"c@d"};
    const std::string envelope = mail::format_envelope(e);
    const directory here;
    here.write("foreign.envelope", envelope);
    here.write("foreign.content", "theirs");
    here.write("unknown", "x");
    if ((switches & 1) != 0) {
        const std::size_t cut = (switches & 2) != 0 ? 10 : std::string::npos;
        here.write("emailrelay.1.1000.1.envelope", std::string_view(envelope).substr(0, cut));
        here.write("emailrelay.1.1000.1.content", std::string_view("content").substr(0, cut / 2));
        here.write("emailrelay.1.1000.2.envelope.busy", envelope);
        here.write("emailrelay.1.1000.2.content", "content");
    }
    const std::string name = std::string(spool::journal_prefix) + "1.1.1";
    here.write(name, "");
    struct stat about {};
    require(::stat((here.path / name).c_str(), &about) == 0, "no segment");
    const spool::segment_header header{1,
                                       key,
                                       1,
                                       static_cast<std::uint64_t>(about.st_dev),
                                       static_cast<std::uint64_t>(about.st_ino),
                                       (switches & 4) != 0 ? "another" : os::boot_id()};
    const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
    here.write(name, spool::format_header(header) + segment_of(rest, envelope));

    // Half an envelope that no journal knows stays as it is, and cannot be claimed.
    const bool all_whole = (switches & 3) != 3;
    open_and_look(here.path.string(), all_whole);
    const auto first = here.files();
    require(first.at("foreign.envelope") == envelope && first.at("foreign.content") == "theirs" &&
                first.at("unknown") == "x",
            "files of others");
    open_and_look(here.path.string(), all_whole);
    require(here.files() == first, "the second start changed something");
    return 0;
}
