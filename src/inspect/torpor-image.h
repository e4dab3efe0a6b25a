/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libtorpor-image: read, check and edit the images of a checkpoint (torpor's, and CRIU's).
 *
 *	struct torpor_image *ti = torpor_image_new();
 *	struct torpor_checkpoint *cp;
 *
 *	if (torpor_checkpoint_open(ti, "/tmp/images", &cp) < 0)
 *		fprintf(stderr, "%s; %s\n", torpor_image_error(ti), torpor_image_hint(ti));
 *	...
 *	torpor_checkpoint_close(cp);
 *	torpor_image_free(ti);
 *
 * A context (struct torpor_image) holds the text of the last error and how progress is reported. It
 * and what was opened with it belong to one thread at a time; several contexts know nothing of each
 * other. Functions return 0, or what their comment says, or a negative errno; after that
 * torpor_image_error() tells what went wrong, until the next call with the same context. Strings
 *are UTF-8 as far as the images are. Results are JSON texts where they have structure, so that any
 * language can use them. Nothing is printed, no signal handled, no privilege needed but to read the
 * files. Where there is no memory left, the process is aborted.
 *
 * The interface is stable from version 1 on: functions are added, never changed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TORPOR_IMAGE_VERSION 1
#define TORPOR_IMAGE_API     __attribute__((visibility("default")))

/* ---------------------------------------------------------------- context */

struct torpor_image;

TORPOR_IMAGE_API struct torpor_image *torpor_image_new(void);
TORPOR_IMAGE_API void torpor_image_free(struct torpor_image *ti); /* accepts NULL */

/* TORPOR_IMAGE_VERSION of the library that is loaded. */
TORPOR_IMAGE_API int torpor_image_version(void);

/* The last error's text, and what can be done about it; "" if there is none. */
TORPOR_IMAGE_API const char *torpor_image_error(const struct torpor_image *ti);
TORPOR_IMAGE_API const char *torpor_image_hint(const struct torpor_image *ti);

/*
 * Called now and then by what may take long: `done` of `total` (0: not known). These are bytes of
 * `what`, which is a file's name; or processes, and `what` is "processes". NULL: nobody is told.
 */
typedef void torpor_image_progress(void *arg, const char *what, uint64_t done, uint64_t total);
TORPOR_IMAGE_API void torpor_image_on_progress(struct torpor_image *ti, torpor_image_progress *fn,
					       void *arg);

/* --------------------------------------------------- image files and JSON */

enum {
	TORPOR_IMAGE_PRETTY = 1 << 0,	  /* indented, with words for numbers */
	TORPOR_IMAGE_SIZES_ONLY = 1 << 1, /* no payload (contents of files, queues): its size */
	TORPOR_IMAGE_NEWLINE = 1 << 2,	  /* the text ends with one */
	TORPOR_IMAGE_BIG_AS_TEXT = 1
				   << 4, /* numbers above 2^63 - 1 are strings, as jansson needs */
	TORPOR_IMAGE_NO_RAW = 1 << 3,	 /* refuse files that have no magic (pages, ...) */
};

/*
 * One image file as JSON, in the form of crit; both directions are streams of any length, from
 * where the descriptors stand. `name`: of the file, for messages, and to tell files that have no
 * magic by. Decoding and encoding gives the same bytes. -EINVAL: not an image, or a broken one.
 * What was written until a failure is worth nothing.
 */
TORPOR_IMAGE_API int torpor_image_decode(struct torpor_image *ti, int in_fd, const char *name,
					 int out_fd, unsigned int flags);
TORPOR_IMAGE_API int torpor_image_encode(struct torpor_image *ti, int in_fd, const char *name,
					 int out_fd);
/*
 * The kind of an image ("CORE"; "RAW": no magic), for the caller to free(), and how many records it
 * has.
 */
TORPOR_IMAGE_API int torpor_image_info(struct torpor_image *ti, int in_fd, const char *name,
				       unsigned int flags, char **ret_kind, uint64_t *ret_count);

/*
 * The same with a file's path and a text in memory, for programs that look at records or change
 * them: *ret_json is the caller's to free(). A stored image replaces the old one at once, or not at
 * all.
 */
TORPOR_IMAGE_API int torpor_image_load(struct torpor_image *ti, const char *path,
				       unsigned int flags, char **ret_json);
TORPOR_IMAGE_API int torpor_image_store(struct torpor_image *ti, const char *path,
					const char *json);
/*
 * After images were edited: the list of their checksums (integrity.img) is made anew, without which
 * a restore refuses them. Directories without one are left as they are. Checksums of pages stay: a
 * restore of edited pages takes --no-verify.
 */
TORPOR_IMAGE_API int torpor_image_reseal(struct torpor_image *ti, const char *dir);

/* ------------------------------------------------------------- checkpoints */

struct torpor_checkpoint;

/*
 * An images directory, with those that it builds on. -EINVAL: there is no valid inventory or
 * process tree. Images of a pre-dump can be opened: they have memory only.
 */
TORPOR_IMAGE_API int torpor_checkpoint_open(struct torpor_image *ti, const char *dir,
					    struct torpor_checkpoint **ret);
TORPOR_IMAGE_API void torpor_checkpoint_close(struct torpor_checkpoint *cp); /* accepts NULL */

/*
 * A view of all processes, as a text for the caller to free(): "ps" (the tree), "fds"
 * (descriptors), "mems" (mappings), "rss" (pages in the images). The form is that of `crit x`.
 */
TORPOR_IMAGE_API int torpor_checkpoint_explore(struct torpor_checkpoint *cp, const char *what,
					       char **ret);
/* --------------------------------------------------------------------- map */

enum torpor_map_format {
	TORPOR_MAP_SVG,	 /* one static picture */
	TORPOR_MAP_HTML, /* one page that needs no other file; light and dark, with a script */
};
struct torpor_map_options {
	const uint32_t *pids; /* the processes to show in detail ... */
	size_t npids;	      /* ... 0: the most interesting ones */
	size_t max_processes; /* how many these may be; 0: 20 */
};

/*
 * Draws the address spaces: what is where, how dense, shared with whom, and written in which round
 * of a chain. The picture goes to fd, which stays open. `options` may be NULL. 1: it is there, but
 * something couldn't be read, which it says; torpor_image_error() has the first such trouble.
 * -EINVAL: a pid isn't one of the checkpoint's.
 */
TORPOR_IMAGE_API int torpor_checkpoint_map(struct torpor_checkpoint *cp, int fd,
					   enum torpor_map_format format,
					   const struct torpor_map_options *options);
/* ------------------------------------------------------------------ memory */

#define TORPOR_CORE_FULL (1u << 0) /* with the contents of mapped files, if they are at hand */

/*
 * Writes an ELF core file of a process to fd: a regular file at its beginning is replaced and has
 * holes, anything else is written from front to back. Refused: dead processes, 32-bit ones, other
 * machines than x86-64.
 */
TORPOR_IMAGE_API int torpor_checkpoint_core(struct torpor_checkpoint *cp, uint32_t pid, int fd,
					    unsigned int flags);

/*
 * {"pid", "page_size", "mappings": [{"start": "0x...", "end": "0x...", "prot": "rw-p", "kind",
 * "file" or null, "offset", "pages": {"here", "parents", "cow"}}]}, ascending: how many pages the
 * images have, in this directory, in those it builds on, and as another process's. The text is to
 * be freed.
 */
TORPOR_IMAGE_API int torpor_checkpoint_mappings(struct torpor_checkpoint *cp, uint32_t pid,
						char **ret_json);
/* The mapping that holds addr; if none does, the error names the nearest. */
TORPOR_IMAGE_API int torpor_checkpoint_mapping_at(struct torpor_checkpoint *cp, uint32_t pid,
						  uint64_t addr, uint64_t *ret_start,
						  uint64_t *ret_end);

/* Pages of mapped files that aren't in the images: not even if the file is at hand, unchanged. */
#define TORPOR_MEMORY_NO_FILES (1u << 0)

/*
 * Like pread(): how many bytes were put into buf, fewer than len if what follows isn't mapped or
 * not at hand; negative if that holds for the first byte already. Memory that was never written to
 * is zero.
 */
TORPOR_IMAGE_API int64_t torpor_checkpoint_read_memory(struct torpor_checkpoint *cp, uint32_t pid,
						       uint64_t addr, void *buf, size_t len,
						       unsigned int flags);

struct torpor_memory_range {
	uint32_t pid; /* 0: all processes */
	uint32_t flags;
	uint64_t addr, len; /* len 0: up to the end */
};
/* What was found, and where. The bytes are good during the call only. Not 0: that's enough. */
typedef int torpor_memory_found(void *arg, uint32_t pid, uint64_t addr, const void *bytes,
				size_t len);
/*
 * All places, in the order of processes and addresses, that have these bytes (overlapping ones,
 * too), or a string of at least `min` printable ASCII characters; a very long string is told in
 * parts. Returns 1 if some mapped files weren't at hand, so that their pages were left out.
 */
TORPOR_IMAGE_API int torpor_checkpoint_search_memory(struct torpor_checkpoint *cp,
						     const struct torpor_memory_range *range,
						     const void *pattern, size_t len,
						     torpor_memory_found *found, void *arg);
TORPOR_IMAGE_API int torpor_checkpoint_memory_strings(struct torpor_checkpoint *cp,
						      const struct torpor_memory_range *range,
						      size_t min, torpor_memory_found *found,
						      void *arg);
/* ------------------------------------------------- looking at a checkpoint */

/*
 * What is in a directory of images (also of a pre-dump), in short, as a JSON object: "dumped",
 * "processes", "totals", "files", "needs", "images", "stats", "chain"; docs:
 * torpor-image-summary(8). *ret_json is to be freed. Images that can't be read are named in
 * "problems", and the rest is described; so this fails only if there is no such directory.
 */
TORPOR_IMAGE_API int torpor_image_summary(struct torpor_image *ti, const char *dir,
					  char **ret_json);

/*
 * Everything that a restore would verify of the images, and the rest of them, without stopping at
 * the first problem: {"dir", "images": NUMBER, "problems": [{"text", "hint", "file", "record",
 * "field"}]}; the last three as far as a problem has them. With `verify` checksums are compared,
 * too, those of pages in all levels of a chain. Fails only if there is no such directory.
 */
TORPOR_IMAGE_API int torpor_image_check(struct torpor_image *ti, const char *dir, int verify,
					char **ret_json);

/*
 * What changed from checkpoint A to B (also pre-dumps: pages only): {"a", "b", "equal",
 * "processes", "threads", "mappings", "pages", "pages_compared", "descriptors", "records",
 * "images", "problems"}; lists that would be empty are absent. docs: torpor-image-diff(8).
 */
TORPOR_IMAGE_API int torpor_image_diff(struct torpor_image *ti, const char *a, const char *b,
				       char **ret_json);

#ifdef __cplusplus
}
#endif
