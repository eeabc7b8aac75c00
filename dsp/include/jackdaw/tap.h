/* The recording tap: a ring in the client's own memory from the audio thread to the thread that writes a file.
 *
 * Written by the audio thread, once a block: what was played (2 channels), what was heard (2 channels), the click (1). Read by one
 * drain thread. Invariants:
 *   - The audio thread never waits for the drain thread, except while freewheeling, where there is no deadline.
 *   - A block goes in whole or not at all. What did not fit is counted and its place remembered, so that the recording can
 *     be filled up with silence and stays in time: frames read + gaps told = frames pushed.
 *
 * This header is plain C for cffi: no macros in declarations.
 */
#ifndef JACKDAW_TAP_H
#define JACKDAW_TAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct jd_tap jd_tap;

enum {
    JD_TAP_CHANNELS = 5 /* played left, right; heard left, right; click */
};

/* Control thread. `capacity` in frames, a power of two from 4096 to 2^24; NULL if it isn't, or if memory is short. */
jd_tap* jd_tap_new(uint32_t capacity);

/* Control thread; neither the audio thread nor the drain thread may use it any more. */
void jd_tap_free(jd_tap* tap);

/* Audio thread, RT-safe unless `wait` is set: append a block. Two pointers each, one click; a NULL channel is silence. With `wait` it
 * sleeps until there is room, at most 10 s without any progress of the drain thread. */
void jd_tap_push(jd_tap* tap, const float* const* played, const float* const* heard, const float* click, uint32_t frames,
                 int wait);

/* Drain thread, never blocks: take up to `maximum` frames, interleaved by 4, and return how many. `gap` is set to the
 * frames that were lost just before the first of them; a gap is told once, with or without frames after it. */
uint32_t jd_tap_read(jd_tap* tap, float* interleaved, uint32_t maximum, uint64_t* gap);

/* Any thread: frames that did not fit, so far. */
uint64_t jd_tap_lost(const jd_tap* tap);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
