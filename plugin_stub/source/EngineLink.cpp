#include "EngineLink.h"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

namespace jackdaw {
namespace {

constexpr int tickMs = 20;
constexpr int silentMs = 3000;     // without telemetry: ask whether the engine lives
constexpr int loadingPollMs = 250;
constexpr int farewellMs = 150;
constexpr int firstPauseMs = 200;

std::string newSession() {
    uint32_t number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number) number = static_cast<uint32_t>(jd_now_ns()) ^ static_cast<uint32_t>(getpid());
    char name[16];
    std::snprintf(name, sizeof name, "plug-%08x", number);
    return name;
}

int openProcess(int64_t process) { return process > 0 ? static_cast<int>(syscall(SYS_pidfd_open, process, 0)) : -1; }

} // namespace

EngineLink::EngineLink(const Parameters& parameters, Settings settings)
    : parameters_(parameters), session_(newSession()), wakeDescriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      settings_(std::move(settings)), thread_([this] { run(); }) {}

EngineLink::~EngineLink() {
    stop_ = true;
    wake();
    thread_.join();
    close(wakeDescriptor_);
}

// ---- any thread --------------------------------------------------------------------------------------------------------

void EngineLink::setFormat(uint32_t rate, uint32_t block) {
    const uint64_t format = rate == 0 ? 0 : uint64_t{rate} << 32U | block;
    if (format_.exchange(format) != format) latency_ = 0;
    if (rate != 0) jd_client_set_rate(client(), rate);
}

Settings EngineLink::settings() const {
    const std::lock_guard lock(mutex_);
    return settings_;
}

void EngineLink::change(const std::function<void(Settings&)>& edit) {
    {
        const std::lock_guard lock(mutex_);
        edit(settings_);
    }
    ++edits_;
    wake();
}

LinkStatus EngineLink::status() const {
    const std::lock_guard lock(mutex_);
    return status_;
}

bool EngineLink::bounce(const std::optional<jd_transport>& at, int patienceSeconds) {
    {
        const std::lock_guard lock(mutex_);
        bounceAt_ = at;
    }
    const uint32_t ticket = ++bouncesWanted_;
    const uint64_t patience = static_cast<uint64_t>(patienceSeconds) * 1000000000U;
    const uint64_t begun = jd_now_ns();
    wake();
    for (;;) {
        if (bouncesDone_ >= ticket) return true;
        const uint64_t now = jd_now_ns();
        const uint64_t moved = movedAt_;
        const bool stuck = moved == stuckAt_ || now - std::min(now, std::max(begun, moved)) > patience;
        if (stuck) stuckAt_ = moved; // the next one need not wait, unless something moves
        if (stuck || stop_ || refused_ || bouncesGivenUp_ >= ticket) break;
        const timespec time{0, 500000};
        nanosleep(&time, nullptr);
    }
    bouncesGivenUp_ = ticket;
    return false;
}

void EngineLink::wake() {
    const uint64_t one = 1;
    if (write(wakeDescriptor_, &one, sizeof one) < 0 && errno != EAGAIN) return; // EAGAIN: it is awake
}

// ---- the link's thread -------------------------------------------------------------------------------------------------

void EngineLink::run() {
    pthread_setname_np(pthread_self(), "jackdaw-link");
    int pauseMs = 0;
    pause(firstPauseMs); // hosts make a plugin and then tell its state: do not load a model for nothing
    while (!stop_) {
        try {
            if (connect(pauseMs)) serve();
        } catch (const Away& away) {
            hold_.engineGone();
            tell(Phase::away, away.text);
            pauseMs = std::min(2000, std::max(100, pauseMs * 2));
        } catch (const std::exception& error) { // sockets, the runtime folder
            hold_.engineGone();
            tell(Phase::failed, error.what());
            pauseMs = 2000;
        }
        if (stop_) break;
        connection_.reset();
        closeProcess();
        opened_ = false;
        pause(pauseMs);
    }
    farewell();
    closeProcess();
    hold_.release();
}

// Find a living engine, or start one; true once it has answered. Else: how long to wait before the next look.
bool EngineLink::connect(int& pauseMs) {
    std::string text;
    const auto outcome = starter_.look(text);
    switch (outcome) {
        case Starter::Outcome::started: movedAt_ = jd_now_ns(); [[fallthrough]];
        case Starter::Outcome::wait: tell(Phase::starting, "Starting the engine"); pauseMs = 100; return false;
        case Starter::Outcome::noCommand: tell(Phase::noCommand, text); pauseMs = 2000; return false;
        case Starter::Outcome::failed: tell(Phase::failed, text); pauseMs = 5000; return false;
        case Starter::Outcome::lives: break;
    }
    connection_.emplace(Starter::address());
    const Reply hello = ask("hello", {});
    if (!hello.ok) throw Away{hello.error};
    processDescriptor_ = openProcess(static_cast<int64_t>(hello["pid"].number()));
    connection_->subscribe(hello["telemetry"].text(), "session/" + session_);
    std::vector<std::string> names;
    for (const Value& model : ask("models", {})["models"].items())
        if (model["installed"].isTrue()) names.push_back(model["name"].text());
    {
        const std::lock_guard lock(mutex_);
        status_.models = names;
    }
    pauseMs = 100;
    return true;
}

void EngineLink::serve() {
    int refusalMs = 250;
    while (!stop_) {
        if (!opened_ && !open()) {
            pause(refusalMs); // or until something is changed
            refusalMs = std::min(3000, 2 * refusalMs);
            if (ask("hello", {}).ok) continue;
        }
        poll(tickMs);
        lookAfterSegment();
        const auto now = Clock::now();
        if (now - heardAt_ > std::chrono::milliseconds(silentMs)) {
            ask("hello", {}, 2000);
            heardAt_ = now;
        }
        if (phase_ == Phase::loading && now - askedAt_ > std::chrono::milliseconds(loadingPollMs)) {
            askedAt_ = now;
            follow(ask("attach", forSession()));
        }
        push();
    }
}

void EngineLink::farewell() noexcept {
    if (!connection_) return;
    try {
        hold_.release();
        if (opened_) {
            const uint64_t number = connection_->send("close", forSession());
            zmq::pollitem_t item{connection_->requests(), 0, ZMQ_POLLIN, 0};
            for (int left = farewellMs; left > 0 && !connection_->receive(number); left -= 10)
                zmq::poll(&item, 1, std::chrono::milliseconds(10));
        }
        connection_->close(50);
    } catch (const std::exception&) { // the engine is gone: the lease ends the session
    }
    connection_.reset();
}

// Wait for anything to happen; telemetry is taken in. Throws Away when the engine has died.
void EngineLink::poll(int milliseconds) {
    zmq::pollitem_t items[4];
    size_t count = 0;
    items[count++] = {nullptr, wakeDescriptor_, ZMQ_POLLIN, 0};
    items[count++] = {connection_->requests(), 0, ZMQ_POLLIN, 0};
    if (connection_->telemetry() != nullptr) items[count++] = {connection_->telemetry(), 0, ZMQ_POLLIN, 0};
    if (processDescriptor_ >= 0) items[count++] = {nullptr, processDescriptor_, ZMQ_POLLIN, 0};
    try {
        zmq::poll(items, count, std::chrono::milliseconds(milliseconds));
    } catch (const zmq::error_t& error) {
        if (error.num() != EINTR) throw;
        return;
    }
    uint64_t told = 0;
    if ((items[0].revents & ZMQ_POLLIN) != 0 && read(wakeDescriptor_, &told, sizeof told) < 0 && errno != EAGAIN) return;
    if (processDescriptor_ >= 0 && (items[count - 1].revents & ZMQ_POLLIN) != 0) {
        hold_.engineGone(); // first of all: fade
        throw Away{"The engine has ended; starting it again"};
    }
    listen();
}

void EngineLink::pause(int milliseconds) {
    zmq::pollitem_t item{nullptr, wakeDescriptor_, ZMQ_POLLIN, 0};
    try {
        zmq::poll(&item, 1, std::chrono::milliseconds(milliseconds));
    } catch (const zmq::error_t&) { // a signal: the pause was shorter
    }
    uint64_t told = 0;
    if (read(wakeDescriptor_, &told, sizeof told) < 0) return; // nobody woke us
}

Reply EngineLink::ask(const std::string& operation, const Map& fields, int milliseconds) {
    const uint64_t number = connection_->send(operation, fields);
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    for (;;) {
        poll(tickMs);
        hold_.check();
        if (auto reply = connection_->receive(number)) {
            movedAt_ = jd_now_ns();
            return std::move(*reply);
        }
        if (stop_) throw Away{};
        if (Clock::now() > deadline) throw Away{"The engine does not answer"};
    }
}

void EngineLink::listen() {
    const auto message = connection_->hear();
    if (!message) return;
    heardAt_ = Clock::now();
    const Value& told = message->body;
    const std::lock_guard lock(mutex_);
    status_.realTimeFactor = told["rtf"].number();
    status_.fillMs = told["fill_ms"].number();
    status_.targetMs = told["target_ms"].number();
    status_.latencyMs = told["loop_latency_ms"].number();
    status_.underruns = static_cast<int>(told["underruns"].number());
    status_.xruns = static_cast<int>(told["xruns"].number());
}

void EngineLink::lookAfterSegment() {
    if (hold_.header() == nullptr) return;
    if (!hold_.check()) throw Away{"The engine has left the session; opening it again"};
    const uint64_t format = format_;
    jd_header* header = hold_.header();
    const bool begun = jd_load(&header->epoch) != formatEpoch_ && jd_load(&header->ring_rate) == format >> 32U;
    if (format != 0 && format == publishedFormat_ && begun) latency_ = static_cast<uint32_t>(jd_load(&header->loop_latency));
}

void EngineLink::tell(Phase phase, const std::string& text) {
    phase_ = phase;
    refused_ = phase == Phase::noCommand || phase == Phase::failed;
    const std::lock_guard lock(mutex_);
    status_.phase = phase;
    status_.text = text;
    status_.model = openModel_.empty() ? settings_.model : openModel_;
}

void EngineLink::closeProcess() {
    if (processDescriptor_ >= 0) close(processDescriptor_);
    processDescriptor_ = -1;
}

} // namespace jackdaw
