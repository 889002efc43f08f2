// SPDX-License-Identifier: GPL-2.0
/* Modules of the guest's: see module.h. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ktap.h"

/* Opens the module's file: where ci/guest puts it, or where `fencepost test` does. */
static int open_module(const char *name)
{
	struct utsname kernel;
	char path[256];
	int file;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file >= 0 || errno != ENOENT || uname(&kernel))
		return file;
	snprintf(path, sizeof(path), "/lib/modules/%s/updates/%s.ko", kernel.release, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int module_load(const char *name, const char *parameters)
{
	int file, ret;

	file = open_module(name);
	if (file < 0)
		return -errno;
	ret = syscall(SYS_finit_module, file, parameters, 0) ? -errno : 0;
	close(file);
	return ret;
}

int module_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

static int run_case(const char *name, unsigned int number)
{
	char parameters[32];
	int ret;

	snprintf(parameters, sizeof(parameters), "case=%u", number);
	ret = module_load(name, parameters);
	return ret ? ret : module_unload(name);
}

int module_cases(const char *name, unsigned int cases, const char *what)
{
	ktap_plan(cases + 1);
	for (unsigned int i = 0; i < cases; i++) {
		int ret = run_case(name, i);

		ktap_result(!ret, "case %u of the %s%s%s", i, what, ret ? ": " : "", ret ? strerror(-ret) : "");
	}
	ktap_result(run_case(name, cases) == -ENOENT, "there are no more cases");
	return ktap_finish();
}
