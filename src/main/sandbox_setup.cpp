#include "main/sandbox_setup.hpp"

#include "base/text.hpp"
#include "os/process.hpp"
#include "os/sandbox.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace {

std::string directory_of(const std::string& path) {
    std::size_t slash = path.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

bool looks_up_accounts(const config::configuration& all) {
    return std::any_of(all.instances.begin(), all.instances.end(), [](const config::instance& one) {
        return one.verifier && one.verifier->what == config::verifier_specification::kind::account;
    });
}

class collector {
public:
    // What the system's libraries read: names and services, users, time zones, certificates, locales,
    // themselves. Nothing of other users, and no other mail.
    void add_the_systems() {
        for (const char* path : {"/etc", "/usr", "/lib", "/lib32", "/lib64", "/proc", "/sys", "/dev", "/run",
                                 "/var/lib/sss", "/var/lib/extrausers", "/var/cache/nscd"})
            files_.readable.emplace_back(path);
        // Those of /etc that are links to what the system, or who has made a container, writes elsewhere.
        for (const char* path :
             {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf",
              "/etc/services", "/etc/passwd", "/etc/group", "/etc/localtime", "/etc/ssl/openssl.cnf"})
            add_behind(path);
        for (const char* name :
             {"OPENSSL_CONF", "OPENSSL_MODULES", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZDIR", "HOSTALIASES"})
            if (auto path = os::environment_variable(name))
                add_read(*path);
        files_.readable.push_back(os::program_directory()); // debuggers and sanitizers look there
        files_.writable.emplace_back("/dev/null");
    }

    void add_process(const config::process& whole) {
        add_log_file(whole.log_file);
        if (!whole.pid_file.empty())
            add_directory_to_make(directory_of(whole.pid_file));
    }

    void add_relay(const config::instance& one) {
        for (const std::string& store : {one.spool_dir, one.delivery_dir})
            if (!store.empty())
                add_store(store);
        for (const std::string& path : {one.server_auth, one.pop_auth, one.client_auth})
            add_read(path);
        for (const config::tls_side* side : {&one.server_tls, &one.client_tls}) {
            for (const std::string& path : side->certificate_files)
                add_read(path);
            add_read(side->verify);
        }
        for (const config::interface_item& item : one.interfaces)
            if (item.address.starts_with('/'))
                files_.writable.push_back(directory_of(item.address));
    }

    const os::reachable_files& found() const { return files_; }

private:
    // With its directory, as it may be replaced by another file of that name; the same for what a link points
    // at. Words that are no paths are passed over.
    void add_read(const std::string& path) {
        if (!path.starts_with('/'))
            return;
        files_.readable.push_back(path);
        files_.readable.push_back(directory_of(path));
        add_behind(path);
    }

    void add_behind(const std::string& path) {
        for (const std::string& next : os::links_behind(path))
            files_.readable.push_back(directory_of(next));
    }

    // The hour and the day may be part of a directory's name.
    void add_log_file(const std::string& path) {
        if (!path.empty())
            files_.writable.push_back(directory_of(path.substr(0, path.find('%'))));
    }

    void add_directory_to_make(const std::string& path) {
        files_.writable.push_back(os::look_at(path) == os::file_kind::missing ? directory_of(path) : path);
    }

    // A mailbox may be a link to a directory elsewhere.
    void add_store(const std::string& directory) {
        files_.writable.push_back(directory);
        for (const std::string& mailbox : os::linked_directories_in(directory))
            files_.writable.push_back(mailbox);
    }

    os::reachable_files files_;
};

} // namespace

void restrict_files(const config::configuration& all, const base::logger& log) {
    if (!all.whole.sandbox)
        return;
    collector needed;
    needed.add_the_systems();
    needed.add_process(all.whole);
    for (const config::instance& one : all.instances)
        needed.add_relay(one);
    if (auto done = os::restrict_files(needed.found()); done.has_error())
        log.verbose("sandbox: files: {}", base::printable(done.error().message()));
}

void restrict_calls(const config::configuration& all, const base::logger& log) {
    if (!all.whole.sandbox)
        return;
    if (auto done = os::restrict_calls(looks_up_accounts(all)); done.has_error())
        log.verbose("sandbox: system calls: {}", done.error().message());
}
