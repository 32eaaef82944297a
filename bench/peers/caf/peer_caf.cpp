/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAF (0.17): the six figures of ../README.md. Event-based actors on one scheduler worker, dynamically
 * typed, messages prefixed by atoms as CAF's own benchmarks do. Named actors are found in
 * actor_system::registry(), whose names are atoms of at most ten characters. Called by ../run.
 *
 * Invariants: 1. every tell makes its own message with a 64-byte payload; 2. at most `window` messages are
 * in flight; 3. a round ends when every message was handled.
 * Threads: main waits on a promise; all actors run on the worker; `arrived` is atomic all the same.
 */
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include <caf/all.hpp>

struct payload {
    std::array<std::uint64_t, 8> words;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector &f, payload &p)
{
    return f(caf::meta::type_name("payload"), p.words);
}

namespace {

using caf::actor;
using tell_atom = caf::atom_constant<caf::atom("tell")>;
using ask_atom = caf::atom_constant<caf::atom("ask")>;
using go_atom = caf::atom_constant<caf::atom("go")>;
using grow_atom = caf::atom_constant<caf::atom("grow")>;
using more_atom = caf::atom_constant<caf::atom("more")>;

constexpr int window = 1000;
constexpr int warm_actors = 100'000;
constexpr int actors = 1'000'000;
constexpr double warm_seconds = 3.0;

std::atomic<long> arrived{0};
std::promise<void> *finished;

double now()
{
    using clock = std::chrono::steady_clock;
    return std::chrono::duration<double>(clock::now().time_since_epoch()).count();
}

void print(const char *name, double value, const char *unit)
{
    std::printf("RESULT %s %.1f %s\n", name, value, unit);
    std::fflush(stdout);
}

/* Sends a command with anon_send and waits until the actor calls finished->set_value(). */
template <class... Args>
void command(const actor &to, Args... args)
{
    std::promise<void> done;
    finished = &done;
    caf::anon_send(to, args...);
    done.get_future().wait();
}

long round_to(double n, long grain)
{
    return std::max(1L, static_cast<long>(n) / grain) * grain;
}

void rounds(const char *name, int runs, long grain, const std::function<void(long)> &work)
{
    long n = grain;
    double rate = 1;
    for (double until = now() + warm_seconds; now() < until;) {
        double from = now();
        work(n);
        rate = static_cast<double>(n) / (now() - from);
        n = round_to(rate / 4, grain);
    }
    n = round_to(rate, grain);
    for (int i = 0; i < runs; i++) {
        double from = now();
        work(n);
        print(name, static_cast<double>(n) / (now() - from), "ops/s");
    }
}

double resident()
{
    malloc_trim(0);
    std::ifstream file("/proc/self/statm");
    double size, pages;
    file >> size >> pages;
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

/* 16 characters, the same for every peer. */
using key = std::array<char, 16>;

key key_of(int i)
{
    key made = {'u', 's', 'e', 'r', '-'};
    for (std::size_t at = made.size(); at-- > 5; i /= 10)
        made[at] = static_cast<char>('0' + i % 10);
    return made;
}

/* The registry's names hold ten characters: "u" and the number. */
caf::atom_value name_of(int i)
{
    return caf::atom_from_string("u" + std::to_string(i));
}

caf::behavior sink(caf::event_based_actor *self)
{
    auto seen = std::make_shared<std::pair<int, std::uint64_t>>(0, 0);
    return {[=](tell_atom, const payload &p) {
        seen->second += p.words[0];
        if (++seen->first == window) {
            seen->first = 0;
            self->send(caf::actor_cast<actor>(self->current_sender()), more_atom::value);
        }
    }};
}

caf::behavior teller(caf::event_based_actor *self, actor to)
{
    auto left = std::make_shared<long>(0);
    auto burst = [=] {
        if (*left == 0)
            return finished->set_value();
        *left -= window;
        for (int i = 0; i < window; i++)
            self->send(to, tell_atom::value, payload{{static_cast<std::uint64_t>(i)}});
    };
    return {[=](go_atom, long n) {
                *left = n;
                burst();
            },
            [=](more_atom) { burst(); }};
}

caf::behavior echo(caf::event_based_actor *)
{
    return {[](ask_atom, const payload &p) { return p; }};
}

class asker : public caf::event_based_actor {
public:
    asker(caf::actor_config &cfg, actor to) : caf::event_based_actor(cfg), to_(to)
    {
    }

    caf::behavior make_behavior() override
    {
        return {[this](go_atom, long n) {
            left_ = n;
            next();
        }};
    }

private:
    void next()
    {
        if (left_-- == 0)
            return finished->set_value();
        request(to_, caf::infinite, ask_atom::value, payload{{static_cast<std::uint64_t>(left_)}})
            .then([this](const payload &) { next(); });
    }

    actor to_;
    long left_ = 0;
};

class entity : public caf::event_based_actor {
public:
    entity(caf::actor_config &cfg, const key &own, const actor &owner)
        : caf::event_based_actor(cfg), owner_(owner), key_(own), state_{}
    {
    }

    caf::behavior make_behavior() override
    {
        return {[this](tell_atom, const payload &p) {
            state_[0] += p.words[0];
            state_[1] = p.words[1];
            if ((arrived.fetch_add(1, std::memory_order_relaxed) + 1) % window == 0)
                send(owner_, more_atom::value);
        }};
    }

private:
    actor owner_;
    key key_;
    std::array<std::uint64_t, 4> state_;
};

/* Spawns and registers named entities (grow), or tells uniformly random ones by name (go). */
class nursery : public caf::event_based_actor {
public:
    nursery(caf::actor_config &cfg, int count) : caf::event_based_actor(cfg)
    {
        for (int i = 0; i < count; i++)
            names_.push_back(name_of(i));
    }

    caf::behavior make_behavior() override
    {
        return {[this](go_atom, long n) {
                    start(n, true);
                },
                [this](grow_atom, int first, int count) {
                    next_ = first;
                    start(count, false);
                },
                [this](more_atom) { step(); }};
    }

private:
    void start(long n, bool telling)
    {
        left_ = n;
        telling_ = telling;
        step();
    }

    void step()
    {
        if (left_ == 0)
            return finished->set_value();
        left_ -= window;
        for (int i = 0; i < window; i++)
            telling_ ? tell_random(i) : grow(i);
    }

    void tell_random(int i)
    {
        dice_ ^= dice_ >> 12;
        dice_ ^= dice_ << 25;
        dice_ ^= dice_ >> 27;
        std::uint64_t high = dice_ * 2685821657736338717ULL >> 32;
        auto found = home_system().registry().get(names_[high * names_.size() >> 32]);
        send(caf::actor_cast<actor>(found), tell_atom::value, payload{{static_cast<std::uint64_t>(i)}});
    }

    void grow(int i)
    {
        actor made = home_system().spawn<entity>(key_of(next_), actor{this});
        home_system().registry().put(name_of(next_++), caf::actor_cast<caf::strong_actor_ptr>(made));
        send(made, tell_atom::value, payload{{static_cast<std::uint64_t>(i)}});
    }

    std::vector<caf::atom_value> names_;
    std::uint64_t dice_ = 88172645463325252ULL;
    long left_ = 0;
    int next_ = 0;
    bool telling_ = false;
};

void run(caf::actor_system &system, const std::string &bench, int runs)
{
    const char *title = bench.c_str();
    if (bench == "tell_shard") {
        actor to = system.spawn(teller, system.spawn(sink));
        rounds(title, runs, window, [&](long n) { command(to, go_atom::value, n); });
    } else if (bench == "ask_shard") {
        actor to = system.spawn<asker>(system.spawn(echo));
        rounds(title, runs, 1000, [&](long n) { command(to, go_atom::value, n); });
    } else if (bench == "activate") {
        actor to = system.spawn<nursery>(0);
        command(to, grow_atom::value, 0, warm_actors);
        double before = resident();
        double from = now();
        command(to, grow_atom::value, warm_actors, actors);
        print(title, actors / (now() - from), "ops/s");
        print("idle_bytes", (resident() - before) / actors, "bytes");
    } else {
        int count = bench == "tell_random_1m" ? 1'000'000 : 100'000;
        actor to = system.spawn<nursery>(count);
        command(to, grow_atom::value, 0, count);
        rounds(title, runs, window, [&](long n) { command(to, go_atom::value, n); });
    }
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    caf::actor_system_config config;
    config.add_message_type<payload>("payload");
    config.set("scheduler.max-threads", std::size_t{1});
    config.set("scheduler.policy", caf::atom("sharing"));
    config.set("scheduler.max-throughput", std::size_t{1000});
    caf::actor_system system{config};
    std::printf("VERSION %d.%d.%d\n", CAF_MAJOR_VERSION, CAF_MINOR_VERSION, CAF_PATCH_VERSION);
    run(system, argv[1], std::atoi(argv[2]));
    /* A million idle actors would be torn down one by one: nothing of that is measured. */
    std::_Exit(0);
}
