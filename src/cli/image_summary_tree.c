/* SPDX-License-Identifier: Apache-2.0 */
/*
 * torpor image summary: the tree of processes. Brothers that look alike, with all that is below
 * them, become one row with their number: a server with 1,000 workers is two rows.
 */
#include "cli/image_summary.h"

#include "base/auto.h"
#include "base/map.h"
#include "base/parse.h"
#include "base/vec.h"

#include <inttypes.h>
#include <string.h>

#define ROWS_MAX   20
#define INDENT_MAX 256 /* bytes */

struct node {
	const json_t *j;
	VEC(size_t) children;
	uint64_t shape; /* equal for subtrees that look alike */
	uint64_t memory[5];
	uint64_t processes; /* of the subtree */
};

struct tree {
	const struct summary_view *v;
	struct node *nodes;
	size_t n;
	bool shown[5]; /* columns of memory with something in them */
	bool threads;
	size_t rows, hidden;
};

static const struct {
	const char *key, *title;
} columns[] = {{"private", "PRIVATE"},
	       {"cow", "COW"},
	       {"shared", "SHARED"},
	       {"parents", "PARENTS"},
	       {"lazy", "LAZY"}};

/* ------------------------------------------------------------ what is alike */

static uint64_t mix(uint64_t hash, uint64_t n)
{
	return (hash ^ n) * UINT64_C(0x9e3779b97f4a7c15) ^ (hash >> 29);
}

static uint64_t hash_text(const char *s)
{
	uint64_t hash = 1;

	for (; *s; s++)
		hash = mix(hash, (unsigned char)*s);
	return hash;
}

static const char *command_of(const json_t *j)
{
	const char *cmdline = text_get(j, "cmdline");

	return cmdline[0] ? cmdline : text_get(j, "comm");
}

/* Children stand behind their parents: from the end, each one's own are complete. */
static void sum_up(struct tree *t)
{
	for (size_t i = t->n; i-- > 0;) {
		struct node *node = &t->nodes[i];

		node->shape = mix(hash_text(text_get(node->j, "comm")),
				  hash_text(text_get(node->j, "state")));
		node->shape = mix(node->shape, text_get_num(node->j, "uid"));
		node->shape = mix(node->shape, text_get_num(node->j, "threads"));
		node->processes = 1;
		vec_foreach (c, &node->children) {
			node->shape = mix(node->shape, t->nodes[*c].shape);
			node->processes += t->nodes[*c].processes;
		}
	}
}

static void make_nodes(struct tree *t, const json_t *processes)
{
	struct map by_pid = {0};

	t->n = json_array_size(processes);
	t->nodes = xcalloc(t->n + 1, sizeof(*t->nodes));
	for (size_t i = 0; i < t->n; i++) {
		struct node *node = &t->nodes[i];
		size_t parent;

		node->j = json_array_get(processes, i);
		for (size_t k = 0; k < ARRAY_SIZE(columns); k++) {
			node->memory[k] =
				text_get_num(json_object_get(node->j, "memory"), columns[k].key);
			t->shown[k] |= node->memory[k] != 0;
		}
		t->threads |= text_get_num(node->j, "threads") > 1;
		parent = map_get(&by_pid, text_get_num(node->j, "ppid"));
		if (parent != MAP_NONE)
			*vec_push(&t->nodes[parent].children) = i;
		map_put(&by_pid, text_get_num(node->j, "pid"), i);
	}
	map_done(&by_pid);
	t->shown[0] = true;
}

/* -------------------------------------------------------------------- rows */

/* What a row stands for: brothers that are alike. */
struct group {
	size_t first, n;
	uint64_t memory[5];
};

static void print_head(const struct tree *t, bool users)
{
	printf("%s%7s ", t->v->style.dim, "PID");
	if (users)
		printf("%-8s ", "USER");
	if (t->threads)
		printf("%4s ", "THR");
	for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
		if (t->shown[k])
			printf("%7s ", columns[k].title);
	printf(" COMMAND%s\n", t->v->style.off);
}

static int print_numbers(const struct tree *t, const struct group *g)
{
	const json_t *j = t->nodes[g->first].j;
	const char *user = text_get(j, "user");
	char size[TEXT_BYTES], uid[24];
	int width = 8;

	printf("%7" PRIu64 " ", text_get_num(j, "pid"));
	if (json_object_get(j, "ppid")) {
		snprintf(uid, sizeof(uid), "%" PRIu64, text_get_num(j, "uid"));
		if (!json_object_get(j, "uid"))
			str_copy(uid, sizeof(uid), "-");
		width += printf("%-8.8s ", user[0] ? user : uid);
	}
	if (t->threads)
		width += printf("%4" PRIu64 " ", text_get_num(j, "threads"));
	for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
		if (t->shown[k])
			width +=
				printf("%7s ", g->memory[k] ? text_bytes(g->memory[k], size) : "-");
	return width;
}

/* `indent`: the branches in front of it. */
static void print_row(struct tree *t, const struct group *g, const char *indent, const char *branch)
{
	const struct node *node = &t->nodes[g->first];
	const struct style *style = &t->v->style;
	const char *state = text_get(node->j, "state");
	bool odd = state[0] && strcmp(state, "running") != 0;
	char more[64] = "";
	int width = print_numbers(t, g), left;

	if (g->n > 1)
		snprintf(more, sizeof(more), " x %zu", g->n);
	printf(" %s%s%s%s", style->dim, indent, branch, style->off);
	left = text_width() - width - 1 - (int)strlen(more);
	for (const char *c = indent; *c; c++)
		left -= ((unsigned char)*c & 0xc0) != 0x80;
	left -= branch[0] ? 3 : 0;
	left -= odd ? (int)strlen(state) + 3 : 0;
	text_print_cut(stdout, command_of(node->j), t->v->full ? 4096 : MAX(left, 16));
	if (odd)
		printf(" %s(%s)%s", style->bad, state, style->off);
	printf("%s%s%s\n", style->accent, more, style->off);
	t->rows++;
}

static void add_memory(const struct tree *t, size_t i, struct group *g)
{
	for (size_t k = 0; k < ARRAY_SIZE(columns); k++)
		g->memory[k] += t->nodes[i].memory[k];
}

/* ------------------------------------------------------------------ walking */

/* A level of the tree that is being printed. */
struct frame {
	const size_t *children;
	size_t n, next;
	char *indent; /* owned */
};

/* From frame->next on. */
static struct group take_group(const struct tree *t, struct frame *f)
{
	struct group g = {.first = f->children[f->next]};

	do {
		add_memory(t, f->children[f->next++], &g);
		g.n++;
	} while (!t->v->full && f->next < f->n &&
		 t->nodes[f->children[f->next]].shape == t->nodes[g.first].shape);
	return g;
}

/* A tree that is deeper than it can be shown isn't indented further. */
static char *join(const char *a, const char *b)
{
	size_t size = strlen(a) + (strlen(a) < INDENT_MAX ? strlen(b) : 0) + 1;
	char *s = xcalloc(1, size);

	snprintf(s, size, "%s%s", a, b);
	return s;
}

/* A hostile tree may be deep: no recursion. */
static void print_tree(struct tree *t, size_t root)
{
	VEC(struct frame) stack = {0};

	*vec_push(&stack) = (struct frame){.children = &root, .n = 1, .indent = join("", "")};
	while (stack.len) {
		struct frame *f = &stack.data[stack.len - 1];
		bool top = stack.len == 1, last;
		struct group g;

		if (f->next == f->n) {
			free(f->indent);
			stack.len--;
			continue;
		}
		g = take_group(t, f);
		last = f->next == f->n;
		if (!t->v->full && t->rows >= ROWS_MAX) {
			t->hidden += g.n * t->nodes[g.first].processes;
			continue;
		}
		print_row(t, &g, f->indent, top ? "" : last ? "└─ " : "├─ ");
		if (t->nodes[g.first].children.len)
			*vec_push(&stack) = (struct frame){
				.children = t->nodes[g.first].children.data,
				.n = t->nodes[g.first].children.len,
				.indent = join(f->indent, top	 ? ""
							  : last ? "   "
								 : "│  "),
			};
	}
	vec_done(&stack);
}

void summary_print_tree(const struct summary_view *v)
{
	const json_t *processes = json_object_get(v->j, "processes");
	struct tree t = {.v = v};

	if (!json_array_size(processes))
		return;
	make_nodes(&t, processes);
	sum_up(&t);
	putchar('\n');
	print_head(&t, json_object_get(t.nodes[0].j, "ppid"));
	if (json_object_get(t.nodes[0].j, "ppid"))
		print_tree(&t, 0);
	else /* a pre-dump has no tree */
		for (size_t i = 0; i < t.n; i++)
			print_tree(&t, i);
	if (t.hidden)
		printf("%s%7s and %" PRIu64 " more: --full shows them%s\n", v->style.dim, "",
		       (uint64_t)t.hidden, v->style.off);
	putchar('\n');
	for (size_t i = 0; i < t.n; i++)
		vec_done(&t.nodes[i].children);
	free(t.nodes);
}
