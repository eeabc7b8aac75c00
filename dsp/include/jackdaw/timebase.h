/* The timebase: bars and beats of JACK's transport, when ours is the client that tells them.
 *
 * One control thread says tempo and place (jd_timebase_tell); libjack's audio thread takes that up at its next call and
 * counts on from there. The grid is a line: a frame of the transport at which the beat is known, and a tempo. A new
 * position (start, relocation) puts the line back through frame 0 at bar one; a told beat puts it through the present.
 * This header is plain C for cffi.
 */
#ifndef JACKDAW_TIMEBASE_H
#define JACKDAW_TIMEBASE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct jd_timebase jd_timebase;

typedef struct jd_beat {
    double bpm;
    double beat;           /* place in the bar from 0, at `ns`; below 0: the grid stays where it is, the tempo changes */
    uint32_t beats_per_bar;
    uint64_t ns;           /* CLOCK_MONOTONIC; 0: when this is taken up */
} jd_beat;

/* Control thread. NULL if memory is short. */
jd_timebase* jd_timebase_new(double bpm, uint32_t beats_per_bar);
void jd_timebase_free(jd_timebase* timebase); /* no callback may come any more */

/* Control thread: 0, or JD_ERROR_ARGUMENT unless 1..1000 bpm and 1..64 beats. */
int jd_timebase_tell(jd_timebase* timebase, const jd_beat* beat);

/* JackTimebaseCallback; audio thread, RT-safe. */
void jd_timebase_callback(int state, uint32_t frames, void* position, int new_position, void* timebase);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
