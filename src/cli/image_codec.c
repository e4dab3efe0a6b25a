/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image decode, encode, show, info. */
#include "cli/codec.h"
#include "cli/image_words.h"
#include "cli/output_file.h"

#include "base/auto.h"

#include <fcntl.h>
#include <string.h>

/* ------------------------------------------------------------------ files */

static int source_open(const char *path)
{
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;

	return fd < 0 ? -errno : fd;
}

static const char *name_of(const struct codec_files *f)
{
	return f->name ? f->name : f->in ? f->in : "standard input";
}

static int run(struct torpor_image *ti, const struct codec_files *f, bool decode,
	       unsigned int flags, const char **ret_what)
{
	struct output_file out;
	int in = source_open(f->in), r, closed;

	*ret_what = f->in;
	if (in < 0)
		return in;
	*ret_what = f->out;
	r = output_file_open(&out, f->out);
	if (r < 0) {
		if (f->in)
			close(in);
		return r;
	}
	*ret_what = NULL;
	/* Not into the middle of what is being read there. */
	if (!f->out && isatty(STDOUT_FILENO))
		torpor_image_on_progress(ti, NULL, NULL);
	r = decode ? torpor_image_decode(ti, in, name_of(f), out.fd, flags)
		   : torpor_image_encode(ti, in, name_of(f), out.fd);
	if (f->in)
		close(in);
	closed = output_file_close(&out, r == 0, 0);
	if (r == 0 && closed < 0)
		*ret_what = f->out;
	return r < 0 ? r : closed;
}

int codec_decode(struct torpor_image *ti, const struct codec_files *files, unsigned int flags,
		 const char **ret_what)
{
	if (!files->out)
		flags |= TORPOR_IMAGE_NEWLINE;
	return run(ti, files, /* decode= */ true, flags, ret_what);
}

int codec_encode(struct torpor_image *ti, const struct codec_files *files, const char **ret_what)
{
	return run(ti, files, /* decode= */ false, 0, ret_what);
}

int codec_info(struct torpor_image *ti, const char *path, unsigned int flags, const char **ret_what)
{
	auto_close int in = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *kind = NULL;
	uint64_t count;
	int r;

	*ret_what = path;
	if (in < 0)
		return -errno;
	*ret_what = NULL;
	r = torpor_image_info(ti, in, path, flags, &kind, &count);
	if (r < 0)
		return r;
	printf("{\n    \"magic\": \"%s\",\n    \"count\": %llu\n}\n", kind,
	       (unsigned long long)count);
	return 0;
}

bool codec_is_view(const char *what)
{
	static const char *const views[] = {"ps", "fds", "mems", "rss"};

	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (strcmp(views[i], what) == 0)
			return true;
	return false;
}

int codec_explore(struct torpor_image *ti, const char *dir, const char *what)
{
	auto_free char *text = NULL;
	struct torpor_checkpoint *cp;
	int r = torpor_checkpoint_open(ti, dir, &cp);

	if (r < 0)
		return r;
	r = torpor_checkpoint_explore(cp, what, &text);
	if (r == 0)
		fputs(text, stdout);
	torpor_checkpoint_close(cp);
	return r;
}

/* --------------------------------------------------------------- commands */

struct words {
	struct codec_files files;
	unsigned int flags;
};

/* clang-format off */
#define INPUT(w)  {"in", 'i', IMAGE_TEXT, &(w).files.in, 0}, \
		  {"input", 0, IMAGE_TEXT, &(w).files.in, 0}
#define OUTPUT(w) {"out", 'o', IMAGE_TEXT, &(w).files.out, 0}, \
		  {"output", 0, IMAGE_TEXT, &(w).files.out, 0}
#define KIND(w)	  {"kind", 0, IMAGE_TEXT, &(w).files.name, 0}
#define PRETTY(w) {"pretty", 0, IMAGE_BITS, &(w).flags, TORPOR_IMAGE_PRETTY}
#define NOPL(w)	  {"nopl", 0, IMAGE_BITS, &(w).flags, TORPOR_IMAGE_SIZES_ONLY}
/* clang-format on */

/* A file as a bare word is the input. */
static int parse(const struct image_command *cmd, int argc, char **argv,
		 const struct image_option *options, struct words *w)
{
	const char *word = NULL;
	int r = image_words(cmd, argc, argv, options, &word, 0, 1);

	if (r == IMAGE_OK && word && w->files.in)
		return image_usage(cmd, "'%s' is a word too many", word);
	if (word)
		w->files.in = word;
	return r;
}

static int finish(const struct image_command *cmd, struct torpor_image *ti, int r, const char *what)
{
	int status = IMAGE_OK;

	if (r < 0 && what) {
		fprintf(stderr, "torpor image %s: error: %s: %s\n", cmd->name, what, strerror(-r));
		status = IMAGE_FAILED;
	} else if (r < 0) {
		status = image_failed(cmd, ti);
	}
	torpor_image_free(ti);
	return status;
}

int image_decode(const struct image_command *cmd, int argc, char **argv)
{
	struct words w = {0};
	const struct image_option options[] = {INPUT(w),  OUTPUT(w), KIND(w),
					       PRETTY(w), NOPL(w),   {0}};
	int r = parse(cmd, argc, argv, options, &w);
	struct torpor_image *ti;
	const char *what;

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	r = codec_decode(ti, &w.files, w.flags, &what);
	return finish(cmd, ti, r, what);
}

int image_encode(const struct image_command *cmd, int argc, char **argv)
{
	struct words w = {0};
	const struct image_option options[] = {INPUT(w), OUTPUT(w), {0}};
	int r = parse(cmd, argc, argv, options, &w);
	struct torpor_image *ti;
	const char *what;

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	r = codec_encode(ti, &w.files, &what);
	return finish(cmd, ti, r, what);
}

int image_show(const struct image_command *cmd, int argc, char **argv)
{
	struct words w = {0};
	const struct image_option options[] = {INPUT(w), KIND(w), NOPL(w), {0}};
	int r = parse(cmd, argc, argv, options, &w);
	struct torpor_image *ti;
	const char *what;

	if (r != IMAGE_OK)
		return r;
	ti = image_context();
	r = codec_decode(ti, &w.files, w.flags | TORPOR_IMAGE_PRETTY, &what);
	return finish(cmd, ti, r, what);
}

int image_info(const struct image_command *cmd, int argc, char **argv)
{
	struct words w = {0};
	const struct image_option options[] = {INPUT(w), {0}};
	int r = parse(cmd, argc, argv, options, &w);
	struct torpor_image *ti;
	const char *what;

	if (r != IMAGE_OK)
		return r;
	if (!w.files.in)
		return image_usage(cmd, "name an image file");
	ti = image_context();
	r = codec_info(ti, w.files.in, 0, &what);
	return finish(cmd, ti, r, what);
}

int image_explore(const struct image_command *cmd, int argc, char **argv)
{
	const struct image_option options[] = {{0}};
	const char *words[2]; /* directory, what to show of it */
	int r = image_words(cmd, argc, argv, options, words, 2, 2);
	struct torpor_image *ti;

	if (r != IMAGE_OK)
		return r;
	if (!codec_is_view(words[1]))
		return image_usage(cmd, "'%s' is none of ps, fds, mems, rss", words[1]);
	ti = image_context();
	return finish(cmd, ti, codec_explore(ti, words[0], words[1]), NULL);
}
