// SPDX-License-Identifier: GPL-2.0
/* Reads BTF: Documentation/bpf/btf.rst of the kernel, section 2. */
#include "kernel_types.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BTF_FILE "/sys/kernel/btf/vmlinux"

/* Bytes that follow a type's fixed part; -1 for a kind that is not known, behind which nothing can be found. */
static long trailing_bytes(const struct btf_type *type)
{
	size_t count = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_VAR:
	case BTF_KIND_DECL_TAG:
		return sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return count * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return count * sizeof(struct btf_enum);
	case BTF_KIND_FUNC_PROTO:
		return count * sizeof(struct btf_param);
	case BTF_KIND_DATASEC:
		return count * sizeof(struct btf_var_secinfo);
	case BTF_KIND_ENUM64:
		return count * sizeof(struct btf_enum64);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	default:
		return -1;
	}
}

/* Notes the offset of each wanted member of one struct. */
static void note_struct(const struct btf_type *type, const char *strings, struct kernel_member *members,
			size_t count)
{
	const struct btf_member *member = (const void *)(type + 1);
	const char *name = strings + type->name_off;

	for (size_t i = 0; i < count; i++) {
		if (members[i].offset >= 0 || strcmp(members[i].type, name))
			continue;
		for (size_t k = 0; k < BTF_INFO_VLEN(type->info); k++) {
			uint32_t bits = member[k].offset;

			/* With bit fields about, the top byte is a width. */
			if (BTF_INFO_KFLAG(type->info))
				bits = BTF_MEMBER_BIT_OFFSET(bits);
			if (!strcmp(members[i].name, strings + member[k].name_off))
				members[i].offset = bits / 8;
		}
	}
}

static void walk(const char *data, struct kernel_member *members, size_t count)
{
	const struct btf_header *header = (const void *)data;
	const char *at = data + header->hdr_len + header->type_off;
	const char *end = at + header->type_len;
	const char *strings = data + header->hdr_len + header->str_off;

	while (at < end) {
		const struct btf_type *type = (const void *)at;
		long more = trailing_bytes(type);

		if (more < 0)
			return;
		if (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT)
			note_struct(type, strings, members, count);
		at += sizeof(*type) + more;
	}
}

/* The whole file; NULL with errno set. The caller frees it. */
static char *read_whole(int file, size_t size)
{
	char *data = malloc(size);
	size_t done = 0;

	while (data && done < size) {
		ssize_t got = read(file, data + done, size - done);

		if (got <= 0) {
			free(data);
			errno = got ? errno : EIO;
			return NULL;
		}
		done += got;
	}
	return data;
}

int kernel_types_find(struct kernel_member *members, size_t count)
{
	int file = open(BTF_FILE, O_RDONLY | O_CLOEXEC);
	struct stat status;
	char *data = NULL;
	int ret = 0;

	for (size_t i = 0; i < count; i++)
		members[i].offset = -1;
	if (file >= 0 && !fstat(file, &status))
		data = read_whole(file, status.st_size);
	if (!data)
		ret = -errno;
	else if (((struct btf_header *)data)->magic != BTF_MAGIC)
		ret = -EINVAL;
	else
		walk(data, members, count);
	free(data);
	if (file >= 0)
		close(file);
	return ret;
}
