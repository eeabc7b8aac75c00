/* What a JACK server tells besides the audio: shutdown, rate, period, connections, and its questions about latency.
 *
 * These callbacks come on threads of libjack's, which may be cancelled when the client is closed: so they are C functions
 * that only store and wake. Python must not run on such a thread: cancelled inside the interpreter, it would take the
 * interpreter's lock to the grave.
 *
 * Counts are stored by libjack's threads and loaded by the control thread; the rest is set before activation, but for
 * `loop`, which the control thread stores at any time. This header is plain C for cffi.
 */
#ifndef JACKDAW_NEWS_H
#define JACKDAW_NEWS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct jd_latency_range { /* jack_latency_range_t */
    uint32_t min;
    uint32_t max;
} jd_latency_range;

typedef struct jd_news {
    uint32_t shutdowns;
    uint32_t formats;      /* changes of rate or period */
    uint32_t connections;  /* made or taken apart */
    uint32_t loop;         /* frames from an input to its answer at the outputs */
    int32_t shutdown_thread; /* kernel's id of libjack's thread that told of the shutdown; it ends by itself soon after */
    int wake;              /* eventfd that is told of every count */
    void (*get_latency)(void* port, int mode, jd_latency_range* range);
    void (*set_latency)(void* port, int mode, jd_latency_range* range);
    void* inputs[2];
    void* outputs[2];
    void* notes;           /* MIDI input: is told how late the answer is; its own lateness is not the sound's */
} jd_news;

/* Callbacks for libjack, the struct as context; any thread, they do not block. */
void jd_news_shutdown(int status, const char* reason, void* news); /* JackInfoShutdownCallback */
int jd_news_rate(uint32_t rate, void* news);                       /* JackSampleRateCallback */
int jd_news_period(uint32_t frames, void* news);                   /* JackBufferSizeCallback */
void jd_news_connect(uint32_t a, uint32_t b, int made, void* news); /* JackPortConnectCallback */
void jd_news_latency(int mode, void* news);                        /* JackLatencyCallback */
void jd_news_discard(const char* message);                         /* for jack_set_error_function and its like */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
