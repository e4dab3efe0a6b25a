/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process as an ELF core file: header, program headers, notes, then the contents of memory in the
 * order of addresses, each byte straight from where the images have it.
 *
 * A mapping is one PT_LOAD as long as what is there comes first: a debugger reads the rest (p_memsz
 * beyond p_filesz) from the file that NT_FILE names. So it does with pages of files here: they are
 * left out unless asked for; but the first page of a file, which tells debuggers which build it is,
 * and what lies between changed pages of a private mapping, are put in if the file is at hand. If
 * it isn't, the mapping is cut into several segments, as it is around large holes. Files that the
 * images have a copy of are put in whole: nobody else may have them any more.
 */
#include "base/auto.h"
#include "base/io.h"
#include "inspect/core_notes.h"

#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Memory that was never written to is a hole in the file; larger ones aren't in it at all. */
#define HOLE_MAX  (UINT64_C(4) << 30)
#define CHUNK_LEN (UINT64_C(1) << 20)

struct segment {
	const struct area *area;
	uint64_t start, len, content; /* bytes in memory; as many of them, from the start, in the
					 file */
	uint64_t off;
};

struct writer {
	struct space *s;
	bool full;
	int fd;
	bool holes;    /* it can have them: a regular file, written by offset */
	uint64_t pos;  /* in the file */
	uint64_t size; /* at the end */
	note_buf notes;
	VEC(struct segment) segments;
	uint8_t *chunk; /* CHUNK_LEN bytes */
	struct err *err;
};

/* ------------------------------------------------------------------ output */

static int put(struct writer *w, const void *data, size_t len)
{
	int r = w->holes ? io_pwrite_full(w->fd, data, len, w->pos)
			 : io_write_full(w->fd, data, len);

	if (r < 0)
		return err_sys(w->err, r, "core file: write");
	w->pos += len;
	return 0;
}

static int put_zeros(struct writer *w, uint64_t len)
{
	static const uint8_t zeros[65536];

	if (w->holes) {
		w->pos += len;
		return 0;
	}
	for (; len > sizeof(zeros); len -= sizeof(zeros))
		TRY(put(w, zeros, sizeof(zeros)));
	return put(w, zeros, len);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, SPACE_PAGE - 1) == 0;
}

/* Whole pages; those of zeros become holes. */
static int put_pages(struct writer *w, const uint8_t *data, uint64_t len)
{
	uint64_t from = 0, at;

	for (at = 0; at < len; at += SPACE_PAGE) {
		if (!w->holes || !is_zero(data + at))
			continue;
		if (at > from)
			TRY(put(w, data + from, at - from));
		TRY(put_zeros(w, SPACE_PAGE));
		from = at + SPACE_PAGE;
	}
	return len > from ? put(w, data + from, len - from) : 0;
}

/* ---------------------------------------------------------------- planning */

static bool starts_like_elf(struct space *s, const struct extent *x)
{
	struct err ignored = ERR_INIT;
	char magic[SELFMAG];

	return x->file_off == 0 &&
	       space_file_read(s, x->area, magic, sizeof(magic), 0, &ignored) == 0 &&
	       memcmp(magic, ELFMAG, SELFMAG) == 0;
}

/* Private pages that it has: what is between them belongs to the same contents. */
static bool has_private_pages(const struct space *s, const struct area *a)
{
	size_t i = a->own_pages ? page_map_find(s->pages, a->start) : s->pages->n;

	return i < s->pages->n && s->pages->pieces[i].vaddr < a->end;
}

/* A debugger couldn't read elsewhere what nobody but the images has. */
static uint64_t file_content_of(const struct writer *w, const struct extent *x)
{
	const char *why;
	const struct file_source *f = space_file(w->s, x->area, /* local= */ true, &why);

	if (!f)
		return 0;
	if (w->full || f->in_images || (x->len < HOLE_MAX && has_private_pages(w->s, x->area)))
		return x->len;
	return starts_like_elf(w->s, x) ? SPACE_PAGE : 0;
}

/* How many bytes of it, from the start, go into the file. */
static uint64_t content_of(const struct writer *w, const struct extent *x)
{
	const struct area *a = x->area;

	switch (x->from) {
	case EXTENT_IMAGE:
		return x->len;
	case EXTENT_ZERO:
		return x->len < HOLE_MAX && (a->prot || has_private_pages(w->s, a)) ? x->len : 0;
	case EXTENT_NONE:
		return 0;
	case EXTENT_FILE:
		return file_content_of(w, x);
	}
	return 0;
}

static int plan_area(struct writer *w, const struct area *a)
{
	struct segment *seg = NULL;

	for (uint64_t at = a->start; at < a->end;) {
		struct extent x;
		uint64_t content;

		space_extent(w->s, a, at, &x);
		content = content_of(w, &x);
		/* Contents behind a place without any begin another segment. */
		if (!seg || (content && seg->content < seg->len)) {
			seg = vec_push(&w->segments);
			*seg = (struct segment){.area = a, .start = at};
		}
		seg->len += x.len;
		seg->content += content;
		at += x.len;
	}
	if (w->segments.len >= UINT32_MAX)
		return err_input(w->err, "process %u: too many pieces of memory for a core file",
				 w->s->pid);
	return 0;
}

static uint64_t headers_len(const struct writer *w)
{
	return sizeof(Elf64_Ehdr) + sizeof(Elf64_Shdr) + (w->segments.len + 1) * sizeof(Elf64_Phdr);
}

static int plan(struct writer *w)
{
	uint64_t off;

	for (size_t i = 0; i < w->s->n; i++)
		TRY(plan_area(w, &w->s->areas[i]));
	off = headers_len(w) + w->notes.len;
	off = (off + SPACE_PAGE - 1) / SPACE_PAGE * SPACE_PAGE;
	vec_foreach (seg, &w->segments) {
		seg->off = off;
		off += seg->content;
		if (off > INT64_MAX)
			return err_input(w->err, "process %u: too much memory for a core file",
					 w->s->pid);
	}
	w->size = off;
	return 0;
}

/* ----------------------------------------------------------------- headers */

static int put_head(struct writer *w)
{
	uint64_t n = w->segments.len + 1;
	bool many = n >= PN_XNUM;
	Elf64_Ehdr h = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr) + sizeof(Elf64_Shdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = many ? PN_XNUM : (Elf64_Half)n,
	};
	/* Where the number of program headers is when there are too many for e_phnum. */
	Elf64_Shdr count = {.sh_type = SHT_NULL};

	if (many) {
		h.e_shoff = sizeof(Elf64_Ehdr);
		h.e_shentsize = sizeof(Elf64_Shdr);
		h.e_shnum = 1;
		count.sh_info = (Elf64_Word)n;
		count.sh_size = 1;
	}
	TRY(put(w, &h, sizeof(h)));
	return put(w, &count, sizeof(count));
}

static uint32_t elf_flags(uint32_t prot)
{
	return (prot & PROT_READ ? PF_R : 0u) | (prot & PROT_WRITE ? PF_W : 0u) |
	       (prot & PROT_EXEC ? PF_X : 0u);
}

static int put_segment_headers(struct writer *w)
{
	Elf64_Phdr notes = {.p_type = PT_NOTE,
			    .p_offset = headers_len(w),
			    .p_filesz = w->notes.len,
			    .p_align = 4};

	TRY(put(w, &notes, sizeof(notes)));
	vec_foreach (seg, &w->segments) {
		Elf64_Phdr load = {
			.p_type = PT_LOAD,
			.p_flags = elf_flags(seg->area->prot),
			.p_offset = seg->off,
			.p_vaddr = seg->start,
			.p_filesz = seg->content,
			.p_memsz = seg->len,
			.p_align = SPACE_PAGE,
		};

		TRY(put(w, &load, sizeof(load)));
	}
	return 0;
}

/* ---------------------------------------------------------------- contents */

static int put_extent(struct writer *w, const struct extent *x)
{
	if (x->from == EXTENT_ZERO)
		return put_zeros(w, x->len);
	for (uint64_t done = 0; done < x->len;) {
		uint64_t n = MIN(x->len - done, CHUNK_LEN);

		if (x->from == EXTENT_IMAGE) {
			/* One call instead of a fault for every few pages; a hint. */
			(void)madvise((void *)(x->src + done), n, MADV_POPULATE_READ);
			TRY(put_pages(w, x->src + done, n));
		} else {
			TRY(space_file_read(w->s, x->area, w->chunk, n, x->file_off + done,
					    w->err));
			TRY(put_pages(w, w->chunk, n));
		}
		done += n;
		context_progress(w->s->cp->ctx, "core file", w->pos, w->size);
	}
	return 0;
}

static int put_contents(struct writer *w)
{
	vec_foreach (seg, &w->segments) {
		uint64_t end = seg->start + seg->content;

		for (uint64_t at = seg->start; at < end;) {
			struct extent x;

			space_extent(w->s, seg->area, at, &x);
			x.len = MIN(x.len, end - at);
			TRY(put_extent(w, &x));
			at += x.len;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------- whole */

/* What is in front of it, or is to be kept, isn't overwritten: then it is written like a pipe. */
static int begin(struct writer *w)
{
	int flags = fcntl(w->fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(w->fd, &st) < 0)
		return err_sys(w->err, -errno, "core file: stat");
	w->holes = S_ISREG(st.st_mode) && !(flags & O_APPEND) && lseek(w->fd, 0, SEEK_CUR) == 0;
	if (w->holes && ftruncate(w->fd, 0) < 0)
		return err_sys(w->err, -errno, "core file: truncate");
	w->chunk = xcalloc(CHUNK_LEN, 1);
	return 0;
}

static int write_core(struct writer *w)
{
	TRY(core_notes(w->s, &w->notes, w->err));
	TRY(plan(w));
	TRY(begin(w));
	TRY(put_head(w));
	TRY(put_segment_headers(w));
	TRY(put(w, w->notes.data, w->notes.len));
	TRY(put_zeros(w, -w->pos % SPACE_PAGE));
	TRY(put_contents(w));
	if (w->holes && ftruncate(w->fd, (off_t)w->size) < 0)
		return err_sys(w->err, -errno, "core file: set its length");
	return 0;
}

int torpor_checkpoint_core(struct torpor_checkpoint *cp, uint32_t pid, int fd, unsigned int flags)
{
	struct err *err = context_begin(cp->ctx);
	struct writer w = {.full = flags & TORPOR_CORE_FULL, .fd = fd, .err = err};
	int r;

	if (flags & ~TORPOR_CORE_FULL)
		return err_input(err, "unknown flags: %#x", flags);
	TRY(space_open(cp, pid, &w.s, err));
	r = write_core(&w);
	vec_done(&w.notes);
	vec_done(&w.segments);
	free(w.chunk);
	return r;
}
