// The control thread's side of a client: what it asks of the audio thread, and the hand-over of segments.

#include <sys/mman.h>
#include <time.h>

#include <new>

#include "client.hpp"

namespace {

constexpr uint64_t handover_slack_ns = 20000000;    // beyond two periods without a block
constexpr uint64_t handover_limit_ns = 5000000000;  // for a block to end

void pause_ns(long ns) {
    const timespec time{0, ns};
    nanosleep(&time, nullptr);
}

} // namespace

jd_client* jd_client_new(void) {
    auto* client = new (std::nothrow) jd_client; // its constructor writes every page
    if (client != nullptr) mlock(client, sizeof *client); // best effort
    return client;
}

void jd_client_free(jd_client* client) {
    if (client != nullptr) munlock(client, sizeof *client);
    delete client;
}

int jd_client_set_segment(jd_client* client, jd_segment* segment) {
    client->wanted.store(segment);
    const uint64_t start = jd_now_ns();
    while (client->rendering.load() != segment) {
        const uint64_t waited = jd_now_ns() - start;
        if (waited > handover_limit_ns) return JD_ERROR_BUSY;
        const uint64_t period = client->period_ns.load(std::memory_order_relaxed);
        const uint64_t patience = period == 0 ? 0 : 2 * period + handover_slack_ns;
        if (waited >= patience && !client->busy.exchange(true, std::memory_order_acquire)) {
            jackdaw::exchange_segment(client, segment);
            client->busy.store(false, std::memory_order_release);
        } else {
            pause_ns(500000);
        }
    }
    return 0;
}

void jd_client_set_rate(jd_client* client, uint32_t rate) { client->rate.store(rate); }

void jd_client_arm(jd_client* client, int armed) { client->armed.store(armed != 0); }

void jd_client_freewheel(jd_client* client, int freewheel) { client->freewheel.store(freewheel != 0); }

void jd_client_set_volume(jd_client* client, float gain) {
    client->volume.store(gain >= 0.0F ? (gain <= 16.0F ? gain : 16.0F) : 0.0F); // not a number: 0
}

void jd_client_request_stop(jd_client* client, int stop) {
    if (stop == 0) client->stopped.store(false);
    client->stop.store(stop != 0);
}

int jd_client_stopped(const jd_client* client) { return client->stop.load() && client->stopped.load() ? 1 : 0; }

void jd_client_engine_gone(jd_client* client, uint64_t writer_instance) {
    client->dead_instance.store(writer_instance);
}

void jd_client_set_patience(jd_client* client, uint64_t ns) { client->patience_ns.store(ns); }
