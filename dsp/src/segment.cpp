// Making, checking, mapping and locking the session segment. Control thread only; nothing here is real-time safe.
//
// Locks are OFD locks (F_OFD_SETLK): they belong to the open file, die with the process, and never wait. Byte 0 is the
// writer's, byte 1 the reader's. Whoever holds the writer's byte of the file that the path names is the one engine.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <new>

#include "segment_internal.hpp"

using namespace jackdaw;

namespace {

constexpr uint64_t page = 4096;

struct Layout {
    uint64_t output, input, midi, total;
};

Layout layout_of(uint64_t channels, uint64_t capacity) {
    const uint64_t ring = channels * capacity * sizeof(float);
    const uint64_t midi = (JD_MIDI_CAPACITY * sizeof(jd_midi_event) + page - 1) / page * page;
    return {page, page + ring, page + 2 * ring, page + 2 * ring + midi};
}

bool channels_fit(uint64_t channels, uint64_t capacity) {
    return channels >= 1 && channels <= JD_MAX_CHANNELS && capacity >= JD_MIN_CAPACITY && capacity <= JD_MAX_CAPACITY &&
           (capacity & (capacity - 1)) == 0;
}

uint64_t random_id() {
    uint64_t id = 0;
    if (getrandom(&id, sizeof id, 0) != sizeof id) id = jd_now_ns() ^ (static_cast<uint64_t>(getpid()) << 40U);
    return id | 1U; // never 0, which means "none"
}

struct flock lock_of(int side) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = side;
    lock.l_len = 1;
    return lock;
}

int take_lock(int descriptor, int side) {
    struct flock lock = lock_of(side);
    if (fcntl(descriptor, F_OFD_SETLK, &lock) == 0) return 0;
    return errno == EAGAIN || errno == EACCES ? JD_ERROR_BUSY : JD_ERROR_SYSTEM;
}

// Whether another open file holds the lock (our own does not count: the kernel leaves it out of F_OFD_GETLK).
bool lock_is_held(int descriptor, int side) {
    struct flock lock = lock_of(side);
    return fcntl(descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int close_with(int descriptor, int code) {
    const int kept = errno;
    if (descriptor >= 0) close(descriptor);
    errno = kept;
    return code;
}

// Open what the path names, if it is a private regular file of ours.
int open_file(const char* path, int* descriptor, struct stat* status) {
    *descriptor = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*descriptor < 0) {
        if (errno == ENOENT) return JD_ERROR_MISSING;
        if (errno == ELOOP || errno == EISDIR || errno == ENXIO) return JD_ERROR_NOT_A_FILE;
        return errno == EACCES ? JD_ERROR_OWNER : JD_ERROR_SYSTEM;
    }
    int code = 0;
    if (fstat(*descriptor, status) != 0) code = JD_ERROR_SYSTEM;
    else if (!S_ISREG(status->st_mode)) code = JD_ERROR_NOT_A_FILE;
    else if (status->st_uid != geteuid()) code = JD_ERROR_OWNER;
    else if ((status->st_mode & 07777U) != 0600) code = JD_ERROR_MODE;
    if (code != 0) {
        close_with(*descriptor, code);
        *descriptor = -1;
    }
    return code;
}

bool same_file(const char* path, dev_t device, ino_t inode) {
    struct stat status {};
    return lstat(path, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

int check_file(int descriptor, uint64_t bytes) {
    jd_header header;
    if (bytes < sizeof header) return JD_ERROR_SIZE;
    if (pread(descriptor, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return JD_ERROR_SYSTEM;
    return check_header(header, bytes);
}

// Map a checked file. The descriptor belongs to the segment from here on.
int map_segment(int descriptor, uint64_t bytes, const char* path, int side, jd_segment** result) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0);
    if (memory == MAP_FAILED) return close_with(descriptor, JD_ERROR_SYSTEM);
    mlock(memory, bytes); // best effort: RLIMIT_MEMLOCK may be small, and the pages are in memory already
    auto* segment = new (std::nothrow) jd_segment;
    struct stat status {};
    if (segment == nullptr || fstat(descriptor, &status) != 0) {
        munmap(memory, bytes);
        delete segment;
        return close_with(descriptor, JD_ERROR_SYSTEM);
    }
    auto* base = static_cast<unsigned char*>(memory);
    // Bounds from a second, private check: the header could have changed since the first look.
    jd_header header;
    std::memcpy(&header, base, sizeof header);
    const int code = check_header(header, bytes);
    if (code != 0) {
        munmap(memory, bytes);
        delete segment;
        return close_with(descriptor, code);
    }
    segment->header = reinterpret_cast<jd_header*>(base);
    segment->output = {reinterpret_cast<float*>(base + header.output_offset), header.channels, header.capacity};
    segment->input = {reinterpret_cast<float*>(base + header.input_offset), header.channels, header.capacity};
    segment->midi = reinterpret_cast<jd_midi_event*>(base + header.midi_offset);
    segment->bytes = bytes;
    segment->descriptor = descriptor;
    segment->side = side;
    segment->device = status.st_dev;
    segment->inode = status.st_ino;
    segment->path = path;
    *result = segment;
    return 0;
}

// Make a whole segment under a temporary name, lock it, and give it its name. `over`: take the place of what is there.
int create_segment(const char* path, uint32_t channels, uint32_t capacity, bool over, jd_segment** result) {
    const Layout layout = layout_of(channels, capacity);
    const std::string temporary = std::string(path) + ".new-" + std::to_string(random_id());
    const int descriptor = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0) return JD_ERROR_SYSTEM;
    jd_header header{};
    header.magic = JD_MAGIC;
    header.abi_version = JD_ABI_VERSION;
    header.header_bytes = sizeof header;
    header.total_bytes = layout.total;
    header.channels = channels;
    header.capacity = capacity;
    header.output_offset = layout.output;
    header.input_offset = layout.input;
    header.midi_offset = layout.midi;
    header.creation_id = random_id();
    header.low_water = ~0ULL;
    int code = JD_ERROR_SYSTEM;
    const int short_of_space = posix_fallocate(descriptor, 0, static_cast<off_t>(layout.total));
    if (short_of_space != 0) errno = short_of_space;
    else if (fchmod(descriptor, 0600) == 0 && // whatever the umask took away
             pwrite(descriptor, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header))
        code = take_lock(descriptor, JD_SIDE_WRITER);
    if (code == 0 && renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path, over ? 0 : RENAME_NOREPLACE) != 0)
        code = errno == EEXIST ? JD_ERROR_RACE : errno == EISDIR ? JD_ERROR_NOT_A_FILE : JD_ERROR_SYSTEM;
    if (code != 0) {
        const int kept = errno;
        unlink(temporary.c_str());
        errno = kept;
        return close_with(descriptor, code);
    }
    return map_segment(descriptor, layout.total, path, JD_SIDE_WRITER, result);
}

// Private copies of the writer's cursors, and a new epoch: nothing that a dead engine left is played or heard.
void begin_writing(jd_segment* segment) {
    jd_header* header = segment->header;
    const uint64_t out_read = load_acquire(&header->out_read);
    segment->out_write = load_acquire(&header->out_write);
    if (segment->out_write - out_read > segment->output.capacity) {
        segment->out_write = out_read;
        add(&header->writer_resyncs, 1);
    }
    segment->in_read = load_acquire(&header->in_write);
    segment->midi_read = load_acquire(&header->midi_write);
    store_relaxed(&header->flags_writer, uint64_t{0});
    store_relaxed(&header->ring_rate, uint64_t{0});
    store_relaxed(&header->out_target, uint64_t{0});
    store_relaxed(&header->out_limit, uint64_t{0});
    store_relaxed(&header->writer_pid, static_cast<uint64_t>(getpid()));
    store_relaxed(&header->writer_heartbeat_ns, jd_now_ns());
    store_release(&header->in_read, segment->in_read);
    store_release(&header->midi_read, segment->midi_read);
    store_release(&header->out_write, segment->out_write);
    const jd_told none = {};
    jd_writer_tell(segment, &none);
    jd_writer_reset(segment);
    store_release(&header->writer_instance, random_id());
}

// One try of jd_segment_open; JD_ERROR_RACE if the file was exchanged under our hands.
int open_once(const char* path, uint32_t channels, uint32_t capacity, jd_segment** segment) {
    int descriptor = -1;
    struct stat status {};
    int code = open_file(path, &descriptor, &status);
    if (code == JD_ERROR_MISSING) return create_segment(path, channels, capacity, false, segment);
    if (code == JD_ERROR_NOT_A_FILE || code == JD_ERROR_MODE) {
        struct stat link {};
        if (lstat(path, &link) == 0 && link.st_uid != geteuid()) return JD_ERROR_OWNER;
        return create_segment(path, channels, capacity, true, segment);
    }
    if (code != 0) return code;
    code = take_lock(descriptor, JD_SIDE_WRITER); // also of an invalid file: two engines never replace it at once
    if (code != 0) return close_with(descriptor, code);
    if (!same_file(path, status.st_dev, status.st_ino)) return close_with(descriptor, JD_ERROR_RACE);
    const auto bytes = static_cast<uint64_t>(status.st_size);
    jd_header header;
    const bool valid = check_file(descriptor, bytes) == 0 &&
                       pread(descriptor, &header, sizeof header, 0) == static_cast<ssize_t>(sizeof header) &&
                       header.channels == channels && header.capacity == capacity;
    if (valid) return map_segment(descriptor, bytes, path, JD_SIDE_WRITER, segment);
    code = create_segment(path, channels, capacity, true, segment);
    return close_with(descriptor, code);
}

} // namespace

int jackdaw::check_header(const jd_header& header, uint64_t bytes) noexcept {
    if (header.magic != JD_MAGIC) return JD_ERROR_MAGIC;
    if (header.abi_version != JD_ABI_VERSION || header.header_bytes != sizeof(jd_header)) return JD_ERROR_ABI;
    if (!channels_fit(header.channels, header.capacity)) return JD_ERROR_LAYOUT;
    const Layout layout = layout_of(header.channels, header.capacity);
    if (header.output_offset != layout.output || header.input_offset != layout.input ||
        header.midi_offset != layout.midi)
        return JD_ERROR_LAYOUT;
    return header.total_bytes == layout.total && bytes == layout.total ? 0 : JD_ERROR_SIZE;
}

int jd_segment_open(const char* path, uint32_t channels, uint32_t capacity, jd_segment** segment) {
    if (path == nullptr || segment == nullptr || !channels_fit(channels, capacity)) return JD_ERROR_ARGUMENT;
    int code = JD_ERROR_RACE;
    for (int attempt = 0; attempt < 10 && code == JD_ERROR_RACE; ++attempt)
        code = open_once(path, channels, capacity, segment);
    if (code == 0) begin_writing(*segment);
    return code;
}

int jd_segment_attach(const char* path, jd_segment** segment) {
    if (path == nullptr || segment == nullptr) return JD_ERROR_ARGUMENT;
    int descriptor = -1;
    struct stat status {};
    int code = open_file(path, &descriptor, &status);
    if (code != 0) return code;
    const auto bytes = static_cast<uint64_t>(status.st_size);
    code = check_file(descriptor, bytes);
    if (code == 0) code = take_lock(descriptor, JD_SIDE_READER);
    if (code == 0 && !same_file(path, status.st_dev, status.st_ino)) code = JD_ERROR_RACE;
    if (code != 0) return close_with(descriptor, code);
    code = map_segment(descriptor, bytes, path, JD_SIDE_READER, segment);
    if (code != 0) return code;
    jd_header* header = (*segment)->header;
    store_relaxed(&header->reader_pid, static_cast<uint64_t>(getpid()));
    store_relaxed(&header->reader_heartbeat_ns, jd_now_ns());
    store_release(&header->reader_instance, random_id());
    return 0;
}

void jd_segment_close(jd_segment* segment) {
    if (segment == nullptr) return;
    const int other = segment->side == JD_SIDE_WRITER ? JD_SIDE_READER : JD_SIDE_WRITER;
    if (segment->side == JD_SIDE_READER) {
        store_relaxed(&segment->header->reader_rate, uint64_t{0});
    } else {
        store_relaxed(&segment->header->flags_writer, uint64_t{1});
    }
    if (!lock_is_held(segment->descriptor, other) && !jd_segment_replaced(segment)) unlink(segment->path.c_str());
    munmap(segment->header, segment->bytes);
    close(segment->descriptor);
    delete segment;
}

int jd_segment_alive(const jd_segment* segment, int side) {
    return side == segment->side || lock_is_held(segment->descriptor, side) ? 1 : 0;
}

int jd_segment_replaced(const jd_segment* segment) {
    return same_file(segment->path.c_str(), segment->device, segment->inode) ? 0 : 1;
}

jd_header* jd_segment_header(jd_segment* segment) { return segment->header; }

const char* jd_error_text(int code) {
    switch (code) {
        case 0: return "no error";
        case JD_ERROR_SYSTEM: return "a system call failed";
        case JD_ERROR_MISSING: return "there is no such segment: start the engine first";
        case JD_ERROR_BUSY: return "it is in use by a living process: stop that one, or choose another session name";
        case JD_ERROR_NOT_A_FILE: return "it is not a regular file: remove it";
        case JD_ERROR_OWNER: return "it belongs to another user: remove it, or choose another session name";
        case JD_ERROR_MODE: return "other users may read or write it (its mode is not 0600): remove it";
        case JD_ERROR_SIZE: return "it is truncated or has trailing bytes: remove it and restart the engine";
        case JD_ERROR_MAGIC: return "it is not a session segment: remove it";
        case JD_ERROR_ABI: return "it was made by another version: restart the engine and the client with one version";
        case JD_ERROR_LAYOUT: return "its layout is out of bounds: remove it and restart the engine";
        case JD_ERROR_ARGUMENT: return "an argument is out of range";
        case JD_ERROR_RACE: return "it was exchanged meanwhile: try again";
        default: return "unknown error";
    }
}
