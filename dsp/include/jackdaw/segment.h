/* The session segment: the one piece of memory that the engine, the JACK client and the plugin share.
 *
 * A file in /dev/shm, mapped by both sides:  jd_header | output ring | input ring | MIDI ring
 *
 *   output ring   written by the engine,  read by the client's audio thread   (music to play)
 *   input ring    written by the client's audio thread, read by the engine    (what the musicians play)
 *   MIDI ring     written by the client's audio thread, read by the engine    (notes and controllers)
 *
 * "writer" below always means the engine's process and "reader" the client's (JACK client or plugin), after what they do
 * with the output ring. Invariants:
 *   - Every field has exactly one owner that stores to it; the other side only loads. Nobody writes the other's cursor.
 *   - Cursors are counts of frames since the segment was made; they never go back and never wrap in practice (64 bit).
 *     Position in a ring = cursor & (capacity - 1); capacity is a power of two.
 *   - Samples are float32, planar inside a ring: channel c starts at ring offset + c * capacity * 4. One cursor pair serves
 *     all channels, so they cannot drift apart.
 *   - Cursors are stored with release and loaded with acquire order; everything else that is read across is either
 *     relaxed 64-bit or guarded by a sequence counter (odd = being written).
 *   - The file is made under a temporary name, filled in, and renamed; it never shrinks. Each side holds an OFD lock while
 *     it lives: byte 0 the writer, byte 1 the reader.
 *
 * All times are CLOCK_MONOTONIC nanoseconds. Frames in the rings are at the reader's rate (`reader_rate`).
 * This header is plain C for cffi: no macros in declarations; C++ helpers live in ring.hpp.
 */
#ifndef JACKDAW_SEGMENT_H
#define JACKDAW_SEGMENT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    JD_ABI_VERSION = 2,
    JD_MAX_CHANNELS = 2,
    JD_HISTOGRAM_BINS = 64,   /* callback time: bin b counts times in [250 * 2^(b/4), 250 * 2^((b+1)/4)) ns, ends open */
    JD_MIDI_CAPACITY = 1024,  /* events */
    JD_MIDI_BYTES = 8         /* longer messages (SysEx) are not carried and counted in midi_dropped */
};

#define JD_MAGIC 0x315741444B43414AULL /* "JACKDAW1", little endian */

typedef struct jd_midi_event {
    uint64_t frame;           /* input-ring cursor at which the event happened */
    uint32_t size;            /* 1..JD_MIDI_BYTES */
    uint8_t bytes[8];
    uint32_t reserved;
} jd_midi_event;

typedef struct jd_header {
    /* ---- line 0: identity, written once before the rename ------------------------------------------------ */
    uint64_t magic;
    uint32_t abi_version;
    uint32_t header_bytes;    /* sizeof(jd_header) */
    uint64_t total_bytes;     /* size of the file */
    uint32_t channels;        /* of both rings: 2 */
    uint32_t capacity;        /* frames in each ring, a power of two */
    uint64_t output_offset;   /* bytes from the start of the file */
    uint64_t input_offset;
    uint64_t midi_offset;
    uint64_t creation_id;     /* random; tells two segments of one name apart */

    /* ---- line 1: the writer's cursors (engine) ------------------------------------------------------------ */
    uint64_t out_write;       /* frames written to the output ring */
    uint64_t in_read;         /* frames read from the input ring */
    uint64_t midi_read;       /* events */
    uint64_t epoch;           /* +1 at each reset; published after epoch_start */
    uint64_t epoch_start;     /* out_write at which the present epoch begins: what is older is not to be played */
    uint64_t out_limit;       /* frames: a fill above this is stale; the reader drops down to out_target */
    uint64_t out_target;      /* frames of fill that the writer aims at */
    uint64_t writer_resyncs;  /* times the reader's cursors made no sense and the writer started afresh from them */

    /* ---- line 2: the writer's state ------------------------------------------------------------------------ */
    uint64_t writer_heartbeat_ns;
    uint64_t writer_pid;
    uint64_t writer_instance; /* random per engine process: a new engine took over when it changes */
    uint64_t ring_rate;       /* Hz: the rate of what is in the output ring now; 0 = engine is not ready */
    uint64_t loop_latency;    /* frames from in_write to the same instant's answer at out_read, as the engine keeps it */
    uint64_t steps;           /* model steps done */
    uint64_t step_ns_p99;
    uint64_t flags_writer;    /* bit 0: stopping (the music ends at out_write, fade and do not count an underrun) */

    /* ---- line 3: the reader's cursors (audio thread) ------------------------------------------------------- */
    uint64_t out_read;        /* frames taken from the output ring */
    uint64_t in_write;        /* frames written to the input ring */
    uint64_t midi_write;      /* events */
    uint64_t anchor_seq;      /* sequence counter of the clock anchor below (odd = being written) */
    uint64_t anchor_out;      /* out_read, in_write at the start of a block, and the time of it */
    uint64_t anchor_in;
    uint64_t anchor_ns;
    uint64_t reserved3[1];

    /* ---- line 4: the reader's counters (audio thread) ------------------------------------------------------ */
    uint64_t blocks;
    uint64_t underruns;       /* times the output ring ran dry while armed */
    uint64_t underrun_frames;
    uint64_t overruns;        /* blocks whose input did not fit */
    uint64_t dropped_frames;  /* stale or of an older epoch */
    uint64_t low_water;       /* least fill at the start of a block played since the last arm; all ones = none yet */
    uint64_t late_callbacks;  /* callbacks that took more than half of a period */
    uint64_t xruns;           /* as told by the audio server */

    /* ---- line 5: the reader's state (control thread of the client; the last three: audio thread) ------------- */
    uint64_t reader_heartbeat_ns;
    uint64_t reader_pid;
    uint64_t reader_instance;
    uint64_t reader_rate;     /* Hz: what the reader wants in the rings; 0 = no reader */
    uint64_t reader_block;    /* frames of a period */
    uint64_t armed;           /* 1: the ring is being consumed */
    uint64_t freewheel;       /* 1: the reader waits for the writer instead of underrunning */
    uint64_t midi_dropped;

    /* ---- line 6: transport, under its own sequence counter (audio thread) ---------------------------------- */
    uint64_t transport_seq;
    uint64_t transport_state; /* 0 stopped, 1 rolling, 3 starting (JACK's numbers) */
    uint64_t transport_frame;
    double transport_bpm;     /* 0 = no bar/beat information */
    int32_t transport_bar;    /* from 1 */
    int32_t transport_beat;   /* from 1 */
    double transport_tick;    /* fraction of the beat, 0..1 */
    float transport_beats_per_bar;
    float transport_beat_type;
    uint64_t transport_ns;

    /* ---- line 7: meters (audio thread): peaks since the last block, linear ----------------------------------- */
    float peak_out[2];
    float peak_in[2];
    float hold_out[2];        /* peak with a slow decay, for status lines */
    float hold_in[2];
    uint64_t callback_ns_max;
    uint64_t last_xrun_ns;
    uint64_t fades;           /* fade-outs, of all causes */
    uint64_t reader_resyncs;  /* times the writer's cursors made no sense and the reader started afresh from them */

    /* ---- line 8: the time that the engine was told by messages or taps, under its own sequence counter (engine) ------ */
    uint64_t told_seq;
    uint64_t told_rolling;
    double told_bpm;          /* 0 = none was told */
    double told_beat;         /* place in the bar from 0, as it was heard at told_ns */
    uint64_t told_beats_per_bar;
    uint64_t told_ns;
    uint64_t epoch_reader;    /* reader_instance when the present epoch began: another reader waits for its own; 0 = none */
    uint64_t reserved8[1];

    /* ---- line 9 on: callback time histogram (audio thread) ---------------------------------------------------- */
    uint64_t histogram[64];
} jd_header;

#ifdef __cplusplus
}
#endif
#endif
