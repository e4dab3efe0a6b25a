/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entering and leaving a process: the first remote call, which maps the scratch area, and the last
 * one, which unmaps it.
 *
 * Both run on the target's own instructions and memory, with nothing of ours in it to fall back
 * to, and still bring the thread back if we die at any moment: a signal frame with its state is
 * written to pages at the bottom of the main thread's stack that were never touched (pagemap shows
 * nothing there; a stack grows down towards them, what is below its pointer has no meaning, and
 * no other stack can be there). Where the program was down there once, those pages are borrowed:
 * their bytes are dead (most likely even if no thread runs on this stack), and put back all the
 * same. The call is made by a `syscall; ret` in some library, and the word that `ret` takes is the
 * address of the library's own rt_sigreturn:
 *
 *	spot ->	[address of `mov $15,%eax; syscall`]	<- sp during the call
 *		[ucontext, XSAVE image]
 *
 * Where such a place or such instructions don't exist (a static program without a signal
 * restorer, a user shadow stack), the calls are made by any `syscall` instruction, and a target
 * whose tracer dies within those few microseconds is lost. The log says so.
 */
#include "remote/batch.h"
#include "remote/internal.h"
#include "remote/scratch.h"

#include "base/auto.h"
#include "base/io.h"
#include "base/log.h"
#include "base/parse.h"
#include "kernel/proc.h"
#include "kernel/sys.h"
#include "kernel/uapi/ptrace.h"
#include "remote/arch/x86_64/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAGE 4096

static bool sig_in(uint64_t set, int signo)
{
	return set >> (signo - 1) & 1;
}

/*
 * The signal that ends batches: by default ignored, so that without a tracer nothing happens; not
 * pending, as it would be lost. One with a handler is the second choice: it would run once, for
 * nothing, if we died at that very moment. 0 if all are pending: then calls are made one by one.
 */
static int signal_choose(const struct target *t, const char *status)
{
	static const int candidates[] = {SIGURG, SIGWINCH, SIGCHLD};
	uint64_t caught = 0, thread = 0, shared = 0;

	if (t->has_seccomp || !proc_field_u64(status, "SigCgt", 16, &caught) ||
	    !proc_field_u64(status, "SigPnd", 16, &thread) ||
	    !proc_field_u64(status, "ShdPnd", 16, &shared))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (!sig_in(caught | thread | shared, candidates[i]))
			return candidates[i];
	for (size_t i = 0; i < ARRAY_SIZE(candidates); i++)
		if (!sig_in(thread | shared, candidates[i]))
			return candidates[i];
	return 0;
}

enum page_kind { PAGE_USED, PAGE_BLANK, PAGE_OURS };

/* Never touched, or begins with what an earlier visit left. */
static enum page_kind page_look(const struct target *t, int pagemap, uint64_t va)
{
	uint8_t page[PAGE];
	struct err err = ERR_INIT;
	uint64_t entry;

	if (io_pread_full(pagemap, &entry, sizeof(entry), va / PAGE * sizeof(entry)) < 0)
		return PAGE_USED;
	if (!(entry >> 62)) /* neither present nor swapped */
		return PAGE_BLANK;
	if (target_read(t, raddr(va), page, sizeof(page), &err) < 0 || !frame_is_ours(page))
		return PAGE_USED;
	return PAGE_OURS;
}

/* Pages that were never touched, or are ours since an earlier visit. */
static bool spot_find(struct target *t, uint64_t from, uint64_t end)
{
	struct scratch *s = t->scratch;
	size_t want = s->spot_len / PAGE, run = 0;
	auto_close int pagemap = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);

	for (uint64_t va = from; pagemap >= 0 && va < end; va += PAGE) {
		enum page_kind kind = page_look(t, pagemap, va);

		run = kind == PAGE_BLANK ? run + 1 : 0;
		if (run < want && kind != PAGE_OURS)
			continue;
		s->spot = raddr(kind == PAGE_OURS ? va : va - (want - 1) * PAGE);
		return true;
	}
	return false;
}

/* Pages that the program had used when its stack was deeper than now. */
static void spot_borrow(struct target *t, uint64_t at)
{
	struct scratch *s = t->scratch;
	auto_free uint8_t *saved = xcalloc(1, s->spot_len);
	struct err why = ERR_INIT;

	if (target_read(t, raddr(at), saved, s->spot_len, &why) < 0)
		return; /* it goes on without, see site_prepare */
	s->spot = raddr(at);
	s->spot_saved = TAKE_PTR(saved);
}

static void spot_choose(struct target *t, const struct proc_map *stack, size_t frame_len)
{
	uint64_t from = stack->start + PAGE, end = stack->end, room;

	for (size_t i = 0; i < t->nthreads; i++) {
		uint64_t sp = t->threads[i]->saved->gp.rsp;

		if (sp >= stack->start && sp < end)
			end = sp;
	}
	t->scratch->spot_len = (frame_len + PAGE - 1) / PAGE * PAGE;
	/* Well below any stack pointer, and with room for a handler's frame below ours. */
	room = t->scratch->spot_len + 4 * (uint64_t)PAGE;
	if (end < from + room || spot_find(t, from, end - room))
		return;
	/*
	 * Also if nobody's stack pointer is in there: of a child that a thread has forked, or where
	 * a program switches stacks. They have no use for the very bottom, and without a place a
	 * kill at this moment is their end.
	 */
	spot_borrow(t, from);
}

/*
 * Puts back what was borrowed. What was untouched is wiped out, but for what tells frame_is_ours()
 * that the place may be used again.
 */
static int spot_wipe(struct target *t, struct err *err)
{
	const struct scratch *s = t->scratch;
	uint8_t buf[SCRATCH_FRAME_SIZE];

	if (s->spot_saved)
		return target_write(t, s->spot, s->spot_saved, s->spot_len, err);
	frame_wipe(buf, s->spot_len);
	return target_write(t, s->spot, buf, s->spot_len, err);
}

struct exec_maps {
	VEC(struct proc_map) maps;
};

static int map_size_cmp(const void *a, const void *b)
{
	const struct proc_map *x = a, *y = b;
	uint64_t m = x->end - x->start, n = y->end - y->start;

	return (m > n) - (m < n);
}

/* Gadgets in the smallest mappings first: the dynamic loader has them all. */
static void gadgets_choose(struct target *t, struct exec_maps *x, struct gadget_set *set)
{
	if (!t->gadgets)
		t->gadgets = gadgets_new();
	qsort(x->maps.data, x->maps.len, sizeof(*x->maps.data), map_size_cmp);
	vec_foreach (m, &x->maps)
		if (!gadget_set_complete(set))
			gadgets_search(t->gadgets, t, m, set);
}

/* Code without a file behind it may go away while we need it. */
static void note_code(struct exec_maps *x, const struct proc_map *m)
{
	if (m->perms[0] == 'r' && m->perms[2] == 'x' && (m->ino || strcmp(m->name, "[vdso]") == 0))
		*vec_push(&x->maps) = *m; /* its name won't stay */
}

void remote_scout(struct target *t)
{
	auto_lines struct proc_lines lines = PROC_LINES_INIT;
	struct exec_maps x = {0};
	struct gadget_set set = {0};
	struct proc_map m;
	char *line;

	if (proc_lines_open(&lines, t->proc, "maps") < 0)
		return; /* it is dead, which shows later */
	while (proc_lines_next(&lines, &line) > 0)
		if (proc_parse_map(line, &m) == 0)
			note_code(&x, &m);
	gadgets_choose(t, &x, &set);
	vec_done(&x.maps);
}

static bool has_shadow_stack(const struct target_thread *th)
{
	uint64_t ssp;
	struct iovec iov = {&ssp, sizeof(ssp)};

	/* ENODEV: not active in this task; EINVAL: a kernel or CPU without it. */
	return sys_ptrace(PTRACE_GETREGSET, th->tid, NT_X86_SHSTK, (uint64_t)(uintptr_t)&iov) >= 0;
}

/* Is this the code of an area that an earlier torpor left behind when it was killed? */
static bool is_leftover(const struct target *t, const struct proc_map *code,
			const struct proc_map *next)
{
	uint8_t buf[PAGE];
	size_t len = (size_t)(agent_end - agent_start);
	struct err err = ERR_INIT;

	return !code->ino && code->end - code->start == SCRATCH_SLOT(0) && code->perms[1] == '-' &&
	       !next->ino && next->start == code->end && next->perms[1] == 'w' &&
	       next->end >= code->start + SCRATCH_LEN &&
	       target_read(t, raddr(code->start), buf, len, &err) == 0 &&
	       memcmp(buf, agent_start, len) == 0;
}

/* A handler of the target may still run on its stack room (see agent.S): then it stays. */
static void leftover_note(struct target *t, const struct proc_map *code)
{
	for (size_t i = 0; i < t->nthreads; i++) {
		const struct user_regs_struct *gp = &t->threads[i]->saved->gp;

		if (gp->rip - code->start < SCRATCH_LEN || gp->rsp - code->start < SCRATCH_LEN)
			return;
	}
	t->scratch->leftover = raddr(code->start);
}

static int survey(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;
	auto_lines struct proc_lines lines = PROC_LINES_INIT;
	struct exec_maps x = {0};
	struct proc_map m, stack = {0}, before = {0};
	char *line;
	int r = proc_lines_open(&lines, t->proc, "maps");

	while (r >= 0 && (r = proc_lines_next(&lines, &line)) > 0) {
		if (proc_parse_map(line, &m) < 0)
			continue;
		if (before.perms[2] == 'x' && is_leftover(t, &before, &m))
			leftover_note(t, &before);
		before = m;
		if (strcmp(m.name, "[stack]") == 0)
			stack = m;
		note_code(&x, &m);
	}
	if (r >= 0) {
		gadgets_choose(t, &x, &t->scratch->gadgets);
		if (stack.end && !has_shadow_stack(th))
			spot_choose(t, &stack, frame_size(th->saved));
	}
	vec_done(&x.maps);
	if (r < 0)
		return err_sys(err, r, "pid %d (%s): read its mappings", t->pid, t->comm);
	if (!before.end || (!t->scratch->gadgets.syscall && target_is_dead(t)))
		return err_gone(err, "pid %d (%s): died, its memory is gone", t->pid, t->comm);
	if (!t->scratch->gadgets.syscall)
		return err_refuse(err, "give it an executable mapping",
				  "pid %d (%s): there is no system call instruction in its memory",
				  t->pid, t->comm);
	return 0;
}

static bool is_protected(const struct scratch *s)
{
	return s->spot.va && s->gadgets.syscall_ret && s->gadgets.sigreturn;
}

/* Lays the frame on the stack where that is possible. */
static int site_prepare(struct target_thread *th, struct call_site *site, struct err *err)
{
	struct scratch *s = th->target->scratch;
	uint8_t frame[SCRATCH_FRAME_SIZE];
	size_t len;

	if (!is_protected(s)) {
		*site = (struct call_site){.ip = s->gadgets.syscall, .sp = th->saved->gp.rsp};
		log_debug("pid %d (%s): no self-restoring frame: %s", th->target->pid,
			  th->target->comm,
			  s->spot.va ? "no `syscall; ret` or no rt_sigreturn in its code"
				     : "no place on its stack");
		return 0;
	}
	*site = (struct call_site){s->gadgets.syscall_ret, s->spot, s->spot.va};
	TRY(frame_build(th->saved, th->sigmask, s->spot, s->gadgets.sigreturn, frame, sizeof(frame),
			&len, err));
	return target_write(th->target, s->spot, frame, len, err);
}

static int site_call(struct target_thread *th, const struct call_site *site,
		     struct agent_call *call, struct err *err)
{
	TRY(single_call(th, site, (long)call->nr, call->args, &call->ret, err));
	call_log(th, call);
	return 0;
}

static int scratch_failed(const struct target *t, const struct agent_call *call, struct err *err)
{
	char text[CALL_TEXT];

	err_sys(err, (int)call->ret, "pid %d (%s): %s for the scratch area", t->pid, t->comm,
		call_format(call, text));
	return err_hint(
		err, "see its limits (RLIMIT_AS), the security module's log, and the count of its "
		     "mappings (vm.max_map_count)");
}

/* What the agent needs to unmap itself when we are gone. */
static int exit_write(struct target_thread *th, struct err *err)
{
	struct scratch *s = th->target->scratch;
	struct agent_exit e = {
		.spot = is_protected(s) ? s->spot.va : 0,
		.frame_len = frame_size(th->saved),
		.fpstate = FRAME_FPSTATE_POINTER,
		.fpstate_off = frame_fpstate_offset(),
		.sigreturn = s->gadgets.sigreturn,
		.syscall_ret = s->gadgets.syscall_ret,
		.base = s->base.va,
		.len = SCRATCH_LEN,
	};

	return target_write(th->target, scratch_at(s, SCRATCH_SHARED + EXIT_OFFSET), &e, sizeof(e),
			    err);
}

/*
 * The data part. A program at its RLIMIT_DATA can't have more private writable memory; shared
 * memory doesn't count.
 */
static int make_writable(struct target_thread *th, const struct call_site *site, struct err *err)
{
	struct target *t = th->target;
	const uint64_t at = t->scratch->base.va + SCRATCH_SLOT(0);
	const uint64_t len = SCRATCH_LEN - SCRATCH_SLOT(0), prot = PROT_READ | PROT_WRITE;
	struct agent_call protect = {.nr = SYS_mprotect, .args = {at, len, prot}};
	struct agent_call shared = {
		.nr = SYS_mmap,
		.args = {at, len, prot, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, (uint64_t)-1},
	};
	struct agent_call undo = {.nr = SYS_munmap, .args = {t->scratch->base.va, SCRATCH_LEN}};

	TRY(site_call(th, site, &protect, err));
	if (protect.ret != -ENOMEM)
		shared.ret = protect.ret;
	else
		TRY(site_call(th, site, &shared, err));
	if (shared.ret >= 0 || shared.ret <= -4096)
		return 0;
	TRY(site_call(th, site, &undo, err));
	return scratch_failed(t, &protect, err);
}

/* Never writable and executable at once: that may be forbidden (PR_SET_MDWE). */
static int map_area(struct target_thread *th, const struct call_site *site, struct err *err)
{
	struct target *t = th->target;
	struct scratch *s = t->scratch;
	struct agent_call map = {
		.nr = SYS_mmap,
		.args = {0, SCRATCH_LEN, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			 (uint64_t)-1},
	};

	TRY(site_call(th, site, &map, err));
	if (map.ret < 0 && map.ret > -4096)
		return scratch_failed(t, &map, err);
	s->base = raddr((uint64_t)map.ret);
	TRY(agent_install(t, s->base, err));
	TRY(make_writable(th, site, err));
	return exit_write(th, err);
}

/* What isn't needed any more: the pages on the stack become untouched again, as far as possible. */
static int places_clean(struct target_thread *th, struct err *err)
{
	struct scratch *s = th->target->scratch;
	auto_batch struct batch *b = batch_new(th);
	bool blank = is_protected(s) && !s->spot_saved;

	if (s->leftover.va)
		batch_call(b, SYS_munmap, s->leftover.va, SCRATCH_LEN);
	if (blank)
		batch_call(b, SYS_madvise, s->spot.va, s->spot_len, MADV_DONTNEED);
	TRY(batch_run(b, err));
	s->leftover = raddr(0);
	/* It fails where the stack is locked in memory. */
	if (is_protected(s) && (!blank || batch_ret(b, batch_count(b) - 1) < 0))
		TRY(spot_wipe(th->target, err));
	return 0;
}

/* Back to where it was, from wherever single calls left it. */
static int own_state(struct target_thread *th, struct err *err)
{
	TRY(thread_set_mask(th, th->sigmask, err));
	return arch_gp_set(th->tid, &th->saved->gp, err);
}

static void scratch_forget(struct target *t)
{
	free(t->scratch->spot_saved);
	free(t->scratch);
	t->scratch = NULL;
}

static int scratch_map(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;
	auto_free char *status = NULL;
	struct err ignored = ERR_INIT;
	struct call_site site;
	int r = io_read_file(t->proc, "status", &status, NULL);

	if (r < 0)
		return err_sys(err, r, "pid %d (%s): read its status", t->pid, t->comm);
	t->scratch = xcalloc(1, sizeof(*t->scratch));
	memset(t->scratch->lent, -1, sizeof(t->scratch->lent));
	t->scratch->signo = signal_choose(t, status);
	log_debug("pid %d (%s): batches end by %s", t->pid, t->comm,
		  t->scratch->signo ? strsignal(t->scratch->signo) : "system call stops");
	r = survey(th, err);
	if (r >= 0)
		r = site_prepare(th, &site, err);
	if (r >= 0) {
		r = map_area(th, &site, err);
		if (r < 0 && !t->died) {
			ignore(own_state(th, &ignored)); /* the first error counts */
			if (site.frame.va)
				ignore(spot_wipe(t, &ignored));
		}
	}
	if (r < 0)
		scratch_forget(t);
	return r;
}

int remote_enter(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;

	if (th->entered)
		return 0;
	if (!th->seized)
		return err_bug(err, "pid %d (%s): thread %d isn't stopped", t->pid, t->comm,
			       th->tid);
	if (t->scratch) {
		th->entered = true;
		return 0;
	}
	TRY(scratch_map(th, err));
	th->entered = true;
	return places_clean(th, err);
}

int remote_leave(struct target_thread *th, struct err *err)
{
	if (!th->entered)
		return 0;
	TRY(agent_park(th, err));
	th->entered = false;
	return 0;
}

/*
 * Unmaps by way of the target's own code again. The thread is then in a syscall-exit-stop with a
 * frame to return by, gets its mask, its registers, and only then the frame is wiped out.
 */
static int scratch_unmap(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;
	struct agent_call unmap = {.nr = SYS_munmap, .args = {t->scratch->base.va, SCRATCH_LEN}};
	bool on_stack = is_protected(t->scratch);
	struct call_site site;

	TRY(site_prepare(th, &site, err));
	TRY(site_call(th, &site, &unmap, err));
	TRY(own_state(th, err));
	if (on_stack)
		TRY(spot_wipe(t, err));
	if (unmap.ret < 0)
		return scratch_failed(t, &unmap, err);
	return 0;
}

/*
 * A signal that the agent caught is queued again, with its siginfo: only the process itself may
 * claim that the kernel or somebody else sent it. All signals are blocked during single calls, so
 * it stays pending until the thread has its own state back.
 */
static int held_requeue(struct target_thread *th, struct err *err)
{
	struct target *t = th->target;
	struct scratch *s = t->scratch;
	raddr_t info = scratch_at(s, SCRATCH_DATA), frame;
	bool to_thread = th->held->si_code == SI_TKILL;
	uint64_t signo = (uint64_t)th->held->si_signo;
	struct agent_call call = {.nr = SYS_rt_sigqueueinfo,
				  .args = {(uint64_t)t->vpid, signo, info.va}};
	struct call_site site = {.ip = scratch_single(s)};

	if (to_thread)
		call = (struct agent_call){
			.nr = SYS_rt_tgsigqueueinfo,
			.args = {(uint64_t)t->vpid, (uint64_t)th->vtid, signo, info.va}};
	TRY(agent_take(th, err));
	TRY(target_write(t, info, th->held, sizeof(*th->held), err));
	frame = scratch_at(s, SCRATCH_SLOT(th->slot) + SCRATCH_FRAME);
	site.frame = frame;
	site.sp = frame.va + 8;
	TRY(site_call(th, &site, &call, err));
	free(th->held);
	th->held = NULL;
	return 0;
}

int remote_leave_all(struct target *t, struct err *err)
{
	struct target_thread *th = NULL;

	if (!t->scratch || t->scratch->half_made || t->died)
		return 0;
	for (size_t i = 0; i < t->nthreads; i++) {
		if (t->threads[i]->held)
			TRY(held_requeue(t->threads[i], err));
		TRY(remote_leave(t->threads[i], err));
		if (!th && t->threads[i]->seized)
			th = t->threads[i];
	}
	if (th)
		TRY(scratch_unmap(th, err));
	scratch_forget(t);
	return 0;
}
