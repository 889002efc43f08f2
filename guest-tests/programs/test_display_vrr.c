// SPDX-License-Identifier: GPL-2.0
/*
 * Variable refresh, in KTAP: with it a frame ends when a flip comes, between the mode's rate and the slowest one that the monitor's
 * EDID allows; without it every frame is the mode's. The scenario's monitor takes 40 to 60 Hz.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "display.h"
#include "display_commit.h"
#include "display_picture.h"
#include "ktap.h"
#include "life.h"

#define PICTURES 2
#define TIMEOUT_MS 5000
#define SLOWEST_HZ 40
#define FLIPS 10
/* Two readings of two clocks, and a time in microseconds. */
#define CLOCKS_NS 5000
/* A commit's way through the kernel. */
#define COMMIT_NS 1000000

static struct display display;
static struct display_fb fbs[PICTURES];
static uint32_t crcs[PICTURES];
/* The newest flip, and how many there were. */
static struct display_flip last;
static unsigned int flips;

/* Lengths in nanoseconds. */
static uint64_t lines_ns(uint64_t lines)
{
	return display.mode.htotal * 1000000ull * lines / display.mode.clock;
}

static uint64_t frame_ns(void)
{
	return lines_ns(display.mode.vtotal);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec at = { ns / 1000000000, ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

/* Flips that long after the last flip was shown; returns when it asked for it, or 0. */
static uint64_t flip_after(uint64_t gap_ns, struct display_flip *flip)
{
	uint64_t asked;

	sleep_until(last.time_ns + gap_ns);
	asked = now_ns();
	flips++;
	if (display_flip(&display, fbs[flips % PICTURES].fb, -1, NULL, flips) ||
	    display_wait_flip(&display, TIMEOUT_MS, flip))
		return 0;
	return asked;
}

/*
 * Flips with these gaps: each is shown at once, but not sooner than the mode's frame after the one before, as the next vertical
 * blank.
 */
static bool follows(const uint32_t *gaps_us, unsigned int count)
{
	bool good = true;

	for (unsigned int i = 0; i < count; i++) {
		struct display_flip flip = { 0 };
		uint64_t asked = flip_after(gaps_us[i] * 1000ull, &flip), soonest = last.time_ns + frame_ns();
		uint64_t due = asked > soonest ? asked : soonest;
		uint64_t slack = asked + COMMIT_NS > soonest ? COMMIT_NS : CLOCKS_NS;

		if (!asked || flip.time_ns + CLOCKS_NS < due || flip.time_ns > due + slack ||
		    flip.sequence != last.sequence + 1) {
			ktap_note("gap %u us: asked at %llu, shown at %llu, due at %llu, %d vertical blanks", gaps_us[i],
				  (unsigned long long)asked, (unsigned long long)flip.time_ns, (unsigned long long)due,
				  (int)(flip.sequence - last.sequence));
			good = false;
		}
		last = flip;
	}
	return good;
}

/* Flips with equal gaps. */
static bool follows_each(uint32_t gap_us)
{
	uint32_t gaps_us[FLIPS];

	for (int i = 0; i < FLIPS; i++)
		gaps_us[i] = gap_us;
	return follows(gaps_us, FLIPS);
}

/* Flips with gaps between one and two frames: each waits for a vertical blank of the mode, the second after the one before. */
static bool is_fixed(uint32_t gap_us)
{
	bool good = true;

	for (int i = 0; i < FLIPS; i++) {
		struct display_flip flip = { 0 };
		uint64_t asked = flip_after(gap_us * 1000ull, &flip);
		int64_t off = flip.time_ns - last.time_ns - 2 * frame_ns();

		if (!asked || llabs(off) > CLOCKS_NS || flip.sequence != last.sequence + 2) {
			ktap_note("%lld ns off, %d vertical blanks", (long long)off, (int)(flip.sequence - last.sequence));
			good = false;
		}
		last = flip;
	}
	return good;
}

/* Each frame since this flip was begun by one, and has that one's picture. */
static bool has_pictures(int list, uint32_t from, unsigned int first_flip)
{
	unsigned int frame = 0, seen = 0, wrong = 0, shown = first_flip;
	uint32_t crc;

	while (frame != last.sequence && display_next_crc(list, &frame, &crc)) {
		if ((int32_t)(frame - from) < 0)
			continue;
		shown = first_flip + (frame - from);
		wrong += crc != crcs[shown % PICTURES];
		seen++;
	}
	if (wrong)
		ktap_note("%u of %u frames have another picture", wrong, seen);
	return !wrong && seen > FLIPS && shown == flips;
}

static int set_vrr(bool on)
{
	uint32_t id = display_property(display.fd, display.crtc, DRM_MODE_OBJECT_CRTC, "VRR_ENABLED", NULL);
	struct display_change c = { 0 };

	display_add(&c, display.crtc, id, on);
	return id ? display_commit(&display, &c, 0, 0) : -ENOENT;
}

static int look(struct drm_crtc_get_sequence *get)
{
	memset(get, 0, sizeof(*get));
	get->crtc_id = display.crtc;
	return display_ioctl(display.fd, DRM_IOCTL_CRTC_GET_SEQUENCE, get);
}

/* Shows the same for a while; the length of a frame meanwhile. */
static uint64_t stall(void)
{
	struct drm_crtc_get_sequence from, to;

	/* The frame of the last flip may have been another one. */
	if (display_wait_vblank(&display, NULL) || look(&from))
		return 0;
	usleep(400000);
	if (look(&to) || to.sequence == from.sequence)
		return 0;
	ktap_note("%llu frames in %lld ns", to.sequence - from.sequence, (long long)(to.sequence_ns - from.sequence_ns));
	return (to.sequence_ns - from.sequence_ns) / (to.sequence - from.sequence);
}

/* Gets a first time to count from. */
static void flip_first(void)
{
	struct display_flip flip = { 0 };

	last.time_ns = now_ns();
	if (flip_after(0, &flip))
		last = flip;
}

static void test_variable(void)
{
	static const uint32_t irregular_us[] = { 17000, 24000, 19500, 22000, 16700, 23900, 1000, 20500 };
	uint64_t slowest_ns = 1000000000 / SLOWEST_HZ, length;
	unsigned int first_flip;
	uint32_t from;
	int list;

	ktap_result(!set_vrr(true), "variable refresh is switched on");
	flip_first();
	list = display_open_crcs(&display);
	flip_first();
	from = last.sequence;
	first_flip = flips;
	ktap_result(follows_each(20000), "flips fifty times a second are shown when they come");
	ktap_result(follows_each(18182), "flips 55 times a second are");
	ktap_result(follows(irregular_us, sizeof(irregular_us) / sizeof(irregular_us[0])), "flips at irregular times are");
	ktap_result(follows_each(1000), "flips that come too soon are shown at the mode's rate");
	ktap_result(has_pictures(list, from, first_flip), "each frame has the picture of its flip");
	close(list);
	length = stall();
	ktap_result(length <= slowest_ns && length + lines_ns(1) + 1000 >= slowest_ns,
		    "without flips the rate is the monitor's slowest");
	flip_first();
	ktap_result(follows_each(21000), "afterwards flips are shown when they come");
}

/* A mode that is slower than the monitor's range is not made slower still. */
static void test_slow_mode(void)
{
	struct drm_mode_modeinfo mode = display.mode;
	int64_t off;
	int ret;

	mode.clock = mode.htotal * mode.vtotal * 30 / 1000;
	ret = display_use_mode(&display, &mode);
	if (!ret)
		ret = display_modeset(&display, fbs[0].fb);
	if (!ret)
		ret = set_vrr(true);
	off = ret ? -1 : (int64_t)stall() - (int64_t)frame_ns();
	ktap_result(!ret && llabs(off) <= CLOCKS_NS, "a mode below the monitor's range keeps its rate (%d, %lld ns)", ret,
		    (long long)off);
}

int main(void)
{
	uint64_t capable = 0;
	int ret;

	ktap_plan(15);
	life_complaints();
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret && display_make_pictures(&display, fbs, crcs, PICTURES), "the display opens (%d)", ret))
		return ktap_finish();
	ret = display_modeset(&display, fbs[0].fb);
	display_property(display.fd, display.connector, DRM_MODE_OBJECT_CONNECTOR, "vrr_capable", &capable);
	ktap_result(!ret && capable == 1, "the monitor is said to be capable (%d)", ret);
	flip_first();
	ktap_result(is_fixed(20000), "without it, flips wait for the mode's vertical blanks");
	test_variable();
	ret = set_vrr(false);
	flip_first();
	ktap_result(!ret && is_fixed(20000), "switched off again, flips wait for the mode's vertical blanks (%d)", ret);
	ktap_result(llabs((int64_t)stall() - (int64_t)frame_ns()) <= CLOCKS_NS, "and the rate is the mode's");
	test_slow_mode();
	display_close(&display);
	ktap_result(!life_complaints(), "the kernel has not complained");
	return ktap_finish();
}
