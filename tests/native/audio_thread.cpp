// Runs the JACK callback with everything that may happen to it, and watches what it does meanwhile.
//
//   audio_thread hooks BLOCKS         counts calls of the functions below from inside the callback; exit 1 if there are any
//   audio_thread hooks BLOCKS NAME    the same with one call of NAME planted in the callback
//   audio_thread trace BLOCKS [NAME]  for strace: the audio thread writes BEGIN and END to descriptor -1 around its work
//   audio_thread names                what can be planted
//
// The functions are interposed: this program defines them, and the shared library's calls end here.

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include <jackdaw/session.h>
#include <jackdaw/timebase.h>

#include "hooks.hpp"
#include "segments.hpp"

namespace {

// ---- one call of each hooked function, harmless, to prove that its hook can fail -------------------------------------

struct Plant {
    const char* name;
    void (*call)();
};
void* volatile sink;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
pthread_spinlock_t spin;
sem_t semaphore;
constexpr timespec brief = {0, 1};

template <class T>
void use(T value) { sink = reinterpret_cast<void*>(static_cast<intptr_t>(value)); }

const Plant plants[] = {
    {"malloc", [] { sink = malloc(8); }},
    {"calloc", [] { sink = calloc(1, 8); }},
    {"realloc", [] { sink = realloc(nullptr, 8); }},
    {"free", [] { free(nullptr); }},
    {"posix_memalign", [] { void* p = nullptr; use(posix_memalign(&p, 64, 64)); }},
    {"aligned_alloc", [] { sink = aligned_alloc(64, 64); }},
    {"pthread_mutex_lock", [] { pthread_mutex_lock(&mutex); }},
    {"pthread_mutex_trylock", [] { use(pthread_mutex_trylock(&mutex)); }},
    {"pthread_mutex_unlock", [] { pthread_mutex_unlock(&mutex); }},
    {"pthread_rwlock_rdlock", [] { pthread_rwlock_rdlock(&rwlock); }},
    {"pthread_rwlock_wrlock", [] { pthread_rwlock_wrlock(&rwlock); }},
    {"pthread_spin_lock", [] { pthread_spin_lock(&spin); }},
    {"pthread_cond_signal", [] { pthread_cond_signal(&condition); }},
    {"pthread_cond_broadcast", [] { pthread_cond_broadcast(&condition); }},
    {"pthread_cond_wait", [] { pthread_mutex_lock(&mutex); pthread_cond_wait(&condition, &mutex); }},
    {"pthread_cond_timedwait", [] { pthread_cond_timedwait(&condition, &mutex, &brief); }},
    {"sem_wait", [] { sem_wait(&semaphore); }},
    {"sem_post", [] { sem_post(&semaphore); }},
    {"nanosleep", [] { nanosleep(&brief, nullptr); }},
    {"clock_nanosleep", [] { clock_nanosleep(CLOCK_MONOTONIC, 0, &brief, nullptr); }},
    {"usleep", [] { usleep(1); }},
    {"sched_yield", [] { sched_yield(); }},
    {"poll", [] { poll(nullptr, 0, 0); }},
    {"read", [] { char c; use(read(-1, &c, 1)); }},
    {"write", [] { use(write(-1, "", 0)); }},
    {"close", [] { close(-1); }},
    {"unlink", [] { unlink(""); }},
    {"munmap", [] { munmap(nullptr, 0); }},
    {"mlock", [] { mlock(&mutex, 0); }},
    {"puts", [] { puts("planted"); }},
    {"fwrite", [] { use(fwrite("", 0, 0, stdout)); }},
    {"dlopen", [] { sink = dlopen(nullptr, RTLD_NOW); }},
    {"getenv", [] { sink = getenv("HOME"); }},
    {"syscall", [] { use(syscall(SYS_getppid)); }}, // for the trace only
};

void (*planted)() = nullptr;

// ---- a JACK server of cardboard ------------------------------------------------------------------------------------

constexpr uint32_t most_frames = 8192;
float ports[5][most_frames];
uint8_t note[3] = {0x90, 60, 100};
struct MidiEvent {
    uint32_t time;
    size_t size;
    const uint8_t* buffer;
};
uint32_t block_frames = 64;

void* port_get_buffer(void* port, uint32_t) {
    if (planted != nullptr) {
        void (*call)() = planted;
        planted = nullptr;
        call();
    }
    return port;
}
uint32_t midi_get_event_count(void*) { return block_frames % 5; }
int midi_event_get(void* event, void*, uint32_t index) {
    *static_cast<MidiEvent*>(event) = {index % block_frames, index == 3 ? size_t{20} : size_t{3}, note};
    return 0;
}

// A transport that rolls, stops and leaps; its struct is filled in by the timebase under test.
alignas(8) uint8_t position[512];
int rolling = 1;
int transport_query(const void*, void* told) {
    std::memcpy(told, position, 72); // up to the tempo: the rest of the struct is not looked at
    return rolling;
}

// ---- everything that may happen ------------------------------------------------------------------------------------

void engine(jd_segment* segment, const std::vector<float>& music) {
    const uint64_t fill = jd_writer_fill(segment);
    const uint32_t way = dice(1000);
    if (way < 990 && fill < 6000) jd_writer_write(segment, music.data(), 2000);
    if (way == 990) jd_writer_reset(segment);
    if (way == 991 && fill < 10000) // a burst beyond the limit
        for (int i = 0; i < 6; ++i) jd_writer_write(segment, music.data(), 2000);
    if (dice(100) == 0) jd_writer_skip_input(segment, 100000); // now and then too late
    jd_midi_event events[8];
    jd_writer_read_midi(segment, events, 8);
}

void happen(jd_client* client, jd_segment* const* segments) {
    switch (dice(400)) {
        case 0: jd_client_arm(client, dice(3) != 0); break;
        case 1: jd_client_set_volume(client, static_cast<float>(dice(100)) / 50.0F); break;
        case 2: jd_client_request_stop(client, dice(3) == 0); break;
        case 3: jd_client_engine_gone(client, jd_segment_header(segments[0])->writer_instance); break;
        case 4: jd_client_engine_gone(client, 0); break;
        case 5: jd_client_set_rate(client, dice(2) == 0 ? 48000 : 44100); break;
        case 6: jd_jack_xrun(client); break;
        case 7: jd_store(&jd_segment_header(segments[dice(2)])->out_write, dice(1U << 30U)); break;
        case 8: jd_store(&jd_segment_header(segments[dice(2)])->flags_writer, dice(2)); break;
        default: break;
    }
}

} // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::strcmp(argv[1], "names") == 0) {
        for (int i = 0; i < hook_count; ++i) std::printf("%s\n", hooks[i].name);
        return 0;
    }
    if (argc < 3) return 2;
    const bool trace = std::strcmp(argv[1], "trace") == 0;
    const uint64_t blocks = std::strtoull(argv[2], nullptr, 10);
    void (*to_plant)() = nullptr;
    for (const Plant& plant : plants)
        if (argc > 3 && std::strcmp(plant.name, argv[3]) == 0) to_plant = plant.call;
    if (argc > 3 && to_plant == nullptr) return 2;
    pthread_spin_init(&spin, 0);
    sem_init(&semaphore, 0, 1);

    jd_segment* segments[2];
    if (!open_segments("audio-thread", segments)) return 2;
    const std::vector<float> music = some_music();
    jd_client* client = jd_client_new();
    jd_tap* tap = jd_tap_new(65536);
    jd_client_set_tap(client, tap);
    jd_jack_api jack{};
    jack.port_get_buffer = port_get_buffer;
    jack.midi_get_event_count = midi_get_event_count;
    jack.midi_event_get = midi_event_get;
    jack.transport_query = transport_query;
    for (int c = 0; c < 2; ++c) {
        jack.audio_in[c] = ports[c];
        jack.audio_out[c] = ports[2 + c];
    }
    jack.midi_in = note;
    jack.click = ports[4];
    jd_timebase* timebase = jd_timebase_new(120.0, 4);
    jd_jack_bind(client, &jack);
    jd_client_arm(client, 1);

    std::atomic<bool> ready{false};
    std::atomic<bool> done{false};
    std::thread audio([&] {
        float* recorded = static_cast<float*>(std::calloc(JD_TAP_CHANNELS * most_frames, sizeof(float)));
        ready = true;
        for (uint64_t block = 0; block < blocks; ++block) {
            for (jd_segment* segment : segments) engine(segment, music);
            happen(client, segments);
            block_frames = dice(50) == 0 ? 1 + dice(most_frames) : 1 + dice(256);
            if (block == blocks / 2) planted = to_plant;
            if (trace) (void)!write(-1, "BEGIN", 5);
            if (dice(20) == 0) {
                const jd_beat beat = {30.0 + dice(270), dice(5) - 1.0, 2 + dice(10), dice(2) == 0 ? 0 : jd_now_ns()};
                jd_timebase_tell(timebase, &beat);
            }
            const bool leaps = dice(100) == 0;
            const uint32_t rate = 48000;
            uint32_t at = 0;
            std::memcpy(&at, position + 20, 4);
            at = leaps ? dice(1U << 20U) : at + block_frames;
            std::memcpy(position + 16, &rate, 4);
            std::memcpy(position + 20, &at, 4);
            rolling = dice(10) != 0;
            inside = true;
            jd_jack_process(block_frames, client);
            jd_timebase_callback(rolling, block_frames, position, leaps ? 1 : 0, timebase);
            inside = false;
            if (trace) (void)!write(-1, "END", 3);
            uint64_t gap = 0;
            if (dice(16) != 0) jd_tap_read(tap, recorded, most_frames, &gap);
        }
        std::free(recorded);
        done = true;
    });
    while (!ready) usleep(100);
    uint64_t handovers = 0;
    while (!done) { // hand-overs come from another thread, as they do in life
        if (jd_client_set_segment(client, handovers % 7 == 0 ? nullptr : segments[handovers % 2]) != 0) break;
        ++handovers;
        pthread_cond_broadcast(&condition); // wakes a planted wait
        usleep(trace ? 1000 : 100);
    }
    audio.join();
    jd_client_set_segment(client, nullptr);

    uint64_t underruns = 0, dropped = 0, overruns = 0, fades = 0, resyncs = 0;
    for (jd_segment* segment : segments) {
        const jd_header* header = jd_segment_header(segment);
        underruns += header->underruns;
        dropped += header->dropped_frames;
        overruns += header->overruns;
        fades += header->fades;
        resyncs += header->reader_resyncs;
    }
    std::printf("{\"blocks\": %llu, \"handovers\": %llu, \"underruns\": %llu, \"dropped\": %llu, \"overruns\": %llu, "
                "\"fades\": %llu, \"resyncs\": %llu, \"calls\": {",
                static_cast<unsigned long long>(blocks), static_cast<unsigned long long>(handovers),
                static_cast<unsigned long long>(underruns), static_cast<unsigned long long>(dropped),
                static_cast<unsigned long long>(overruns), static_cast<unsigned long long>(fades),
                static_cast<unsigned long long>(resyncs));
    bool any = false;
    for (int i = 0; i < hook_count; ++i) {
        if (hooks[i].calls == 0) continue;
        std::printf("%s\"%s\": %llu", any ? ", " : "", hooks[i].name, static_cast<unsigned long long>(hooks[i].calls));
        any = true;
    }
    std::printf("}}\n");
    jd_client_free(client);
    jd_tap_free(tap);
    jd_timebase_free(timebase);
    for (jd_segment* segment : segments) jd_segment_close(segment);
    return any ? 1 : 0;
}
