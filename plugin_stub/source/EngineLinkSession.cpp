// What the link tells the engine about its session. The link's thread.

#include "EngineLink.h"

#include <cmath>

namespace jackdaw {
namespace {

constexpr double leaseSeconds = 30.0;
constexpr int slowMs = 30000; // embedding a long file, waiting for a new epoch

} // namespace

Map EngineLink::forSession() const {
    Map map;
    map.add("session", session_);
    return map;
}

Map EngineLink::forChange() {
    Map map = forSession();
    map.add("client", session_).add("rev", ++revision_);
    return map;
}

// Open the session, or take up the one that is there. False: the engine refuses, and has said why.
bool EngineLink::open() {
    const Settings wanted = settings();
    openModel_ = wanted.model;
    seenEdits_ = edits_;
    Map fields = forSession();
    fields.add("model", wanted.model).add("seed", wanted.seed).add("lease_s", leaseSeconds);
    Reply reply = ask("open", fields);
    if (reply.code == "in use") {
        ask("close", forSession());
        reply = ask("open", fields);
    }
    if (!reply.ok) {
        tell(Phase::failed, reply.error);
        return false;
    }
    opened_ = true;
    prompted_ = false;
    heardAt_ = askedAt_ = Clock::now();
    follow(reply);
    return true;
}

// Take in what `open` and `attach` tell.
void EngineLink::follow(const Reply& reply) {
    if (!reply.ok) throw Away{reply.error};
    const int code = hold_.attach(reply["segment"].text());
    const std::string phase = reply["phase"].text();
    modelHash_ = reply["model_hash"].text();
    if (code != 0) tell(Phase::loading, std::string("The session's shared memory: ") + jd_error_text(code));
    else if (phase == "failed") tell(Phase::failed, reply["error"].text("The model could not be loaded"));
    else if (phase == "ready") tell(Phase::ready);
    else tell(Phase::loading, "Loading " + openModel_);
}

// Whatever has changed since the last time.
void EngineLink::push() {
    const uint32_t edits = edits_;
    if (edits != seenEdits_) {
        seenEdits_ = edits;
        if (settings().model != openModel_) {
            hold_.setFormat(0, 0);
            publishedFormat_ = 0;
            latency_ = 0;
            ask("close", forSession());
            opened_ = false;
            return;
        }
    }
    if (phase_ != Phase::ready) return;
    pushPrompts();
    pushParameters();
    pushReset();
    if (const uint64_t format = format_; format != publishedFormat_ || !prompted_) {
        formatEpoch_ = jd_load(&hold_.header()->epoch);
        hold_.setFormat(static_cast<uint32_t>(format >> 32U), static_cast<uint32_t>(format));
        publishedFormat_ = format;
        prompted_ = true;
    }
    serveBounce();
}

void EngineLink::pushPrompts() {
    const Settings wanted = settings();
    bool same = prompted_;
    for (size_t i = 0; i < wanted.prompts.size(); ++i) same = same && wanted.prompts[i].sameSource(sentPrompts_[i]);
    if (same) return;
    slots_.clear();
    std::vector<Map> list;
    for (int slot = 0; slot < promptCount; ++slot) {
        const Prompt& prompt = wanted.prompts[static_cast<size_t>(slot)];
        if (prompt.isEmpty()) continue;
        Map item;
        if (prompt.audio.empty()) item.add("text", prompt.text);
        else item.add("audio", prompt.audio);
        item.add("weight", static_cast<double>(parameters_[slot].plain()));
        if (!prompt.embedding.empty()) item.addBytes("embedding", prompt.embedding).add("model_hash", prompt.modelHash);
        slots_.push_back(slot);
        list.push_back(item);
    }
    Map fields = forChange();
    const Reply reply = ask("prompt", fields.add("prompts", list), slowMs);
    sentPrompts_ = wanted.prompts;
    sentValues_.fill(-1e9F); // `prompt` has set weights
    tell(Phase::ready, reply.ok ? std::string() : reply.error);
    if (!reply.ok) {
        slots_.clear();
        return;
    }
    const auto told = reply["prompts"].items();
    const std::lock_guard lock(mutex_);
    for (size_t k = 0; k < told.size() && k < slots_.size(); ++k) {
        Prompt& prompt = settings_.prompts[static_cast<size_t>(slots_[k])];
        if (!prompt.sameSource(wanted.prompts[static_cast<size_t>(slots_[k])])) continue; // edited meanwhile
        prompt.embedding = told[k]["embedding"].text();
        prompt.modelHash = modelHash_;
    }
}

// The engine numbers the prompts that were sent; weights of empty slots stay here.
void EngineLink::pushParameters() {
    Map values;
    std::array<float, parameterCount> now{};
    for (int i = 0; i < parameterCount; ++i) now[static_cast<size_t>(i)] = parameters_[i].plain();
    for (int i = promptCount; i < parameterCount; ++i) {
        const size_t at = static_cast<size_t>(i);
        if (parameterTable[i].engine && (!prompted_ || now[at] != sentValues_[at]))
            values.add(parameterTable[i].name, static_cast<double>(now[at]));
    }
    for (size_t k = 0; k < slots_.size(); ++k) {
        const auto at = static_cast<size_t>(slots_[k]);
        if (!prompted_ || now[at] != sentValues_[at]) values.add("weight_" + std::to_string(k + 1), static_cast<double>(now[at]));
    }
    if (values.isEmpty()) return;
    Map fields = forChange();
    const Reply reply = ask("set", fields.add("values", values));
    sentValues_ = now;
    if (!reply.ok) tell(Phase::ready, reply.error);
}

void EngineLink::pushReset() {
    const uint32_t resets = parameters_["reset"].risings();
    if (resets == seenResets_) return;
    seenResets_ = resets;
    Map fields = forChange();
    ask("reset", fields.add("seed", settings().seed), slowMs);
}

void EngineLink::serveBounce() {
    const uint32_t wanted = bouncesWanted_;
    if (publishedFormat_ == 0 || wanted <= bouncesDone_ || wanted <= bouncesGivenUp_) return;
    // The audio thread is parked in bounce() until the reply: its field may be stored from here, so that the engine knows
    // from the epoch's first step on that nobody is listening.
    jd_store(&hold_.header()->freewheel, 1);
    std::optional<jd_transport> at;
    {
        const std::lock_guard lock(mutex_);
        at = bounceAt_;
    }
    const double quarter = at && at->beat_type > 0.0F ? 4.0 / at->beat_type : 0.0; // in the protocol, beats are quarters
    const double quarters = at ? at->beats_per_bar * quarter : 0.0;
    if (at && at->bpm > 0.0 && quarters >= 2.0 && quarters == std::floor(quarters)) { // it knows whole quarters alone
        Map time = forChange();
        time.add("bpm", at->bpm * quarter).add("beat", (at->beat - 1 + at->tick) * quarter);
        time.add("beats_per_bar", static_cast<int>(quarters)).add("rolling", at->state == 1);
        ask("transport", time);
    }
    Map fields = forChange();
    const Reply reply = ask("reset", fields.add("seed", settings().seed).add("epoch", true), slowMs);
    if (!reply.ok) {
        tell(Phase::ready, reply.error);
        bouncesGivenUp_ = wanted;
        return;
    }
    latency_ = static_cast<uint32_t>(jd_load(&hold_.header()->loop_latency));
    bouncesDone_ = wanted;
}

} // namespace jackdaw
