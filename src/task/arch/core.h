/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a record holds for one architecture: registers, FPU, the address that is cleared when the
 * thread ends. Implemented once in each folder beside this file.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "remote/target.h"

typedef struct CoreEntry CoreEntry;

/* What there is to know about this machine's CPU. Asked once: CPUID is slow in a guest. */
struct arch_cpu;
struct arch_cpu *arch_cpu_new(struct arena *a);

/* Registers of one thread as a record says, ready for this CPU. */
struct arch_core;

/*
 * Fills the architecture's block of the record. `saved` is the state at the freeze; a call that it
 * interrupted is rewound here.
 */
MUST_USE int arch_core_dump(const struct arch_cpu *cpu, struct arena *a, pid_t tid,
			    const struct arch_state *saved, CoreEntry *core, struct err *err);
void arch_core_put_tid_addr(CoreEntry *core, uint64_t addr);
uint64_t arch_core_get_tid_addr(const CoreEntry *core);

/* A process that isn't frozen: is it one that can be dumped? */
MUST_USE int arch_core_check(const struct target *t, struct err *err);
MUST_USE int arch_core_load(const struct arch_cpu *cpu, struct arena *a, const CoreEntry *core,
			    struct arch_core **ret, struct err *err);
/* Does this CPU have what the registers need? */
MUST_USE int arch_core_able(const struct arch_core *c, struct err *err);
const struct arch_state *arch_core_state(const struct arch_core *c);
/* What isn't part of the state: segments of thread-local storage. The thread is stopped. */
MUST_USE int arch_core_restore(const struct arch_core *c, pid_t tid, struct err *err);
