// The plugin's control thread: one session of an engine, from opening to closing, through the engine's deaths and returns.
//
// Threads: the link's own thread does all that may wait (sockets, starting the engine, mapping the segment). Others leave
// what they want in guarded or atomic fields and do not wait for it, but for bounce(), which is for offline rendering.
//   settings     model, seed, prompts: guarded by a mutex that the audio thread never takes
//   parameters   read from the knobs' atomics every 20 ms, sent when changed
//   bounce       a ticket is drawn; the link begins a new epoch from the seed and says so
// The segment's reader is published only after everything was sent, so that music is right from its first frame. After an
// engine's return everything is sent again.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "SegmentHold.h"
#include "Settings.h"
#include "Starter.h"
#include "Wire.h"

namespace jackdaw {

enum class Phase { noCommand, starting, away, loading, ready, failed };

struct LinkStatus {
    Phase phase = Phase::starting;
    std::string text;  // what is wrong or awaited, for the user
    std::string model; // of the session
    double realTimeFactor = 0.0, fillMs = 0.0, targetMs = 0.0, latencyMs = 0.0;
    int underruns = 0, xruns = 0;
    std::vector<std::string> models; // that the engine offers
};

class EngineLink {
  public:
    EngineLink(const Parameters& parameters, Settings settings);
    ~EngineLink(); // closes the session; takes 0.2 s at most
    EngineLink(const EngineLink&) = delete;
    EngineLink& operator=(const EngineLink&) = delete;

    jd_client* client() const { return hold_.client(); }           // any thread
    const std::string& session() const { return session_; }        // any thread
    void setFormat(uint32_t rate, uint32_t block);                 // any thread, RT-safe; rate 0: nothing is rendered
    Settings settings() const;                                     // not the audio thread
    void change(const std::function<void(Settings&)>& edit);       // not the audio thread
    LinkStatus status() const;                                     // not the audio thread

    // Frames from input to answer as the engine keeps it; 0 = not known (yet). Any thread, RT-safe.
    uint32_t loopLatency() const { return latency_.load(std::memory_order_relaxed); }

    // Begin a new epoch from the seed, with everything that was set. Waits (so: offline only) until it has begun; gives up
    // if the engine cannot be had or shows no sign of progress for so long. Returns whether it has begun.
    // `at`: the musical time of its first frame, if there is one.
    bool bounce(const std::optional<jd_transport>& at, int patienceSeconds);

  private:
    struct Away { // thrown: the engine is gone, does not answer, or we are told to stop
        std::string text;
    };
    using Clock = std::chrono::steady_clock;

    // the thread's life: EngineLink.cpp
    void run();
    bool connect(int& pauseMs);
    void serve();
    void farewell() noexcept;
    void poll(int milliseconds);
    void pause(int milliseconds);
    Reply ask(const std::string& operation, const Map& fields, int milliseconds = 5000);
    void listen();
    void lookAfterSegment();
    void tell(Phase phase, const std::string& text = {});
    void wake();
    void closeProcess();

    // what is sent: EngineLinkSession.cpp
    bool open();
    void follow(const Reply& reply);
    void push();
    void pushPrompts();
    void pushParameters();
    void pushReset();
    void serveBounce();
    Map forSession() const;
    Map forChange();

    const Parameters& parameters_;
    const std::string session_;
    SegmentHold hold_;
    Starter starter_;
    std::optional<Connection> connection_;
    int wakeDescriptor_;
    int processDescriptor_ = -1; // of the engine; readable when it ends

    mutable std::mutex mutex_;
    Settings settings_; // guarded
    LinkStatus status_; // guarded
    std::optional<jd_transport> bounceAt_; // guarded

    // the link thread's own: what the engine was told
    Phase phase_ = Phase::starting;
    bool opened_ = false, prompted_ = false;
    std::string openModel_, modelHash_;
    std::array<Prompt, promptCount> sentPrompts_;
    std::vector<int> slots_; // slot of each prompt that was sent
    std::array<float, parameterCount> sentValues_{};
    uint32_t seenEdits_ = 0, seenResets_ = 0;
    int64_t revision_ = 0;
    uint64_t publishedFormat_ = 0, formatEpoch_ = 0;
    Clock::time_point heardAt_, askedAt_;

    std::atomic<uint32_t> edits_{1};
    std::atomic<uint64_t> format_{0}; // rate << 32 | block
    std::atomic<uint32_t> latency_{0};
    std::atomic<uint32_t> bouncesWanted_{0}, bouncesDone_{0}, bouncesGivenUp_{0};
    std::atomic<uint64_t> movedAt_{0}; // ns of the last sign of progress
    std::atomic<uint64_t> stuckAt_{~uint64_t{0}}; // the same when a bounce last gave up
    std::atomic<bool> refused_{false}; // there is no engine to be had, or it says no
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

} // namespace jackdaw
