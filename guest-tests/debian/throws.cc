// SPDX-License-Identifier: GPL-2.0
/*
 * Exceptions of C++: each goes through the unwinder of libgcc, which asks for CET's shadow stack (RDSSP) at every frame.
 */
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <unwind.h>

#include "../programs/ktap.h"

static int destroyed;

struct Guard {
	~Guard() { destroyed++; }
};

__attribute__((noinline)) static int deep(int frames)
{
	Guard guard;

	if (frames == 0)
		throw std::runtime_error("from the bottom");
	return deep(frames - 1) + 1;
}

static bool through_frames()
{
	const int rounds = 50, frames = 20;
	int caught = 0;

	destroyed = 0;
	for (int i = 0; i < rounds; i++) {
		try {
			deep(frames);
		} catch (const std::exception &e) {
			caught += std::string(e.what()) == "from the bottom";
		}
	}
	return caught == rounds && destroyed == rounds * (frames + 1);
}

static bool nested_and_rethrown()
{
	try {
		try {
			deep(3);
		} catch (...) {
			std::throw_with_nested(std::logic_error("outer"));
		}
	} catch (const std::logic_error &outer) {
		try {
			std::rethrow_if_nested(outer);
		} catch (const std::runtime_error &inner) {
			return std::string(outer.what()) == "outer" && std::string(inner.what()) == "from the bottom";
		}
	}
	return false;
}

static int compare(const void *, const void *)
{
	throw 42;
}

/* Frames of C between the throw and the catch. */
static bool through_the_c_library()
{
	int numbers[4] = { 4, 3, 2, 1 };

	try {
		qsort(numbers, 4, sizeof(*numbers), compare);
	} catch (int value) {
		return value == 42;
	}
	return false;
}

static bool between_threads()
{
	std::exception_ptr carried;
	std::thread thrower([&] {
		try {
			deep(5);
		} catch (...) {
			carried = std::current_exception();
		}
	});

	thrower.join();
	try {
		std::rethrow_exception(carried);
	} catch (const std::runtime_error &) {
		return true;
	}
	return false;
}

static bool thrown_by_the_library()
{
	volatile size_t huge = SIZE_MAX / 2;
	int caught = 0;

	try {
		operator delete(operator new(huge));
	} catch (const std::bad_alloc &) {
		caught++;
	}
	try {
		std::string("short").at(huge);
	} catch (const std::out_of_range &) {
		caught++;
	}
	return caught == 2;
}

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *, void *count)
{
	++*static_cast<int *>(count);
	return _URC_NO_REASON;
}

__attribute__((noinline)) static int frames_below(int more)
{
	int count = 0;

	if (more > 0) {
		count = frames_below(more - 1);
		asm volatile("" : "+r"(count));
		return count;
	}
	_Unwind_Backtrace(count_frame, &count);
	return count;
}

/* Without CET both forms leave their register alone, which is how the unwinder knows. */
static bool rdssp_is_a_nop()
{
	uint64_t wide = 0x123456789abcdef0, narrow = 0x123456789abcdef0;

	asm volatile(".byte 0xf3, 0x48, 0x0f, 0x1e, 0xc8" : "+a"(wide));
	asm volatile(".byte 0xf3, 0x0f, 0x1e, 0xc8" : "+a"(narrow));
	return wide == 0x123456789abcdef0 && narrow == 0x123456789abcdef0;
}

int main()
{
	ktap_plan(7);
	ktap_result(rdssp_is_a_nop(), "RDSSPD and RDSSPQ are NOPs");
	ktap_result(through_frames(), "an exception runs every destructor on its way");
	ktap_result(nested_and_rethrown(), "exceptions nested and thrown again");
	ktap_result(through_the_c_library(), "an exception through frames of C");
	ktap_result(between_threads(), "an exception carried from one thread to another");
	ktap_result(thrown_by_the_library(), "exceptions that the library throws");
	ktap_result(frames_below(12) - frames_below(2) == 10, "a backtrace counts its frames");
	return ktap_finish();
}
