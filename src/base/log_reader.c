/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_reader.h"

#include "base/arena.h"
#include "base/crc32c.h"
#include "base/log.h"

#include <fcntl.h>
#include <float.h>
#include <string.h>
#include <sys/stat.h>

#define WINDOW	  (64u << 10) /* bytes of the file that we have at a time */
#define WORD	  8u
#define TABLE_MAX (16u << 20)

struct log_reader {
	int fd;
	bool is_pipe;
	const char *name;
	struct log_file_head head;
	struct log_about about;
	char *start; /* command line and table, as they stand in the file */
	char *cmdline;
	char *texts; /* files and formats of all places */
	struct log_place *places;
	struct log_losses losses;
	/* window[0..len) is the file from `base` on. */
	uint64_t base;
	size_t len;
	uint8_t *window;
	uint64_t pos;		 /* of what is read next */
	uint64_t unfinished_end; /* up to here, what is no record belongs to an unfinished one */
	size_t rest;		 /* less than a word, at the end */
	struct log_value values[LOG_KINDS_MAX];
};

/* --------------------------------------------------------------- the file */

/* From `off` on, which in a pipe is where we are. Less than len: the end. */
static ssize_t read_at(const struct log_reader *r, void *buf, size_t len, uint64_t off)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < len && n > 0) {
		do {
			n = r->is_pipe ? read(r->fd, (char *)buf + done, len - done)
				       : pread(r->fd, (char *)buf + done, len - done,
					       (off_t)(off + done));
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* What the window has at `pos`: as many bytes as a record can have, or all that there are. */
static int look(struct log_reader *r, const uint8_t **ret, size_t *ret_len, struct err *err)
{
	size_t have = (size_t)(r->base + r->len - r->pos);
	ssize_t n;

	if (have < LOG_RECORD_MAX) {
		memmove(r->window, r->window + (r->len - have), have);
		r->base = r->pos;
		r->len = have;
		n = read_at(r, r->window + have, WINDOW - have, r->base + have);
		if (n < 0)
			return err_sys(err, (int)n, "read %s", r->name);
		r->len += (size_t)n;
	}
	*ret = r->window + (r->pos - r->base);
	*ret_len = (size_t)(r->base + r->len - r->pos);
	return 0;
}

/* What was read ahead is read once more: the writer may have filled it. */
static void forget_window(struct log_reader *r, uint64_t pos)
{
	if (r->is_pipe)
		return;
	r->pos = r->base = pos;
	r->len = 0;
}

/* --------------------------------------------------------------- the head */

static int check_head(const struct log_reader *r, struct err *err)
{
	const struct log_file_head *h = &r->head;

	if (memcmp(h->magic, LOG_FILE_MAGIC, sizeof(h->magic)) != 0) {
		err_input(err, "%s: not a binary log", r->name);
		return err_hint(err, "read it as it is if it is a text; binary logs end in .bin");
	}
	if (h->byte_order != LOG_FILE_BYTE_ORDER)
		return err_input(err, "%s: of a machine with another byte order", r->name);
	if (h->version != LOG_FILE_VERSION) {
		err_input(err, "%s: a log of format %u, not %u", r->name, h->version,
			  LOG_FILE_VERSION);
		return err_hint(err, "read it with the torpor that wrote it");
	}
	if (h->cmdline_len > LOG_CMDLINE_MAX || h->table_len > TABLE_MAX ||
	    h->nsites > UINT16_MAX ||
	    h->records < LOG_FILE_CMDLINE + h->cmdline_len + h->table_len ||
	    h->records > LOG_FILE_CMDLINE + LOG_CMDLINE_MAX + TABLE_MAX + WORD || h->records % WORD)
		return err_input(err, "%s: offset 16: impossible sizes in the head", r->name);
	return 0;
}

static bool is_untouched(const struct log_reader *r)
{
	struct log_file_head h = r->head;
	uint32_t crc;

	h.crc = 0;
	crc = crc32c(0, &h, sizeof(h));
	return crc32c(crc, r->start, h.cmdline_len + h.table_len) == r->head.crc;
}

/* A word that ends the text inside of `len` is the end of it for us, too. */
static char *put_text(char **to, const char *from, size_t len)
{
	char *text = *to;

	memcpy(text, from, len);
	text[len] = '\0';
	*to += len + 1;
	return text;
}

/* -EINVAL: the table ends before the entry does, or is nonsense. */
static int take_place(struct log_reader *r, uint32_t i, const char **p, const char *end, char **to)
{
	struct log_place *pl = &r->places[i];
	struct log_file_site s;

	if ((size_t)(end - *p) < sizeof(s))
		return -EINVAL;
	memcpy(&s, *p, sizeof(s));
	*p += sizeof(s);
	if ((size_t)(end - *p) < (size_t)s.nkinds + s.file_len + s.fmt_len ||
	    s.nkinds > LOG_KINDS_MAX || s.level > LOG_DEBUG)
		return -EINVAL;
	*pl = (struct log_place){.line = s.line, .level = s.level, .nkinds = s.nkinds};
	pl->kinds = (const uint8_t *)*p;
	*p += s.nkinds;
	pl->file = put_text(to, *p, s.file_len);
	*p += s.file_len;
	pl->fmt = put_text(to, *p, s.fmt_len);
	*p += s.fmt_len;
	return log_format_fits(pl->fmt, pl->kinds, pl->nkinds) ? 0 : -EINVAL;
}

static int take_table(struct log_reader *r, struct err *err)
{
	const char *p = r->start + r->head.cmdline_len, *end = p + r->head.table_len;
	char *to;

	/* Each entry takes more in the table than its two terminators here. */
	r->texts = to = xcalloc(1, r->head.table_len + 1);
	if (r->head.nsites > r->head.table_len / sizeof(struct log_file_site))
		return err_input(err, "%s: the table of formats is too short", r->name);
	r->places = xcalloc(r->head.nsites + 1, sizeof(*r->places));
	for (uint32_t i = 0; i < r->head.nsites; i++) {
		const char *at = p;

		if (take_place(r, i, &p, end, &to) < 0)
			return err_input(err, "%s: offset %zu: bad format number %u", r->name,
					 LOG_FILE_CMDLINE + (size_t)(at - r->start), i);
	}
	return 0;
}

static void take_about(struct log_reader *r)
{
	struct log_about *a = &r->about;

	*a = (struct log_about){
		.wall_ns = r->head.wall_ns, .pid = (pid_t)r->head.pid, .level = r->head.level};
	memcpy(a->torpor, r->head.torpor, sizeof(a->torpor) - 1);
	memcpy(a->boot_id, r->head.boot_id, sizeof(a->boot_id) - 1);
	r->cmdline = xcalloc(1, r->head.cmdline_len + 1);
	for (uint32_t i = 0; i < r->head.cmdline_len; i++)
		r->cmdline[i] = r->start[i] ? r->start[i] : ' ';
	a->cmdline = r->cmdline;
}

/* Bytes that aren't needed, in a file that may be a pipe. */
static int read_start(struct log_reader *r, struct err *err)
{
	size_t len = r->head.records - LOG_FILE_LIVE;
	struct log_file_live live;
	ssize_t n;

	r->start = xcalloc(1, len);
	n = read_at(r, &live, sizeof(live), LOG_FILE_LIVE);
	if (n == sizeof(live))
		n = read_at(r, r->start, len - sizeof(live), LOG_FILE_CMDLINE);
	if (n < 0)
		return err_sys(err, (int)n, "read %s", r->name);
	if ((size_t)n < len - sizeof(live))
		return err_input(err, "%s: ends within its head", r->name);
	r->losses.dropped = live.dropped;
	return 0;
}

static int open_head(struct log_reader *r, struct err *err)
{
	ssize_t n = read_at(r, &r->head, sizeof(r->head), 0);

	if (n < 0)
		return err_sys(err, (int)n, "read %s", r->name);
	TRY(check_head(r, err));
	TRY(read_start(r, err));
	TRY(take_table(r, err));
	take_about(r);
	r->losses.table = !is_untouched(r);
	r->pos = r->base = r->head.records;
	return 0;
}

int log_reader_open(int fd, const char *name, struct log_reader **ret, struct err *err)
{
	auto_log_reader struct log_reader *r = xcalloc(1, sizeof(*r));

	r->fd = fd;
	r->name = name;
	r->is_pipe = lseek(fd, 0, SEEK_CUR) < 0;
	r->window = xcalloc(1, WINDOW);
	TRY(open_head(r, err));
	*ret = TAKE_PTR(r);
	return 0;
}

void log_reader_free(struct log_reader *r)
{
	if (!r)
		return;
	free(r->start);
	free(r->cmdline);
	free(r->texts);
	free(r->places);
	free(r->window);
	free(r);
}

/* ---------------------------------------------------------------- records */

struct unpacker {
	const uint8_t *p, *end;
};

static bool get(struct unpacker *u, void *to, size_t len)
{
	if ((size_t)(u->end - u->p) < len)
		return false;
	memcpy(to, u->p, len);
	u->p += len;
	return true;
}

static bool get_string(struct unpacker *u, struct log_value *v)
{
	uint16_t len;

	v->str = "";
	if (!get(u, &len, sizeof(len)))
		return false;
	v->is_null = len == LOG_STR_NULL;
	if (v->is_null)
		return true;
	v->cut = len & LOG_STR_CUT;
	v->len = len & (uint16_t)~LOG_STR_CUT;
	v->str = (const char *)u->p;
	if ((size_t)(u->end - u->p) < v->len)
		return false;
	u->p += v->len;
	return true;
}

/* That of another machine means nothing to this one's printf. */
static bool get_long_double(const struct log_reader *r, struct unpacker *u, struct log_value *v)
{
	uint8_t bytes[16];

	if (!get(u, bytes, sizeof(bytes)))
		return false;
	_Static_assert(sizeof(v->ld) <= sizeof(bytes), "a long double");
	if (r->head.ldouble_bits == LDBL_MANT_DIG)
		memcpy(&v->ld, bytes, sizeof(v->ld));
	return true;
}

static bool get_value(const struct log_reader *r, struct unpacker *u, struct log_value *v)
{
	int32_t n;

	switch (v->kind) {
	case LOG_KIND_INT:
	case LOG_KIND_ERRNO:
		if (!get(u, &n, sizeof(n)))
			return false;
		v->i = n;
		return true;
	case LOG_KIND_LONG:
		return get(u, &v->i, sizeof(v->i));
	case LOG_KIND_DOUBLE:
		return get(u, &v->d, sizeof(v->d));
	case LOG_KIND_LDOUBLE:
		return get_long_double(r, u, v);
	default: /* log_format_fits() lets only strings and texts pass */
		return get_string(u, v);
	}
}

/* All arguments, and nothing but the padding behind them. */
static bool get_values(struct log_reader *r, const struct log_place *pl, struct unpacker *u)
{
	memset(r->values, 0, pl->nkinds * sizeof(r->values[0]));
	for (size_t i = 0; i < pl->nkinds; i++) {
		r->values[i].kind = pl->kinds[i];
		if (!get_value(r, u, &r->values[i]))
			return false;
	}
	return (size_t)(u->end - u->p) < WORD;
}

static uint16_t sum_of(const uint8_t *p, const struct log_record *h)
{
	uint64_t sum = log_sum_begin(h->site, h->words), word;

	for (uint16_t i = 1; i < h->words; i++) {
		memcpy(&word, p + i * WORD, sizeof(word));
		sum = log_sum_add(sum, word);
	}
	return log_sum_end(sum);
}

enum found { FOUND_NOTHING, FOUND_RECORD, FOUND_ZERO, FOUND_OPEN };

/* What is at p, of which there are `len` bytes: a word at least. */
static enum found parse(struct log_reader *r, const uint8_t *p, size_t len, struct log_entry *e)
{
	struct log_record h = {0};
	struct unpacker u;

	memcpy(&h, p, MIN(len, sizeof(h)));
	if (memcmp(p, &(uint64_t){0}, WORD) == 0)
		return FOUND_ZERO;
	if (h.words * WORD < sizeof(h) || h.words * WORD > LOG_RECORD_MAX ||
	    h.site >= r->head.nsites)
		return FOUND_NOTHING;
	if (h.mark == LOG_MARK_OPEN)
		return FOUND_OPEN;
	if (h.mark != LOG_MARK_DONE || h.words * WORD > len)
		return FOUND_NOTHING;
	if (sum_of(p, &h) != h.sum)
		return FOUND_NOTHING;
	u = (struct unpacker){p + sizeof(h), p + h.words * WORD};
	if (!get_values(r, &r->places[h.site], &u))
		return FOUND_NOTHING;
	*e = (struct log_entry){
		.ns = h.ns,
		.pid = (pid_t)h.pid,
		.tid = (pid_t)h.tid,
		.place = &r->places[h.site],
		.nvalues = r->places[h.site].nkinds,
		.values = r->values,
	};
	r->pos += h.words * WORD;
	return FOUND_RECORD;
}

/* A word that is no record. */
static void pass_damage(struct log_reader *r)
{
	if (r->pos >= r->unfinished_end)
		r->losses.damaged += WORD;
	r->pos += WORD;
}

static void pass_open(struct log_reader *r, const uint8_t *p)
{
	struct log_record h;

	memcpy(&h, p, WORD);
	if (r->pos >= r->unfinished_end) {
		r->losses.unfinished++;
		r->unfinished_end = r->pos + h.words * WORD;
	}
	r->pos += WORD;
}

int log_reader_next(struct log_reader *r, bool patient, struct log_entry *ret, struct err *err)
{
	uint64_t zeros = UINT64_MAX; /* where they began */
	const uint8_t *p = NULL;
	size_t len = 0;

	for (;;) {
		enum found found;

		TRY(look(r, &p, &len, err));
		if (len < WORD)
			break;
		found = parse(r, p, len, ret);
		if (found == FOUND_ZERO) {
			zeros = MIN(zeros, r->pos);
			if (patient)
				break;
			r->pos += WORD;
			continue;
		}
		/* Something comes after them, so that they should have been a record. */
		if (zeros != UINT64_MAX && zeros >= r->unfinished_end)
			r->losses.unfinished++;
		zeros = UINT64_MAX;
		if (found == FOUND_RECORD)
			return 1;
		if (patient && (found == FOUND_OPEN || len < LOG_RECORD_MAX))
			break;
		if (found == FOUND_OPEN)
			pass_open(r, p);
		else
			pass_damage(r);
	}
	r->rest = len < WORD ? len : 0;
	forget_window(r, MIN(zeros, r->pos));
	return 0;
}

void log_reader_near_end(struct log_reader *r, uint64_t bytes)
{
	struct log_file_live live;
	struct stat st;
	uint64_t end, at;

	if (r->is_pipe || fstat(r->fd, &st) < 0 ||
	    read_at(r, &live, sizeof(live), LOG_FILE_LIVE) != sizeof(live))
		return;
	end = live.closed ? (uint64_t)st.st_size : live.tail;
	if (end > (uint64_t)st.st_size || end < r->head.records + bytes)
		return;
	at = (end - bytes) / WORD * WORD;
	/* Into the midst of a record, which isn't damage: as if one ended not before a whole one's
	 * length. */
	r->unfinished_end = at + LOG_RECORD_MAX;
	forget_window(r, at);
}

bool log_reader_is_complete(struct log_reader *r)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct log_file_live live;

	if (r->is_pipe || read_at(r, &live, sizeof(live), LOG_FILE_LIVE) != sizeof(live))
		return true;
	return live.closed || (fcntl(r->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK);
}

const struct log_about *log_reader_about(const struct log_reader *r)
{
	return &r->about;
}

struct log_losses log_reader_losses(struct log_reader *r)
{
	struct log_losses all;
	struct log_file_live live;

	if (!r->is_pipe && read_at(r, &live, sizeof(live), LOG_FILE_LIVE) == sizeof(live))
		r->losses.dropped = live.dropped;
	all = r->losses;
	all.damaged += r->rest;
	return all;
}

/* ------------------------------------------------------------------ texts */

size_t log_entry_message(const struct log_entry *e, char *buf, size_t size)
{
	return log_format_render(buf, size, e->place->fmt, e->values, e->nvalues);
}

size_t log_entry_line(const struct log_reader *r, const struct log_entry *e, char *buf, size_t size)
{
	size_t n = log_line_head(buf, size, e->place->level, e->place->file, e->place->line, e->ns,
				 r->head.level >= LOG_INFO);

	return n + log_entry_message(e, buf + n, size - n);
}

const char *log_level_name(uint8_t level)
{
	static const char *const names[] = {"status", "error", "warn", "info", "debug"};

	return level < ARRAY_SIZE(names) ? names[level] : "?";
}
