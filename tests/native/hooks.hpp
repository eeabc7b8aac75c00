// Counts calls of functions that allocate, lock, wait or call the system while a thread is `inside`. For one program each:
// including this defines the functions, and the calls of what is linked or loaded end here.
#pragma once

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdint>
#include <cstdlib>

namespace {

thread_local bool inside = false; // this thread is in the callback
constexpr int most_hooks = 64;
struct Hook {
    const char* name;
    std::atomic<uint64_t> calls;
};
Hook hooks[most_hooks];
std::atomic<int> hook_count{0};

int number_of(const char* name) {
    const int number = hook_count.fetch_add(1);
    hooks[number].name = name;
    return number;
}

void seen(int hook) {
    if (inside) hooks[hook].calls.fetch_add(1, std::memory_order_relaxed);
}

} // namespace

// NOLINTBEGIN: the C library's own names and shapes
#define HOOK(result, name, parameters, arguments)                                                  \
    static const int hook_##name = number_of(#name);                                               \
    extern "C" result name parameters {                                                            \
        using Function = result(*) parameters;                                                     \
        static Function real = nullptr;                                                            \
        if (real == nullptr) real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, #name));           \
        seen(hook_##name);                                                                         \
        return real arguments;                                                                     \
    }

// The allocator's own entry: dlsym may allocate, so these go to glibc's names beneath.
extern "C" void* __libc_malloc(size_t);
extern "C" void* __libc_calloc(size_t, size_t);
extern "C" void* __libc_realloc(void*, size_t);
extern "C" void* __libc_memalign(size_t, size_t);
extern "C" void __libc_free(void*);
static const int hook_malloc = number_of("malloc");
static const int hook_calloc = number_of("calloc");
static const int hook_realloc = number_of("realloc");
static const int hook_free = number_of("free");
static const int hook_posix_memalign = number_of("posix_memalign");
static const int hook_aligned_alloc = number_of("aligned_alloc");
extern "C" void* malloc(size_t size) { seen(hook_malloc); return __libc_malloc(size); }
extern "C" void* calloc(size_t count, size_t size) { seen(hook_calloc); return __libc_calloc(count, size); }
extern "C" void* realloc(void* memory, size_t size) { seen(hook_realloc); return __libc_realloc(memory, size); }
extern "C" void free(void* memory) { seen(hook_free); __libc_free(memory); }
extern "C" int posix_memalign(void** memory, size_t alignment, size_t size) {
    seen(hook_posix_memalign);
    *memory = __libc_memalign(alignment, size);
    return *memory == nullptr ? 12 : 0;
}
extern "C" void* aligned_alloc(size_t alignment, size_t size) { seen(hook_aligned_alloc); return __libc_memalign(alignment, size); }

HOOK(int, pthread_mutex_lock, (pthread_mutex_t * m), (m))
HOOK(int, pthread_mutex_trylock, (pthread_mutex_t * m), (m))
HOOK(int, pthread_mutex_unlock, (pthread_mutex_t * m), (m))
HOOK(int, pthread_rwlock_rdlock, (pthread_rwlock_t * m), (m))
HOOK(int, pthread_rwlock_wrlock, (pthread_rwlock_t * m), (m))
HOOK(int, pthread_spin_lock, (pthread_spinlock_t * m), (m))
HOOK(int, pthread_cond_signal, (pthread_cond_t * c), (c))
HOOK(int, pthread_cond_broadcast, (pthread_cond_t * c), (c))
HOOK(int, pthread_cond_wait, (pthread_cond_t * c, pthread_mutex_t* m), (c, m))
HOOK(int, pthread_cond_timedwait, (pthread_cond_t * c, pthread_mutex_t* m, const timespec* t), (c, m, t))
HOOK(int, sem_wait, (sem_t * s), (s))
HOOK(int, sem_post, (sem_t * s), (s))
HOOK(int, nanosleep, (const timespec* t, timespec* r), (t, r))
HOOK(int, clock_nanosleep, (clockid_t c, int f, const timespec* t, timespec* r), (c, f, t, r))
HOOK(int, usleep, (useconds_t t), (t))
HOOK(int, sched_yield, (void), ())
HOOK(int, poll, (pollfd * f, nfds_t n, int t), (f, n, t))
HOOK(ssize_t, read, (int d, void* b, size_t n), (d, b, n))
HOOK(ssize_t, write, (int d, const void* b, size_t n), (d, b, n))
HOOK(int, close, (int d), (d))
HOOK(int, unlink, (const char* p), (p))
HOOK(int, munmap, (void* p, size_t n), (p, n))
HOOK(int, mlock, (const void* p, size_t n), (p, n))
HOOK(int, puts, (const char* s), (s))
HOOK(size_t, fwrite, (const void* p, size_t s, size_t n, FILE* f), (p, s, n, f))
HOOK(void*, dlopen, (const char* p, int f), (p, f))
HOOK(char*, getenv, (const char* n), (n))
// NOLINTEND
