/* SPDX-License-Identifier: Apache-2.0 */
/* Format: elf(5), and struct elf_prstatus and elf_prpsinfo of <sys/procfs.h>. */
#include "inspect/core_notes.h"

#include "base/auto.h"
#include "base/parse.h"

#include <elf.h>
#include <string.h>
#include <sys/procfs.h>

#define NOTE_ALIGN   4
#define TASK_STOPPED 3 /* tc.task_state; a disk value */
/* Of all together: a hundred times what large processes have. */
#define NOTES_MAX (UINT64_C(512) << 20)

static void put_bytes(note_buf *b, const void *data, size_t len)
{
	size_t at = b->len;

	if (!len)
		return;
	if (b->cap - b->len < len) {
		b->cap = MAX(b->cap * 2, b->len + len);
		b->data = xrealloc(b->data, b->cap, 1);
	}
	b->len += len;
	memcpy(b->data + at, data, len);
}

static void put_padded(note_buf *b, const void *data, size_t len)
{
	static const uint8_t zeros[NOTE_ALIGN];

	put_bytes(b, data, len);
	put_bytes(b, zeros, -len % NOTE_ALIGN);
}

static int put_note(note_buf *b, const char *owner, uint32_t type, const void *data, size_t len,
		    struct err *err)
{
	Elf64_Nhdr h = {
		.n_namesz = (Elf64_Word)strlen(owner) + 1,
		.n_descsz = (Elf64_Word)len,
		.n_type = type,
	};

	if (b->len + len > NOTES_MAX)
		return err_input(err,
				 "too many threads, or names of mapped files, for a core file");
	put_bytes(b, &h, sizeof(h));
	put_padded(b, owner, h.n_namesz);
	put_padded(b, data, len);
	return 0;
}

/* ----------------------------------------------------------------- threads */

static uint64_t blocked_signals(const CoreEntry *core)
{
	if (core->thread_core && core->thread_core->has_blk_sigset)
		return core->thread_core->blk_sigset;
	return core->tc ? core->tc->blk_sigset : 0;
}

static int put_status(const struct checkpoint_task *t, uint32_t tid, const CoreEntry *core,
		      const struct thread_regs *regs, note_buf *b, struct err *err)
{
	struct elf_prstatus st;

	memset(&st, 0, sizeof(st));
	st.pr_sighold = blocked_signals(core);
	st.pr_pid = (pid_t)tid;
	st.pr_ppid = (pid_t)t->e->ppid;
	st.pr_pgrp = (pid_t)t->e->pgid;
	st.pr_sid = (pid_t)t->e->sid;
	st.pr_fpvalid = 1;
	_Static_assert(sizeof(st.pr_reg) == sizeof(regs->general), "elf_gregset_t");
	memcpy(&st.pr_reg, regs->general, sizeof(st.pr_reg));
	return put_note(b, "CORE", NT_PRSTATUS, &st, sizeof(st), err);
}

static int thread_regs(const CoreEntry *core, uint32_t tid, struct thread_regs *ret,
		       struct err *err)
{
	char image[IMG_NAME_MAX];

	img_name(IMG_CORE, tid, image);
	return core_regs(core, image, ret, err);
}

static int put_float(const struct thread_regs *regs, note_buf *b, struct err *err)
{
	TRY(put_note(b, "CORE", NT_FPREGSET, regs->legacy, sizeof(regs->legacy), err));
	if (!regs->xstate_len)
		return 0;
	return put_note(b, "LINUX", NT_X86_XSTATE, regs->xstate, regs->xstate_len, err);
}

static int put_thread(struct space *s, const struct checkpoint_task *t, uint32_t tid, note_buf *b,
		      struct err *err)
{
	struct arena *a = arena_new();
	const CoreEntry *core;
	struct thread_regs regs;
	int r = checkpoint_thread_core(s->cp, tid, a, &core, err);

	if (r == 0)
		r = thread_regs(core, tid, &regs, err);
	if (r == 0)
		r = put_status(t, tid, core, &regs, b, err);
	if (r == 0)
		r = put_float(&regs, b, err);
	arena_free(a);
	return r;
}

/* ----------------------------------------------------------------- process */

/* The beginning of the command line, as ps shows it. */
static void read_args(struct space *s, char *to, size_t size)
{
	uint64_t start = s->mm->mm_arg_start, end = s->mm->mm_arg_end;
	struct err ignored = ERR_INIT;
	int64_t n = 0;

	if (end > start)
		n = space_read(s, start, to, MIN(end - start, size - 1), /* files= */ false,
			       &ignored);
	if (n <= 0)
		return;
	to[n] = '\0';
	if (to[n - 1] == '\0')
		n--;
	for (int64_t i = 0; i < n; i++)
		if (to[i] == '\0')
			to[i] = ' ';
}

static int put_process(struct space *s, const struct checkpoint_task *t, const CoreEntry *core,
		       note_buf *b, struct err *err)
{
	const TaskCoreEntry *tc = core->tc;
	const ThreadCoreEntry *thread = core->thread_core;
	struct elf_prpsinfo ps;

	memset(&ps, 0, sizeof(ps));
	ps.pr_sname = tc && tc->task_state == TASK_STOPPED ? 'T' : 'S';
	ps.pr_state = ps.pr_sname == 'T' ? 3 : 1;
	ps.pr_nice = (char)(thread && thread->has_sched_nice ? thread->sched_nice : 0);
	ps.pr_flag = tc ? tc->flags : 0;
	if (thread && thread->creds) {
		ps.pr_uid = thread->creds->uid;
		ps.pr_gid = thread->creds->gid;
	}
	ps.pr_pid = (int)t->pid;
	ps.pr_ppid = (int)t->e->ppid;
	ps.pr_pgrp = (int)t->e->pgid;
	ps.pr_sid = (int)t->e->sid;
	str_copy(ps.pr_fname, sizeof(ps.pr_fname), tc ? tc->comm : "");
	read_args(s, ps.pr_psargs, sizeof(ps.pr_psargs));
	return put_note(b, "CORE", NT_PRPSINFO, &ps, sizeof(ps), err);
}

/* With its end, which may have been cut off. */
static int put_auxv(const MmEntry *mm, note_buf *b, struct err *err)
{
	static const uint64_t end[2] = {AT_NULL, 0};
	note_buf words = {0};
	size_t pairs;
	int r;

	put_bytes(&words, mm->mm_saved_auxv, mm->n_mm_saved_auxv * sizeof(uint64_t));
	put_bytes(&words, mm->saved_auxv_tail, mm->n_saved_auxv_tail * sizeof(uint64_t));
	words.len -= words.len % sizeof(end);
	pairs = words.len / sizeof(end);
	if (!pairs || memcmp(words.data + (pairs - 1) * sizeof(end), end, sizeof(end)) != 0)
		put_bytes(&words, end, sizeof(end));
	r = put_note(b, "CORE", NT_AUXV, words.data, words.len, err);
	vec_done(&words);
	return r;
}

static int put_files(const struct space *s, note_buf *b, struct err *err)
{
	uint64_t head[2] = {0, SPACE_PAGE};
	note_buf ranges = {0}, names = {0};
	int r;

	put_bytes(&ranges, head, sizeof(head));
	for (size_t i = 0; i < s->n; i++) {
		const struct area *a = &s->areas[i];
		uint64_t range[3] = {a->start, a->end, a->pgoff / SPACE_PAGE};

		if (a->backing != BACKING_FILE)
			continue;
		if (names.len > NOTES_MAX)
			break; /* put_note refuses them */
		head[0]++;
		put_bytes(&ranges, range, sizeof(range));
		put_bytes(&names, a->reg->name, strlen(a->reg->name) + 1);
	}
	memcpy(ranges.data, head, sizeof(head));
	put_bytes(&ranges, names.data, names.len);
	r = put_note(b, "CORE", NT_FILE, ranges.data, ranges.len, err);
	vec_done(&ranges);
	vec_done(&names);
	return r;
}

/* ------------------------------------------------------------------- order */

/* Debuggers take the first thread for the leader, and what is between as belonging to it. */
int core_notes(struct space *s, note_buf *ret, struct err *err)
{
	const struct checkpoint_task *t = checkpoint_find(s->cp, s->pid, err);
	struct thread_regs regs;

	if (!t)
		return err->code;
	TRY(thread_regs(t->core, t->pid, &regs, err));
	TRY(put_status(t, t->pid, t->core, &regs, ret, err));
	TRY(put_process(s, t, t->core, ret, err));
	TRY(put_auxv(s->mm, ret, err));
	TRY(put_files(s, ret, err));
	TRY(put_float(&regs, ret, err));
	for (size_t i = 1; i < t->e->n_threads; i++)
		TRY(put_thread(s, t, t->e->threads[i], ret, err));
	return 0;
}
