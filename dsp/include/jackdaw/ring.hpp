// Access to the shared rings and fields, for C++: ordered loads and stores, and block copies that wrap round.
//
// The fields of jd_header are plain integers, because the struct is C; every access to one goes through these functions.
// All of them: any thread, RT-safe.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include <jackdaw/segment.h>

namespace jackdaw {

template <class T>
inline T load_acquire(const T* field) noexcept {
    T value;
    __atomic_load(field, &value, __ATOMIC_ACQUIRE);
    return value;
}

template <class T>
inline T load_relaxed(const T* field) noexcept {
    T value;
    __atomic_load(field, &value, __ATOMIC_RELAXED);
    return value;
}

template <class T>
inline void store_release(T* field, T value) noexcept {
    __atomic_store(field, &value, __ATOMIC_RELEASE);
}

template <class T>
inline void store_relaxed(T* field, T value) noexcept {
    __atomic_store(field, &value, __ATOMIC_RELAXED);
}

// For counters with one owner: no locked instruction needed.
inline void add(uint64_t* counter, uint64_t count) noexcept {
    store_relaxed(counter, load_relaxed(counter) + count);
}

// A sample that cannot be music (not a number, infinite, or above +36 dBFS) becomes silence.
inline float sane(float sample) noexcept { return std::fabs(sample) <= 64.0F ? sample : 0.0F; }

// Planar float ring: channel c begins at samples + c * capacity. The bounds live here, in private memory, and not in the
// shared header: nothing that another process stores can move an access out of the ring.
struct Ring {
    float* samples = nullptr;
    uint32_t channels = 0;
    uint32_t capacity = 0; // a power of two

    // Copy frames [cursor, cursor + count) of one channel out of the ring; count <= capacity.
    void read(uint32_t channel, uint64_t cursor, float* to, uint32_t count) const noexcept {
        const float* from = samples + static_cast<size_t>(channel) * capacity;
        const uint32_t at = static_cast<uint32_t>(cursor & (capacity - 1));
        const uint32_t first = count < capacity - at ? count : capacity - at;
        std::memcpy(to, from + at, first * sizeof(float));
        std::memcpy(to + first, from, (count - first) * sizeof(float));
    }

    // Copy in, silencing what cannot be music.
    void write(uint32_t channel, uint64_t cursor, const float* from, uint32_t count) const noexcept {
        float* to = samples + static_cast<size_t>(channel) * capacity;
        const uint32_t at = static_cast<uint32_t>(cursor & (capacity - 1));
        const uint32_t first = count < capacity - at ? count : capacity - at;
        for (uint32_t i = 0; i < first; ++i) to[at + i] = sane(from[i]);
        for (uint32_t i = first; i < count; ++i) to[i - first] = sane(from[i]);
    }

    void clear(uint32_t channel, uint64_t cursor, uint32_t count) const noexcept {
        float* to = samples + static_cast<size_t>(channel) * capacity;
        const uint32_t at = static_cast<uint32_t>(cursor & (capacity - 1));
        const uint32_t first = count < capacity - at ? count : capacity - at;
        std::memset(to + at, 0, first * sizeof(float));
        std::memset(to, 0, (count - first) * sizeof(float));
    }
};

// Sequence counter without fences: the release on each field keeps the odd counter before it, the acquire on each load
// keeps the second look at the counter after it.
inline void sequence_begin(uint64_t* sequence) noexcept {
    store_relaxed(sequence, load_relaxed(sequence) | 1U);
}

inline void sequence_end(uint64_t* sequence) noexcept {
    store_release(sequence, (load_relaxed(sequence) | 1U) + 1U);
}

} // namespace jackdaw
