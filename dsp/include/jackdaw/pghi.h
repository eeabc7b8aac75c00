/* Phase from magnitudes, frame by frame: real-time phase gradient heap integration (RTPGHI), and the phases of a stereo pair
 * from the phase of its mid channel.
 *
 * Frames are real FFTs of length `fft` (bins = fft / 2 + 1) of a signal under a periodic Hann window of the same length, one
 * every `hop` samples; phases are those that a real FFT of the windowed frame gives (time zero = first sample of the frame).
 * The phase of frame j depends on the magnitudes of frames 0..j only: no look-ahead.
 *
 * All memory is the caller's: the state is read and written by jd_pghi_step alone, the workspace holds nothing between calls.
 * Every function here is real-time safe (no allocation, no lock, no system call, bounded time), keeps no global state, and
 * gives equal bytes for equal arguments; frames may be split over calls in any way.
 */
#ifndef JACKDAW_PGHI_H
#define JACKDAW_PGHI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct jd_pghi_config {
    uint32_t bins;            /* fft / 2 + 1, at least 3 */
    uint32_t fft;             /* window and FFT length in samples, even */
    uint32_t hop;             /* samples between frames, 1..fft */
    uint32_t turns;           /* lowest bins whose turns or phases are told, 0..bins */
    float tolerance;          /* bins this far below the peak of two frames (ratio, 0..1) get a random phase */
    uint64_t seed;            /* of the random phases */
} jd_pghi_config;

/* Floats of stream state, and bytes of workspace (8-byte aligned), for `bins` bins. A new stream's state is all zeros. */
uint32_t jd_pghi_state_floats(uint32_t bins);
uint32_t jd_pghi_workspace_bytes(uint32_t bins);

/* Phases of `frames` frames.
 *
 *   magnitude   [frames][bins], finite and >= 0
 *   turn        [frames][turns]: by how much the phase turns from the frame before to this one beyond the 2 pi k hop / fft of
 *               bin k itself, radians, -2 pi..2 pi. Magnitudes tell that of partials that lie more than a few bins apart.
 *   told        [frames][turns]: the phases of these bins themselves, radians, -2 pi..2 pi; or NULL. If given, `turn` is not read.
 *   first       index of the first frame in the stream (random phases are a hash of seed, frame and bin)
 *   state       jd_pghi_state_floats(bins) floats, updated
 *   phase       [frames][bins], radians, -pi..pi, written
 *
 * Returns the number of frames done: fewer than `frames` if the next one has a negative or non-finite magnitude or a turn or a told
 * phase out of range (then nothing of that frame is written and the state is as before it), or -1 if the configuration is out of range. */
int64_t jd_pghi_step(const jd_pghi_config *config, uint32_t frames, const float *magnitude, const float *turn,
                     const float *told, uint64_t first, float *state, float *phase, void *workspace);

/* Spectra of left and right from the magnitudes of left, right and mid = (left + right) / 2 and the phase of mid, by the
 * cosine rule: L, R and 2M are the sides of a triangle. Magnitudes of L and R are kept exactly; where no triangle has those
 * sides, they are turned towards M or against it, as near as can be. `count` bins in all; spectra interleaved (real, imaginary).
 * Left is turned ahead of mid and right behind it in every bin: magnitudes cannot tell which, and one sign throughout keeps
 * neighbouring bins and frames coherent. */
void jd_stereo_spectra(uint64_t count, const float *left, const float *right, const float *mid, const float *mid_phase,
                       float *left_spectrum, float *right_spectrum);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
