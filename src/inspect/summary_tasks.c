/* SPDX-License-Identifier: Apache-2.0 */
/* Summary: the processes, with commands, users, state and memory. */
#include "inspect/summary.h"

#include "base/auto.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>

/* Of a command line; a person reads no more. */
#define CMDLINE_MAX 512

/* core_entry.tc.task_state; disk values */
enum { STATE_ALIVE = 1, STATE_DEAD = 2, STATE_STOPPED = 3 };

static const char *state_name(uint32_t state)
{
	switch (state) {
	case STATE_ALIVE:
		return "running";
	case STATE_DEAD:
		return "zombie";
	case STATE_STOPPED:
		return "stopped";
	default:
		return "unknown";
	}
}

/* ------------------------------------------------------------ command line */

/* Arguments with blanks between them; what a terminal would obey is shown as '?'. */
static size_t make_printable(char *buf, size_t len)
{
	while (len && !buf[len - 1])
		len--;
	for (size_t i = 0; i < len; i++) {
		if (!buf[i])
			buf[i] = ' ';
		else if ((unsigned char)buf[i] < ' ' || buf[i] == 0x7f)
			buf[i] = '?';
	}
	return len;
}

/* The arguments are in the task's memory, where it may have written over them. */
static void add_cmdline(struct summary *s, struct checkpoint_task *t, json_t *process)
{
	struct err err = ERR_INIT;
	char buf[CMDLINE_MAX];
	const MmEntry *mm;
	size_t len;

	if (checkpoint_mm(s->cp, t, &mm, &err) < 0) {
		summary_problem(s, &err);
		return;
	}
	if (mm->mm_arg_end <= mm->mm_arg_start)
		return;
	len = (size_t)MIN(mm->mm_arg_end - mm->mm_arg_start, sizeof(buf));
	len = make_printable(buf, summary_read(s, t->pid, mm->mm_arg_start, buf, len));
	if (len)
		json_object_set_new(process, "cmdline", json_text(buf, len));
}

static void add_exe(struct summary *s, struct checkpoint_task *t, json_t *process)
{
	struct err err = ERR_INIT;
	const FileEntry *f;
	size_t n;

	if (!t->mm)
		return;
	if (checkpoint_file(s->cp, t->mm->exe_file_id, &f, &err) < 0)
		return; /* files.img: summary_files tells */
	n = map_get(&s->exes, t->mm->exe_file_id);
	map_put(&s->exes, t->mm->exe_file_id, n == MAP_NONE ? 1 : n + 1);
	if (f && f->reg)
		json_object_set_new(process, "exe", json_string_of(f->reg->name));
}

/* ------------------------------------------------------------------- users */

/* The names of this machine, which may not be that of the dump. */
static void add_user(const CoreEntry *core, json_t *process)
{
	const CredsEntry *c = core->thread_core ? core->thread_core->creds : NULL;
	const struct passwd *pw;
	const struct group *gr;

	if (!c)
		return;
	json_object_set_new(process, "uid", json_integer(c->uid));
	json_object_set_new(process, "gid", json_integer(c->gid));
	if (c->euid != c->uid)
		json_object_set_new(process, "euid", json_integer(c->euid));
	pw = getpwuid(c->uid);
	if (pw)
		json_object_set_new(process, "user", json_string_of(pw->pw_name));
	gr = getgrgid(c->gid);
	if (gr)
		json_object_set_new(process, "group", json_string_of(gr->gr_name));
}

/* --------------------------------------------------------------- processes */

static void add_core(struct summary *s, struct checkpoint_task *t, json_t *process, json_t *totals)
{
	struct err err = ERR_INIT;
	const CoreEntry *core;

	if (checkpoint_core(s->cp, t, &core, &err) < 0) {
		json_object_set_new(process, "state", json_string("unknown"));
		summary_problem(s, &err);
		return;
	}
	if (core->tc) {
		json_object_set_new(process, "state",
				    json_string(state_name(core->tc->task_state)));
		json_object_set_new(
			process, "comm",
			json_text(core->tc->comm,
				  make_printable(core->tc->comm, strlen(core->tc->comm))));
		json_count(totals, state_name(core->tc->task_state), 1);
	}
	add_user(core, process);
}

static void add_tree(const struct checkpoint_task *t, json_t *process)
{
	json_object_set_new(process, "ppid", json_integer(t->e->ppid));
	json_object_set_new(process, "pgid", json_integer(t->e->pgid));
	json_object_set_new(process, "sid", json_integer(t->e->sid));
	json_object_set_new(process, "depth", json_integer(t->depth));
	json_object_set_new(process, "threads", json_integer((json_int_t)t->e->n_threads));
}

static json_t *describe_task(struct summary *s, struct checkpoint_task *t, json_t *totals)
{
	json_t *process = json_pack("{sI}", "pid", (json_int_t)t->pid);

	json_count(totals, "processes", 1);
	if (!t->e) {
		summary_task_memory(s, t, process, totals);
		return process;
	}
	add_tree(t, process);
	add_core(s, t, process, totals);
	json_count(totals, "threads", (json_int_t)t->e->n_threads);
	if (t->core && checkpoint_is_zombie(t->core))
		return process;
	add_cmdline(s, t, process);
	add_exe(s, t, process);
	summary_task_memory(s, t, process, totals);
	return process;
}

/* Session leaders other than the root come with it; the root itself may live in somebody else's. */
static void note_session(struct summary *s)
{
	const PstreeEntry *root = s->cp->tasks.len ? s->cp->tasks.data[0].e : NULL;

	if (root && root->sid != root->pid)
		summary_option(s, "--shell-job",
			       "the root of the tree doesn't lead its session (it ran in a shell)");
}

void summary_tasks(struct summary *s)
{
	json_t *processes = json_array(), *totals = json_object();

	json_object_set_new(s->out, "processes", processes);
	json_object_set_new(s->out, "totals", totals);
	vec_foreach (t, &s->cp->tasks)
		json_array_append_new(processes, describe_task(s, t, totals));
	note_session(s);
}
