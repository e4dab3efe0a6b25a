/* SPDX-License-Identifier: Apache-2.0 */
/* sums-ID.img: the sum of every page, in whatever order and pieces the pages are told of. */
#include "image/page_sums.h"

#include "../lib/samples.h"
#include "base/auto.h"
#include "base/crc32c.h"
#include "base/io.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define PAGE 4096u

#define assert_ok(expr)                                                                            \
	do {                                                                                       \
		if ((expr) < 0)                                                                    \
			fail_msg("%s: %s", #expr, err.text);                                       \
	} while (0)

static void fill_page(uint8_t *page, uint32_t id, uint64_t n)
{
	for (size_t i = 0; i < PAGE; i++)
		page[i] = (uint8_t)(i + n * 31 + id * 7 + (n >> 8));
}

static int make_pages(const struct img_dir *dir, uint32_t id, uint64_t npages)
{
	char name[IMG_NAME_MAX];
	uint8_t page[PAGE];
	int fd;

	snprintf(name, sizeof(name), "pages-%u.img", id);
	fd = openat(dir->fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (uint64_t i = 0; i < npages; i++) {
		fill_page(page, id, i);
		assert_int_equal(io_pwrite_full(fd, page, PAGE, i * PAGE), 0);
	}
	return fd;
}

static void begin(struct img_dir *dir)
{
	sample_empty_dir(dir);
	dir->sums = img_sums_new();
}

static void end(struct img_dir *dir)
{
	img_sums_free(dir->sums);
	dir->sums = NULL;
	sample_remove(dir);
}

static void check(const struct img_dir *dir, uint32_t id, uint64_t npages)
{
	char name[IMG_NAME_MAX];
	uint8_t page[PAGE];
	size_t len;

	snprintf(name, sizeof(name), "sums-%u.img", id);
	{
		auto_free uint8_t *data = sample_read(dir->fd, name, &len);

		assert_int_equal(len, npages * 4);
		for (uint64_t i = 0; i < npages; i++) {
			uint32_t crc;

			fill_page(page, id, i);
			crc = crc32c_by_table(0, page, PAGE);
			for (size_t k = 0; k < 4; k++)
				assert_int_equal(data[i * 4 + k], crc >> (8 * k) & 0xff);
		}
	}
}

static void one_file(const struct img_dir *dir, uint32_t id, uint64_t npages, uint64_t step,
		     bool backwards)
{
	auto_close int fd = make_pages(dir, id, npages);
	struct page_sums_file *f = page_sums_begin(dir, id, fd);

	for (uint64_t i = 0; i < npages; i += step) {
		uint64_t at = backwards ? (npages - 1 - i) / step * step : i;

		page_sums_add(f, at * PAGE, MIN(step, npages - at) * PAGE);
	}
	page_sums_end(f, npages * PAGE);
}

static void every_page_gets_its_sum(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	begin(&dir);
	one_file(&dir, 1, 1, 1, false);
	one_file(&dir, 2, 3000, 3000, false);
	one_file(&dir, 3, 3000, 7, false);
	one_file(&dir, 4, 3000, 7, true);
	assert_ok(page_sums_wait(&dir, &err));
	check(&dir, 1, 1);
	for (uint32_t id = 2; id <= 4; id++)
		check(&dir, id, 3000);
	end(&dir);
}

/* More than are kept open, and more ranges than are kept: who adds them lends a hand. */
static void many_files_and_many_ranges(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	begin(&dir);
	for (uint32_t id = 1; id <= 300; id++)
		one_file(&dir, id, 2, 1, true);
	one_file(&dir, 301, 20000, 1, true);
	assert_ok(page_sums_wait(&dir, &err));
	for (uint32_t id = 1; id <= 300; id += 50)
		check(&dir, id, 2);
	check(&dir, 301, 20000);
	end(&dir);
}

static void a_forgotten_page_is_told(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	begin(&dir);
	{
		auto_close int fd = make_pages(&dir, 1, 3);
		struct page_sums_file *f = page_sums_begin(&dir, 1, fd);

		page_sums_add(f, 0, PAGE);
		page_sums_add(f, 2 * PAGE, PAGE);
		page_sums_end(f, 3 * PAGE);
	}
	assert_true(page_sums_wait(&dir, &err) < 0);
	assert_non_null(strstr(err.text, "pages-1.img: 2 of 3 pages"));
	end(&dir);
}

static void an_aborted_dump_ends_the_thread(void **state)
{
	struct img_dir dir;

	for (int i = 0; i < 20; i++) {
		begin(&dir);
		{
			auto_close int fd = make_pages(&dir, 1, 500);
			struct page_sums_file *dropped = page_sums_begin(&dir, 1, fd);
			struct page_sums_file *left = page_sums_begin(&dir, 2, fd);

			page_sums_add(dropped, 0, 500 * PAGE);
			page_sums_add(left, 0, 500 * PAGE);
			page_sums_drop(dropped);
			(void)left; /* nobody ends it */
		}
		end(&dir);
	}
}

/* What is gone can't be read: that is an error of the dump, not a crash. */
static void a_pages_file_that_was_cut_off_is_an_error(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	begin(&dir);
	{
		auto_close int fd = make_pages(&dir, 1, 1);
		struct page_sums_file *f = page_sums_begin(&dir, 1, fd);

		page_sums_add(f, 0, 100 * PAGE);
		page_sums_end(f, 100 * PAGE);
	}
	assert_true(page_sums_wait(&dir, &err) < 0);
	assert_non_null(strstr(err.text, "pages-1.img"));
	end(&dir);
}

/* Scripts, the guard and the keeper are forked while the thread is at work. */
static void forks_are_harmless(void **state)
{
	struct err err = ERR_INIT;
	struct img_dir dir;

	begin(&dir);
	{
		auto_close int fd = make_pages(&dir, 1, 8000);
		struct page_sums_file *f = page_sums_begin(&dir, 1, fd);

		for (uint64_t i = 0; i < 8000; i += 100) {
			page_sums_add(f, i * PAGE, 100 * PAGE);
			if (i % 800 == 0) {
				int status;
				pid_t pid = fork();

				if (pid == 0)
					_exit(3);
				assert_int_equal(waitpid(pid, &status, 0), pid);
				assert_int_equal(WEXITSTATUS(status), 3);
			}
		}
		page_sums_end(f, 8000 * PAGE);
	}
	assert_ok(page_sums_wait(&dir, &err));
	check(&dir, 1, 8000);
	end(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_gets_its_sum),
		cmocka_unit_test(many_files_and_many_ranges),
		cmocka_unit_test(a_forgotten_page_is_told),
		cmocka_unit_test(an_aborted_dump_ends_the_thread),
		cmocka_unit_test(a_pages_file_that_was_cut_off_is_an_error),
		cmocka_unit_test(forks_are_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
