/* The native core's functions: mapping a session segment, the engine's side of it, and the client that renders audio.
 *
 * Three kinds of caller, named before each group:
 *   control thread   any thread that may block (Python, a plugin's message thread); one at a time per object
 *   engine thread    the one thread that owns the writer's side of a segment; the functions neither block nor allocate
 *   audio thread     the callback of an audio server or plugin host. Real-time safe ("RT-safe") functions do not allocate,
 *                    lock, enter the kernel, or loop without a bound; the clock is read through the vDSO
 *
 * Functions that can fail return 0 or a negative JD_ERROR_*; jd_error_text() puts one into words.
 * This header is plain C for cffi: no macros in declarations.
 */
#ifndef JACKDAW_SESSION_H
#define JACKDAW_SESSION_H

#include <jackdaw/segment.h>
#include <jackdaw/tap.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct jd_segment jd_segment; /* one side's mapping of a session segment, with its lock */
typedef struct jd_client jd_client;   /* what renders blocks: one per JACK client or plugin instance */

enum {
    JD_SIDE_WRITER = 0, /* the engine; also the number of its lock byte */
    JD_SIDE_READER = 1  /* the client */
};

enum {
    JD_ERROR_SYSTEM = -1,      /* a system call failed: see errno */
    JD_ERROR_MISSING = -2,     /* no file of that name */
    JD_ERROR_BUSY = -3,        /* that side's lock is held */
    JD_ERROR_NOT_A_FILE = -4,  /* a symbolic link, directory, pipe ... */
    JD_ERROR_OWNER = -5,       /* belongs to another user */
    JD_ERROR_MODE = -6,        /* others could read or write it */
    JD_ERROR_SIZE = -7,        /* its size isn't what its header says */
    JD_ERROR_MAGIC = -8,       /* not a session segment */
    JD_ERROR_ABI = -9,         /* made by another version */
    JD_ERROR_LAYOUT = -10,     /* channels, capacity or offsets out of bounds */
    JD_ERROR_ARGUMENT = -11,   /* the caller's mistake */
    JD_ERROR_RACE = -12        /* the file was exchanged meanwhile: try again */
};

enum {
    JD_MIN_CAPACITY = 4096,
    JD_MAX_CAPACITY = 16777216,
    JD_FADE_MS = 5,           /* every fade: underrun, epoch, stale drop, hand-over, stop */
    JD_MAX_FADE = 2048,       /* frames: 5 ms at up to 400 kHz */
    JD_VOLUME_RAMP_MS = 20,
    JD_RENDER_OFFLINE = 1     /* flag of jd_render: wait for the engine, as in freewheel */
};

/* ---- segments: control thread ------------------------------------------------------------------------------------ */

/* Make the segment `path`, take it over if a dead engine left it, or put a new one in the place of what is not one.
 * Holds the writer's lock until closed. A taken-over segment starts a new epoch, its input and MIDI are skipped. */
int jd_segment_open(const char* path, uint32_t channels, uint32_t capacity, jd_segment** segment);

/* Map an existing segment as its reader, after checking every field that is used later. Holds the reader's lock. The
 * memory is faulted in and locked, as far as the system allows. */
int jd_segment_attach(const char* path, jd_segment** segment);

/* Unmap and unlock; remove the file if the other side is gone too. No client may still render from it. */
void jd_segment_close(jd_segment* segment);

/* 1 if a living process (this one included) holds the lock of `side`, else 0. */
int jd_segment_alive(const jd_segment* segment, int side);

/* 1 if `path` names another file by now, or none. */
int jd_segment_replaced(const jd_segment* segment);

jd_header* jd_segment_header(jd_segment* segment);
const char* jd_error_text(int code);

/* ---- shared fields: any thread, RT-safe --------------------------------------------------------------------------- */

uint64_t jd_load(const uint64_t* field);               /* acquire */
void jd_store(uint64_t* field, uint64_t value);        /* release; only for fields that the caller's side owns */
uint64_t jd_now_ns(void);                              /* CLOCK_MONOTONIC */

typedef struct jd_anchor {
    uint64_t out_frame; /* the output frame played at the start of a block */
    uint64_t in_frame;  /* the input frame captured at that instant */
    uint64_t ns;
} jd_anchor;

typedef struct jd_transport {
    uint64_t state; /* 0 stopped, 1 rolling, 3 starting */
    uint64_t frame;
    double bpm;     /* 0 = no bar/beat information */
    int32_t bar;    /* from 1 */
    int32_t beat;   /* from 1 */
    double tick;    /* fraction of the beat, 0..1 */
    float beats_per_bar;
    float beat_type;
    uint64_t ns;
} jd_transport;

typedef struct jd_told { /* by messages or taps, to the engine */
    uint64_t rolling;
    double bpm;          /* 0 = none was told */
    double beat;         /* place in the bar from 0, as it was heard at `ns` */
    uint64_t beats_per_bar;
    uint64_t ns;
} jd_told;

/* Consistent copies; 0, or JD_ERROR_MISSING if the other side has not published any yet (or died while publishing). */
int jd_read_anchor(const jd_segment* segment, jd_anchor* anchor);
int jd_read_transport(const jd_segment* segment, jd_transport* transport);
int jd_read_told(const jd_segment* segment, jd_told* told);

/* ---- the engine's side: engine thread, RT-safe --------------------------------------------------------------------- */

uint64_t jd_writer_fill(jd_segment* segment);          /* frames in the output ring; capacity if the cursors make no sense */

/* Append `frames` of interleaved audio (frames x channels). 0, or JD_ERROR_ARGUMENT if there is no space: nothing written. */
int jd_writer_write(jd_segment* segment, const float* interleaved, uint32_t frames);

uint64_t jd_writer_input_available(jd_segment* segment);

/* Take `frames` from the input ring into interleaved audio; JD_ERROR_ARGUMENT if so many are not there: nothing taken. */
int jd_writer_read_input(jd_segment* segment, float* interleaved, uint32_t frames);

/* Drop up to `frames` of input; returns how many were dropped. */
uint64_t jd_writer_skip_input(jd_segment* segment, uint64_t frames);

/* Take up to `maximum` MIDI events; returns how many. */
uint32_t jd_writer_read_midi(jd_segment* segment, jd_midi_event* events, uint32_t maximum);

/* Begin a new epoch here: what the ring still holds is not to be played. */
void jd_writer_reset(jd_segment* segment);

/* Publish the time that the engine was told; one thread at a time. */
void jd_writer_tell(jd_segment* segment, const jd_told* told);

/* ---- the client: control thread ------------------------------------------------------------------------------------ */

jd_client* jd_client_new(void);          /* NULL if memory is short; renders silence until it is given a segment */
void jd_client_free(jd_client* client);  /* no callback may be running or come any more */

/* Exchange the segment that is rendered from (NULL: none). Returns once the audio thread has let go of the old one, which
 * it does at its next block: 0. If no block comes within two periods and 20 ms, the exchange is made here; a block that
 * begins in that very microsecond is silent. JD_ERROR_BUSY: the audio thread hangs inside a block; the old segment must
 * stay mapped. */
int jd_client_set_segment(jd_client* client, jd_segment* segment);

void jd_client_set_rate(jd_client* client, uint32_t rate);     /* Hz of the blocks rendered; before they start */
void jd_client_arm(jd_client* client, int armed);              /* armed: rings are consumed; else a fade and silence */
void jd_client_freewheel(jd_client* client, int freewheel);    /* wait for the engine instead of underrunning */
void jd_client_set_volume(jd_client* client, float gain);      /* linear, 0..16; reached in JD_VOLUME_RAMP_MS */
void jd_client_request_stop(jd_client* client, int stop);      /* 1: fade out, play nothing more; 0: go on */
int jd_client_stopped(const jd_client* client);                /* 1: a requested stop has been played to its end */
void jd_client_engine_gone(jd_client* client, uint64_t writer_instance); /* silence until another instance writes */
void jd_client_set_patience(jd_client* client, uint64_t ns);   /* freewheel: longest wait without any new frame; 10 s */
void jd_client_release_notes(jd_client* client); /* JACK: all notes off in the next block, as a MIDI source has gone */

/* ---- the client: audio thread, RT-safe (but for the waits of freewheel and offline rendering) ------------------------ */

/* Render one block of any length: capture `in` (channels_in pointers, may alias `out`), fill `out`. Missing channels are
 * copied from the first; one output channel gets the mean of two. */
void jd_render(jd_client* client, const float* const* in, float* const* out, uint32_t channels_in, uint32_t channels_out,
               uint32_t frames, uint32_t flags);

/* Hand over a MIDI message or the transport of the block that the next jd_render() renders. At most 256 messages: when one
 * more comes, the last becomes a system reset (FF), since a note-off may be among those that are lost. */
void jd_client_midi(jd_client* client, uint32_t offset, const uint8_t* bytes, uint32_t size);
void jd_client_transport(jd_client* client, const jd_transport* transport);

/* ---- JACK: libjack's functions and our ports, handed in before activation (control thread) ---------------------------- */

typedef struct jd_jack_api {
    void* (*port_get_buffer)(void* port, uint32_t frames);
    uint32_t (*midi_get_event_count)(void* buffer);
    int (*midi_event_get)(void* event, void* buffer, uint32_t index);
    int (*transport_query)(const void* jack_client, void* position);
    void* jack_client;
    void* audio_in[2];  /* ports; NULL = none */
    void* audio_out[2];
    void* midi_in;
    void* click;        /* an audio output: the metronome; NULL = none */
} jd_jack_api;

void jd_jack_bind(jd_client* client, const jd_jack_api* api);
void jd_client_set_tap(jd_client* client, jd_tap* tap); /* what records; NULL: none. It outlives the callbacks */

int jd_jack_process(uint32_t frames, void* client);          /* JackProcessCallback; audio thread, RT-safe */
int jd_jack_xrun(void* client);                              /* JackXRunCallback; any thread, RT-safe */
void jd_jack_freewheel(int starting, void* client);          /* JackFreewheelCallback; any thread, RT-safe */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
