/* SPDX-License-Identifier: Apache-2.0 */
/* torpor image decode, encode, show, info. */
#include "cli/codec.h"
#include "cli/image.h"
#include "cli/output_file.h"

#include "base/auto.h"

#include <fcntl.h>
#include <getopt.h>
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

/* Options of all four; `allowed` are the letters of those that this command has. -1: complained. */
static int parse(const struct image_command *cmd, int argc, char **argv, const char *allowed,
		 struct words *w)
{
	static const struct option options[] = {
		{"in", required_argument, NULL, 'i'},  {"input", required_argument, NULL, 'i'},
		{"out", required_argument, NULL, 'o'}, {"output", required_argument, NULL, 'o'},
		{"pretty", no_argument, NULL, 'p'},    {"kind", required_argument, NULL, 'k'},
		{"nopl", no_argument, NULL, 'n'},      {NULL},
	};
	int c;

	*w = (struct words){.flags = 0};
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "i:o:", options, NULL)) >= 0) {
		if (c == '?' || !strchr(allowed, c)) {
			image_usage(cmd, "'%s': no such option, or without its value",
				    argv[optind > 0 ? optind - 1 : 0]);
			return -1;
		}
		if (c == 'i')
			w->files.in = optarg;
		else if (c == 'o')
			w->files.out = optarg;
		else if (c == 'k')
			w->files.name = optarg;
		else
			w->flags |= c == 'p' ? TORPOR_IMAGE_PRETTY : TORPOR_IMAGE_SIZES_ONLY;
	}
	/* A file as a bare word is its input. */
	if (optind < argc && !w->files.in)
		w->files.in = argv[optind++];
	if (optind < argc) {
		image_usage(cmd, "unexpected word '%s'", argv[optind]);
		return -1;
	}
	return 0;
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
	struct torpor_image *ti;
	const char *what;
	struct words w;
	int r;

	if (parse(cmd, argc, argv, "iopkn", &w) < 0)
		return IMAGE_USAGE;
	ti = image_context();
	r = codec_decode(ti, &w.files, w.flags, &what);
	return finish(cmd, ti, r, what);
}

int image_encode(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_image *ti;
	const char *what;
	struct words w;
	int r;

	if (parse(cmd, argc, argv, "io", &w) < 0)
		return IMAGE_USAGE;
	ti = image_context();
	r = codec_encode(ti, &w.files, &what);
	return finish(cmd, ti, r, what);
}

int image_show(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_image *ti;
	const char *what;
	struct words w;
	int r;

	if (parse(cmd, argc, argv, "ikn", &w) < 0)
		return IMAGE_USAGE;
	ti = image_context();
	r = codec_decode(ti, &w.files, w.flags | TORPOR_IMAGE_PRETTY, &what);
	return finish(cmd, ti, r, what);
}

int image_info(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_image *ti;
	const char *what;
	struct words w;
	int r;

	if (parse(cmd, argc, argv, "i", &w) < 0)
		return IMAGE_USAGE;
	if (!w.files.in)
		return image_usage(cmd, "name an image file");
	ti = image_context();
	r = codec_info(ti, w.files.in, 0, &what);
	return finish(cmd, ti, r, what);
}

int image_explore(const struct image_command *cmd, int argc, char **argv)
{
	struct torpor_image *ti;

	if (argc != 3)
		return image_usage(cmd, "name a directory, and what to show of it");
	if (!codec_is_view(argv[2]))
		return image_usage(cmd, "'%s' is none of ps, fds, mems, rss", argv[2]);
	ti = image_context();
	return finish(cmd, ti, codec_explore(ti, argv[1], argv[2]), NULL);
}
