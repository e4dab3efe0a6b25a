/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A binary log as it stands in the file; docs/log-format.md tells it in words. Numbers are in the
 * byte order of who wrote it. The values here never change; a change of the format is a new
 *version.
 *
 *	struct log_file_head, log_file_live, the command line, the table; then records to the end
 *
 * Everything that is 0 between records was never written: space that was only allocated.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LOG_FILE_MAGIC	    "TORPLOG\n"
#define LOG_FILE_VERSION    1
#define LOG_FILE_BYTE_ORDER 0x01020304u

/* What an argument is in a record. */
enum log_kind {
	LOG_KIND_INT = 1,  /* 4 bytes: int and what is promoted to it; also widths and precisions */
	LOG_KIND_LONG = 2, /* 8 bytes: the wider integers, pointers */
	LOG_KIND_DOUBLE = 3,  /* 8 bytes */
	LOG_KIND_LDOUBLE = 4, /* 16 bytes, as the machine has a long double */
	LOG_KIND_STR = 5,     /* uint16_t length (LOG_STR_*), then so many bytes */
	LOG_KIND_ERRNO = 6,   /* 4 bytes: for %m */
	LOG_KIND_TEXT = 7,    /* as STR: the whole message, of a format that isn't for records */
};

#define LOG_STR_CUT  0x8000u /* set: the string was longer */
#define LOG_STR_NULL 0x7fffu /* a null pointer; no bytes */
#define LOG_STR_MAX  1024u   /* bytes of one string that are recorded */

#define LOG_CMDLINE_MAX 4096u
#define LOG_KINDS_MAX	64u

struct log_file_head {
	char magic[8];
	uint32_t version;
	uint32_t byte_order;
	uint32_t cmdline_len; /* words end with 0, as in /proc/PID/cmdline */
	uint32_t table_len;
	uint32_t nsites;
	uint32_t pid;	       /* of who began the log */
	uint64_t records;      /* where the first one is; a multiple of 8 */
	uint64_t wall_ns;      /* the log's zero, since 1970 */
	uint64_t mono_ns;      /* the same moment on CLOCK_MONOTONIC */
	uint32_t level;	       /* -v */
	uint32_t ldouble_bits; /* LDBL_MANT_DIG */
	char torpor[32];       /* version; ends with 0, as do the others */
	char boot_id[40];
	uint32_t crc; /* CRC32C of the head with this as 0, command line, and table */
	uint32_t reserved[13];
};
_Static_assert(sizeof(struct log_file_head) == 192, "the format of binary logs is frozen");

/* What changes while it is written. Readers take it as a hint only. */
struct log_file_live {
	uint64_t tail;	  /* where the next record goes; beyond everything once the log is closed */
	uint64_t limit;	  /* how far the file has space */
	uint64_t dropped; /* lines for which there was no space */
	uint32_t closed;  /* 1: nothing will be added */
	uint32_t reserved[9];
};
_Static_assert(sizeof(struct log_file_live) == 64, "the format of binary logs is frozen");

#define LOG_FILE_LIVE	 sizeof(struct log_file_head)
#define LOG_FILE_CMDLINE (LOG_FILE_LIVE + sizeof(struct log_file_live))

/* One call site; then kinds, file and format, without terminators, and no padding. */
struct log_file_site {
	uint32_t line;
	uint8_t level;
	uint8_t nkinds;
	uint16_t file_len;
	uint16_t fmt_len;
	uint16_t reserved;
};
_Static_assert(sizeof(struct log_file_site) == 12, "the format of binary logs is frozen");

#define LOG_MARK_OPEN 0x6f4cu /* its space is taken, its contents may be anything */
#define LOG_MARK_DONE 0x644cu

/* At a multiple of 8. Then the arguments, without padding but at the end. */
struct log_record {
	uint16_t mark;
	uint16_t words; /* length of all of it, in 8 bytes */
	uint16_t site;	/* number in the table */
	uint16_t sum;	/* log_sum_end() */
	uint64_t ns;	/* since the log's zero */
	uint32_t pid, tid;
};
_Static_assert(sizeof(struct log_record) == 24, "the format of binary logs is frozen");

#define LOG_RECORD_MAX 4096u /* bytes */

/*
 * The sum of a record: of all words but the first, and of what the first one says. Of the records
 * that were torn, and the bytes that only look like one, one in 65536 gets by.
 */
static inline uint64_t log_sum_begin(uint16_t site, uint16_t nwords)
{
	return (uint64_t)site << 16 | nwords;
}

static inline uint64_t log_sum_add(uint64_t sum, uint64_t word)
{
	return (sum << 7 | sum >> 57) + word;
}

static inline uint16_t log_sum_end(uint64_t sum)
{
	return (uint16_t)(sum * 0x9e3779b97f4a7c15u >> 48);
}
