// Where the engine is found, whether it lives, and starting it if it does not. Control thread.
//
// A living engine holds a lock on <runtime folder>/engine.lock. Of several plugins that miss it at the same time, the one
// that gets the lock on engine.start starts it; the others wait. The engine is nobody's child: it outlives the host, and
// ends by itself some seconds after its last session.
#pragma once

#include <chrono>
#include <string>

namespace jackdaw {

class Starter {
  public:
    Starter() = default;
    ~Starter();
    Starter(const Starter&) = delete;
    Starter& operator=(const Starter&) = delete;

    enum class Outcome { lives, started, wait, noCommand, failed };

    // One look, and one start at most every `again` seconds; never waits for the engine. `text` says what failed.
    Outcome look(std::string& text);

    static std::string address(); // of the engine's requests; throws std::runtime_error if the folder is not ours
    static std::string command(); // where `jackdaw` is; empty if nowhere

  private:
    bool lives() const;
    void letGo();
    int turn_ = -1; // descriptor with the lock on engine.start
    std::chrono::steady_clock::time_point startedAt_{};
};

} // namespace jackdaw
