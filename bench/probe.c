/* A JACK client that plays and records exact samples, for tests and measurements.
 *
 * It plays a file of interleaved stereo float32 from its first counted cycle on, records as many frames, sends notes at
 * given frames, and notes JACK's clocks at each cycle. Files are raw native float32; one JSON line on stdout says what it
 * saw. Everything is in memory while it runs; the process callback neither allocates nor calls the system.
 *
 * usage: probe SERVER FRAMES [-p play.f32] [-r record.f32] [-c cycles.u64] [-f from_L,from_R] [-t to_L,to_R]
 *              [-m to_midi -n FRAME:HEX,...] [-w (freewheel)] [-l LOCATE (and roll)] [-b BPM (timebase master)] [-N NAME]
 * cycles.u64 has four uint64 per cycle: frame counted from the start, jack_last_frame_time(), CLOCK_MONOTONIC ns, and
 * the transport's frame, or UINT64_MAX while it stands. Cycles that JACK skips are counted nowhere but in its clocks.
 */
#define _GNU_SOURCE
#include <jack/jack.h>
#include <jack/midiport.h>
#include <jack/transport.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_NOTES = 4096, CLOCKS = 4 };

struct note { uint64_t frame; size_t size; unsigned char bytes[16]; };

static jack_client_t *client;
static jack_port_t *in[2], *out[2], *midi;
static float *play, *record;
static uint64_t play_frames, frames, *cycles, cycle_count, cycle_room, missed, late;
static struct note notes[MAX_NOTES];
static size_t note_count, note_next;
static double bpm;
static _Atomic int freewheeling, running, done, dead, xruns;
static _Atomic uint64_t position;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int exchange(jack_nframes_t n)
{
    float *o[2] = {jack_port_get_buffer(out[0], n), jack_port_get_buffer(out[1], n)};
    const float *i[2] = {jack_port_get_buffer(in[0], n), jack_port_get_buffer(in[1], n)};
    void *m = jack_port_get_buffer(midi, n);
    memset(o[0], 0, n * sizeof(float));
    memset(o[1], 0, n * sizeof(float));
    jack_midi_clear_buffer(m);
    if (!atomic_load(&running) || atomic_load(&done)) return 0;
    const uint64_t at = atomic_load(&position);
    const uint64_t left = frames - at < n ? frames - at : n;
    if (cycle_count < cycle_room) {
        uint64_t *row = cycles + CLOCKS * cycle_count++, *before = row - CLOCKS;
        jack_position_t transport;
        row[0] = at;
        row[1] = jack_last_frame_time(client);
        row[2] = now_ns();
        row[3] = jack_transport_query(client, &transport) == JackTransportRolling ? transport.frame : UINT64_MAX;
        if (cycle_count > 1) missed += (uint32_t)(row[1] - before[1]) - (row[0] - before[0]);
    }
    for (uint64_t k = 0; k < left; ++k)
        for (int c = 0; c < 2; ++c) {
            if (at + k < play_frames) o[c][k] = play[2 * (at + k) + (uint64_t)c];
            record[2 * (at + k) + (uint64_t)c] = i[c][k];
        }
    while (note_next < note_count && notes[note_next].frame < at + n) {
        const struct note *e = &notes[note_next++];
        jack_midi_event_write(m, (jack_nframes_t)(e->frame - at), e->bytes, e->size);
    }
    atomic_store(&position, at + left);
    if (at + left == frames) atomic_store(&done, 1);
    return 0;
}

/* Late: a callback that took more than half of a period, as the core counts its own. */
static int process(jack_nframes_t n, void *unused)
{
    (void)unused;
    const uint64_t start = now_ns();
    exchange(n);
    if (atomic_load(&running) && (now_ns() - start) * jack_get_sample_rate(client) > (uint64_t)n * 500000000u) ++late;
    return 0;
}

static int on_xrun(void *unused)
{
    (void)unused;
    if (atomic_load(&running)) atomic_fetch_add(&xruns, 1);
    return 0;
}

static void on_freewheel(int starting, void *unused) { (void)unused; atomic_store(&freewheeling, starting); }
/* What we play doesn't come from what we hear: our ports begin and end the signal's way. */
static void on_latency(jack_latency_callback_mode_t mode, void *unused)
{
    (void)unused;
    jack_latency_range_t none = {0, 0};
    for (int c = 0; c < 2; ++c) jack_port_set_latency_range(mode == JackCaptureLatency ? out[c] : in[c], mode, &none);
}

static void on_shutdown(void *unused) { (void)unused; atomic_store(&dead, 1); }

static void timebase(jack_transport_state_t state, jack_nframes_t n, jack_position_t *p, int renew, void *unused)
{
    (void)state; (void)n; (void)renew; (void)unused;
    const double beats = p->frame / (double)p->frame_rate * bpm / 60.0;
    p->valid = JackPositionBBT;
    p->bar = (int32_t)(beats / 4.0) + 1;
    p->beat = (int32_t)beats % 4 + 1;
    p->tick = (int32_t)((beats - (double)(int64_t)beats) * 1920.0);
    p->beats_per_bar = 4;
    p->beat_type = 4;
    p->ticks_per_beat = 1920;
    p->beats_per_minute = bpm;
}

static void fail(const char *what, const char *which)
{
    fprintf(stderr, "probe: %s %s\n", what, which);
    exit(1);
}

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL) fail("no memory for", "buffers");
    memset(memory, 0, count * size); /* touch the pages now */
    return memory;
}

static void nap(void)
{
    if (atomic_load(&dead)) fail("the server", "went away");
    usleep(500);
}

static void save(const char *path, const void *data, size_t size, size_t count)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, size, count, file) != count || fclose(file) != 0) fail("cannot write", path);
}

/* "a,b" into two names; one name stands for both. */
static void split(char *text, char *names[2])
{
    names[0] = names[1] = text;
    char *comma = strchr(text, ',');
    if (comma != NULL) { *comma = 0; names[1] = comma + 1; }
}

static void range(const char *label, const char *name, jack_latency_callback_mode_t mode)
{
    jack_latency_range_t r = {0, 0};
    jack_port_get_latency_range(jack_port_by_name(client, name), mode, &r);
    printf(", \"%s\": [%u, %u]", label, r.min, r.max);
}

int main(int argc, char **argv)
{
    if (argc < 3) fail("usage:", "probe SERVER FRAMES [options]");
    const char *play_path = NULL, *record_path = NULL, *cycles_path = NULL, *midi_to = NULL, *name = "probe";
    char *from[2] = {NULL, NULL}, *to[2] = {NULL, NULL};
    int wheel = 0;
    long locate = -1;
    frames = strtoull(argv[2], NULL, 10);
    optind = 3;
    for (int option; (option = getopt(argc, argv, "p:r:c:f:t:m:n:wl:b:N:")) != -1;) switch (option) {
        case 'p': play_path = optarg; break;
        case 'r': record_path = optarg; break;
        case 'c': cycles_path = optarg; break;
        case 'f': split(optarg, from); break;
        case 't': split(optarg, to); break;
        case 'm': midi_to = optarg; break;
        case 'w': wheel = 1; break;
        case 'l': locate = strtol(optarg, NULL, 10); break;
        case 'b': bpm = strtod(optarg, NULL); break;
        case 'N': name = optarg; break;
        case 'n':
            for (char *t = strtok(optarg, ","); t != NULL && note_count < MAX_NOTES; t = strtok(NULL, ",")) {
                struct note *e = &notes[note_count++];
                char *hex;
                e->frame = strtoull(t, &hex, 10);
                for (++hex; hex[0] && hex[1] && e->size < 16; hex += 2) {
                    const char byte[3] = {hex[0], hex[1], 0};
                    e->bytes[e->size++] = (unsigned char)strtoul(byte, NULL, 16);
                }
            }
            break;
        default: fail("unknown", "option");
    }
    jack_status_t status;
    client = jack_client_open(name, JackNoStartServer | JackServerName, &status, argv[1]);
    if (client == NULL) fail("no server", argv[1]);
    for (int c = 0; c < 2; ++c) {
        const char *inputs[2] = {"in_1", "in_2"}, *outputs[2] = {"out_1", "out_2"};
        in[c] = jack_port_register(client, inputs[c], JACK_DEFAULT_AUDIO_TYPE, JackPortIsInput, 0);
        out[c] = jack_port_register(client, outputs[c], JACK_DEFAULT_AUDIO_TYPE, JackPortIsOutput, 0);
    }
    midi = jack_port_register(client, "midi_out", JACK_DEFAULT_MIDI_TYPE, JackPortIsOutput, 0);
    if (play_path != NULL) {
        FILE *file = fopen(play_path, "rb");
        if (file == NULL) fail("cannot read", play_path);
        fseek(file, 0, SEEK_END);
        play_frames = (uint64_t)ftell(file) / 8;
        rewind(file);
        play = need(play_frames * 2, sizeof(float));
        if (fread(play, 8, play_frames, file) != play_frames) fail("cannot read", play_path);
        fclose(file);
    }
    record = need(frames * 2, sizeof(float));
    cycle_room = frames / 16 + 2;
    cycles = need(cycle_room * CLOCKS, sizeof(uint64_t));
    jack_set_process_callback(client, process, NULL);
    jack_set_freewheel_callback(client, on_freewheel, NULL);
    jack_set_xrun_callback(client, on_xrun, NULL);
    jack_set_latency_callback(client, on_latency, NULL);
    jack_on_shutdown(client, on_shutdown, NULL);
    if (jack_activate(client) != 0) fail("cannot activate in", argv[1]);
    for (int c = 0; c < 2; ++c) {
        if (from[c] != NULL && jack_connect(client, from[c], jack_port_name(in[c])) != 0) fail("cannot connect", from[c]);
        if (to[c] != NULL && jack_connect(client, jack_port_name(out[c]), to[c]) != 0) fail("cannot connect", to[c]);
    }
    if (midi_to != NULL && jack_connect(client, jack_port_name(midi), midi_to) != 0) fail("cannot connect", midi_to);
    if (bpm > 0) jack_set_timebase_callback(client, 0, timebase, NULL);
    if (locate >= 0) {
        jack_transport_locate(client, (jack_nframes_t)locate);
        jack_transport_start(client);
    }
    if (wheel) {
        jack_set_freewheel(client, 1);
        while (!atomic_load(&freewheeling)) nap();
    }
    atomic_store(&running, 1);
    while (!atomic_load(&done)) nap();
    if (wheel) {
        jack_set_freewheel(client, 0);
        while (atomic_load(&freewheeling)) nap();
    }
    printf("{\"frames\": %llu, \"rate\": %u, \"period\": %u, \"missed\": %llu, "
           "\"late\": %llu, \"xruns\": %d", (unsigned long long)frames, jack_get_sample_rate(client),
           jack_get_buffer_size(client), (unsigned long long)missed, (unsigned long long)late, atomic_load(&xruns));
    if (from[0] != NULL) range("capture_latency", from[0], JackCaptureLatency);
    if (to[0] != NULL) range("playback_latency", to[0], JackPlaybackLatency);
    printf("}\n");
    if (locate >= 0) jack_transport_stop(client);
    jack_client_close(client);
    if (record_path != NULL) save(record_path, record, 8, frames);
    if (cycles_path != NULL) save(cycles_path, cycles, CLOCKS * sizeof(uint64_t), cycle_count);
    return 0;
}
