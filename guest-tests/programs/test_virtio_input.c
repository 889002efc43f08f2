// SPDX-License-Identifier: GPL-2.0
/*
 * The stock drivers virtio_input and evdev on a virtio-keyboard and a virtio-tablet, in KTAP: what they say of themselves, and the
 * events that the host brings in (guest-tests/scenarios/virtio-input.toml).
 */
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ktap.h"

#define MARK_PORT 0xf8
#define MARK 1
#define DEVICES 16
/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 10000

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct expected {
	int type, code, value;
};

static const struct expected keys[] = {
	{ EV_KEY, KEY_LEFTSHIFT, 1 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, KEY_A, 1 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, KEY_A, 0 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, KEY_LEFTSHIFT, 0 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, KEY_MICMUTE, 1 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, KEY_MICMUTE, 0 }, { EV_SYN, SYN_REPORT, 0 },
};

static const struct expected moves[] = {
	{ EV_ABS, ABS_X, 16384 }, { EV_ABS, ABS_Y, 32767 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, BTN_LEFT, 1 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_ABS, ABS_X, 1 }, { EV_ABS, ABS_Y, 2 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_KEY, BTN_LEFT, 0 }, { EV_SYN, SYN_REPORT, 0 },
	{ EV_REL, REL_WHEEL, -2 }, { EV_SYN, SYN_REPORT, 0 },
};

/* The device of this name; -1 if there is none. */
static int open_named(const char *wanted)
{
	for (int n = 0; n < DEVICES; n++) {
		char path[32], name[64] = "";
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, EVIOCGNAME(sizeof(name)), name) >= 0 && strcmp(name, wanted) == 0)
			return fd;
		close(fd);
	}
	return -1;
}

/* Whether a device has exactly these codes of a type, from first to last and those between but except. */
static bool has_codes(int fd, int type, int first, int last, int except)
{
	unsigned char bits[KEY_CNT / 8] = { 0 };

	if (ioctl(fd, EVIOCGBIT(type, sizeof(bits)), bits) < 0)
		return false;
	for (int code = 0; code < KEY_CNT; code++) {
		bool has = bits[code / 8] >> (code % 8) & 1;

		if (has != (code >= first && code <= last && code != except)) {
			ktap_note("type %d, code %d: %d", type, code, has);
			return false;
		}
	}
	return true;
}

static bool is_device(int fd, int product)
{
	struct input_id id;

	return ioctl(fd, EVIOCGID, &id) == 0 && id.bustype == BUS_VIRTUAL && id.vendor == 0xfe9c &&
	       id.product == product && id.version == 1;
}

static bool has_axis(int fd, int axis)
{
	struct input_absinfo info;

	return ioctl(fd, EVIOCGABS(axis), &info) == 0 && info.minimum == 0 && info.maximum == 32767 &&
	       info.fuzz == 0 && info.flat == 0;
}

/* Reads these events, no others between them. */
static bool arrive(int fd, const struct expected *expected, size_t count)
{
	for (size_t at = 0; at < count; at++) {
		struct pollfd waiter = { .fd = fd, .events = POLLIN };
		struct input_event event;

		if (poll(&waiter, 1, TIMEOUT_MS) != 1 || read(fd, &event, sizeof(event)) != sizeof(event)) {
			ktap_note("event %zu does not come", at);
			return false;
		}
		if (event.type != expected[at].type || event.code != expected[at].code ||
		    event.value != expected[at].value) {
			ktap_note("event %zu is %d %d %d", at, event.type, event.code, event.value);
			return false;
		}
	}
	return true;
}

int main(void)
{
	int keyboard = open_named("Fencepost keyboard"), tablet = open_named("Fencepost tablet");
	unsigned char properties[4] = { 0 };
	struct input_event led = { .type = EV_LED, .code = LED_CAPSL, .value = 1 };

	ktap_plan(9);
	ktap_result(keyboard >= 0 && is_device(keyboard, 1), "the keyboard has its name and ids");
	ktap_result(tablet >= 0 && is_device(tablet, 2), "the tablet has its name and ids");
	ktap_result(has_codes(keyboard, EV_KEY, 1, 248, 84) && has_codes(keyboard, EV_LED, 0, 2, -1),
		    "the keyboard has its keys and LEDs");
	ktap_result(has_codes(tablet, EV_KEY, BTN_LEFT, BTN_EXTRA, -1) && has_codes(tablet, EV_REL, REL_WHEEL, REL_WHEEL, -1) &&
		    has_codes(tablet, EV_ABS, ABS_X, ABS_Y, -1), "the tablet has its buttons, wheel and axes");
	ktap_result(has_axis(tablet, ABS_X) && has_axis(tablet, ABS_Y), "the axes have their ranges");
	ktap_result(ioctl(tablet, EVIOCGPROP(sizeof(properties)), properties) >= 0 &&
		    properties[0] == 1 << INPUT_PROP_POINTER, "the tablet is a pointer");
	/* The host begins by a mark, or when it reads this. */
	if (ioperm(MARK_PORT, 1, 1) == 0)
		outb(MARK, MARK_PORT);
	ktap_note("ready");
	fflush(stdout);
	ktap_result(arrive(keyboard, keys, COUNT(keys)), "the keys arrive");
	ktap_result(arrive(tablet, moves, COUNT(moves)), "the pointer's events arrive");
	ktap_result(write(keyboard, &led, sizeof(led)) == sizeof(led), "caps lock is lit");
	usleep(50000);
	return ktap_finish();
}
