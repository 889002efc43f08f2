// SPDX-License-Identifier: GPL-2.0
/* Modules of the guest's initramfs: see module.h. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int module_load(const char *name, const char *parameters)
{
	char path[128];
	int file, ret;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	file = open(path, O_RDONLY | O_CLOEXEC);
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
