/* SPDX-License-Identifier: GPL-2.0 */
/* Modules of the guest's. Functions return 0 on success and a negative errno on failure. */
#ifndef FENCEPOST_MODULE_H
#define FENCEPOST_MODULE_H

/* Loads /modules/NAME.ko, or the one that `fencepost test` brings, with these parameters. */
int module_load(const char *name, const char *parameters);

/* Unloads a module; -EAGAIN if it is in use. */
int module_unload(const char *name);

/*
 * The whole main of a program whose cases are a module's: loads the module once for each of its cases, by its parameter "case",
 * and checks that there is none beyond them. What a case is, and what went wrong, is in the kernel's log.
 */
int module_cases(const char *name, unsigned int cases, const char *what);

#endif /* FENCEPOST_MODULE_H */
