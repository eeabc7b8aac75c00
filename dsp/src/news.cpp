// What JACK tells besides the audio: stored and signalled, never acted on here. Threads of libjack's.

#include <jackdaw/news.h>

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "uncancelled.hpp"

using jackdaw::uncancelled;

namespace {

constexpr int capture = 0; // JackCaptureLatency

void note(uint32_t& count, const jd_news* news) {
    uncancelled([&] {
        __atomic_fetch_add(&count, 1, __ATOMIC_RELEASE);
        const uint64_t one = 1;
        // fails only if the counter is full, and then the control thread is being woken anyway
        [[maybe_unused]] const ssize_t written = write(news->wake, &one, sizeof one);
    });
}

// The latency of one side, passed on to the other plus the loop.
void pass_on(const jd_news* news, int mode) {
    void* const* sources = mode == capture ? news->inputs : news->outputs;
    void* const* targets = mode == capture ? news->outputs : news->inputs;
    const uint32_t loop = __atomic_load_n(&news->loop, __ATOMIC_ACQUIRE);
    jd_latency_range seen = {0, 0};
    news->get_latency(sources[0], mode, &seen);
    jd_latency_range other = {0, 0};
    news->get_latency(sources[1], mode, &other);
    jd_latency_range told = {std::min(seen.min, other.min) + loop, std::max(seen.max, other.max) + loop};
    news->set_latency(targets[0], mode, &told);
    news->set_latency(targets[1], mode, &told);
    if (mode != capture) news->set_latency(news->notes, mode, &told);
}

} // namespace

void jd_news_shutdown(int, const char*, void* context) {
    auto* news = static_cast<jd_news*>(context);
    news->shutdown_thread = static_cast<int32_t>(syscall(SYS_gettid)); // before the count, which releases it
    note(news->shutdowns, news);
}

int jd_news_rate(uint32_t, void* context) {
    auto* news = static_cast<jd_news*>(context);
    note(news->formats, news);
    return 0;
}

int jd_news_period(uint32_t, void* context) {
    auto* news = static_cast<jd_news*>(context);
    note(news->formats, news);
    return 0;
}

void jd_news_connect(uint32_t, uint32_t, int, void* context) {
    auto* news = static_cast<jd_news*>(context);
    note(news->connections, news);
}

void jd_news_latency(int mode, void* context) {
    const auto* news = static_cast<const jd_news*>(context);
    uncancelled([&] { pass_on(news, mode); });
}

void jd_news_discard(const char*) {}
