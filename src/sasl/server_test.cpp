// Exchanges as conversations, with the server's text on lines "S" and the client's on lines "C".
#include "sasl/server.hpp"

#include "base/base64.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <string>

namespace {

using namespace sasl;
using namespace std::string_literals;

const std::string file =
    "server plain me my+20pass\n"
    "server plain b+20c two+20words\n"
    "server md5 masked qeD38fvADIqBu6rDlXMbVs07p96q1uXKI0SLpC43l0c=\n"
    "server sha1 masked Q3Lhrmvp8z2xD/Ckw5CktjQgnZJMDx4Jfie1bDm2vuIxCA2mza3ItQ==\n"
    "server sha256 masked "
    "MU+AcmgBQrCi3tMEopHp9AaJHBuUFRa+dPsCsrPOyK8qB4RaItI3q605sXVkJan3vnT2x5l955idaG8fRVLgKQ==\n"
    "server md5 short qeD38fvA\n"
    "server plain I\u2168 x\u00aay\n"
    "server none 10.0.0.0/8 inside\n"
    "server plain bell a+07\n";

std::shared_ptr<const secrets> known() {
    static const auto all = [] {
        std::string encoded = file;
        // xtext has no octets above 126
        for (const auto& [from, to] : {std::pair("\u2168"s, "+E2+85+A8"s), std::pair("\u00aa"s, "+C2+AA"s)})
            encoded.replace(encoded.find(from), from.size(), to);
        return secrets::parse(encoded).value;
    }();
    return all;
}

server server_with(std::string_view rules) {
    return server(known(), std::make_shared<const mechanism_rules>(mechanism_rules::parse(rules, false)),
                  std::make_shared<const base::secret_text>("salt key"));
}

exchange_facts facts() {
    return {"<1234>", "server-nonce", true, {{"tls-exporter", "0123"}}};
}

std::string shown(const verdict& v) {
    return (v.success ? "yes " : "no ") + v.id + " | " + v.description +
           (v.fault.empty() ? "" : " | " + v.fault);
}

// What a client's answers lead to: challenges and verdict, one behind the other.
std::string talk(mechanism m, std::optional<std::string> initial, std::initializer_list<std::string> answers,
                 std::string_view rules = "m:scram-sha-256,scram-sha-256-plus") {
    const server by = server_with(rules);
    server_exchange e(by, m, facts());
    std::string out;
    step now = e.begin(initial);
    auto answer = answers.begin();
    for (;;) {
        if (std::holds_alternative<compute>(now)) {
            e.compute();
            now = e.computed();
        } else if (const auto* v = std::get_if<verdict>(&now)) {
            return out + shown(*v);
        } else if (const auto* c = std::get_if<challenge>(&now)) {
            out += "[" + c->text + "] ";
            if (answer == answers.end())
                return out;
            now = e.respond(*answer++);
        } else {
            return out + "asks";
        }
    }
}

const std::string me = "plaintext secret for [me] from line 1";

TEST(plain_exchange, as_it_goes) {
    const std::string yes = "yes me | mechanism [plain] and " + me;
    EXPECT_EQ(talk(mechanism::plain, "\0me\0my pass"s, {}), yes);
    EXPECT_EQ(talk(mechanism::plain, {}, {"\0me\0my pass"s}), "[] " + yes);
    EXPECT_EQ(talk(mechanism::plain, "somebody\0me\0my pass"s, {}), yes);
    EXPECT_EQ(talk(mechanism::plain, "\0me\0wrong"s, {}), "no me | mechanism [plain] and " + me);
    EXPECT_EQ(talk(mechanism::plain, "\0you\0my pass"s, {}),
              "no you | mechanism [plain] and missing secret for [you]");
    EXPECT_EQ(talk(mechanism::plain, "\0you\r\n\0*"s, {}),
              "no you\r\n | mechanism [plain] and missing secret for [you\\r\\n]");
    EXPECT_EQ(talk(mechanism::plain, "\0masked\0secret"s, {}),
              "no masked | mechanism [plain] and missing secret for [masked]");
    for (const std::string& wrong : {""s, "\0me"s, "me my pass"s, "\0me\0my pass\0"s, "\0me\0my pass\0x"s})
        EXPECT_EQ(talk(mechanism::plain, wrong, {}), "no  | mechanism [plain] and missing secret for []");
}

TEST(login_exchange, as_it_goes) {
    const std::string yes = "yes me | mechanism [login] and " + me;
    EXPECT_EQ(talk(mechanism::login, {}, {"me", "my pass"}), "[Username:] [Password:] " + yes);
    EXPECT_EQ(talk(mechanism::login, "me", {"my pass"}), "[Password:] " + yes);
    EXPECT_EQ(talk(mechanism::login, "me", {"*"}), "[Password:] no me | mechanism [login] and " + me);
    EXPECT_EQ(talk(mechanism::login, "you", {"*"}),
              "[Password:] no you | mechanism [login] and missing secret for [you]");
}

TEST(cram_exchange, as_it_goes) {
    EXPECT_EQ(talk(mechanism::cram_md5, {}, {"me ca4769ee1e319b6351c0c3d6a4749431"}),
              "[<1234>] yes me | mechanism [cram-md5] and " + me);
    for (hash_function h : hash_functions) {
        const mechanism m = *mechanism_named("cram-" + std::string(name_of(h)));
        const auto answer = [h](std::string_view id, std::string_view password) {
            return std::string(id) + " " + to_hex(hmac(h, password, "<1234>"));
        };
        EXPECT_TRUE(talk(m, {}, {answer("me", "my pass")}).starts_with("[<1234>] yes me |"));
        EXPECT_TRUE(talk(m, {}, {answer("b c", "two words")}).starts_with("[<1234>] yes b c |"));
        EXPECT_TRUE(talk(m, {}, {answer("me", "mypass")}).starts_with("[<1234>] no me |"));
        EXPECT_TRUE(talk(m, {}, {answer("you", "*")}).starts_with("[<1234>] no you |"));
        if (h != hash_function::sha512) {
            const std::string name(name_of(h));
            EXPECT_EQ(
                talk(m, {}, {answer("masked", "secret")}).substr(9, 60),
                ("yes masked | mechanism [cram-" + name + "] and " + name + " secret for [masked] from line")
                    .substr(0, 60));
            EXPECT_TRUE(talk(m, {}, {answer("masked", "other")}).starts_with("[<1234>] no masked |"));
        }
    }
    EXPECT_EQ(talk(mechanism::cram_md5, {}, {"short 00"}),
              "[<1234>] no short | mechanism [cram-md5] and md5 secret for [short] from line 6 | invalid md5 "
              "hash state");
    EXPECT_EQ(talk(mechanism::cram_md5, {}, {"x"}),
              "[<1234>] no  | mechanism [cram-md5] and missing secret for []");
    EXPECT_EQ(talk(mechanism::cram_md5, {}, {""}),
              "[<1234>] no  | mechanism [cram-md5] and missing secret for []");
}

// ---- SCRAM: the client's arithmetic with the primitives, which have values of RFC 7677 below

struct scram_client {
    std::string header = "n,,", name = "me", password = "my pass", binding{};

    std::string first() const { return header + "n=" + name + ",r=client-nonce"; }

    std::string final_message(const std::string& server_first) const {
        std::string_view rest = server_first;
        const auto nonce = take_attribute(rest, 'r'), salt = take_attribute(rest, 's'),
                   count = take_attribute(rest, 'i');
        const auto salted = scram_salted_password(password, *base::base64_decode(*salt),
                                                  static_cast<unsigned>(std::stoul(std::string(*count))));
        const std::string bare = "c=" + base::base64_encode(header + binding) + ",r=" + std::string(*nonce);
        const std::string message = "n=" + name + ",r=client-nonce," + server_first + "," + bare;
        return bare + ",p=" + base::base64_encode(scram_proof(salted.view(), message));
    }
};

struct scram_server {
    server by = server_with("m:scram-sha-256,scram-sha-256-plus");
    server_exchange e;
    bool computed = false;
    explicit scram_server(mechanism m, exchange_facts f = facts()) : e(by, m, std::move(f)) {}

    std::string run(const scram_client& c) {
        step now = e.begin(c.first());
        if (auto* v = std::get_if<verdict>(&now))
            return "first: " + shown(*v);
        now = e.respond(c.final_message(std::get<challenge>(now).text));
        computed = std::holds_alternative<compute>(now);
        if (computed) {
            e.compute();
            now = e.computed();
        }
        if (auto* v = std::get_if<verdict>(&now))
            return "final: " + shown(*v);
        EXPECT_TRUE(std::get<challenge>(now).text.starts_with("v="));
        return shown(std::get<verdict>(e.respond("")));
    }
};

std::string scram(mechanism m, const scram_client& c, exchange_facts f = facts()) {
    return scram_server(m, std::move(f)).run(c);
}

TEST(scram_exchange, values_of_rfc_7677) {
    const auto salted =
        scram_salted_password("pencil", *base::base64_decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
    const std::string message =
        "n=user,r=rOprNGfwEbeRWgbNEkqO,"
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const std::string proof = scram_proof(salted.view(), message);
    EXPECT_EQ(base::base64_encode(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    const scram_keys keys = scram_keys_from(salted.view());
    EXPECT_TRUE(scram_proof_is_right(keys, message, proof));
    EXPECT_FALSE(scram_proof_is_right(keys, message + " ", proof));
    EXPECT_FALSE(scram_proof_is_right(keys, message, proof.substr(1)));
    EXPECT_EQ(base::base64_encode(scram_server_signature(keys.server_key.view(), message)),
              "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST(scram_exchange, as_it_goes) {
    const std::string yes = "yes me | mechanism [scram-sha-256] and " + me;
    EXPECT_EQ(scram(mechanism::scram_sha_256, {}), yes);
    EXPECT_EQ(scram(mechanism::scram_sha_256, {"n,a=other,"}), yes);
    EXPECT_EQ(scram(mechanism::scram_sha_256, {"n,,", "me", "wrong"}),
              "final: no me | mechanism [scram-sha-256] and " + me);
    EXPECT_EQ(scram(mechanism::scram_sha_256, {"n,,", "you", "*"}),
              "final: no you | mechanism [scram-sha-256] and missing secret for [you]");
    EXPECT_EQ(scram(mechanism::scram_sha_256, {"n,,", "masked", "secret"}),
              "final: no masked | mechanism [scram-sha-256] and missing secret for [masked]");
    // Names and passwords are compared as SASLprep leaves them.
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"n,,", "I\u2168", "xay"}).starts_with("yes"));
}

// U+00AD is prepared to nothing: however many there are, "me" is left, unless nobody prepares it.
TEST(scram_exchange, long_names_are_not_prepared) {
    const auto name_of = [](std::size_t octets) {
        std::string name = octets % 2 == 0 ? "me" : "m\u200de"; // 3 octets, prepared to nothing too
        while (name.size() < octets)
            name += "\u00ad";
        return name;
    };
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"n,,", name_of(2)}).starts_with("yes"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"n,,", name_of(255)}).starts_with("yes"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"n,,", name_of(256)}).starts_with("final: no"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"n,,", name_of(9000)}).starts_with("final: no"));
}

TEST(scram_exchange, channel_binding) {
    const scram_client bound{"p=tls-exporter,,", "me", "my pass", "0123"};
    EXPECT_TRUE(scram(mechanism::scram_sha_256_plus, bound).starts_with("yes me"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256_plus, {"p=tls-exporter,,", "me", "my pass", "0124"})
                    .starts_with("final: no"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256_plus, {"p=tls-unique,,", "me", "my pass", "0123"})
                    .starts_with("first: no"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256_plus, {"n,,"}).starts_with("first: no"));
    EXPECT_TRUE(scram(mechanism::scram_sha_256, bound).starts_with("first: no"));
    // "y" says that we did not offer it: we did, when there is something to bind to.
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"y,,"}).starts_with("first: no"));
    exchange_facts clear = facts();
    clear.encrypted = false;
    clear.bindings.clear();
    EXPECT_TRUE(scram(mechanism::scram_sha_256, {"y,,"}, clear).starts_with("yes"));
}

TEST(scram_exchange, same_salt_again_and_nothing_to_compute_twice) {
    const server by = server_with("m:scram-sha-256");
    const auto first_challenge = [&by](std::string_view name) {
        server_exchange e(by, mechanism::scram_sha_256, facts());
        return std::get<challenge>(e.begin("n,,n=" + std::string(name) + ",r=x")).text;
    };
    EXPECT_TRUE(first_challenge("me").starts_with("r=xserver-nonce,s="));
    EXPECT_TRUE(first_challenge("you").ends_with("==,i=15000"));
    EXPECT_EQ(first_challenge("me"), first_challenge("me"));
    EXPECT_EQ(first_challenge("you"), first_challenge("you"));
    EXPECT_NE(first_challenge("you"), first_challenge("me"));
    scram_server again(mechanism::scram_sha_256);
    EXPECT_TRUE(again.run({}).starts_with("yes"));
    EXPECT_TRUE(known()->server("plain", "me")->scram.load());
}

// How often each of two attempts computes, over names that do not exist: none of them can be told from one
// that does, by the first attempt as little as by the second.
TEST(scram_exchange, names_without_a_secret_take_as_long) {
    constexpr int names = 64;
    int first = 0, second = 0;
    for (int i = 0; i < names; ++i) {
        const scram_client client{"n,,", "nobody" + std::to_string(i)};
        scram_server one(mechanism::scram_sha_256), two(mechanism::scram_sha_256);
        EXPECT_TRUE(one.run(client).starts_with("final: no"));
        EXPECT_TRUE(two.run(client).starts_with("final: no"));
        first += one.computed ? 1 : 0;
        second += two.computed ? 1 : 0;
    }
    EXPECT_GT(first, names / 4) << "as a secret that nobody has used yet";
    EXPECT_LT(first, names * 3 / 4) << "as a secret that somebody has used";
    EXPECT_EQ(second, 0);
}

TEST(scram_exchange, password_that_cannot_be_prepared) {
    const std::string no =
        "final: no bell | mechanism [scram-sha-256] and plaintext secret for [bell] from line 9"
        " | password cannot be prepared for SCRAM";
    for (bool computes : {true, false}) {
        scram_server one(mechanism::scram_sha_256);
        EXPECT_EQ(one.run({"n,,", "bell", "*"}), no);
        EXPECT_EQ(one.computed, computes);
    }
}

TEST(scram_exchange, nonsense) {
    for (const std::string& first :
         {""s, "n"s, "n,"s, "n,,"s, "n,,n=me"s, "n,,n=me,r="s, "n,,r=x,n=me"s, "n,,m=x,n=me,r=x"s,
          "n,,n=m=e,r=x"s, "n,,n=me=2,r=x"s, "q,,n=me,r=x"s, "\0"s, ",,n=me,r=x"s})
        EXPECT_TRUE(talk(mechanism::scram_sha_256, first, {}).starts_with("no")) << first;
    for (const std::string& last :
         {""s, "c=biws"s, "c=biws,r=xserver-nonce"s, "c=biws,r=xserver-nonce,p="s,
          "c=biws,r=xserver-nonce,p=*"s, "c=,r=xserver-nonce,p=AAAA"s, "r=xserver-nonce,c=biws,p=AAAA"s,
          "c=biws,r=x,p=AAAA"s, "c=biws,r=xserver-nonce,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="s})
        EXPECT_NE(talk(mechanism::scram_sha_256, "n,,n=me,r=x", {last}).find("] no me"), std::string::npos)
            << last;
}

// ---- in one piece

TEST(server, apop_and_password) {
    const server by = server_with("");
    EXPECT_TRUE(by.offers_apop(false));
    EXPECT_FALSE(server_with("x:apop").offers_apop(false));
    EXPECT_FALSE(server_with("m:;a:plain").offers_apop(false));
    const std::string right = to_hex(digest(hash_function::md5, "<1>my pass"));
    EXPECT_EQ(shown(by.check_apop("<1>", "me", right)), "yes me | mechanism [apop] and " + me);
    EXPECT_FALSE(by.check_apop("<2>", "me", right).success);
    EXPECT_FALSE(by.check_apop("<1>", "you", to_hex(digest(hash_function::md5, "<1>*"))).success);
    EXPECT_TRUE(std::get<verdict>(by.check_password("me", "my pass")).success);
    EXPECT_FALSE(std::get<verdict>(by.check_password("me", "my pas")).success);
    EXPECT_FALSE(std::get<verdict>(by.check_password("you", "*")).success);
    EXPECT_EQ(by.trusted("10.1.2.3")->keyword, "inside");
}

TEST(server, asks_others) {
    const server by(std::make_shared<const mechanism_rules>(mechanism_rules::parse("", false)));
    server_exchange e(by, mechanism::plain, facts());
    const step now = e.begin("\0me\0my pass"s);
    const auto& ask = std::get<ask_password>(now);
    EXPECT_EQ(ask.id, "me");
    EXPECT_EQ(ask.password.view(), "my pass");
    EXPECT_EQ(shown(passed(ask)), "yes me | mechanism [plain] and pam secret for [me]");
    EXPECT_EQ(shown(failed(ask)), "no me | mechanism [plain] and pam secret for [me]");
}

} // namespace
