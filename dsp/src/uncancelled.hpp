// libjack cancels its threads when a client closes, at any instruction (asynchronously). A cancelled thread is unwound, and
// that ends the process if it meets a noexcept function or a destructor on its way. So every callback shuts cancellation
// out for as long as it runs; what is pending then happens when it is let in again, in a frame that may be unwound.
//
// No guard object: its destructor would be such a noexcept frame. Any thread, RT-safe (no system call).
#pragma once

#include <pthread.h>

namespace jackdaw {

template <class Work>
inline void uncancelled(const Work& work) { // not noexcept
    int before = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    work();
    pthread_setcancelstate(before, nullptr);
}

} // namespace jackdaw
